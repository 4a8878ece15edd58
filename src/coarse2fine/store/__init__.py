"""The run folder: paths, stages, fingerprints, lock."""
