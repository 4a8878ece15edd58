"""Where results lie: files that are whole or not there, masks, and the folder of a run."""

from coarse2fine.store.files import hash_of, read_json, write_atomically, write_json, write_text
from coarse2fine.store.masks import (
    encode_mask,
    mask_path,
    read_mask,
    read_soft,
    read_soft_or_binary,
    write_mask,
    write_soft,
)
from coarse2fine.store.run import Run, Stage, claim_folder, explain_change, hold_folder, is_run, measure_seconds

__all__ = [
    "Run",
    "Stage",
    "claim_folder",
    "encode_mask",
    "explain_change",
    "hash_of",
    "hold_folder",
    "is_run",
    "mask_path",
    "measure_seconds",
    "read_json",
    "read_mask",
    "read_soft",
    "read_soft_or_binary",
    "write_atomically",
    "write_json",
    "write_mask",
    "write_soft",
    "write_text",
]
