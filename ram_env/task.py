"""The task: everything about an environment that does not change from episode to episode."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from ram_env.action_formats import ACTION_FORMATS, ActionFormat
from ram_env.datasets import SPLITS, Dataset, DatasetSource, load_dataset, official_splits
from ram_env.scenes import Scene, find_scene
from ram_env.sensor import GlimpseSensor
from ram_env.validation import (
    Place,
    brief,
    is_place,
    require_choice,
    require_positive,
    settle_integers,
)

ORDERS = ("random", "sequential")
STARTS = ("center", "random")
# A square of twice the image's size holds all of it wherever it is put; a larger one adds border.
LARGEST_EXTENT = 4
# Begins the stream of numbers that fix the scenes of a split; a change makes other test images.
SCENE_SEEDS = {"val": 1406, "test": 6247}


class Task(ABC):
    """What every task tells its episodes and environments.

    Attributes:
        num_glimpses: Glimpses an episode has, the one that `reset` returns included.
        patch_size: Side of every patch in values, see `GlimpseSensor`.
        num_scales: How many concentric squares are seen at once.
        scale_factor: By how much the side grows from one scale to the next.
        location_range: What an action's location is multiplied by, in (0, 1].
    """

    num_glimpses: int
    patch_size: int
    num_scales: int
    scale_factor: int
    location_range: float

    @property
    @abstractmethod
    def image_shape(self) -> tuple[int, ...]:
        """The shape of an episode's image, `(height, width[, channels])`."""

    @property
    @abstractmethod
    def num_items(self) -> int:
        """How many items a reset can choose from by `options={"index": i}`; 0: there are none."""

    @property
    @abstractmethod
    def num_choices(self) -> int:
        """How many values the discrete part of an action has."""

    @property
    @abstractmethod
    def actions(self) -> ActionFormat:
        """The action space and what its actions mean."""

    @property
    def image_size(self) -> tuple[int, int]:
        """The height and width of an episode's image in pixels."""
        return self.image_shape[0], self.image_shape[1]

    @classmethod
    def from_options(cls, options: dict[str, Any], *, beside: Sequence[str] = ()) -> Self:
        """Returns the task with these options.

        Args:
            options: By name.
            beside: The names of what the caller takes itself, for the error.

        Raises:
            TypeError: There is no such option.
            ValueError: A value is not allowed.
        """
        names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
        unknown = [name for name in options if name not in names]
        if unknown:
            # In Python's words, by which TorchRL's GymEnv knows what not to hand in.
            raise TypeError(
                f"unexpected keyword argument {unknown[0]!r}; the options are "
                f"{', '.join([*names, *beside])}"
            )
        return cls(**options)

    @property
    def glimpse_shape(self) -> tuple[int, ...]:
        """`(num_scales, patch_size, patch_size[, channels])`."""
        return (self.num_scales, self.patch_size, self.patch_size, *self.image_shape[2:])

    @cached_property
    def sensor(self) -> GlimpseSensor:
        """What cuts the glimpses."""
        return GlimpseSensor(self.patch_size, self.num_scales, self.scale_factor)

    @cached_property
    def action_space(self) -> gym.Space[Any]:
        """The action space of a single environment."""
        return self.actions.space

    @cached_property
    def observation_space(self) -> spaces.Dict:
        """The observation space of a single environment."""
        return spaces.Dict(
            glimpse=spaces.Box(0, 1, self.glimpse_shape, np.float32),
            location=spaces.Box(-1, 1, (2,), np.float32),
        )

    def _settle_glimpse(self) -> None:
        """Checks the fields that say what a glimpse is, and makes them Python's own numbers."""
        settle_integers(self, "patch_size", "num_scales", "scale_factor", at_least=1)
        require_positive("location_range", self.location_range, at_most=1)
        object.__setattr__(self, "location_range", float(self.location_range))
        coarsest = self.sensor.extents[-1]
        longer_side = max(self.image_size)
        if self.patch_size > longer_side:
            raise ValueError(
                f"patch_size={self.patch_size} is larger than the image's longer side, "
                f"{longer_side} pixels: a glimpse would show everything; give at most {longer_side}"
            )
        if coarsest > LARGEST_EXTENT * longer_side:
            raise ValueError(
                f"num_scales={self.num_scales} with scale_factor={self.scale_factor} and "
                f"patch_size={self.patch_size} gives a square of {coarsest} pixels, more than "
                f"{LARGEST_EXTENT} times the image's longer side, {longer_side}; give fewer scales"
            )


