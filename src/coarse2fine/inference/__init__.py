"""Trained networks applied to photos: one interface, two back ends (torch, onnxruntime)."""
