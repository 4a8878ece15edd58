"""The training loop, and the samples and losses of the segmentation network and of the student."""
