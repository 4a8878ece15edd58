"""The run folder.

run.py           paths in the run folder
stages.py        stages: complete, unfinished, or to be run again, and why
fingerprints.py  what each stage depends on
lock.py          exclusive access to a run folder; folders of masks without a run
records.py       read its JSON files, and check their types
photos.py        the photos of a run, as recorded; whether a photo file was replaced
"""
