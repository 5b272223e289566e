"""Episodes in lockstep: what those of every task have in common, for one environment or many."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ram_env.action_formats import Decision
from ram_env.rendering import render_frame, render_text
from ram_env.task import Task
from ram_env.validation import require_integer

Rows = NDArray[np.int64]
Observation = dict[str, NDArray[np.float32]]
Info = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Outcome:
    """How episodes ended; every array has one entry for each of `rows`.

    Attributes:
        rows: Which episodes ended.
        info: What the info of their last step tells of them, `is_success` among it.
    """

    rows: Rows
    info: Info

    @property
    def is_success(self) -> NDArray[np.bool_]:
        """Whether the task was solved; this is the reward."""
        return self.info["is_success"]


class Episodes(ABC):
    """The state of `num_envs` episodes, one a row, and the rules by which it changes.

    What is here is the gaze: where each episode has looked on an image of its own, and what is seen
    there. A task's own episodes add how that image comes about and what an action does. Rows are
    independent, but for items dealt out in their order: what happens in one does not depend on
    which others are in the batch.

    Args:
        task: What the agent is asked.
        num_envs: How many episodes run side by side.

    Raises:
        ValueError: `num_envs` is not an integer of at least 1.

    Attributes:
        glimpses_taken: How many glimpses each has had, int64 `(num_envs,)`; 0: never started.
        ended: Whether each has ended, bool `(num_envs,)`.
        path: The locations of those glimpses, float32 `(num_envs, num_glimpses, 2)`.
        belief: Probabilities of the choices to draw beside each episode, `(num_envs,
            num_choices)`; the caller's, NaN without them, and gone once a new glimpse is taken.
    """

    def __init__(self, task: Task, num_envs: int) -> None:
        require_integer("num_envs", num_envs, at_least=1)
        self.task = task
        self.num_envs = num_envs
        self.glimpses_taken = np.zeros(num_envs, np.int64)
        self.path = np.zeros((num_envs, task.num_glimpses, 2), np.float32)
        self.ended = np.zeros(num_envs, bool)
        self.belief = np.full((num_envs, task.num_choices), np.nan)
        self._canvases = task.sensor.pad(np.zeros((num_envs, *task.image_shape), np.uint8))
        self._glimpses = np.zeros((num_envs, *task.glimpse_shape), np.float32)
        self._is_cut = np.zeros(num_envs, bool)  # whether the glimpse is of the last look

    @abstractmethod
    def start(
        self,
        rows: Rows,
        generators: Sequence[np.random.Generator],
        index: NDArray[np.int64] | None = None,
    ) -> None:
        """Begins new episodes in `rows`.

        Args:
            rows: Which episodes, `(batch,)`.
            generators: One for each. Every episode draws as many numbers, used or not.
            index: The items to show, `(batch,)`; None: as the task says, or there are none.
        """

    @abstractmethod
    def act(self, rows: Rows, decision: Decision) -> Outcome:
        """Lets the episodes in `rows` go on by one step.

        Args:
            rows: Which episodes, `(batch,)`.
            decision: What their actions say, `(batch, ...)`.
        """

    @abstractmethod
    def info(self, rows: Rows) -> Info:
        """Returns what the info of every step tells of the episodes in `rows`."""

    @abstractmethod
    def restart_order(self) -> None:
        """Makes the order of items, where there is one, begin again."""

    def observe(self, rows: Rows) -> Observation:
        """Returns what the agent sees now in `rows`; new arrays, a row each."""
        self._cut(rows[~self._is_cut[rows]])
        locations = self.path[rows, self.glimpses_taken[rows] - 1]
        return {"glimpse": self._glimpses[rows], "location": locations}

    @property
    def images(self) -> NDArray[np.uint8]:
        """A view of the episodes' images, uint8 `(num_envs, height, width[, channels])`."""
        return self.task.sensor.interior(self._canvases)

    def render(self, row: int, mode: str) -> Any:
        """Returns a picture of one episode: a frame for `"rgb_array"`, text for `"ansi"`."""
        draw = render_text if mode == "ansi" else render_frame
        sensor = self.task.sensor
        path = self.path[row, : self.glimpses_taken[row]] * self.task.location_range
        has_belief = not np.isnan(self.belief[row]).any()
        return draw(
            self.images[row],
            sensor.centres(self.task.image_size, path),
            sensor.boxes(self.task.image_size, path[-1]),
            self.observe(np.array([row]))["glimpse"][0],
            num_glimpses=self.task.num_glimpses,
            belief=self.belief[row] if has_belief else None,
            **self._caption(row),
        )

    @abstractmethod
    def _caption(self, row: int) -> dict[str, Any]:
        """Returns what a picture says in the task's own words, options of `render_frame`."""

    def _look_first(self, rows: Rows, locations: NDArray[np.floating[Any]] | float) -> None:
        """Takes the first glimpse of new episodes."""
        self.glimpses_taken[rows] = 1
        self.path[rows, 0] = locations
        self.belief[rows] = np.nan
        self.ended[rows] = False
        self._is_cut[rows] = False

    def _look(self, rows: Rows, locations: NDArray[np.floating[Any]]) -> None:
        """Takes another glimpse."""
        self.path[rows, self.glimpses_taken[rows]] = locations
        self.glimpses_taken[rows] += 1
        self.belief[rows] = np.nan
        self._is_cut[rows] = False

    def _cut(self, rows: Rows) -> None:
        """Cuts the glimpses out of the images."""
        if len(rows) == 0:
            return
        locations = self.path[rows, self.glimpses_taken[rows] - 1] * self.task.location_range
        self._glimpses[rows] = self.task.sensor.glimpse(self._canvases, rows, locations)
        self._is_cut[rows] = True
