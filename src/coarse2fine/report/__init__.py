"""The HTML report of a run, and a picture of its masks from stage to stage."""
