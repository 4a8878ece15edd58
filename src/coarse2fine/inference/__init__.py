"""Apply trained networks to photos: one interface, two implementations (torch, onnxruntime).

segmenter.py        the interface `Segmenter`, and what both implementations share
torch_segmenter.py  a network that torch computes
onnx_segmenter.py   an exported network that onnxruntime computes; works without torch
description.py      the description of a network that torch computes
load.py             load either by its path
arrays.py           NumPy arrays and torch tensors to images, and results back
files.py            apply a network to photo files or frames, in batches
found_objects.py    the objects of a photo: a table, and the photo without its background
result_files.py     the files and table rows of one photo or frame
video.py            predict the frames of a video file, and write the overlays as a video
predict.py          list photos and videos, predict them, write the tables
"""
