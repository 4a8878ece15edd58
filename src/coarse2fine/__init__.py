"""Pixel masks and a segmentation network from photos with one class label each.

    import coarse2fine

    run = coarse2fine.fit("photos", out="runs/pets")
    mask = coarse2fine.Segmenter.load("runs/pets")(coarse2fine.read_image("holiday.jpg"))

Every stage is a function or a class of its own: `saliency`, `centered_box`, `Student`, `grabcut`, `dense_crf`,
`constrain`, `evaluate_masks`; `videopca` and `train_student` make a student of your own.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coarse2fine.coarse import binarize, saliency
    from coarse2fine.coarse.box import centered_box
    from coarse2fine.coarse.student import Student
    from coarse2fine.config import FitConfig, load_config, load_recipe
    from coarse2fine.data import open_dataset, read_image
    from coarse2fine.data.frames import open_video
    from coarse2fine.distillation.generations import train_student
    from coarse2fine.distillation.videopca import videopca
    from coarse2fine.enhance.crf import dense_crf, dense_crf_many
    from coarse2fine.enhance.grabcut import grabcut
    from coarse2fine.errors import Coarse2FineError, ConfigError, DataError
    from coarse2fine.evaluation.evaluate import evaluate_masks, evaluate_network
    from coarse2fine.export import export_masks
    from coarse2fine.export.network_export import export_int8_network, export_network
    from coarse2fine.inference.predict import predict_photos
    from coarse2fine.inference.torch_segmenter import TorchSegmenter
    from coarse2fine.masks.constraint import constrain
    from coarse2fine.masks.palette import overlay
    from coarse2fine.masks.png import read_mask, write_mask
    from coarse2fine.pipeline.fit import fit
    from coarse2fine.store.run import Run

_HOMES = {
    "Coarse2FineError": "errors",
    "ConfigError": "errors",
    "DataError": "errors",
    "FitConfig": "config",
    "Run": "store.run",
    "TorchSegmenter": "inference.torch_segmenter",
    "Student": "coarse.student",
    "binarize": "coarse",
    "centered_box": "coarse.box",
    "constrain": "masks.constraint",
    "dense_crf": "enhance.crf",
    "dense_crf_many": "enhance.crf",
    "evaluate_masks": "evaluation.evaluate",
    "evaluate_network": "evaluation.evaluate",
    "export_int8_network": "export.network_export",
    "export_masks": "export",
    "export_network": "export.network_export",
    "fit": "pipeline.fit",
    "grabcut": "enhance.grabcut",
    "load_config": "config",
    "load_recipe": "config",
    "open_dataset": "data",
    "open_video": "data.frames",
    "overlay": "masks.palette",
    "predict_photos": "inference.predict",
    "read_image": "data",
    "read_mask": "masks.png",
    "saliency": "coarse.saliency",
    "train_student": "distillation.generations",
    "videopca": "distillation.videopca",
    "write_mask": "masks.png",
}
"""Where the public names live; each is imported when it is first asked for, so that the command line starts fast."""

__all__ = [
    "Coarse2FineError",
    "ConfigError",
    "DataError",
    "FitConfig",
    "Run",
    "Student",
    "TorchSegmenter",
    "binarize",
    "centered_box",
    "constrain",
    "dense_crf",
    "dense_crf_many",
    "evaluate_masks",
    "evaluate_network",
    "export_int8_network",
    "export_masks",
    "export_network",
    "fit",
    "grabcut",
    "load_config",
    "load_recipe",
    "open_dataset",
    "open_video",
    "overlay",
    "predict_photos",
    "read_image",
    "read_mask",
    "saliency",
    "train_student",
    "videopca",
    "write_mask",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'coarse2fine' has no attribute '{name}'")
    return getattr(import_module(f"coarse2fine.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
