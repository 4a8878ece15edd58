"""The mask stages: one photo's step, for all photos, on all cores, shared among processes, resumable."""

from coarse2fine.crew import Crew, run_stage
from coarse2fine.stages.coarse import make_coarse_masks
from coarse2fine.stages.enhancement import GPU_BATCH, enhance_masks, start_enhancing
from coarse2fine.stages.judgement import judge_masks, judge_run, publish_quality
from coarse2fine.stages.refinement import filter_masks, find_empty, refine_masks
from coarse2fine.stages.writing import lay_corrected, read_notes, write_batches, write_masks

__all__ = [
    "GPU_BATCH",
    "Crew",
    "enhance_masks",
    "filter_masks",
    "find_empty",
    "judge_masks",
    "judge_run",
    "lay_corrected",
    "make_coarse_masks",
    "publish_quality",
    "read_notes",
    "refine_masks",
    "run_stage",
    "start_enhancing",
    "write_batches",
    "write_masks",
]
