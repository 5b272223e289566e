"""The glimpse sensor: what the agent sees of an image around a location.

Geometry, for an image of `width` by `height` pixels:

- A location `(x, y)` in [-1, 1]^2 is the point `((x + 1) / 2 * width, (y + 1) / 2 * height)` of the
  image plane, in which pixel `(column, row)` covers `[column, column + 1] x [row, row + 1]`. So
  (-1, -1) is the top-left corner of the image, (0, 0) its centre, (1, 1) its bottom-right corner.
- Scale `k` is a square of `patch_size * scale_factor**k` pixels a side, snapped to whole pixels as
  near to that point as can be (half a pixel off at the most), and averaged down to `patch_size` by
  `patch_size` values. A tie goes right and down; so does what float32 cannot tell from a tie, a
  millionth of the longer side.
- Squares whose sides are all even, or all odd, have exactly the same centre, anywhere. With an odd
  `patch_size` and an even `scale_factor` the finest square is odd and the others even, so the
  finest lies half a pixel beside them: it cannot do better on a pixel grid.
- Outside the image everything is 0.

Source: the "glimpse sensor" of Mnih et al. 2014 (arXiv 1406.6247), figure 1A.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ram_env.validation import as_array, brief, settle_integers

MAX_PIXEL = 255
# Glimpses are cut as many at a time as keep what is between image and glimpse in the cache.
CHUNK_PIXELS = 2**20
# How far beside a tie a point still is one, of the longer side: locations are rounded to float32.
ROUNDING = 2.0**-20


@dataclass(frozen=True)
class GlimpseSensor:
    """Cuts foveated glimpses out of a batch of images.

    Args:
        patch_size: Side of every patch the agent gets, in values.
        num_scales: How many concentric squares are seen at once.
        scale_factor: By how much the side grows from one scale to the next.

    Raises:
        ValueError: One of them is not an integer of at least 1.
    """

    patch_size: int = 8
    num_scales: int = 1
    scale_factor: int = 2

    def __post_init__(self) -> None:
        settle_integers(self, "patch_size", "num_scales", "scale_factor", at_least=1)

    @property
    def extents(self) -> list[int]:
        """The side of every scale's square in pixels, finest first."""
        return [self.patch_size * self.scale_factor**scale for scale in range(self.num_scales)]

    def __call__(
        self, images: NDArray[np.uint8], locations: NDArray[np.floating[Any]]
    ) -> NDArray[np.float32]:
        """Returns the glimpse of each image at its location.

        Args:
            images: uint8 `(batch, height, width)` or `(batch, height, width, channels)`.
            locations: `(batch, 2)`, `(x, y)` in [-1, 1].

        Returns:
            float32 in [0, 1], `(batch, num_scales, patch_size, patch_size)`, and `channels` at the
            end if the images have them.

        Raises:
            ValueError: Images or locations of another type or shape, or a location outside.
        """
        images, locations = as_array(images), as_array(locations)
        canvases = self.pad(images)
        if locations.shape != (len(images), 2) or locations.dtype.kind not in "fiu":
            raise ValueError(
                f"locations={brief(locations)} have dtype {locations.dtype} and shape "
                f"{locations.shape}; give one (x, y) in real numbers for each image, of shape "
                f"({len(images)}, 2)"
            )
        outside = ~(np.abs(locations) <= 1)  # true for NaN, too
        if outside.any():
            raise ValueError(f"locations hold {locations[outside][0]}, which is not in [-1, 1]")
        return self.glimpse(canvases, np.arange(len(images)), locations)

    def pad(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Returns the images on black canvases on which every square fits, see `interior`.

        Raises:
            ValueError: Images of another type or shape than `__call__` takes.
        """
        if images.dtype != np.uint8:
            raise ValueError(
                f"images.dtype={images.dtype} is not uint8; of numbers in [0, 1] give "
                "np.rint(255 * images).astype(np.uint8)"
            )
        if images.ndim not in (3, 4):
            raise ValueError(
                f"images.shape={images.shape} is not (batch, height, width) or (batch, height, "
                "width, channels); of a single image give image[np.newaxis]"
            )
        batch, height, width, *channels = images.shape
        canvases = np.zeros(
            (batch, height + self.extents[-1], width + self.extents[-1], *channels), np.uint8
        )
        self.interior(canvases)[:] = images
        return canvases

    def interior(self, canvases: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Returns a view of the images within canvases made by `pad`."""
        margin = self.extents[-1] // 2
        height, width = (side - self.extents[-1] for side in canvases.shape[1:3])
        return canvases[:, margin : margin + height, margin : margin + width]

    def glimpse(
        self,
        canvases: NDArray[np.uint8],
        rows: NDArray[np.int64],
        locations: NDArray[np.floating[Any]],
    ) -> NDArray[np.float32]:
        """Returns what `__call__` does, for images that are on canvases already.

        Environments do this at every step, so nothing is checked.

        Args:
            canvases: What `pad` returned.
            rows: Which of them to look at, int64 `(batch,)`.
            locations: Where, `(batch, 2)`.
        """
        batch, channels = len(rows), canvases.shape[3:]
        patches = (self.patch_size, self.patch_size, *channels)
        glimpses = np.empty((batch, self.num_scales, *patches), np.float32)
        image_size = self.interior(canvases).shape[1:3]
        first_pixels = self._first_pixels(image_size, locations) + self.extents[-1] // 2
        # The coarsest first: it brings the pixels of all others into the cache.
        for scale, extent in reversed(list(enumerate(self.extents))):
            block = self.scale_factor**scale
            squares = _squares(canvases, extent)
            left, top = first_pixels[:, scale].T
            white = np.float32(MAX_PIXEL * block**2)
            for part in _chunks(batch, chunk=max(1, CHUNK_PIXELS // extent**2)):
                pixels = squares[rows[part], top[part], left[part]]
                sums = _sum_blocks(pixels, block)
                if channels:
                    sums = np.moveaxis(sums, 1, -1)
                # Divided, not multiplied by the inverse, so that white is exactly 1.
                np.divide(
                    sums, white, out=glimpses[part, scale], casting="same_kind", dtype=np.float32
                )
        return glimpses

    def centres(
        self, image_size: tuple[int, int], locations: NDArray[np.floating[Any]]
    ) -> NDArray[np.float64]:
        """Returns the points of the image plane, in pixels, that the locations stand for.

        Args:
            image_size: `(height, width)` in pixels.
            locations: `(..., 2)`, `(x, y)` in [-1, 1].

        Returns:
            float64 `(..., 2)`, `(x, y)` in pixels from the top-left corner.
        """
        height, width = image_size
        half_sides = np.array([width / 2, height / 2])
        centres: NDArray[np.float64] = (np.asarray(locations, np.float64) + 1) * half_sides
        return centres

    def boxes(
        self, image_size: tuple[int, int], locations: NDArray[np.floating[Any]]
    ) -> NDArray[np.int64]:
        """Returns the square of every scale, in pixels; it may reach outside the image.

        Args:
            image_size: `(height, width)` in pixels.
            locations: `(..., 2)`, `(x, y)` in [-1, 1].

        Returns:
            int64 `(..., num_scales, 4)`: left, top, right, bottom; right and bottom are not in it.
        """
        first = self._first_pixels(image_size, locations)
        return np.concatenate([first, first + np.array(self.extents)[:, None]], axis=-1)

    def _first_pixels(
        self, image_size: tuple[int, int], locations: NDArray[np.floating[Any]]
    ) -> NDArray[np.int64]:
        """Returns the left and the top pixel of every scale's square, `(..., num_scales, 2)`.

        An even square is centred on the grid line nearest to the point, an odd one on the pixel
        that holds it: whole numbers before the side comes in, so that all scales round alike.
        """
        centres = self.centres(image_size, locations) + ROUNDING * max(image_size)
        extents = np.array(self.extents)[:, np.newaxis]
        anchors = np.floor(centres[..., np.newaxis, :] + np.where(extents % 2 == 0, 0.5, 0.0))
        first: NDArray[np.int64] = anchors.astype(np.int64) - extents // 2
        return first


def _squares(canvases: NDArray[np.uint8], extent: int) -> NDArray[np.uint8]:
    """Returns a view of every square there is, `(batch, top, left[, channels], extent, extent)`.

    NumPy's `sliding_window_view`, which takes ten times as long to make.
    """
    batch, height, width, *channels = canvases.shape
    of_batch, of_rows, of_columns, *of_channels = canvases.strides
    return np.ndarray(
        (batch, height - extent + 1, width - extent + 1, *channels, extent, extent),
        canvases.dtype,
        canvases,
        strides=(of_batch, of_rows, of_columns, *of_channels, of_rows, of_columns),
    )


def _chunks(batch: int, *, chunk: int) -> Iterator[slice]:
    """Yields the slices of at most `chunk` that make up a batch."""
    for first in range(0, batch, chunk):
        yield slice(first, first + chunk)


def _sum_blocks(values: NDArray[np.uint8], block: int) -> NDArray[Any]:
    """Returns the sums of squares of `block` by `block` values, over the last two axes.

    Whole numbers in a type that holds them, so a glimpse does not depend on the batch it is in.
    """
    if block == 1:
        return values
    dtype = np.min_scalar_type(MAX_PIXEL * block**2)
    rows = np.add(values[..., 0::block, :], values[..., 1::block, :], dtype=dtype)
    for offset in range(2, block):
        rows += values[..., offset::block, :]
    sums = rows[..., 0::block] + rows[..., 1::block]
    for offset in range(2, block):
        sums += rows[..., offset::block]
    return sums
