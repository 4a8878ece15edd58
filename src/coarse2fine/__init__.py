"""Pixel masks and a segmentation network from photos with one class label each.

    import coarse2fine

    run = coarse2fine.fit("photos", out="runs/pets")
    segmenter = coarse2fine.Segmenter.load("runs/pets")
    mask = segmenter.predict(coarse2fine.read_image("holiday.jpg"))

Each stage of ``fit`` is also a function or a class: `saliency`, `centered_box` and `Student` find coarse masks,
`grabcut` and `dense_crf` enhance them, `constrain` keeps the pixels of the label, `evaluate_masks` measures masks.
`videopca` and `train_student` train a `Student` from videos. docs/api.md describes all public names.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same names as in _PUBLIC, for type checkers; a test compares them
    from coarse2fine.coarse import binarize as binarize
    from coarse2fine.coarse.box import centered_box as centered_box
    from coarse2fine.coarse.saliency import saliency as saliency
    from coarse2fine.coarse.student import Student as Student
    from coarse2fine.config import CrfConfig as CrfConfig
    from coarse2fine.config import FitConfig as FitConfig
    from coarse2fine.config import GrabCutConfig as GrabCutConfig
    from coarse2fine.config import MaskExportConfig as MaskExportConfig
    from coarse2fine.config import StudentConfig as StudentConfig
    from coarse2fine.config import load_config as load_config
    from coarse2fine.config import load_recipe as load_recipe
    from coarse2fine.data import open_dataset as open_dataset
    from coarse2fine.data import read_image as read_image
    from coarse2fine.data.videos import open_video as open_video
    from coarse2fine.distillation.generations import train_student as train_student
    from coarse2fine.distillation.videopca import videopca as videopca
    from coarse2fine.enhance.crf import dense_crf as dense_crf
    from coarse2fine.enhance.crf import dense_crf_many as dense_crf_many
    from coarse2fine.enhance.grabcut import grabcut as grabcut
    from coarse2fine.errors import Coarse2FineError as Coarse2FineError
    from coarse2fine.errors import ConfigError as ConfigError
    from coarse2fine.errors import DataError as DataError
    from coarse2fine.evaluation.evaluate import evaluate_masks as evaluate_masks
    from coarse2fine.evaluation.evaluate import evaluate_network as evaluate_network
    from coarse2fine.evaluation.result import EvaluationResult as EvaluationResult
    from coarse2fine.export import export_masks as export_masks
    from coarse2fine.export.hub import push_to_hub as push_to_hub
    from coarse2fine.export.hub import save_pretrained as save_pretrained
    from coarse2fine.export.network_export import export_int8_network as export_int8_network
    from coarse2fine.export.network_export import export_network as export_network
    from coarse2fine.inference.predict import predict_photos as predict_photos
    from coarse2fine.inference.result_files import PredictOptions as PredictOptions
    from coarse2fine.inference.segmenter import Segmenter as Segmenter
    from coarse2fine.masks.constraint import constrain as constrain
    from coarse2fine.masks.palette import overlay as overlay
    from coarse2fine.masks.png import read_mask as read_mask
    from coarse2fine.masks.png import write_mask as write_mask
    from coarse2fine.pipeline.fit import fit as fit
    from coarse2fine.store.run import Run as Run

    __version__: str

_PUBLIC = {
    "coarse": ("binarize",),
    "coarse.box": ("centered_box",),
    "coarse.saliency": ("saliency",),
    "coarse.student": ("Student",),
    "config": (
        "CrfConfig",
        "FitConfig",
        "GrabCutConfig",
        "MaskExportConfig",
        "StudentConfig",
        "load_config",
        "load_recipe",
    ),
    "data": ("open_dataset", "read_image"),
    "data.videos": ("open_video",),
    "distillation.generations": ("train_student",),
    "distillation.videopca": ("videopca",),
    "enhance.crf": ("dense_crf", "dense_crf_many"),
    "enhance.grabcut": ("grabcut",),
    "errors": ("Coarse2FineError", "ConfigError", "DataError"),
    "evaluation.evaluate": ("evaluate_masks", "evaluate_network"),
    "evaluation.result": ("EvaluationResult",),
    "export": ("export_masks",),
    "export.hub": ("push_to_hub", "save_pretrained"),
    "export.network_export": ("export_int8_network", "export_network"),
    "inference.predict": ("predict_photos",),
    "inference.result_files": ("PredictOptions",),
    "inference.segmenter": ("Segmenter",),
    "masks.constraint": ("constrain",),
    "masks.palette": ("overlay",),
    "masks.png": ("read_mask", "write_mask"),
    "pipeline.fit": ("fit",),
    "store.run": ("Run",),
}
"""Public names by module. A name is imported when it is first used, because importing torch takes seconds."""

_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names}
__all__ = sorted(_MODULE_OF)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = import_module("importlib.metadata").version("coarse2fine")
    elif name in _MODULE_OF:
        value = getattr(import_module(f"coarse2fine.{_MODULE_OF[name]}"), name)
    else:
        raise AttributeError(f"module 'coarse2fine' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
