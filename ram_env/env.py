"""The single environments: what all of them do, and GlimpseEnv, image classification."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from ram_env.classification import ClassificationEpisodes
from ram_env.datasets import DatasetSource, read_only
from ram_env.episodes import Episodes, Info, Observation
from ram_env.reset_options import requested_index, require_known_options
from ram_env.task import GlimpseTask
from ram_env.validation import require_choice, require_probabilities

RENDER_MODES = ("rgb_array", "ansi")
RENDER_FPS = 2
ENV_OPTIONS = ("render_mode",)  # besides the task's
ONLY_ROW = np.array([0])


class TaskEnv(gym.Env[Observation, Any]):
    """One environment of a task: the Gymnasium part, which all tasks have in common.

    Args:
        episodes: The task's episodes, room for one of them.
        render_mode: None, `"rgb_array"` or `"ansi"`.

    Raises:
        ValueError: There is no such render mode.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": list(RENDER_MODES),
        "render_fps": RENDER_FPS,
    }

    def __init__(self, episodes: Episodes, render_mode: str | None) -> None:
        if render_mode is not None:
            require_choice("render_mode", render_mode, RENDER_MODES)
        self.render_mode = render_mode
        # A dict of its own: Gymnasium 1.2's vector environments write their autoreset mode into it.
        self.metadata = dict(type(self).metadata)  # type: ignore[misc]
        self._episodes = episodes
        self.observation_space = episodes.task.observation_space  # type: ignore[assignment]
        self.action_space = episodes.task.action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Starts an episode; `options={"index": i}` chooses the item, where there are items.

        Raises:
            ValueError: An unknown option, or an index that there is not.
        """
        num_items = self._episodes.task.num_items
        index = requested_index(options, ONLY_ROW, 1, num_items)
        require_known_options(options, allowed=("index",) if num_items else ())
        super().reset(seed=seed)
        if seed is not None:
            self._episodes.restart_order()
        self._episodes.start(ONLY_ROW, [self.np_random], index)
        return self._observation(), self._info()

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Does what the action says.

        Raises:
            ResetNeeded: No episode is running.
            ValueError: The action is not in the action space.
        """
        if self._episodes.glimpses_taken[0] == 0 or self._episodes.ended[0]:
            raise ResetNeeded("no episode is running (none yet, or it has ended): call reset()")
        decision = self._episodes.task.actions.decode(action, ())
        outcome = self._episodes.act(ONLY_ROW, decision.take(np.newaxis))
        terminated = len(outcome.rows) == 1
        info = self._info()
        if terminated:
            info |= _only_row(outcome.info)
        reward = float(info.get("is_success", False))
        return self._observation(), reward, terminated, False, info

    def render(self) -> Any:
        """Returns the current frame, a text, or None, as `render_mode` says.

        Raises:
            ResetNeeded: There has been no episode yet.
        """
        if self._episodes.glimpses_taken[0] == 0:
            raise ResetNeeded("there is nothing to render yet: call reset()")
        return None if self.render_mode is None else self._episodes.render(0, self.render_mode)

    @property
    def belief(self) -> NDArray[np.float64]:
        """Probabilities of the choices for `render` to show, of the classes say, `(K,)`.

        They are NaN again after the next glimpse. So they are for who calls `render` between steps:
        Gymnasium's recording wrappers draw within `step`, before anyone can tell them.
        """
        return read_only(self._episodes.belief[0])

    @belief.setter
    def belief(self, probabilities: NDArray[np.floating[Any]]) -> None:
        self._episodes.belief[0] = require_probabilities(
            "belief", probabilities, (self._episodes.task.num_choices,)
        )

    def _observation(self) -> Observation:
        return {name: rows[0] for name, rows in self._episodes.observe(ONLY_ROW).items()}

    def _info(self) -> dict[str, Any]:
        return _only_row(self._episodes.info(ONLY_ROW))


def _only_row(info: Info) -> dict[str, Any]:
    """Returns the info of the only row, as plain numbers."""
    return {name: values[0].item() for name, values in info.items()}


class GlimpseEnv(TaskEnv):
    """Say which class an image is of, having seen only a few glimpses of it.

    ## Description
    The hard attention task of *Recurrent Models of Visual Attention* (Mnih, Heess, Graves and
    Kavukcuoglu, NIPS 2014, arXiv 1406.6247). The agent never sees the image: it sees a small
    foveated glimpse around a location, chooses the next location, and after `num_glimpses`
    glimpses says the class. It is a partially observed task: what was seen must be remembered.

    ## Observation space
    `Dict(glimpse=Box(0, 1, (num_scales, patch_size, patch_size[, channels]), float32),
    location=Box(-1, 1, (2,), float32))`: the patches of all scales, finest first, and where they
    are centred. See `ram_env.sensor` for the geometry. Locations are `(x, y)`, (-1, -1) the
    top-left and (1, 1) the bottom-right corner of the image, as far as `location_range` reaches.

    ## Action space
    - `action_format="dict"`: `Dict(location=Box(-1, 1, (2,), float32), label=Discrete(K))`.
    - `"multi_discrete"`: `MultiDiscrete([grid_size, grid_size, K])`, column, row, class.
    - `"discrete"`, look or answer: `Discrete(grid_size**2 + K)`; an answer ends the episode early.

    Stable-Baselines3 supports the last two; dict actions are outside what it knows.

    ## Timeline
    `reset` returns the first glimpse. Each `step` moves the fovea to the action's location and
    returns the glimpse there. The step that comes after glimpse `num_glimpses` reads the action's
    class, pays the reward and ends the episode; its location is not used, and it returns the last
    glimpse once more. Locations are used at all other steps, classes only at that one.

    ## Reward
    1 if the class is right, at the last step; 0 everywhere else.

    ## Episode end
    `terminated` after `num_glimpses` steps (earlier where `"discrete"` answers early). Never
    `truncated`: the glimpse budget is part of the task.

    ## Info
    `index`, the dataset item, always; at the last step also `label`, `prediction` (-1: no answer
    given) and `is_success`. The label is nowhere before the end.

    ## Reset options
    `{"index": i}` shows item `i` of the split.

    ## Rendering
    `render_mode="rgb_array"`: the image with the boxes of all scales and the path so far, the
    retina, and class probabilities if the caller has put them into `env.unwrapped.belief` before
    it calls `render` (recording wrappers draw within `step`, before that).
    `"ansi"`: the same as text. For `human` and `rgb_array_list` use Gymnasium's wrappers
    `HumanRendering` (which needs pygame) and `RenderCollection`.

    Args:
        dataset: What is to be classified, see `load_dataset`.
        render_mode: None, `"rgb_array"` or `"ansi"`.
        **options: The other fields of `GlimpseTask`, by name: `split`, `order`, `scene`,
            `num_glimpses`, `patch_size`, `num_scales`, `scale_factor`, `start`, `location_range`,
            `action_format`, `grid_size`.

    Raises:
        ValueError: An option's value is not allowed.
        TypeError: There is no such option.

    Example:
        >>> import gymnasium as gym
        >>> import ram_env
        >>> env = gym.make("ram_env/MNIST-v0", num_glimpses=4)
        >>> observation, info = env.reset(seed=0)
        >>> observation["glimpse"].shape
        (1, 8, 8)
    """

    def __init__(
        self, dataset: DatasetSource = "mnist", *, render_mode: str | None = None, **options: Any
    ) -> None:
        self.task = GlimpseTask.from_options({"dataset": dataset, **options}, beside=ENV_OPTIONS)
        super().__init__(ClassificationEpisodes(self.task, num_envs=1), render_mode)
