"""Configurations by name; every field can be overridden on the command line."""

from __future__ import annotations

from agents.hyperparameters import ReinforceHyperparameters
from experiments.config import TaskConfig, TrainConfig
from ram_env.validation import require_choice

PRESETS: dict[str, TrainConfig] = {
    "fglab": TrainConfig(task=TaskConfig(env="ram_env/FoveatedMNIST-v0")),
    "paper-28": TrainConfig(task=TaskConfig(env="ram_env/MNIST-v0")),
    "paper-translated": TrainConfig(task=TaskConfig(env="ram_env/TranslatedMNIST-v0")),
    "paper-cluttered": TrainConfig(task=TaskConfig(env="ram_env/ClutteredMNIST-v0")),
    "paper-cluttered-100": TrainConfig(
        task=TaskConfig(env="ram_env/ClutteredMNIST100-v0"),
        agent=ReinforceHyperparameters(),
    ),
}
DEFAULT_PRESET = "fglab"


def find_preset(name: str) -> TrainConfig:
    """Returns the preset of that name; a ValueError names the ones there are."""
    require_choice("preset", name, PRESETS)
    return PRESETS[name]
