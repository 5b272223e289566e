"""Catch, the paper's dynamic task: a ball falls, a paddle catches it, a fovea watches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from ram_env.action_formats import ActionFormat, Decision, DictActions, MultiDiscreteActions
from ram_env.env import ENV_OPTIONS, TaskEnv
from ram_env.episodes import Episodes, Info, Outcome, Rows
from ram_env.rendering import Verdict
from ram_env.sensor import MAX_PIXEL
from ram_env.task import Task
from ram_env.validation import require_choice, settle_integers
from ram_env.vector_env import VECTOR_OPTIONS, TaskVectorEnv

MOVES = ("left", "stay", "right")
PADDLE_WIDTH = 2
# The smallest screen on which the paddle can move at all.
MIN_SCREEN = PADDLE_WIDTH + 1
# What an episode draws: where the ball starts, and how fast it moves sideways.
NUM_UNIFORMS = 2


@dataclass(frozen=True, eq=False)
class CatchTask(Task):
    """What the agent is asked; the options of `CatchEnv` and `CatchVectorEnv`, checked.

    Args:
        screen_size: Side of the screen in pixels.
        patch_size: Side of every patch in values, see `GlimpseSensor`.
        num_scales: How many concentric squares are seen at once.
        scale_factor: By how much the side grows from one scale to the next.
        location_range: The farthest reachable offset from the centre, as a fraction of half the
            screen's side. An action's location is multiplied by it.
        action_format: `"dict"`, or `"multi_discrete"` for what knows no dict actions.
        grid_size: Cells a side of the grid that `"multi_discrete"` looks at.

    Raises:
        ValueError: A value that is not allowed; the message names it and what is.
    """

    screen_size: int = 24
    patch_size: int = 6
    num_scales: int = 3
    scale_factor: int = 2
    location_range: float = 1.0
    action_format: str = "dict"
    grid_size: int = 12

    def __post_init__(self) -> None:
        settle_integers(self, "screen_size", at_least=MIN_SCREEN)
        settle_integers(self, "grid_size", at_least=1)
        require_choice("action_format", self.action_format, ("dict", "multi_discrete"))
        self._settle_glimpse()

    @property
    def num_glimpses(self) -> int:  # type: ignore[override]
        """One for each row that the ball is in."""
        return self.screen_size

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The screen, grey."""
        return self.screen_size, self.screen_size

    @property
    def num_items(self) -> int:
        """There are no items: an episode is chosen by its seed."""
        return 0

    @property
    def num_choices(self) -> int:
        """The choice is the move."""
        return len(MOVES)

    @property
    def actions(self) -> ActionFormat:
        """The action space and what its actions mean."""
        if self.action_format == "dict":
            return DictActions(len(MOVES), self.grid_size, name="move")
        return MultiDiscreteActions(len(MOVES), self.grid_size, name="move")


class CatchEpisodes(Episodes):
    """Episodes of one falling ball each: the rules of Catch, written once.

    Args:
        task: What the agent is asked.
        num_envs: How many episodes run side by side.

    Attributes:
        start_x: Where each ball starts, in pixels from the left edge, float64 `(num_envs,)`.
        velocity: How many pixels each moves to the right per step, float64 `(num_envs,)`.
        paddle: The left one of each paddle's columns, int64 `(num_envs,)`.
    """

    task: CatchTask

    def __init__(self, task: CatchTask, num_envs: int) -> None:
        super().__init__(task, num_envs)
        self.start_x = np.zeros(num_envs)
        self.velocity = np.zeros(num_envs)
        self.paddle = np.zeros(num_envs, np.int64)

    def start(
        self,
        rows: Rows,
        generators: Sequence[np.random.Generator],
        index: NDArray[np.int64] | None = None,
    ) -> None:
        """Begins new episodes: a ball somewhere in the top row, the paddle in the middle."""
        uniforms = np.empty((len(rows), NUM_UNIFORMS))
        for generator, row in zip(generators, uniforms, strict=True):
            generator.random(out=row)
        self.start_x[rows] = uniforms[:, 0] * self.task.screen_size
        self.velocity[rows] = 2 * uniforms[:, 1] - 1
        self.paddle[rows] = (self.task.screen_size - PADDLE_WIDTH) // 2
        self._look_first(rows, 0)
        self._draw_screens(rows)

    def act(self, rows: Rows, decision: Decision) -> Outcome:
        """Moves the paddles, lets the balls fall by one row, and looks at what has become of it.

        Episodes whose ball is in the bottom row then have ended.
        """
        leftmost, rightmost = 0, self.task.screen_size - PADDLE_WIDTH
        steps = decision.label - MOVES.index("stay")
        self.paddle[rows] = np.clip(self.paddle[rows] + steps, leftmost, rightmost)
        self._look(rows, decision.location)
        self._draw_screens(rows)
        ending = rows[self.ball_row[rows] == self.task.screen_size - 1]
        self.ended[ending] = True
        return Outcome(ending, {"is_success": self._is_caught(ending)})

    def info(self, rows: Rows) -> Info:
        """Returns nothing: what there is to know is to be seen."""
        return {}

    def restart_order(self) -> None:
        """Does nothing: there are no items, and no order of them."""

    @property
    def ball_row(self) -> NDArray[np.int64]:
        """The row that each ball is in, `(num_envs,)`: it falls by one with every glimpse."""
        return self.glimpses_taken - 1

    @property
    def ball_column(self) -> NDArray[np.int64]:
        """The column that each ball is in, `(num_envs,)`.

        A ball that bounces off the sides is where one that flies on straight would be, if the
        screen were folded up at its sides.
        """
        size = self.task.screen_size
        straight = self.start_x + self.velocity * self.ball_row
        unfolded = np.mod(straight, 2 * size)
        folded = np.minimum(unfolded, 2 * size - unfolded)
        # At the right edge itself, the ball is in the last column.
        columns: NDArray[np.int64] = np.minimum(folded.astype(np.int64), size - 1)
        return columns

    def _is_caught(self, rows: Rows) -> NDArray[np.bool_]:
        offset = self.ball_column[rows] - self.paddle[rows]
        return (offset >= 0) & (offset < PADDLE_WIDTH)

    def _draw_screens(self, rows: Rows) -> None:
        self.images[rows] = 0
        self.images[rows, self.ball_row[rows], self.ball_column[rows]] = MAX_PIXEL
        for column in range(PADDLE_WIDTH):
            self.images[rows, -1, self.paddle[rows] + column] = MAX_PIXEL

    def _caption(self, row: int) -> dict[str, Any]:
        words: dict[str, Any] = {"names": MOVES}
        if self.ended[row]:
            is_caught = bool(self._is_caught(np.array([row]))[0])
            words["verdict"] = Verdict("caught" if is_caught else "missed", is_caught)
        return words


