"""The vector environments: many stepped at once by array operations, whatever their task."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from ram_env.classification import ClassificationEpisodes
from ram_env.datasets import DatasetSource, read_only
from ram_env.env import RENDER_FPS, RENDER_MODES
from ram_env.episodes import Episodes, Observation, Outcome, Rows
from ram_env.reset_options import (
    requested_index,
    requested_rows,
    requested_seeds,
    require_known_options,
)
from ram_env.task import GlimpseTask
from ram_env.validation import as_array, require_choice, require_probabilities

VECTOR_OPTIONS = ("num_envs", "autoreset_mode", "render_mode")  # besides the task's
VectorStep = tuple[
    Observation, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]
]


class TaskVectorEnv(VectorEnv[Observation, Any, NDArray[Any]]):
    """Many environments of a task, side by side: the Gymnasium part, which all tasks share.

    Sub-environment `i`, reset with seed `s`, does exactly what a single environment reset with seed
    `s` does, given the same actions (but for items dealt out in their order). Observations, infos
    and seeds have the form that Gymnasium's `SyncVectorEnv` gives them; every array that `reset`
    and `step` return is new.

    Autoreset modes (also in `metadata["autoreset_mode"]`):
    - `NEXT_STEP` (default): the step after the end ignores the action and returns the new
      episode's first glimpse with reward 0.
    - `SAME_STEP`: the step that ends an episode already returns the new one's first glimpse; the
      old one's last observation and info are in `info["final_obs"]` and `info["final_info"]`.
    - `DISABLED`: the caller resets, by `reset(options={"reset_mask": mask})` or all at once.

    Every action must be in the action space, also one that an autoreset ignores.

    Args:
        episodes: The task's episodes, as many as there are to be sub-environments.
        autoreset_mode: An `AutoresetMode` or its value (`"NextStep"`, `"SameStep"`, `"Disabled"`).
        render_mode: None, `"rgb_array"` or `"ansi"`.

    Raises:
        ValueError: There is no such mode.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": list(RENDER_MODES),
        "render_fps": RENDER_FPS,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self, episodes: Episodes, autoreset_mode: AutoresetMode | str, render_mode: str | None
    ) -> None:
        if render_mode is not None:
            require_choice("render_mode", render_mode, RENDER_MODES)
        self._episodes = episodes
        self.num_envs = num_envs = episodes.num_envs
        self.render_mode = render_mode
        self.autoreset_mode = _find_autoreset_mode(autoreset_mode)
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}  # type: ignore[misc]
        self.single_observation_space = episodes.task.observation_space
        self.single_action_space = episodes.task.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        seeded = [seeding.np_random() for _ in range(num_envs)]
        self._generators = [generator for generator, _ in seeded]
        self._seeds = [seed for _, seed in seeded]

    def reset(
        self,
        *,
        seed: int | list[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observation, dict[str, Any]]:
        """Starts new episodes, in all sub-environments or in those of a mask.

        Args:
            seed: None, one integer `s` (sub-environment `i` gets `s + i`), or a list of them. Any
                seed of a sub-environment that is reset makes the sequential order begin again.
            options: `"index"`: the item to show, one for all or one for each sub-environment;
                `"reset_mask"`: bool `(num_envs,)`, which sub-environments to reset.

        Returns:
            The observations of all sub-environments, and the infos of those that were reset.

        Raises:
            ValueError: A seed list, an option or an index that is not allowed.
            TypeError: A mask that is not an array of booleans.
            ResetNeeded: A mask leaves out a sub-environment that was never reset.
        """
        num_items = self._episodes.task.num_items
        rows = requested_rows(options, self.num_envs)
        index = requested_index(options, rows, self.num_envs, num_items)
        allowed = ("index", "reset_mask") if num_items else ("reset_mask",)
        require_known_options(options, allowed=allowed)
        seeds = requested_seeds(seed, self.num_envs)
        self._require_started(np.delete(np.arange(self.num_envs), rows))
        for row in rows:
            if seeds[row] is not None:
                self._generators[row], self._seeds[row] = seeding.np_random(seeds[row])
        if any(seeds[row] is not None for row in rows):
            self._episodes.restart_order()
        self._start(rows, index)
        return self._observe_all(), self._item_info(rows)

    def step(self, actions: Any) -> VectorStep:
        """Does what the actions say in every sub-environment.

        Args:
            actions: A batch of actions, in `action_space`.

        Returns:
            Observations, rewards float64 `(num_envs,)`, terminations and truncations bool
            `(num_envs,)`, and infos.

        Raises:
            ResetNeeded: Before the first reset or, with autoreset disabled, after an episode's end.
            ValueError: An action is not in the action space.
        """
        self._require_started(np.arange(self.num_envs))
        ended = self._episodes.ended
        to_reset, acting = np.flatnonzero(ended), np.flatnonzero(~ended)
        if self.autoreset_mode is AutoresetMode.DISABLED and len(to_reset):
            raise ResetNeeded(
                f"the episodes of sub-environments {to_reset.tolist()} have ended: reset them, "
                "e.g. with options={'reset_mask': terminations}"
            )
        decision = self._episodes.task.actions.decode(actions, (self.num_envs,))
        outcome = self._episodes.act(acting, decision.take(acting))
        if len(to_reset):
            self._start(to_reset)
        rewards = np.zeros(self.num_envs)
        rewards[outcome.rows] = outcome.is_success
        terminations = np.zeros(self.num_envs, bool)
        terminations[outcome.rows] = True
        infos = self._finish(outcome)
        return self._observe_all(), rewards, terminations, np.zeros(self.num_envs, bool), infos

    def render(self) -> tuple[Any, ...] | None:
        """Returns a frame or text of each sub-environment; None without a `render_mode`.

        Raises:
            ResetNeeded: Before the first reset.
        """
        self._require_started(np.arange(self.num_envs))
        if self.render_mode is None:
            return None
        return tuple(self._episodes.render(row, self.render_mode) for row in range(self.num_envs))

    @property
    def images(self) -> NDArray[np.uint8]:
        """The whole images of the current episodes, uint8 `(num_envs, height, width[, channels])`.

        For pictures; an agent that looks at them plays another game. A view that cannot be written
        to: copy it to keep it, the next episodes take its place.
        """
        return read_only(self._episodes.images)

    @property
    def belief(self) -> NDArray[np.float64]:
        """Probabilities of the choices for `render` to show, of the classes say, `(num_envs, K)`.

        Assign all rows at once; one of NaN alone is a row without a belief, as each is again after
        the next glimpse there.
        """
        return read_only(self._episodes.belief)

    @belief.setter
    def belief(self, probabilities: NDArray[np.floating[Any]]) -> None:
        shape = (self.num_envs, self._episodes.task.num_choices)
        belief = as_array(probabilities)
        is_none = np.zeros((self.num_envs, 1), bool)
        if belief.shape == shape and belief.dtype.kind == "f":
            is_none = np.isnan(belief).all(axis=1, keepdims=True)
            belief = np.where(is_none, 0.0, belief)
        checked = require_probabilities("belief", belief, shape)
        self._episodes.belief[:] = np.where(is_none, np.nan, checked)

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The generators of the sub-environments, as in `SyncVectorEnv`."""
        return tuple(self._generators)

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """The seeds of these generators, as in `SyncVectorEnv`."""
        return tuple(self._seeds)

    def _start(self, rows: Rows, index: NDArray[np.int64] | None = None) -> None:
        self._episodes.start(rows, [self._generators[row] for row in rows], index)

    def _observe_all(self) -> Observation:
        return self._episodes.observe(np.arange(self.num_envs))

    def _finish(self, outcome: Outcome) -> dict[str, Any]:
        """Returns the infos of a step and, in the same-step mode, resets what has ended."""
        ended = outcome.rows
        infos = self._item_info(np.arange(self.num_envs))
        if len(ended) == 0:
            return infos
        if self.autoreset_mode is not AutoresetMode.SAME_STEP:
            return infos | self._spread(ended, outcome.info)
        final_info = self._spread(ended, self._episodes.info(ended) | outcome.info)
        final_obs = self._final_observations(ended)
        self._start(ended)
        return {
            **self._item_info(np.arange(self.num_envs)),
            "final_obs": final_obs,
            "_final_obs": self._mask(ended),
            "final_info": final_info,
            "_final_info": self._mask(ended),
        }

    def _final_observations(self, rows: Rows) -> NDArray[np.object_]:
        """Returns each row's observation as a dict of its own, None elsewhere (as Gymnasium)."""
        final = np.full(self.num_envs, None, dtype=object)
        observations = self._episodes.observe(rows)
        for position, row in enumerate(rows):
            final[row] = {name: values[position] for name, values in observations.items()}
        return final

    def _item_info(self, rows: Rows) -> dict[str, Any]:
        return self._spread(rows, self._episodes.info(rows))

    def _spread(self, rows: Rows, values: dict[str, NDArray[Any]]) -> dict[str, Any]:
        """Returns each array laid out over all sub-environments, with its mask under `_name`."""
        infos: dict[str, Any] = {}
        for name, array in values.items():
            infos[name] = np.zeros(self.num_envs, array.dtype)
            infos[name][rows] = array
            infos[f"_{name}"] = self._mask(rows)
        return infos

    def _mask(self, rows: Rows) -> NDArray[np.bool_]:
        mask = np.zeros(self.num_envs, bool)
        mask[rows] = True
        return mask

    def _require_started(self, rows: Rows) -> None:
        if not self._episodes.glimpses_taken[rows].all():
            raise ResetNeeded("a sub-environment has had no episode yet: call reset() first")


class GlimpseVectorEnv(TaskVectorEnv):
    """`num_envs` times `GlimpseEnv`, with the same task, rules and options.

    See `TaskVectorEnv` for how sub-environments are seeded and reset. With `order="sequential"`
    they get the items dealt out as they reset.

    Args:
        dataset: What is to be classified, see `load_dataset`.
        num_envs: How many sub-environments.
        autoreset_mode: An `AutoresetMode` or its value (`"NextStep"`, `"SameStep"`, `"Disabled"`).
        render_mode: None, `"rgb_array"` or `"ansi"`.
        **options: The other fields of `GlimpseTask`, as in `GlimpseEnv`.

    Raises:
        ValueError: An option's value is not allowed.
        TypeError: There is no such option.

    Example:
        >>> import gymnasium as gym
        >>> import ram_env
        >>> envs = gym.make_vec("ram_env/MNIST-v0", num_envs=16)
        >>> observations, infos = envs.reset(seed=0)
        >>> observations["glimpse"].shape
        (16, 1, 8, 8)
    """

    def __init__(
        self,
        dataset: DatasetSource = "mnist",
        *,
        num_envs: int = 1,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        self.task = GlimpseTask.from_options({"dataset": dataset, **options}, beside=VECTOR_OPTIONS)
        super().__init__(ClassificationEpisodes(self.task, num_envs), autoreset_mode, render_mode)


def _find_autoreset_mode(mode: AutoresetMode | str) -> AutoresetMode:
    try:
        return AutoresetMode(mode)
    except ValueError:
        allowed = [known.value for known in AutoresetMode]
        raise ValueError(f"autoreset_mode={mode!r} is not one of {allowed}") from None
