"""Configurations by name; every field can be overridden on the command line."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from agents.hyperparameters import (
    ALGORITHMS,
    RecurrentPPOHyperparameters,
    ReinforceHyperparameters,
)
from experiments.config import TaskConfig, TrainConfig
from experiments.run_folder import read_train_config
from ram_env.validation import Place, require_choice

GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))


def circle(*, radius: float, count: int) -> tuple[Place, ...]:
    """Returns places on a circle, a golden angle apart: well spread, however few are used."""
    angles = [step * GOLDEN_ANGLE for step in range(1, count + 1)]
    return tuple((radius * math.cos(angle), radius * math.sin(angle)) for angle in angles)


def pixels(*places: Place, image_size: int) -> tuple[Place, ...]:
    """Returns places that are given in pixels from the top-left corner of a square image."""
    return tuple((2 * x / image_size - 1, 2 * y / image_size - 1) for x, y in places)


# Six glimpses of 8x8 that cover the middle of a 28x28 image, in two columns of three.
FIRST_OF_SIX, *OTHERS_OF_SIX = pixels(
    (10, 14), (18, 14), (10, 22), (18, 22), (10, 6), (18, 6), image_size=28
)
# Over the middle of an image; where digits may be anywhere, a wide net.
SCAN = circle(radius=0.5, count=7)
# Signals that keep their size, places that can be told apart, a baseline that is told how likely
# the true class is so far, and little noise at the end, as in the test. The gaze begins as a scan
# and departs from it slowly: at the common learning rate, Adam walks the location network along the
# noise of REINFORCE until it looks at the black corners. A quiet gaze has large scores; the small
# reinforce weight keeps them from the core (Adam takes no notice of it in the location network).
AGENT = ReinforceHyperparameters(
    white_level=4.0,
    initialisation="he",
    location_frequencies=3,
    raster=SCAN,
    location_std=0.05,
    final_location_std=0.02,
    location_return="last_log_likelihood",
    baseline="informed",
    reinforce_weight=0.01,
    supervise="rising",
    learning_rate=2e-3,
    location_learning_rate=0.03,
    schedule="cosine",
    averaging=0.999,
    precision="auto",
)
# For the low errors, more units, and more time. A stroke is learned once, wherever in a patch it
# is, and means one thing here and another there; weight decay (of each preset) keeps the network
# from learning the training images by heart.
LARGE_AGENT = replace(
    AGENT,
    patches="convolutions",
    glimpse_hidden_size=256,
    what_where="film",
    image_hidden_size=512,
    hidden_size=512,
    learning_rate=1e-3,
)
# Where the digit may be anywhere, the gaze has to find it, and to go over it from there: by steps
# from where it looks, each praised for all answers that it may still help.
ROAMING_AGENT = replace(
    LARGE_AGENT,
    location_frame="gaze",
    raster=circle(radius=0.2, count=7),
    location_std=0.1,
    final_location_std=0.03,
    location_return="mean_log_likelihood",
    reinforce_weight=0.3,
    location_learning_rate=0.1,
    weight_decay=0.1,
)

PRESETS: dict[str, TrainConfig] = {
    "fglab": TrainConfig(
        task=TaskConfig(env="ram_env/FoveatedMNIST-v0", train_scene="shifted"),
        agent=AGENT,
        epochs=10,
    ),
    "paper-28": TrainConfig(
        task=TaskConfig(env="ram_env/MNIST-v0", start=FIRST_OF_SIX, train_scene="distorted"),
        agent=replace(
            AGENT,
            core="map",
            hidden_size=512,
            raster=tuple(OTHERS_OF_SIX),
            # A net that reads a map is no worse for noise, which shows it every digit anew.
            location_std=0.15,
            final_location_std=None,
            reinforce_weight=0.1,
            location_learning_rate=0.05,
            weight_decay=0.05,
        ),
        epochs=20,
    ),
    "paper-translated": TrainConfig(
        task=TaskConfig(env="ram_env/TranslatedMNIST-v0", train_scene="distorted-translated"),
        agent=ROAMING_AGENT,
        epochs=100,
    ),
    "paper-cluttered": TrainConfig(
        task=TaskConfig(env="ram_env/ClutteredMNIST-v0", train_scene="distorted-cluttered"),
        agent=ROAMING_AGENT,
        epochs=110,
    ),
    "paper-cluttered-100": TrainConfig(
        task=TaskConfig(env="ram_env/ClutteredMNIST100-v0", train_scene="distorted-cluttered-100"),
        agent=replace(
            ROAMING_AGENT,
            weight_decay=0.05,
            # The same in pixels:
            raster=circle(radius=0.12, count=7),
            location_std=0.06,
            final_location_std=0.02,
        ),
        epochs=160,
    ),
    # As near to the paper's own agent (its section 3) as ours comes, for any of the tasks by --env:
    # Adam is ours, the identity that the recurrence begins as, and h_t normalised for the gaze.
    "mnih-2014": TrainConfig(
        task=TaskConfig(env="ram_env/MNIST-v0"),
        agent=ReinforceHyperparameters(supervise="last", schedule="linear"),
        epochs=200,
    ),
}
# What a fixed gaze looks along where that is not where the learned one begins: digits that may be
# anywhere want a wider net.
FIXED_RASTERS: dict[str, tuple[Place, ...]] = {
    "ram_env/TranslatedMNIST-v0": SCAN,
    "ram_env/ClutteredMNIST-v0": SCAN,
    "ram_env/ClutteredMNIST100-v0": SCAN,
}
DEFAULT_PRESET = "fglab"
PRESET_SUFFIX = ".json"
DEFAULT_AGENT = ReinforceHyperparameters.algorithm
# PPO learns from few, large batches, and an epoch of it takes ten times as long.
PPO_EPOCHS = 4
PPO_ENVS = 512


def find_preset(name: str, agent: str | None = None) -> TrainConfig:
    """Returns the preset of that name, or in that file, for an algorithm.

    Args:
        name: A key of `PRESETS`; or the path of a JSON file with a whole configuration, as
            `ram sweep` writes of its best trial, and every run in its `config.json`.
        agent: A key of `ALGORITHMS`; None: the preset's own.

    Raises:
        ValueError: There is no such preset or algorithm; the message names those there are.
    """
    if agent is not None:
        require_choice("agent", agent, ALGORITHMS)
    if name.endswith(PRESET_SUFFIX):
        preset = read_train_config(Path(name))
    else:
        require_choice("preset", name, [*PRESETS, f"FILE{PRESET_SUFFIX}"])
        preset = PRESETS[name]
    if agent is None or agent == preset.agent.algorithm:
        return preset
    if agent == DEFAULT_AGENT:  # of a file for PPO, whose epochs and batches are not for it
        return replace(PRESETS[preset_of(preset.task.env)], task=preset.task)
    return replace(
        preset, agent=RecurrentPPOHyperparameters(), epochs=PPO_EPOCHS, batch_size=PPO_ENVS
    )


def preset_of(env: str | None) -> str:
    """Returns the name of an environment's own preset; the default one's, if there is none."""
    names = [name for name, preset in PRESETS.items() if preset.task.env == env]
    return next(iter(names), DEFAULT_PRESET)


def preset_title(name: str) -> str:
    """Returns what to call a run of a preset."""
    return Path(name).stem if name.endswith(PRESET_SUFFIX) else name
