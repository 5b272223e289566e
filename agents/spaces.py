"""What the model has to know of a glimpse environment's spaces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv
from numpy.typing import NDArray

from ram_env.validation import brief, require_choice

CHOICES = ("label", "move")


@dataclass(frozen=True)
class GlimpseGeometry:
    """How a glimpse lies in its image, which no space tells.

    Attributes:
        image_size: `(height, width)` in pixels.
        scale_factor: By how much the side of what is seen grows from one scale to the next.
        location_range: What a location is multiplied by to be of the image, in (0, 1].
    """

    image_size: tuple[int, int]
    scale_factor: int
    location_range: float

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> GlimpseGeometry:
        """Returns what `dataclasses.asdict` made JSON of."""
        height, width = document["image_size"]
        return cls((height, width), document["scale_factor"], document["location_range"])

    @classmethod
    def of(cls, env: VectorEnv[Any, Any, Any]) -> GlimpseGeometry:
        """Returns what the environment's `task` says of it, as all of `ram_env` have one.

        Raises:
            ValueError: It has none, or none that says this.
        """
        try:
            if isinstance(env.unwrapped, SyncVectorEnv | AsyncVectorEnv):
                task, *_ = env.unwrapped.get_attr("task")
            else:
                task = env.unwrapped.task  # type: ignore[attr-defined]
            height, width = map(int, task.image_size)  # where NumPy's, they are not JSON's
            return cls((height, width), int(task.scale_factor), float(task.location_range))
        except AttributeError as error:
            raise ValueError(
                f"core='map' has to know how glimpses lie in an image, and {env} does not say: "
                "give it a `task` with image_size, scale_factor and location_range, as ram_env's "
                "environments have; or another core"
            ) from error


@dataclass(frozen=True)
class GlimpseSpaces:
    """What the model has to know of an environment's spaces.

    Attributes:
        glimpse_shape: Shape of one glimpse, `(num_scales, patch, patch[, channels])`.
        num_classes: K; of moves where these are what is chosen.
        choice: The name of an action's discrete part: `"label"`, an answer, which counts at the
            last step only, or `"move"`, which counts at every step.
    """

    glimpse_shape: tuple[int, ...]
    num_classes: int
    choice: str = "label"

    def __post_init__(self) -> None:
        """Checks the name of the choice."""
        require_choice("choice", self.choice, CHOICES)

    @classmethod
    def of(cls, observation: gym.Space[Any], action: gym.Space[Any]) -> GlimpseSpaces:
        """Returns what there is to know of a single environment's spaces.

        Raises:
            ValueError: They are not those of a glimpse environment with dict actions.
        """
        named = action.spaces if isinstance(action, spaces.Dict) else {}
        choices = [name for name in CHOICES if _counts_from_0(named.get(name))]
        fits = (
            isinstance(observation, spaces.Dict)
            and isinstance(observation.get("glimpse"), spaces.Box)
            and len(shape := observation["glimpse"].shape or ()) in (3, 4)
            and shape[1] == shape[2]
            and np.issubdtype(observation["glimpse"].dtype, np.floating)
            and isinstance(observation.get("location"), spaces.Box)
            and observation["location"].shape == (2,)
            and isinstance(action, spaces.Dict)
            and _is_of_locations(action.get("location"))
            and len(choices) == 1
        )
        if not fits:
            raise ValueError(
                "the agent needs dict observations with the boxes 'glimpse', floats of shape "
                "(num_scales, patch, patch[, channels]), and 'location', and dict actions with the "
                "box 'location', from -1 to 1, and the discrete 'label' or 'move', from 0 on "
                "(action_format='dict'), found "
                f"{observation} and {action}"
            )
        (choice,) = choices
        return cls(observation["glimpse"].shape, int(action[choice].n), choice)  # type: ignore[index]

    def require_same(self, observation: gym.Space[Any], action: gym.Space[Any]) -> None:
        """Raises a ValueError unless these are the spaces of a single environment."""
        found = GlimpseSpaces.of(observation, action)
        if found != self:
            raise ValueError(f"the environment has {found}, the agent was made for {self}")

    def require_observation(self, observation: dict[str, NDArray[Any]]) -> None:
        """Raises a ValueError unless it is one observation of these spaces, or a batch of them."""
        if not isinstance(observation, Mapping) or not {"glimpse", "location"} <= set(observation):
            raise ValueError(
                f"observation={brief(observation)} is not a dict with 'glimpse' and 'location'"
            )
        batch_shape = np.shape(observation["location"])[:-1]
        expected = (*batch_shape, *self.glimpse_shape)
        if len(batch_shape) > 1 or np.shape(observation["glimpse"]) != expected:
            raise ValueError(
                f"an observation with glimpse {np.shape(observation['glimpse'])} and location "
                f"{np.shape(observation['location'])} is neither one of glimpse shape "
                f"{self.glimpse_shape} nor a batch of them"
            )
        if not np.issubdtype(np.asarray(observation["glimpse"]).dtype, np.floating):
            raise ValueError(
                f"a glimpse of {np.asarray(observation['glimpse']).dtype}; give floating-point "
                "numbers from 0 (black) to 1 (white), as environments do"
            )


def _is_of_locations(space: gym.Space[Any] | None) -> bool:
    """Returns whether it holds what the agent says, which is of the whole image, and no more."""
    return (
        isinstance(space, spaces.Box)
        and space.shape == (2,)
        and bool((space.low == -1).all() and (space.high == 1).all())
    )


def _counts_from_0(space: gym.Space[Any] | None) -> bool:
    return isinstance(space, spaces.Discrete) and space.start == 0