class CatchEnv(TaskEnv):
    """Catch a falling ball with a paddle, seeing only a few glimpses of the screen.

    ## Description
    The dynamic task of *Recurrent Models of Visual Attention* (Mnih, Heess, Graves and Kavukcuoglu,
    NIPS 2014, arXiv 1406.6247, section 4.2): on a binary screen of 24x24 pixels a ball of one pixel
    falls from the top and bounces off the sides, and a paddle of two pixels in the bottom row is to
    catch it. The agent moves the paddle and its gaze together.

    ## Observation space
    `Dict(glimpse=Box(0, 1, (num_scales, patch_size, patch_size), float32), location=Box(-1, 1,
    (2,), float32))`, as in `GlimpseEnv`: three patches of 6x6, of 6, 12 and 24 pixels a side.

    ## Action space
    - `action_format="dict"`: `Dict(location=Box(-1, 1, (2,), float32), move=Discrete(3))`; the
      moves are 0 left, 1 stay, 2 right, by one pixel.
    - `"multi_discrete"`: `MultiDiscrete([grid_size, grid_size, 3])`, column, row, move.

    ## Timeline
    `reset` shows the ball in the top row, from the centre of the screen. Each `step` moves the
    paddle (which stops at the sides) and lets the ball fall by one row, both at once, and returns
    the glimpse of the new screen at the action's location. On 24 rows an episode is 23 steps long.
    The last glimpse, at the end, is of the ball in the bottom row; no action comes after it.

    ## What is random
    What the paper does not say, and is settled here: the ball starts anywhere in the top row, at a
    real-valued x in [0, 24), moves sideways by a real number of pixels a step, uniform in [-1, 1],
    and is drawn in the pixel that holds it; at the sides its velocity is reversed. The paddle
    starts in the middle, in columns 11 and 12. Who knows where the ball will land can always be
    there in time, so a perfect player catches every ball.

    ## Reward
    1 if the paddle overlaps with the ball when that is in the bottom row; 0 everywhere else.

    ## Episode end
    `terminated` when the ball is in the bottom row. Never `truncated`.

    ## Info
    At the last step `is_success`; otherwise nothing. The state is nowhere.

    ## Reset options
    None: an episode is chosen by its seed.

    ## Rendering
    As in `GlimpseEnv`; `env.unwrapped.belief` takes the probabilities of the three moves.

    Args:
        render_mode: None, `"rgb_array"` or `"ansi"`.
        **options: The fields of `CatchTask`, by name: `screen_size`, `patch_size`, `num_scales`,
            `scale_factor`, `location_range`, `action_format`, `grid_size`.

    Raises:
        ValueError: An option's value is not allowed.
        TypeError: There is no such option.

    Example:
        >>> import gymnasium as gym
        >>> import ram_env
        >>> env = gym.make("ram_env/Catch-v0")
        >>> observation, info = env.reset(seed=0)
        >>> action = {"location": [0.5, -0.9], "move": 2}
        >>> observation, reward, terminated, truncated, info = env.step(action)
    """

    def __init__(self, *, render_mode: str | None = None, **options: Any) -> None:
        self.task = CatchTask.from_options(options, beside=ENV_OPTIONS)
        super().__init__(CatchEpisodes(self.task, num_envs=1), render_mode)


class CatchVectorEnv(TaskVectorEnv):
    """`num_envs` times `CatchEnv`, with the same task, rules and options.

    See `TaskVectorEnv` for how sub-environments are seeded and reset.

    Args:
        num_envs: How many sub-environments.
        autoreset_mode: An `AutoresetMode` or its value (`"NextStep"`, `"SameStep"`, `"Disabled"`).
        render_mode: None, `"rgb_array"` or `"ansi"`.
        **options: The fields of `CatchTask`, as in `CatchEnv`.

    Raises:
        ValueError: An option's value is not allowed.
        TypeError: There is no such option.
    """

    def __init__(
        self,
        *,
        num_envs: int = 1,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        self.task = CatchTask.from_options(options, beside=VECTOR_OPTIONS)
        super().__init__(CatchEpisodes(self.task, num_envs), autoreset_mode, render_mode)
