"""Action formats: the three ways in which an agent may say where it looks and what it sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from ram_env.validation import as_array, brief

NO_ANSWER = -1


class Decision(NamedTuple):
    """What a batch of actions says.

    Attributes:
        location: Where to look next, `(x, y)` in [-1, 1], `(*batch, 2)`; any value where
            `answers_now`, as nothing is looked at any more.
        label: The class named, int64 `(*batch,)`, `NO_ANSWER` where none is; in tasks where
            something else is chosen, such as a move, that.
        answers_now: Whether the episode ends with this action even if glimpses are left.
    """

    location: NDArray[np.float64]
    label: NDArray[np.int64]
    answers_now: NDArray[np.bool_]

    def take(self, rows: Any) -> Decision:
        """Returns what the actions at `rows` say; `np.newaxis` makes a batch of a single one."""
        return Decision(
            np.asarray(self.location)[rows],
            np.asarray(self.label)[rows],
            np.asarray(self.answers_now)[rows],
        )


class ActionFormat(Protocol):
    """An action space and what its actions mean."""

    @property
    def space(self) -> gym.Space[Any]:
        """The action space of a single environment."""

    def decode(self, action: Any, batch_shape: tuple[int, ...]) -> Decision:
        """Returns what the actions say.

        Args:
            action: One action (`batch_shape` is empty) or a batch of them.
            batch_shape: `()` or `(num_envs,)`.

        Raises:
            ValueError: An action that is not in the space.
        """


@dataclass(frozen=True)
class DictActions:
    """`{"location": (x, y) in [-1, 1], "label": class}`; the label counts at the last step only.

    Numbers of any real type will do as a location, and integers of any type as a label. Where
    something else than a class is chosen, it has another `name`.
    """

    num_classes: int
    grid_size: int  # of no use here; all formats are made alike
    name: str = "label"

    @property
    def space(self) -> spaces.Dict:
        """`Dict(location=Box(-1, 1, (2,), float32), label=Discrete(num_classes))`."""
        return spaces.Dict(
            {
                "location": spaces.Box(-1, 1, (2,), np.float32),
                self.name: spaces.Discrete(self.num_classes),
            }
        )

    def decode(self, action: Any, batch_shape: tuple[int, ...]) -> Decision:
        """See `ActionFormat.decode`."""
        try:
            location, label = action["location"], action[self.name]
        except (TypeError, KeyError, IndexError):
            raise ValueError(
                f"action={brief(action)} is not a dict with the keys 'location' and {self.name!r}, "
                f"{_wanted_by('dict')}"
            ) from None
        locations = _require_locations("action['location']", location, (*batch_shape, 2))
        name = f"action[{self.name!r}]"
        labels = _require_integers(name, label, batch_shape, (self.num_classes,))
        return Decision(locations, labels, np.zeros(batch_shape, bool))


@dataclass(frozen=True)
class MultiDiscreteActions:
    """`[column, row, class]`: a cell of a grid over the image, and a class as in `DictActions`."""

    num_classes: int
    grid_size: int
    name: str = "label"

    @property
    def space(self) -> spaces.MultiDiscrete:
        """`MultiDiscrete([grid_size, grid_size, num_classes])`."""
        return spaces.MultiDiscrete([self.grid_size, self.grid_size, self.num_classes])

    def decode(self, action: Any, batch_shape: tuple[int, ...]) -> Decision:
        """See `ActionFormat.decode`."""
        numbers = _require_integers(
            "action",
            action,
            (*batch_shape, 3),
            (self.grid_size, self.grid_size, self.num_classes),
            f": [column, row, {self.name}], {_wanted_by('multi_discrete')}",
        )
        locations = _cell_centres(numbers[..., :2], self.grid_size)
        return Decision(locations, numbers[..., 2], np.zeros(batch_shape, bool))


@dataclass(frozen=True)
class DiscreteActions:
    """Look or answer: `row * grid_size + column` of a grid cell, or `grid_size**2 + class`.

    An answer ends the episode at once. Who has used up all glimpses and still looks instead of
    answering has given no answer: no reward.
    """

    num_classes: int
    grid_size: int

    @property
    def space(self) -> spaces.Discrete:
        """`Discrete(grid_size**2 + num_classes)`."""
        return spaces.Discrete(self.grid_size**2 + self.num_classes)

    def decode(self, action: Any, batch_shape: tuple[int, ...]) -> Decision:
        """See `ActionFormat.decode`."""
        num_cells = self.grid_size**2
        numbers = _require_integers(
            "action",
            action,
            batch_shape,
            (num_cells + self.num_classes,),
            f": row * {self.grid_size} + column to look, or {num_cells} + label to answer, "
            f"{_wanted_by('discrete')}",
        )
        rows, columns = np.divmod(numbers, self.grid_size)
        locations = _cell_centres(np.stack([columns, rows], axis=-1), self.grid_size)
        answers = numbers >= num_cells
        return Decision(locations, np.where(answers, numbers - num_cells, NO_ANSWER), answers)


ACTION_FORMATS: dict[str, type[DictActions | MultiDiscreteActions | DiscreteActions]] = {
    "dict": DictActions,
    "multi_discrete": MultiDiscreteActions,
    "discrete": DiscreteActions,
}


def _cell_centres(cells: NDArray[np.int64], grid_size: int) -> NDArray[np.float64]:
    """Returns the locations of the centres of `(column, row)` cells, evenly over [-1, 1]^2."""
    return (2 * cells + 1) / grid_size - 1


def _wanted_by(action_format: str) -> str:
    """Returns how an error ends of an action that may be meant for another format."""
    return (
        f"which action_format={action_format!r} wants; give one, or make the environment with "
        "another"
    )


def _require_locations(name: str, value: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    array = _require_array(name, value, shape, kinds="fiu", wanted="real numbers")
    locations = array.astype(np.float64)
    outside = ~(np.abs(locations) <= 1)  # true for NaN, too
    if outside.any():
        raise ValueError(
            f"{name} holds {locations[outside][0]}, which is not in [-1, 1]; "
            "clip locations before they are handed to the environment"
        )
    return locations


def _require_integers(
    name: str, value: Any, shape: tuple[int, ...], counts: tuple[int, ...], meaning: str = ""
) -> NDArray[np.int64]:
    numbers = _require_array(name, value, shape, kinds="iu", wanted="integers", meaning=meaning)
    limits = np.array(counts if len(counts) > 1 else counts[0])
    outside = (numbers < 0) | (numbers >= limits)
    if outside.any():
        allowed = " x ".join(f"0..{count - 1}" for count in counts)
        raise ValueError(f"{name} holds {numbers[outside][0]}; allowed: {allowed}")
    return numbers.astype(np.int64)


def _require_array(
    name: str, value: Any, shape: tuple[int, ...], *, kinds: str, wanted: str, meaning: str = ""
) -> NDArray[Any]:
    array = as_array(value)
    if array.shape != shape or array.dtype.kind not in kinds:
        raise ValueError(
            f"{name}={brief(value)} has dtype {array.dtype} and shape {array.shape}, expected "
            f"{wanted} of shape {shape}{meaning}"
        )
    return array
