"""What an agent is: Stable-Baselines3's `predict`, so that its models are agents as they are."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Agent(Protocol):
    """Anything that chooses actions for a batch of environments, remembering what it has seen."""

    def predict(
        self,
        observation: dict[str, NDArray[Any]],
        state: Any = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        """Returns a batch of actions, and the state to hand in with the next observations.

        Args:
            observation: A batch of observations, as a vector environment returns them.
            state: What the last call returned; None before the first.
            episode_start: bool `(num_envs,)`, where an episode begins with this observation, so
                that what was seen before it must be forgotten. None: nowhere, or, with
                `state=None`, everywhere.
            deterministic: Whether to take the likeliest action instead of a sample.
        """
