"""Scripted gazes, and an agent that looks where a script says and answers as it has learned.

A gaze is a function of the numbers of glimpses that episodes have had, int64 `(num_envs,)`, and
returns where they look next, `(x, y)` in [-1, 1], `(num_envs, 2)`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import ArrayLike, NDArray

from agents.base import Agent, ask
from ram_env.validation import as_array, brief

Gaze = Callable[[NDArray[np.int64]], NDArray[np.float32]]


def center_gaze(glimpses_taken: NDArray[np.int64]) -> NDArray[np.float32]:
    """Always looks at the centre."""
    return np.zeros((len(glimpses_taken), 2), np.float32)


class RandomGaze:
    """Looks anywhere, uniformly: the paper's "random glimpses".

    Args:
        seed: Of the generator that the locations are drawn from.
    """

    def __init__(self, seed: int) -> None:
        self._generator = np.random.default_rng(seed)

    def __call__(self, glimpses_taken: NDArray[np.int64]) -> NDArray[np.float32]:
        """Returns new locations."""
        return self._generator.uniform(-1, 1, (len(glimpses_taken), 2)).astype(np.float32)


class RasterGaze:
    """Looks at fixed places, one after the other, and begins again after the last.

    Args:
        locations: The places, `(x, y)` in [-1, 1], `(n, 2)`; the first is where to look after
            the first glimpse.

    Raises:
        ValueError: There are none, or they are no such places.
    """

    def __init__(self, locations: ArrayLike) -> None:
        places = as_array(locations)
        is_numbers = places.dtype.kind in "fiu" and places.ndim == 2 and places.shape[1] == 2
        if not is_numbers or not len(places) or not (np.abs(places) <= 1).all():
            raise ValueError(f"locations={brief(locations)} are no places (x, y) in [-1, 1]")
        self._locations = places.astype(np.float32)

    def __call__(self, glimpses_taken: NDArray[np.int64]) -> NDArray[np.float32]:
        """Returns the place that is next in each episode."""
        places: NDArray[np.float32] = self._locations[(glimpses_taken - 1) % len(self._locations)]
        return places


class WithGaze:
    """An agent for dict actions, but with another gaze; it answers as the agent would.

    Args:
        agent: Who answers.
        gaze: Where to look.

    Raises:
        ValueError: When it acts: the agent is none, or its actions are no dicts.
    """

    def __init__(self, agent: Agent, gaze: Gaze) -> None:
        self._agent = agent
        self._gaze = gaze
        # What the agent was made for, as SB3's have it, or None.
        self.observation_space = getattr(agent, "observation_space", None)
        self.action_space = getattr(agent, "action_space", None)

    def require_env(self, env: VectorEnv[Any, Any, Any]) -> None:
        """Raises a ValueError where the agent's own `require_env`, if it has one, does."""
        require_env = getattr(self._agent, "require_env", None)
        if require_env is not None:
            require_env(env)

    def predict(
        self,
        observation: dict[str, NDArray[Any]],
        state: Any = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[dict[str, NDArray[Any]], Any]:
        """See `Agent.predict`."""
        is_single = np.ndim(observation["location"]) == 1
        num_envs = 1 if is_single else len(observation["location"])
        taken, agent_state = state or (np.zeros(num_envs, np.int64), None)
        if episode_start is not None:
            taken = np.where(episode_start, 0, taken)
        taken = taken + 1
        action, agent_state = ask(
            self._agent, observation, agent_state, episode_start, deterministic=deterministic
        )
        if not isinstance(action, dict):
            raise ValueError(
                f"{type(self._agent).__name__} answers by {brief(action)}, which has no location "
                "to put another in; WithGaze is for environments with action_format='dict'"
            )
        location = self._gaze(taken)
        return {**action, "location": location[0] if is_single else location}, (taken, agent_state)
