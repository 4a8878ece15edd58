"""A finished run as other tools take it: its network (network, onnx, int8)."""
