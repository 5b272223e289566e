"""Scenes: how the image of an episode is made of a dataset item.

A scene gets its randomness as numbers: `num_uniforms` of them in [0, 1) for each episode. Where
they come from is the caller's business (the environment's generator in training, a table fixed per
item in validation and test), so a scene is a pure function.

Source: Mnih et al. 2014 (arXiv 1406.6247), section 4.1: translated and cluttered MNIST.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ram_env.distortion import Distortion
from ram_env.validation import brief, require_choice, settle_integers

Images = NDArray[np.uint8]
Uniforms = NDArray[np.float64]


@runtime_checkable
class Scene(Protocol):
    """What an environment asks of a scene."""

    @property
    def uses_others(self) -> bool:
        """Whether it shows pieces of other items."""

    @property
    def num_uniforms(self) -> int:
        """How many random numbers one episode takes."""

    def image_shape(self, item_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Returns the shape of the scene's images, `(height, width[, channels])`.

        Args:
            item_shape: The shape of a dataset item, `(height, width[, channels])`.

        Raises:
            ValueError: Such an item does not fit in the scene.
        """

    def compose(self, items: Images, uniforms: Uniforms, others: Others) -> Images:
        """Returns the scenes, uint8 `(batch, *image_shape)`.

        Args:
            items: The items to be recognised, uint8 `(batch, height, width[, channels])`.
            uniforms: float64 in [0, 1), `(batch, num_uniforms)`.
            others: Where clutter comes from.
        """


def _is_scene(scene: object) -> bool:
    """Tells whether it is a scene and not, say, a scene's class, which has the same methods."""
    return isinstance(scene, Scene) and not isinstance(scene, type)


@dataclass(frozen=True, eq=False)
class Others:
    """The training images that clutter is cut from, with the episode's own item left out.

    Attributes:
        images: uint8 `(num_items, height, width[, channels])`.
        own_index: Each episode's own place in `images`, int64 `(batch,)`; None if it has none
            (validation and test items are not among the training images).
    """

    images: Images
    own_index: NDArray[np.int64] | None

    def pick(self, uniforms: Uniforms) -> NDArray[np.int64]:
        """Returns an index into `images` for each number in [0, 1), never the episode's own."""
        if self.own_index is None:
            return _pick(uniforms, len(self.images))
        picked = _pick(uniforms, len(self.images) - 1)
        return picked + (picked >= self.own_index)


