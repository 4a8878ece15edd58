"""Settings of every stage and command: frozen pydantic models, recipes, TOML files.

The flags of the command line, ``config.toml`` of a run and docs/settings.md are made from these classes.

base.py          the base classes of all settings, and one-sentence error messages
fit.py           all settings of ``coarse2fine fit``; its sections are in the next six files
coarse.py        stage 1: coarse masks
enhance.py       stage 2: enhanced masks
network.py       the segmentation network
train.py         training
refine.py        refined masks, and the filter that selects the photos of the next round
predict.py       predictions: of the refined masks, and of the finished network
distillation.py  the teacher (VideoPCA) and student networks
model.py         description of a finished network, as its files hold it
export.py        the mask export
serving.py       the HTTP service and the review page
files.py         recipes, TOML files and TOML text
recipes/         what a recipe changes, as TOML
"""

from coarse2fine.config.base import MethodSettings, Role, Settings, explain, value_of
from coarse2fine.config.coarse import (
    CoarseBoxConfig,
    CoarseConfig,
    CoarseFeaturesConfig,
    CoarseFolderConfig,
    CoarseStudentConfig,
)
from coarse2fine.config.distillation import (
    GenerationsConfig,
    StudentConfig,
    StudentNetworkConfig,
    StudentTrainConfig,
    TeacherConfig,
)
from coarse2fine.config.enhance import (
    CrfConfig,
    EnhanceConfig,
    FitEnhanceConfig,
    GrabCutConfig,
    Start,
)
from coarse2fine.config.export import MaskExportConfig
from coarse2fine.config.files import RECIPES, dump_config, find_task, load_config, load_recipe, parse_config, read_task
from coarse2fine.config.fit import FitConfig, Rounds, Task, most_rounds
from coarse2fine.config.model import ClassNames, ModelConfig, TorchModelConfig, parse_model
from coarse2fine.config.network import NetworkConfig
from coarse2fine.config.predict import PredictConfig, PredictCrfConfig
from coarse2fine.config.refine import FilterConfig, RefineConfig
from coarse2fine.config.serving import AppConfig, ServeConfig
from coarse2fine.config.train import StreamConfig, TrainConfig

__all__ = [
    "RECIPES",
    "AppConfig",
    "ClassNames",
    "CoarseBoxConfig",
    "CoarseConfig",
    "CoarseFeaturesConfig",
    "CoarseFolderConfig",
    "CoarseStudentConfig",
    "CrfConfig",
    "EnhanceConfig",
    "FilterConfig",
    "FitConfig",
    "FitEnhanceConfig",
    "GenerationsConfig",
    "GrabCutConfig",
    "MaskExportConfig",
    "MethodSettings",
    "ModelConfig",
    "NetworkConfig",
    "PredictConfig",
    "PredictCrfConfig",
    "RefineConfig",
    "Role",
    "Rounds",
    "ServeConfig",
    "Settings",
    "Start",
    "StreamConfig",
    "StudentConfig",
    "StudentNetworkConfig",
    "StudentTrainConfig",
    "Task",
    "TeacherConfig",
    "TorchModelConfig",
    "TrainConfig",
    "dump_config",
    "explain",
    "find_task",
    "load_config",
    "load_recipe",
    "most_rounds",
    "parse_config",
    "parse_model",
    "read_task",
    "value_of",
]
