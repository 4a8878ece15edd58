"""Ground truth and metrics, mask quality without ground truth, and the VOC submission archive."""
