"""Segmentation networks: encoders of two libraries (backbone), DeepLab v2 and v3+ on top of them (deeplab)."""
