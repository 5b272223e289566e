"""Configurations by name; every field can be overridden on the command line."""

from __future__ import annotations

from agents.hyperparameters import ReinforceHyperparameters
from experiments.config import TaskConfig, TrainConfig
from ram_env.validation import require_choice

# A gaze that begins as a scan and departs from it slowly; at the common learning rate, Adam walks
# the location network along the noise of REINFORCE until it looks at the black corners.
AGENT = ReinforceHyperparameters(
    location_std=0.1,
    scan_radius=0.5,
    reinforce_weight=0.1,
    learning_rate=2e-3,
    location_learning_rate=0.03,
    schedule="cosine",
    precision="auto",
)

PRESETS: dict[str, TrainConfig] = {
    "fglab": TrainConfig(
        task=TaskConfig(env="ram_env/FoveatedMNIST-v0", train_scene="shifted"),
        agent=AGENT,
        epochs=10,
    ),
    "paper-28": TrainConfig(
        task=TaskConfig(env="ram_env/MNIST-v0", train_scene="shifted"), agent=AGENT, epochs=20
    ),
    "paper-translated": TrainConfig(
        task=TaskConfig(env="ram_env/TranslatedMNIST-v0"), agent=AGENT, epochs=20
    ),
    "paper-cluttered": TrainConfig(
        task=TaskConfig(env="ram_env/ClutteredMNIST-v0"), agent=AGENT, epochs=20
    ),
    "paper-cluttered-100": TrainConfig(
        task=TaskConfig(env="ram_env/ClutteredMNIST100-v0"), agent=AGENT, epochs=20
    ),
}
DEFAULT_PRESET = "fglab"


def find_preset(name: str) -> TrainConfig:
    """Returns the preset of that name; a ValueError names the ones there are."""
    require_choice("preset", name, PRESETS)
    return PRESETS[name]
