from __future__ import annotations

import numpy as np
import pytest

from ram_env import GlimpseVectorEnv


@pytest.fixture
def tiny_env() -> GlimpseVectorEnv:
    """Four environments of three glimpses on a few random 6x6 images of three classes."""
    return _tiny_env(image_size=6, patch_size=2)


@pytest.fixture
def wide_env() -> GlimpseVectorEnv:
    """The same with 8x8 images, and patches that are large enough for convolutions."""
    return _tiny_env(image_size=8, patch_size=8)


def _tiny_env(*, image_size: int, patch_size: int) -> GlimpseVectorEnv:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (12, image_size, image_size), dtype=np.uint8)
    return GlimpseVectorEnv(
        (images, np.arange(12) % 3),
        num_envs=4,
        num_glimpses=3,
        patch_size=patch_size,
        num_scales=2,
        autoreset_mode="Disabled",
    )
