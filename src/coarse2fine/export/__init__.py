"""Export the masks or the network of a run to other tools.

mask_export.py          `export_masks`, and the list of mask formats
mask_sources.py         find the masks: of a run, of a folder that predict wrote, or new predictions
mask_format.py          the record that describes a format, and the photos and objects that it writes
validation_split.py     choose the photos for validation
voc.py, coco.py, yolo.py, label_studio.py, cvat.py, hugging_face.py
                        one mask format each
image_mask_folders.py   the formats ultralytics and lightly: folders of photos and of PNG masks
streamed_files.py       JSON and CSV files that are written item by item
network_export.py       `export_network`, `export_int8_network`
hub.py                  `save_pretrained`, `push_to_hub`: the network and its card for the Hugging Face Hub
network_graph.py        a network with normalization and softmax, traced and compared with its export
torch_export.py         a ``.pt2`` file
onnx_export.py          an ONNX file
int8_quantization.py    an ONNX file with 8-bit weights and activations
"""

from coarse2fine.export.mask_export import MASK_FORMATS, export_masks

__all__ = ["MASK_FORMATS", "export_masks"]
