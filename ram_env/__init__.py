"""Hard visual attention as a Gymnasium environment. Importing this registers the ids."""

from importlib.metadata import PackageNotFoundError, version

from ram_env.catch import CatchEnv, CatchTask, CatchVectorEnv
from ram_env.datasets import Dataset, load_dataset, official_splits
from ram_env.distortion import Distortion
from ram_env.env import GlimpseEnv
from ram_env.registration import CLASSIFICATION_ENVIRONMENTS, register_environments
from ram_env.scenes import (
    ClutteredScene,
    DistortedScene,
    Others,
    PlainScene,
    Scene,
    ShiftedScene,
    TranslatedScene,
)
from ram_env.sensor import GlimpseSensor
from ram_env.task import GlimpseTask
from ram_env.vector_env import GlimpseVectorEnv, TaskVectorEnv

__all__ = [
    "CLASSIFICATION_ENVIRONMENTS",
    "CatchEnv",
    "CatchTask",
    "CatchVectorEnv",
    "ClutteredScene",
    "Dataset",
    "DistortedScene",
    "Distortion",
    "GlimpseEnv",
    "GlimpseSensor",
    "GlimpseTask",
    "GlimpseVectorEnv",
    "Others",
    "PlainScene",
    "Scene",
    "ShiftedScene",
    "TaskVectorEnv",
    "TranslatedScene",
    "load_dataset",
    "official_splits",
]

try:
    __version__ = version("recurrent-attention")
except PackageNotFoundError:  # a checkout on the path that is not installed
    __version__ = "unknown"

register_environments()
