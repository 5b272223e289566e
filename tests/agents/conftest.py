from __future__ import annotations

import numpy as np
import pytest

from ram_env import GlimpseVectorEnv


@pytest.fixture
def tiny_env() -> GlimpseVectorEnv:
    """Four environments of three glimpses on a few random 6x6 images of three classes."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (12, 6, 6), dtype=np.uint8)
    return GlimpseVectorEnv(
        (images, np.arange(12) % 3),
        num_envs=4,
        num_glimpses=3,
        patch_size=2,
        num_scales=2,
        autoreset_mode="Disabled",
    )
