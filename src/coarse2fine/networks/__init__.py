"""Networks: encoders of two libraries, segmentation networks on top of them, students, vision transformers.

backbone.py      encoders at a chosen output stride, with safetensors weights
segmentation.py  what all segmentation networks have in common; what of them trains
deeplab.py       DeepLab v2 and v3+
fpn.py           FPN and DFPN
building.py      from settings to one of these
"""