@dataclass(frozen=True)
class PlainScene:
    """The item itself."""

    uses_others = False
    num_uniforms = 0

    def image_shape(self, item_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Returns the item's own shape."""
        return item_shape

    def compose(self, items: Images, uniforms: Uniforms, others: Others) -> Images:
        """Returns the items as they are."""
        return items


@dataclass(frozen=True)
class ShiftedScene:
    """The item moved by a few pixels, for training: what is moved out is lost, black moves in.

    Args:
        max_shift: The farthest it moves, in pixels, along each axis.

    Raises:
        ValueError: `max_shift` is not an integer of at least 1.
    """

    max_shift: int = 1

    uses_others = False
    num_uniforms = 2

    def __post_init__(self) -> None:
        settle_integers(self, "max_shift", at_least=1)

    def image_shape(self, item_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Returns the item's own shape."""
        return item_shape

    def compose(self, items: Images, uniforms: Uniforms, others: Others) -> Images:
        """Returns the items moved as the two numbers say (rows, columns)."""
        margin = self.max_shift
        border = [(0, 0), (margin, margin), (margin, margin)] + [(0, 0)] * (items.ndim - 3)
        windows = sliding_window_view(np.pad(items, border), items.shape[1:3], axis=(1, 2))
        tops, lefts = _pick(uniforms.T, 2 * margin + 1)
        return _channels_last(windows[np.arange(len(items)), tops, lefts])


@dataclass(frozen=True)
class TranslatedScene:
    """The item on a black square, anywhere it fits whole.

    Args:
        size: The square's side in pixels.

    Raises:
        ValueError: `size` is not an integer of at least 1.
    """

    size: int = 60

    uses_others = False
    num_uniforms = 2

    def __post_init__(self) -> None:
        settle_integers(self, "size", at_least=1)

    def image_shape(self, item_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Returns `(size, size[, channels])`; a ValueError if the item is larger than that."""
        height, width, *channels = item_shape
        if max(height, width) > self.size:
            raise ValueError(
                f"size={self.size}: a {width}x{height} item does not fit in a "
                f"{self.size}x{self.size} scene; give one of a size of at least "
                f"{max(height, width)}, such as ram_env.TranslatedScene or ram_env.ClutteredScene "
                f"with size={2 * max(height, width)}"
            )
        return (self.size, self.size, *channels)

    def compose(self, items: Images, uniforms: Uniforms, others: Others) -> Images:
        """Returns the items at the places that the two numbers choose (row, column)."""
        batch, height, width, *_ = items.shape
        scenes = np.zeros((batch, *self.image_shape(items.shape[1:])), np.uint8)
        tops = _pick(uniforms[:, 0], self.size - height + 1)
        lefts = _pick(uniforms[:, 1], self.size - width + 1)
        windows = sliding_window_view(scenes, (height, width), axis=(1, 2), writeable=True)
        windows[np.arange(batch), tops, lefts] = _channels_first(items)
        return scenes


@dataclass(frozen=True)
class ClutteredScene:
    """A translated item among pieces of other training images.

    The pieces are random square crops, placed uniformly where they fit whole; where things
    overlap the brighter pixel shows.

    Args:
        size: The scene's side in pixels.
        num_pieces: How many pieces of clutter.
        piece_size: The side of a piece in pixels.

    Raises:
        ValueError: One of them is not an integer of at least 1, or a piece does not fit.
    """

    size: int = 60
    num_pieces: int = 4
    piece_size: int = 8

    uses_others = True

    def __post_init__(self) -> None:
        settle_integers(self, "size", "num_pieces", "piece_size", at_least=1)

    @property
    def num_uniforms(self) -> int:
        """Two for the item's place and five for each piece."""
        return TranslatedScene.num_uniforms + 5 * self.num_pieces

    def image_shape(self, item_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Returns `(size, size[, channels])`; a ValueError if item or pieces do not fit."""
        if self.piece_size > min(item_shape[:2]):
            raise ValueError(
                f"piece_size={self.piece_size} does not fit in an item of "
                f"{item_shape[1]}x{item_shape[0]} pixels, which pieces are cut from; "
                f"give at most {min(item_shape[:2])}"
            )
        return TranslatedScene(self.size).image_shape(item_shape)

    def compose(self, items: Images, uniforms: Uniforms, others: Others) -> Images:
        """Returns the items placed as in `TranslatedScene`, with the pieces over them."""
        scenes = TranslatedScene(self.size).compose(items, uniforms, others)
        square = (self.piece_size, self.piece_size)
        sources = sliding_window_view(others.images, square, axis=(1, 2))
        windows = sliding_window_view(scenes, square, axis=(1, 2), writeable=True)
        pieces = uniforms[:, TranslatedScene.num_uniforms :].reshape(len(items), self.num_pieces, 5)
        item, crop_top, crop_left, top, left = pieces.T
        crops = sources[
            others.pick(item),
            _pick(crop_top, sources.shape[1]),
            _pick(crop_left, sources.shape[2]),
        ]
        places = zip(_pick(top, windows.shape[1]), _pick(left, windows.shape[2]), strict=True)
        rows = np.arange(len(items))
        for crop, (tops, lefts) in zip(crops, places, strict=True):
            under = windows[rows, tops, lefts]
            windows[rows, tops, lefts] = np.maximum(under, crop)
        return scenes


@dataclass(frozen=True)
class DistortedScene:
    """Another scene of a distorted item, for training; clutter is as it was.

    Args:
        scene: What is made of the distorted item.
        distortion: How far it is distorted.

    Raises:
        ValueError: `scene` is no `Scene` (nor is a name), or `distortion` no `Distortion`.
    """

    scene: Scene
    distortion: Distortion = field(default_factory=Distortion)

    def __post_init__(self) -> None:
        if not _is_scene(self.scene):
            raise ValueError(
                f"DistortedScene: scene={brief(self.scene)} is no Scene; give one, such as "
                "ClutteredScene(), or the environment a name, such as scene='distorted-cluttered'"
            )
        if not isinstance(self.distortion, Distortion):
            raise ValueError(
                f"DistortedScene: distortion={brief(self.distortion)} is no Distortion; give one, "
                "such as Distortion(rotation=5)"
            )

    @property
    def uses_others(self) -> bool:
        """Whether the scene shows pieces of other items."""
        return self.scene.uses_others

    @property
    def num_uniforms(self) -> int:
        """The distortion's, and then the scene's."""
        return self.distortion.num_uniforms + self.scene.num_uniforms

    def image_shape(self, item_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Returns the shape of the scene's images."""
        return self.scene.image_shape(item_shape)

    def compose(self, items: Images, uniforms: Uniforms, others: Others) -> Images:
        """Returns the scenes of the items, distorted as the first numbers say."""
        count = self.distortion.num_uniforms
        distorted = self.distortion.apply(items, uniforms[:, :count])
        return self.scene.compose(distorted, uniforms[:, count:], others)


_PAPERS: dict[str, Scene] = {
    "translated": TranslatedScene(size=60),
    "cluttered": ClutteredScene(size=60, num_pieces=4),
    "cluttered-100": ClutteredScene(size=100, num_pieces=8),
}
SCENES: dict[str, Scene] = {
    "plain": PlainScene(),
    **_PAPERS,
    "shifted": ShiftedScene(max_shift=1),
    "distorted": DistortedScene(PlainScene()),
    **{f"distorted-{name}": DistortedScene(scene) for name, scene in _PAPERS.items()},
}


def find_scene(scene: str | Scene) -> Scene:
    """Returns the scene of that name, or the scene itself.

    Raises:
        ValueError: There is no scene of that name, or it is none.
    """
    if isinstance(scene, str):
        require_choice("scene", scene, SCENES)
        return SCENES[scene]
    if not _is_scene(scene):
        raise ValueError(
            f"scene={scene!r} is no scene; allowed are one of {list(SCENES)} or a Scene"
        )
    return scene


def _pick(uniforms: Uniforms, count: int) -> NDArray[np.int64]:
    """Returns one of `range(count)` for each number in [0, 1)."""
    return (uniforms * count).astype(np.int64)


def _channels_first(items: NDArray[Any]) -> NDArray[Any]:
    """Returns a batch of images laid out as windows are: colour before rows and columns."""
    return items if items.ndim == 3 else np.moveaxis(items, -1, 1)


def _channels_last(items: NDArray[Any]) -> NDArray[Any]:
    """Returns a batch of images laid out as datasets are, from how windows are."""
    return items if items.ndim == 3 else np.moveaxis(items, 1, -1)
