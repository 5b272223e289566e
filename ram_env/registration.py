"""The environment ids. A change of behaviour raises the version of its id."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

# Those of `GlimpseEnv`: the paper's classification (Mnih et al. 2014, section 4.1 and its tables);
# Foveated is the sensor of FGLab's example, whose unit of location is 13 pixels on an image of 28.
CLASSIFICATION_ENVIRONMENTS: dict[str, dict[str, Any]] = {
    "ram_env/MNIST-v0": {"scene": "plain", "num_glimpses": 6, "patch_size": 8, "num_scales": 1},
    "ram_env/FoveatedMNIST-v0": {
        "scene": "plain",
        "num_glimpses": 6,
        "patch_size": 8,
        "num_scales": 3,
        "location_range": 13 / 14,
    },
    "ram_env/TranslatedMNIST-v0": {
        "scene": "translated",
        "num_glimpses": 8,
        "patch_size": 12,
        "num_scales": 3,
        "grid_size": 15,
    },
    "ram_env/ClutteredMNIST-v0": {
        "scene": "cluttered",
        "num_glimpses": 8,
        "patch_size": 12,
        "num_scales": 3,
        "grid_size": 15,
    },
    "ram_env/ClutteredMNIST100-v0": {
        "scene": "cluttered-100",
        "num_glimpses": 8,
        "patch_size": 12,
        "num_scales": 4,
        "grid_size": 25,
    },
}
# The paper's dynamic task (section 4.2), which has its numbers as defaults.
CATCH = "ram_env/Catch-v0"


def register_environments() -> None:
    """Registers every id with Gymnasium."""
    for env_id, kwargs in CLASSIFICATION_ENVIRONMENTS.items():
        gym.register(
            env_id,
            entry_point="ram_env.env:GlimpseEnv",
            vector_entry_point="ram_env.vector_env:GlimpseVectorEnv",
            kwargs=kwargs,
        )
    gym.register(
        CATCH,
        entry_point="ram_env.catch:CatchEnv",
        vector_entry_point="ram_env.catch:CatchVectorEnv",
    )
