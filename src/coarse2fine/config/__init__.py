"""Every setting of every stage: frozen, checked at birth, in TOML and out, with its own help.

The command line, ``config.toml`` of a run and the reference in the docs are all made from these classes.
"""

from coarse2fine.config.base import Count, PositiveFloat, PositiveInt, Settings, Share, explain
from coarse2fine.config.distillation import (
    GenerationsConfig,
    StudentConfig,
    StudentNetworkConfig,
    StudentTrainConfig,
    TeacherConfig,
)
from coarse2fine.config.export import MaskExportConfig
from coarse2fine.config.fit import (
    RECIPES,
    FitConfig,
    Task,
    dump_config,
    find_task,
    load_config,
    load_recipe,
    parse_config,
    read_task,
)
from coarse2fine.config.serving import AppConfig, ServeConfig
from coarse2fine.config.stages import (
    CoarseConfig,
    CrfConfig,
    EnhanceConfig,
    NetworkConfig,
    PredictConfig,
    PredictCrfConfig,
    RefineConfig,
    Start,
    StreamConfig,
    TrainConfig,
)

__all__ = [
    "RECIPES",
    "AppConfig",
    "CoarseConfig",
    "Count",
    "CrfConfig",
    "EnhanceConfig",
    "FitConfig",
    "GenerationsConfig",
    "MaskExportConfig",
    "NetworkConfig",
    "PositiveFloat",
    "PositiveInt",
    "PredictConfig",
    "PredictCrfConfig",
    "RefineConfig",
    "ServeConfig",
    "Settings",
    "Share",
    "Start",
    "StreamConfig",
    "StudentConfig",
    "StudentNetworkConfig",
    "StudentTrainConfig",
    "Task",
    "TeacherConfig",
    "TrainConfig",
    "dump_config",
    "explain",
    "find_task",
    "load_config",
    "load_recipe",
    "parse_config",
    "read_task",
]
