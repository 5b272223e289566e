"""Random distortions of images: rotated, sheared, scaled, shifted and bent, for training.

Source: Simard, Steinkraus and Platt 2003 ("Best practices for convolutional neural networks applied
to visual document analysis"), whose elastic displacements are noise under a Gaussian blur. Here the
noise is on a coarse grid, and the blur gives the displacement of each pixel: the same smooth fields
from far fewer random numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ram_env.validation import require_number, settle_integers

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]

NUM_AFFINE_UNIFORMS = 6
BUMP_WIDTH = 0.6  # standard deviation of the blur, as a multiple of the grid's distances
BORDER = 1  # black pixels around the images, from which what comes from outside is taken


@dataclass(frozen=True)
class Distortion:
    """How far images are distorted; each amount is drawn uniformly between minus and plus this.

    Args:
        rotation: Degrees.
        scale: Of the logarithm of each axis's scale: 0.12 makes 0.89 to 1.13 times as large.
        shear: Pixels of x for each pixel of y.
        shift: Pixels along each axis.
        bend: Standard deviation of the smooth displacement, in pixels along each axis.
        grid_size: Places along each side at which the displacement is drawn.

    Raises:
        ValueError: A number is negative or not finite, or `grid_size` is not at least 2.
    """

    rotation: float = 12.0
    scale: float = 0.12
    shear: float = 0.12
    shift: float = 1.0
    bend: float = 0.7
    grid_size: int = 5

    def __post_init__(self) -> None:
        for name in ("rotation", "scale", "shear", "shift", "bend"):
            amount = getattr(self, name)
            require_number(name, amount, at_least=0)
            object.__setattr__(self, name, float(amount))
        settle_integers(self, "grid_size", at_least=2)

    @property
    def num_uniforms(self) -> int:
        """How many random numbers an image takes: the affine map's, and the grid's two fields."""
        return NUM_AFFINE_UNIFORMS + 2 * self.grid_size**2

    def apply(self, images: Images, uniforms: NDArray[np.float64]) -> Images:
        """Returns distorted images; all numbers 0.5 leave them as they are.

        Args:
            images: uint8 `(batch, height, width[, channels])`.
            uniforms: `(batch, num_uniforms)`, in [0, 1).

        Returns:
            uint8, of the same shape; what comes from outside is black.
        """
        amounts = (2 * uniforms - 1).astype(np.float32)
        rows, columns = self._sources(amounts, images.shape[1], images.shape[2])
        return _sample(images, rows, columns)

    def _sources(self, amounts: Floats, height: int, width: int) -> tuple[Floats, Floats]:
        """Returns where each pixel comes from, row and column, each `(batch, height, width)`."""
        noise = amounts[:, NUM_AFFINE_UNIFORMS:].reshape(len(amounts), 2, -1)
        middle = np.array([(width - 1) / 2, (height - 1) / 2], np.float32)
        centres = (middle + self.shift * amounts[:, 4:6])[..., np.newaxis]
        weights = np.concatenate([self._affine_maps(amounts), centres, self.bend * noise], axis=2)
        sources = weights @ _basis(self.grid_size, height, width)
        columns, rows = sources.reshape(len(amounts), 2, height, width).swapaxes(0, 1)
        return rows, columns

    def _affine_maps(self, amounts: Floats) -> Floats:
        """Returns rotation times shear times scale, `(batch, 2, 2)`, of points `(x, y)`."""
        angle = np.deg2rad(self.rotation) * amounts[:, 0]
        shear = self.shear * amounts[:, 1]
        scale_x, scale_y = np.exp(self.scale * amounts[:, 2:4].T)
        cosine, sine = np.cos(angle), np.sin(angle)
        maps: Floats = np.array(
            [
                [scale_x * cosine, scale_y * (shear * cosine - sine)],
                [scale_x * sine, scale_y * (shear * sine + cosine)],
            ]
        )
        return maps.transpose(2, 0, 1)


@lru_cache(maxsize=8)
def _basis(grid_size: int, height: int, width: int) -> Floats:
    """Returns what the sources are sums of, `(3 + grid_size**2, height * width)`.

    For every pixel: its offsets x and y from the middle, 1, and the bump at each grid place.
    """
    y, x = np.meshgrid(_offsets(height), _offsets(width), indexing="ij")
    affine = np.stack([x, y, np.ones_like(x)]).reshape(3, height * width)
    return np.concatenate([affine, _blur(grid_size, height, width)])


def _offsets(size: int) -> Floats:
    """Returns where pixels are, from the middle of an axis."""
    return np.arange(size, dtype=np.float32) - np.float32((size - 1) / 2)


def _blur(grid_size: int, height: int, width: int) -> Floats:
    """Returns the matrix that makes displacements of noise, `(grid_size**2, height * width)`.

    The noise is uniform in [-1, 1], the displacements have a standard deviation of 1 on average.
    """
    rows, columns = (_bumps(grid_size, size) for size in (height, width))
    blur = np.einsum("gy,hx->ghyx", rows, columns).reshape(grid_size**2, height * width)
    variance_of_noise = 1 / 3
    blur /= math.sqrt(variance_of_noise * np.square(blur).sum(axis=0).mean())
    matrix: Floats = blur.astype(np.float32)
    return matrix


def _bumps(count: int, size: int) -> NDArray[np.float64]:
    """Returns Gaussians spread evenly over an axis, `(count, size)`."""
    distance = max(size - 1, 1) / (count - 1)
    centres = distance * np.arange(count)[:, np.newaxis]
    deviations = (np.arange(size) - centres) / (BUMP_WIDTH * distance)
    bumps: NDArray[np.float64] = np.exp(-(deviations**2) / 2)
    return bumps


def _sample(images: Images, rows: Floats, columns: Floats) -> Images:
    """Returns bilinear samples of images, at places `(batch, height, width)` in pixels."""
    batch, height, width = images.shape[:3]
    border = [(0, 0), (BORDER, BORDER + 1), (BORDER, BORDER + 1)] + [(0, 0)] * (images.ndim - 3)
    padded = np.pad(images.astype(np.float32), border)
    row_length, size = padded.shape[2], padded.shape[1] * padded.shape[2]
    values = padded.reshape(batch * size, *images.shape[3:])
    rows = np.clip(rows + BORDER, 0, height + BORDER)
    columns = np.clip(columns + BORDER, 0, width + BORDER)
    top, left = rows.astype(np.intp), columns.astype(np.intp)
    down = np.subtract(rows, top, dtype=np.float32)
    right = np.subtract(columns, left, dtype=np.float32)
    if images.ndim > 3:
        down, right = down[..., np.newaxis], right[..., np.newaxis]
    first = size * np.arange(batch)[:, np.newaxis, np.newaxis]
    corner = first + row_length * top + left
    upper, lower = values.take(corner, axis=0), values.take(corner + row_length, axis=0)
    upper += right * (values.take(corner + 1, axis=0) - upper)
    lower += right * (values.take(corner + row_length + 1, axis=0) - lower)
    upper += down * (lower - upper)
    samples: Images = (upper + np.float32(0.5)).astype(np.uint8)
    return samples
