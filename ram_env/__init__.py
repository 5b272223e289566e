"""Hard visual attention as a Gymnasium environment. Importing this registers the ids."""

from ram_env.catch import CatchEnv, CatchTask, CatchVectorEnv
from ram_env.datasets import Dataset, load_dataset
from ram_env.distortion import Distortion
from ram_env.env import GlimpseEnv
from ram_env.registration import ENVIRONMENTS, register_environments
from ram_env.scenes import (
    ClutteredScene,
    DistortedScene,
    PlainScene,
    Scene,
    ShiftedScene,
    TranslatedScene,
)
from ram_env.sensor import GlimpseSensor
from ram_env.task import GlimpseTask
from ram_env.vector_env import GlimpseVectorEnv

__all__ = [
    "ENVIRONMENTS",
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
    "PlainScene",
    "Scene",
    "ShiftedScene",
    "TranslatedScene",
    "load_dataset",
]

register_environments()
