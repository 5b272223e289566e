"""Episodes in lockstep: the rules of the task, written once, for one environment or many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ram_env.action_formats import NO_ANSWER, Decision
from ram_env.rendering import render_frame, render_text
from ram_env.scenes import Others
from ram_env.task import GlimpseTask

Rows = NDArray[np.int64]
Observation = dict[str, NDArray[np.float32]]

# What an episode draws besides its scene: the item, and the start location's x and y.
NUM_OWN_UNIFORMS = 3


@dataclass(frozen=True)
class Outcome:
    """How episodes ended; every array has one entry for each of `rows`.

    Attributes:
        rows: Which episodes ended.
        labels: Their true classes.
        predictions: The classes named, `NO_ANSWER` where none was.
    """

    rows: Rows
    labels: NDArray[np.int64]
    predictions: NDArray[np.int64]

    @property
    def is_success(self) -> NDArray[np.bool_]:
        """Whether the right class was named; this is the reward."""
        return np.equal(self.labels, self.predictions)


class Episodes:
    """The state of `num_envs` episodes, one a row, and the rules by which it changes.

    Rows are independent: what happens in one does not depend on which others are in the batch,
    except that the sequential order deals the items out in the order in which rows start.

    Args:
        task: What the agent is asked.
        num_envs: How many episodes run side by side.

    Attributes:
        index: The dataset item of each episode, int64 `(num_envs,)`.
        glimpses_taken: How many glimpses each has had, int64 `(num_envs,)`; 0: never started.
        ended: Whether each has been answered, bool `(num_envs,)`.
        path: The locations of those glimpses, float32 `(num_envs, num_glimpses, 2)`.
        belief: Class probabilities to draw beside each episode, `(num_envs, num_classes)`; the
            caller's, NaN without them, and gone once a new glimpse is taken.
    """

    def __init__(self, task: GlimpseTask, num_envs: int) -> None:
        self.task = task
        self.num_envs = num_envs
        self.index = np.zeros(num_envs, np.int64)
        self.glimpses_taken = np.zeros(num_envs, np.int64)
        self.path = np.zeros((num_envs, task.num_glimpses, 2), np.float32)
        self.ended = np.zeros(num_envs, bool)
        self.belief = np.full((num_envs, task.num_classes), np.nan)
        self._predictions = np.full(num_envs, NO_ANSWER)
        self._next_in_order = 0
        self._canvases = task.sensor.pad(np.zeros((num_envs, *task.image_shape), np.uint8))

    def start(
        self,
        rows: Rows,
        generators: Sequence[np.random.Generator],
        index: NDArray[np.int64] | None = None,
    ) -> None:
        """Begins new episodes in `rows`.

        Args:
            rows: Which episodes, `(batch,)`.
            generators: Where each of them draws from; all draw alike, whatever comes of it.
            index: The items to show, `(batch,)`; None: as the task's order says.
        """
        uniforms = np.empty((len(rows), NUM_OWN_UNIFORMS + self.task.scene_maker.num_uniforms))
        for generator, row in zip(generators, uniforms, strict=True):
            generator.random(out=row)
        self.index[rows] = self._next_items(uniforms[:, 0]) if index is None else index
        self._make_scenes(rows, uniforms[:, NUM_OWN_UNIFORMS:])
        self.glimpses_taken[rows] = 1
        self.path[rows, 0] = 2 * uniforms[:, 1:3] - 1 if self.task.start == "random" else 0
        self.belief[rows] = np.nan
        self.ended[rows] = False

    def act(self, rows: Rows, decision: Decision) -> Outcome:
        """Lets the episodes in `rows` look or answer.

        An answer is due after the last glimpse, or when the action says so. Who answers does not
        look any more.

        Args:
            rows: Which episodes, `(batch,)`.
            decision: What their actions say, `(batch, ...)`.
        """
        answers = decision.answers_now | (self.glimpses_taken[rows] == self.task.num_glimpses)
        looking = rows[~answers]
        self.path[looking, self.glimpses_taken[looking]] = decision.location[~answers]
        self.glimpses_taken[looking] += 1
        self.belief[looking] = np.nan
        answering, predictions = rows[answers], decision.label[answers]
        self._predictions[answering] = predictions
        self.ended[answering] = True
        return Outcome(answering, self.task.items.labels[self.index[answering]], predictions)

    def observe(self, rows: Rows) -> Observation:
        """Returns what the agent sees now in `rows`; new arrays, a row each."""
        locations = self.path[rows, self.glimpses_taken[rows] - 1]
        looked_at = locations * self.task.location_range
        glimpses = self.task.sensor.glimpse(self._canvases, rows, looked_at)
        return {"glimpse": glimpses, "location": locations}

    @property
    def images(self) -> NDArray[np.uint8]:
        """A view of the episodes' images, uint8 `(num_envs, height, width[, channels])`."""
        return self.task.sensor.interior(self._canvases)

    def restart_order(self) -> None:
        """Makes the sequential order begin again with the first item."""
        self._next_in_order = 0

    def render(self, row: int, mode: str) -> Any:
        """Returns a picture of one episode: a frame for `"rgb_array"`, text for `"ansi"`."""
        draw = render_text if mode == "ansi" else render_frame
        sensor = self.task.sensor
        image = self.images[row]
        path = self.path[row, : self.glimpses_taken[row]] * self.task.location_range
        ended, has_belief = self.ended[row], not np.isnan(self.belief[row]).any()
        return draw(
            image,
            sensor.centres(self.task.image_size, path),
            sensor.boxes(self.task.image_size, path[-1]),
            self.observe(np.array([row]))["glimpse"][0],
            num_glimpses=self.task.num_glimpses,
            belief=self.belief[row] if has_belief else None,
            label=int(self.task.items.labels[self.index[row]]) if ended else None,
            prediction=int(self._predictions[row]) if ended else None,
        )

    def _next_items(self, uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
        num_items = len(self.task.items)
        if self.task.order == "random":
            return (uniforms * num_items).astype(np.int64)
        positions = self._next_in_order + np.arange(len(uniforms))
        self._next_in_order += len(uniforms)
        return positions % num_items

    def _make_scenes(self, rows: Rows, uniforms: NDArray[np.float64]) -> None:
        task, index = self.task, self.index[rows]
        if task.fixed_scenes is not None:
            uniforms = task.fixed_scenes[index]
        others = Others(task.clutter_images, index if task.own_clutter else None)
        self.images[rows] = task.scene_maker.compose(task.items.images[index], uniforms, others)
