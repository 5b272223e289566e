"""Pictures of a run in pixels: what the agent looks at, what it gets to see, animated episodes.

`draw_glimpses` and `draw_patches` make rows of tiles, one for each image, and a tile has the same
width whatever it shows. So the two pictures of a time step, and those of all time steps, line up.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from agents.files import replace_atomically
from ram_env.rendering import as_rgb, scale_colour
from ram_env.rendering.colours import BACKGROUND, PANEL, SHADOW, Colour

Pixels: TypeAlias = NDArray[np.uint8]
Integers: TypeAlias = NDArray[np.integer[Any]]

_SHADOW_ALPHA = 190
_WHITE = np.iinfo(np.uint8).max

# Lengths in pixels of the picture.
_CONTENT_SIDE = 200  # what images and patches are enlarged to, or nearly
_MARGIN = 16  # what is seen at least of the outside of an image
_TILE_WIDTH = _CONTENT_SIDE + 2 * _MARGIN
_GAP = 8
_LINE_WIDTH = 3
_SHADOW_WIDTH = 1

_GIF_COLOURS = 255  # of 256: the last one stands for pixels that stay as they were
_EXACT_COLOURS = 64  # of more colours than a GIF has, so many are kept as they are
_RGB_TO_CODE = np.array([1 << 16, 1 << 8, 1], np.uint32)
_NUM_CODES = 1 << 24
_GIF_TICK = 0.01  # seconds: finer durations cannot be written
_FOREVER = 0  # the number of a GIF's loops


# ----------------------------------------------------------------------------------------- pictures


def draw_glimpses(images: Pixels, boxes: Integers) -> Pixels:
    """Draws images side by side, with the boxes of what is seen of them.

    Images are enlarged by a whole factor; those that are too large for a tile are averaged down.

    Args:
        images: uint8 `(n, height, width)` or `(n, height, width, channels)`, 1 or 3 channels.
        boxes: Left, top, right and bottom pixel edges (half-open) of every scale, finest first,
            `(n, num_scales, 4)`. Outside its image a box is drawn as far as the tile reaches.

    Returns:
        The picture, uint8 `(picture_height, picture_width, 3)`; its width depends on `n` alone.

    Raises:
        ValueError: There is no image, or an array has another shape than these.
    """
    pixels = as_rgb("images", images, ("n", "height", "width"))
    if boxes.ndim != 3 or (len(boxes), boxes.shape[-1]) != (len(images), 4):
        raise ValueError(f"boxes.shape={boxes.shape} is not ({len(images)}, num_scales, 4)")
    colours = [scale_colour(scale) for scale in range(boxes.shape[1])]
    return _side_by_side(
        [_draw_tile(image, around, colours) for image, around in zip(pixels, boxes, strict=True)]
    )


def draw_patches(glimpses: NDArray[np.floating[Any]]) -> Pixels:
    """Draws what the agent gets: for each image a column of patches, finest scale first.

    All patches are enlarged to the same size, and framed in their scales' colours.

    Args:
        glimpses: In [0, 1], `(n, num_scales, patch, patch)`, or with 1 or 3 channels at the end.

    Returns:
        The picture, uint8 `(picture_height, picture_width, 3)`, as wide as `draw_glimpses` makes
        that of `n` images, with the columns below the images.

    Raises:
        ValueError: There is no glimpse, or the array has another shape than these.
    """
    levels = np.rint(np.clip(glimpses, 0.0, 1.0) * _WHITE).astype(np.uint8)
    pixels = as_rgb("glimpses", levels, ("n", "num_scales", "patch", "patch"))
    height, width = pixels.shape[2:4]
    frame = np.array([[0, 0, width, height]])
    return _side_by_side(
        [
            np.concatenate(
                [
                    _draw_tile(patch, frame, [scale_colour(scale)])
                    for scale, patch in enumerate(patches)
                ]
            )
            for patches in pixels
        ]
    )


def _draw_tile(pixels: Pixels, boxes: Integers, colours: Sequence[Colour]) -> Pixels:
    """Returns an image `(height, width, 3)` in the middle of a tile, with its boxes."""
    height, width = pixels.shape[:2]
    zoom = _zoom(max(height, width))
    size = (round(width * zoom), round(height * zoom))
    resample = Image.Resampling.NEAREST if zoom >= 1 else Image.Resampling.BOX
    tile = Image.new("RGB", (_TILE_WIDTH, size[1] + 2 * _MARGIN), PANEL)
    corner = ((tile.width - size[0]) // 2, _MARGIN)
    tile.paste(Image.fromarray(pixels).resize(size, resample), corner)
    edges = np.rint(np.tile(corner, 2) + zoom * boxes).astype(int).tolist()
    # Coarse first: where lines meet, the finest is on top.
    for around, colour in reversed(list(zip(edges, colours, strict=True))):
        _draw_box(tile, around, colour)
    return np.asarray(tile)


def _zoom(longer_side: int) -> float:
    """Returns the factor that makes an image fit a tile, a whole number if it is enlarged."""
    factor = _CONTENT_SIDE / longer_side
    return math.floor(factor) or factor


def _draw_box(tile: Image.Image, edges: Sequence[int], colour: Colour) -> None:
    """Draws a line around what is within these edges.

    Args:
        tile: What to draw on.
        edges: Left, top, right and bottom (half-open).
        colour: The line's.
    """
    left, top, right, bottom = edges

    def outline(distance: int, paint: tuple[int, ...], thickness: int) -> None:
        corners = (left - distance, top - distance, right + distance - 1, bottom + distance - 1)
        ImageDraw.Draw(tile, "RGBA").rectangle(corners, outline=paint, width=thickness)

    # A shadow on both sides keeps the line apart from bright pixels.
    outline(_LINE_WIDTH + _SHADOW_WIDTH, (*SHADOW, _SHADOW_ALPHA), _LINE_WIDTH + 2 * _SHADOW_WIDTH)
    outline(_LINE_WIDTH, colour, _LINE_WIDTH)


def _side_by_side(tiles: Sequence[Pixels]) -> Pixels:
    """Returns tiles `(height, _TILE_WIDTH, 3)` of one size in a row, with gaps all around."""
    height = tiles[0].shape[0] + 2 * _GAP
    stride = _TILE_WIDTH + _GAP
    picture = np.full((height, len(tiles) * stride + _GAP, 3), BACKGROUND, np.uint8)
    for index, tile in enumerate(tiles):
        left = _GAP + index * stride
        picture[_GAP:-_GAP, left : left + _TILE_WIDTH] = tile
    return picture


# -------------------------------------------------------------------------------------------- files


def write_png(path: str | os.PathLike[str], pixels: Pixels) -> None:
    """Writes a picture, or leaves what was there.

    Args:
        path: The file; its folder is made if need be.
        pixels: uint8 `(height, width, 3)`.
    """
    with replace_atomically(path) as beside:
        Image.fromarray(pixels).save(beside, "PNG", optimize=True)


def write_gif(
    path: str | os.PathLike[str], frames: Sequence[Pixels], seconds: Sequence[float]
) -> None:
    """Writes an animation that repeats for ever, or leaves what was there.

    A frame that equals the one before it prolongs that one: the file may have fewer frames.

    Args:
        path: The file; its folder is made if need be.
        frames: At least one, uint8 `(height, width, 3)`, all of the same size.
        seconds: How long each frame is shown, rounded to hundredths.

    Raises:
        ValueError: There is no frame, sizes differ, or there are not as many durations as frames.
    """
    if len(frames) != len(seconds):
        raise ValueError(f"{len(frames)} frames, but {len(seconds)} durations")
    shapes = sorted({frame.shape for frame in frames})
    if len(shapes) != 1:
        raise ValueError(f"frames of the shapes {shapes}; give at least one, all of the same shape")
    first, *others = _with_palette(frames)
    milliseconds = [round(1000 * _GIF_TICK * round(length / _GIF_TICK)) for length in seconds]
    with replace_atomically(path) as beside:
        first.save(
            beside,
            "GIF",
            save_all=True,
            append_images=others,
            duration=milliseconds,
            loop=_FOREVER,
            optimize=True,  # only what changes is written
        )


def write_episodes(
    path: str | os.PathLike[str],
    episodes: Iterable[Iterable[Pixels]],
    *,
    seconds: float,
    seconds_at_the_end: float,
) -> None:
    """Writes an animation of one episode after the other, as `write_gif` does.

    Args:
        path: The file; its folder is made if need be.
        episodes: The frames of each.
        seconds: How long each frame is shown.
        seconds_at_the_end: How long the last frame of each episode is.
    """
    frames: list[Pixels] = []
    durations: list[float] = []
    for episode in episodes:
        for frame in episode:
            frames.append(frame)
            durations.append(seconds)
        durations[-1] = seconds_at_the_end
    write_gif(path, frames, durations)


def _with_palette(frames: Sequence[Pixels]) -> list[Image.Image]:
    """Returns frames `(height, width, 3)` with one palette for all, so that nothing flickers.

    Without dithering, which would speckle our large dark areas and make a file several times as
    large. One frame after the other, as there may be thousands.
    """
    counts: Counter[int] = Counter()
    for frame in frames:
        codes, times = np.unique(frame @ _RGB_TO_CODE, return_counts=True)
        counts.update(dict(zip(codes.tolist(), times.tolist(), strict=True)))
    found = np.array(sorted(counts, key=lambda code: (-counts[code], code)))
    colours = (found[:, np.newaxis] // _RGB_TO_CODE % (_WHITE + 1)).astype(np.uint8)
    index_of_code = np.zeros(_NUM_CODES, np.uint8)
    palette, index_of_code[found] = _quantise(colours)
    images = [Image.fromarray(index_of_code[frame @ _RGB_TO_CODE]) for frame in frames]
    for image in images:
        image.putpalette(palette.tobytes())
    return images


def _quantise(colours: Pixels) -> tuple[Pixels, Pixels]:
    """Returns a palette, and for each colour where in it the nearest one is.

    The most frequent colours are the flat areas, whose exact colour one sees. The others, such as
    the smoothed edges of text, count alike, so that rare colours have their place as well.

    Args:
        colours: RGB without duplicates, the most frequent first, `(n, 3)`.

    Returns:
        `(at most _GIF_COLOURS, 3)` and `(n,)`.
    """
    if len(colours) <= _GIF_COLOURS:
        return colours, np.arange(len(colours), dtype=np.uint8)
    exact, others = colours[:_EXACT_COLOURS], Image.fromarray(colours[np.newaxis, _EXACT_COLOURS:])
    rest = others.quantize(_GIF_COLOURS - _EXACT_COLOURS, Image.Quantize.MAXCOVERAGE).getpalette()
    palette = np.concatenate([exact.ravel(), rest or []]).astype(np.uint8)[: 3 * _GIF_COLOURS]
    holder = Image.new("P", (1, 1))
    holder.putpalette(palette.tobytes())
    nearest = Image.fromarray(colours[np.newaxis]).quantize(
        palette=holder, dither=Image.Dither.NONE
    )
    indices = np.array(nearest)[0]
    indices[:_EXACT_COLOURS] = np.arange(_EXACT_COLOURS)  # Pillow's search blurs the last two bits
    return palette.reshape(-1, 3), indices
