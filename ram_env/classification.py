"""The rules of classification, written once, for one environment or many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ram_env.action_formats import NO_ANSWER, Decision
from ram_env.episodes import Episodes, Info, Outcome, Rows
from ram_env.scenes import Others
from ram_env.task import GlimpseTask

# What an episode draws besides its scene: the item, and the start location's x and y.
NUM_OWN_UNIFORMS = 3


class ClassificationEpisodes(Episodes):
    """Episodes of an image each, which the agent names after its glimpses.

    The sequential order deals the items out in the order in which rows start.

    Args:
        task: What the agent is asked.
        num_envs: How many episodes run side by side.

    Attributes:
        index: The dataset item of each episode, int64 `(num_envs,)`.
    """

    task: GlimpseTask

    def __init__(self, task: GlimpseTask, num_envs: int) -> None:
        super().__init__(task, num_envs)
        self.index = np.zeros(num_envs, np.int64)
        self._predictions = np.full(num_envs, NO_ANSWER)
        self._next_in_order = 0

    def start(
        self,
        rows: Rows,
        generators: Sequence[np.random.Generator],
        index: NDArray[np.int64] | None = None,
    ) -> None:
        """Begins new episodes, each with an item: the one asked for, or as the order says."""
        uniforms = np.empty((len(rows), NUM_OWN_UNIFORMS + self.task.scene_maker.num_uniforms))
        for generator, row in zip(generators, uniforms, strict=True):
            generator.random(out=row)
        self.index[rows] = self._next_items(uniforms[:, 0]) if index is None else index
        self._make_scenes(rows, uniforms[:, NUM_OWN_UNIFORMS:])
        self._look_first(rows, self._first_locations(uniforms[:, 1:NUM_OWN_UNIFORMS]))

    def act(self, rows: Rows, decision: Decision) -> Outcome:
        """Lets the episodes in `rows` look or answer.

        An answer is due after the last glimpse, or when the action says so. Who answers does not
        look any more.
        """
        answers = decision.answers_now | (self.glimpses_taken[rows] == self.task.num_glimpses)
        self._look(rows[~answers], decision.location[~answers])
        answering, predictions = rows[answers], decision.label[answers]
        self._predictions[answering] = predictions
        self.ended[answering] = True
        labels = self.task.items.labels[self.index[answering]]
        is_success = np.equal(labels, predictions)
        return Outcome(
            answering, {"label": labels, "prediction": predictions, "is_success": is_success}
        )

    def info(self, rows: Rows) -> Info:
        """Returns the item of each episode."""
        return {"index": self.index[rows]}

    def restart_order(self) -> None:
        """Makes the sequential order begin again with the first item."""
        self._next_in_order = 0

    def _caption(self, row: int) -> dict[str, Any]:
        if not self.ended[row]:
            return {}
        label, prediction = self.task.items.labels[self.index[row]], self._predictions[row]
        return {"label": int(label), "prediction": int(prediction)}

    def _first_locations(self, uniforms: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns where episodes look first, `(batch, 2)`; `uniforms` is of that shape."""
        match self.task.start:
            case "random":
                return 2 * uniforms - 1
            case "center":
                return np.zeros_like(uniforms)
            case place:
                return np.broadcast_to(place, uniforms.shape)

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
        scenes = task.scene_maker.compose(task.items.images[index], uniforms, others)
        expected = (len(rows), *task.image_shape)
        if scenes.dtype != np.uint8 or scenes.shape != expected:
            raise ValueError(
                f"scene={task.scene_maker!r} composed an array of {scenes.dtype} and the shape "
                f"{scenes.shape}; it has to be of uint8 and, by its image_shape, {expected}"
            )
        self.images[rows] = scenes
