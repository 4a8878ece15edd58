"""The whole pipeline.

fit.py                 Algorithm 1 of the paper: the order of the stages, and the recursion
job.py                 the record that every stage takes: run folder, photos, settings, processes
checks.py              checks of data, settings and run folder, before any long computation starts
working_size.py        the size to which photos are resized, chosen from their sizes
coarse_choice.py       coarse.method = auto: choose a coarse method for the photos
coarse_stage.py        stage 1: coarse masks
linear_stage.py        a linear model of the encoder's features corrects the soft masks
enhance_stage.py       stage 2: enhanced masks
soft_start.py          the soft masks that an enhancement starts from: mean of rounds, size, correction
train_stage.py         stage 3: a segmentation network trained on the masks
refine_stage.py        the network's masks, constrained to the labels; which photos go on to the next round
collapse.py            rounds that make the masks worse: find them, undo them
early_end.py           rounds = auto: end with one long round as soon as the masks hardly change
mask_signs.py          signs that the masks before round 1 are too bad to train on
time_estimate.py       how long the rest of a run takes
quality_stage.py       a quality score for every mask, without ground truth
result.py              metrics of a round; the finished model, its tables and its report
mask_writer.py         the loop that writes the masks of a stage: threads, processes, resume, progress
terminal_summary.py    what the terminal shows at the start, after each round, and at the end
folders.py             stages 1 and 2 on plain folders, without a run
"""
