"""Network architectures, and loading and saving of weights.

backbone.py       encoders of segmentation-models-pytorch and timm at a given output stride
segmentation.py   base class of segmentation networks; frozen parts; parameter groups for the optimizer
deeplab.py        DeepLab v2 and DeepLab v3+
fpn.py            FPN and DFPN
student.py        student networks (LowRes-Net, U-Nets) and EvalSeg-Net
vit.py            keys of a vision transformer
build.py          segmentation network from settings
normalization.py  input normalization of an encoder
weights.py        safetensors files
hub.py            names of timm's networks; download of published weights
depthwise.py      dilated depthwise convolutions that train fast on a CPU
folding.py        faster copies of networks for prediction
"""
