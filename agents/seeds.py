"""Seeds for learning, of an agent's one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class LearningSeeds(NamedTuple):
    """Seeds for what happens from a time step on.

    Attributes:
        env: For the reset of vector environments, below 2**31, as Gymnasium counts up from it
            through them, in 32 bits.
        exploration: For what the agent draws.
    """

    env: int
    exploration: int


def learning_seeds(seed: int, timesteps: int) -> LearningSeeds:
    """Returns the seeds of an agent that learns on after so many time steps.

    Agents of neighbouring seeds get environments of their own: Gymnasium resets environment i with
    seed + i, so those of agents that reset with their own seeds 0 and 1 would be the same but for
    one, each a place further on.
    """
    env, exploration = np.random.SeedSequence([seed, timesteps]).generate_state(2)
    return LearningSeeds(int(env) >> 1, int(exploration))