@dataclass(frozen=True, eq=False)
class GlimpseTask(Task):
    """What the agent is asked; the options of `GlimpseEnv` and `GlimpseVectorEnv`, checked.

    Args:
        dataset: `"mnist"`, the path of a folder of IDX files or of an .npz file, a pair of arrays
            `(images, labels)`, or a `Dataset`; see `load_dataset`.
        split: `"train"`, `"val"` or `"test"`. The scenes of the last two are fixed per item.
        order: `"random"`: each episode draws its item from the whole split. `"sequential"`: the
            items in their order, over and over (`GlimpseVectorEnv` deals them out to its
            sub-environments in turn; under Gymnasium's own, each begins with the first).
        scene: How the image is made of an item: `"plain"`, `"translated"`, `"cluttered"`,
            `"cluttered-100"`; for training also `"shifted"`, `"distorted"`, and the paper's as
            `"distorted-translated"` and so on; or a `Scene`.
        num_glimpses: Glimpses an episode has, the one that `reset` returns included.
        patch_size: Side of every patch in values, see `GlimpseSensor`.
        num_scales: How many concentric squares are seen at once.
        scale_factor: By how much the side grows from one scale to the next.
        start: Where the first glimpse is taken: `"center"`, `"random"`, uniformly, or at a place
            `(x, y)`, a location as actions have them.
        location_range: The farthest reachable offset from the centre, as a fraction of half the
            image's side, in (0, 1]. An action's location is multiplied by it.
        action_format: `"dict"`, `"multi_discrete"` or `"discrete"`, see `ram_env.action_formats`.
        grid_size: Cells a side of the grid that the two discrete formats look at.

    Raises:
        ValueError: A value that is not allowed; the message names it and what is.
    """

    dataset: DatasetSource = "mnist"
    split: str = "train"
    order: str = "random"
    scene: str | Scene = "plain"
    num_glimpses: int = 6
    patch_size: int = 8
    num_scales: int = 1
    scale_factor: int = 2
    start: str | Place = "center"
    location_range: float = 1.0
    action_format: str = "dict"
    grid_size: int = 7

    def __post_init__(self) -> None:
        require_choice("split", self.split, SPLITS)
        require_choice("order", self.order, ORDERS)
        self._take_start()
        require_choice("action_format", self.action_format, ACTION_FORMATS)
        settle_integers(self, "num_glimpses", "grid_size", at_least=1)
        self._settle_glimpse()
        if self.scene_maker.uses_others and len(self.clutter_images) < 2:
            raise ValueError(f"scene={self.scene!r} needs at least 2 training images")

    def _take_start(self) -> None:
        """Checks where the first glimpse is taken; a list, as JSON has it, becomes a tuple."""
        if is_place(self.start):
            object.__setattr__(self, "start", tuple(map(float, self.start)))
        elif not isinstance(self.start, str) or self.start not in STARTS:
            raise ValueError(
                f"start={brief(self.start)} is not one of {sorted(STARTS)}, and no place (x, y) "
                "in [-1, 1]"
            )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles the options alone: a copy in another process loads the data set itself."""
        options = tuple(getattr(self, field.name) for field in dataclasses.fields(self))
        return type(self), options

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        """Returns the task itself: copies of an environment share what never changes."""
        return self

    @cached_property
    def items(self) -> Dataset:
        """The images and labels of the split."""
        return load_dataset(self.dataset, self.split)

    @cached_property
    def clutter_images(self) -> NDArray[np.uint8]:
        """The training images, which clutter is cut from; the items' own if there is no clutter."""
        if not self.scene_maker.uses_others:
            return self.items.images
        return self.items.images if self.own_clutter else load_dataset(self.dataset, "train").images

    @cached_property
    def own_clutter(self) -> bool:
        """Whether the items are themselves among the images that clutter is cut from."""
        return self.split == "train" or not official_splits(self.dataset)

    @cached_property
    def scene_maker(self) -> Scene:
        """The scene, where the option may be its name."""
        return find_scene(self.scene)

    @cached_property
    def image_shape(self) -> tuple[int, ...]:
        """The shape of an episode's image, `(height, width[, channels])`."""
        return self.scene_maker.image_shape(self.items.image_shape)

    @property
    def num_items(self) -> int:
        """How many items the split has."""
        return len(self.items)

    @cached_property
    def num_classes(self) -> int:
        """How many classes the answer is one of."""
        return self.items.num_classes

    @property
    def num_choices(self) -> int:
        """The choice is the class."""
        return self.num_classes

    @cached_property
    def actions(self) -> ActionFormat:
        """The action space and what its actions mean."""
        return ACTION_FORMATS[self.action_format](self.num_classes, self.grid_size)

    @cached_property
    def fixed_scenes(self) -> NDArray[np.float64] | None:
        """The numbers that make each item's scene in `val` and `test`; None in `train`.

        Row `i` does not depend on how many items there are, so test image 17 is the same for all.
        """
        if self.split not in SCENE_SEEDS:
            return None
        generator = np.random.Generator(np.random.PCG64(SCENE_SEEDS[self.split]))
        return generator.random((len(self.items), self.scene_maker.num_uniforms))
