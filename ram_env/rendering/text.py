"""One moment of an episode in characters."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ram_env.rendering.moment import (
    IMAGE_AXES,
    MAX_STOPS,
    WHITE,
    Integers,
    Numbers,
    Pixels,
    Verdict,
    answer_in_words,
    as_rgb,
    check_moment,
    extent_text,
    likeliest_classes,
    numbers_as_names,
    patches_of,
    progress_text,
)

_COLUMNS = 80
_ROWS = 40
_RETINA_ROWS = 16
_TOP_CLASSES = 4
_CHARACTER_ASPECT = 2  # a character is about twice as high as wide
_SHADES = np.array(list(" ░▒▓█"))
_PATH_MARKS = "123456789abc"  # MAX_STOPS of them


def render_text(
    image: Pixels,
    fixations: Numbers,
    boxes: Integers,
    glimpse: NDArray[np.float32],
    *,
    num_glimpses: int,
    belief: Numbers | None = None,
    label: int | None = None,
    prediction: int | None = None,
    verdict: Verdict | None = None,
    names: Sequence[str] | None = None,
) -> str:
    """Draws one moment of an episode in characters, for a terminal of 80 columns.

    The image is shaded with block characters, averaged down if it is too large. A double line is
    the finest box, the digits 1 to 9 and then letters are the path, where it has up to 12 glimpses.
    Below are the retina and the status.

    Args:
        image: As in `render_frame`, like all others.
        fixations: Centres `(x, y)` of the glimpses so far in pixels, `(t, 2)`.
        boxes: Pixel edges of every scale's box, finest first, `(num_scales, 4)`.
        glimpse: The retina in [0, 1], `(num_scales, patch, patch)`, or with channels at the end.
        num_glimpses: How many glimpses the agent has in all.
        belief: Class probabilities, `(num_classes,)`.
        label: The true class, at the end only.
        prediction: The answer, -1 for none, at the end only.
        verdict: How the episode went, at the end only.
        names: What the classes, or whatever else is chosen, are called.

    Returns:
        Lines of at most 80 characters, without colour codes and without a line break at the end.

    Raises:
        ValueError: An array has another shape or type than these.
    """
    check_moment(image, fixations, boxes, glimpse, belief, names, num_glimpses=num_glimpses)
    stops = fixations if num_glimpses <= MAX_STOPS else fixations[:0]
    said = answer_in_words(label, prediction) if verdict is None else verdict.text
    status = [progress_text(len(fixations), num_glimpses), said]
    lines = [
        *_scene(as_rgb("image", image, IMAGE_AXES), stops, boxes),
        *_retina(patches_of(glimpse), boxes),
        " | ".join(part for part in status if part),
        *_belief(belief, names),
    ]
    return "\n".join(line.rstrip()[:_COLUMNS] for line in lines)


def _scene(pixels: Pixels, fixations: Numbers, boxes: Integers) -> list[str]:
    """Returns the image in a thin frame, the finest box in double lines, the path as digits."""
    picture = _shade(pixels, _COLUMNS - 2, _ROWS)
    rows, columns = picture.shape
    # Coordinates count from the thin frame, so the image's characters start at 1.
    characters = np.full((rows + 2, columns + 2), " ", dtype="<U1")
    characters[1:-1, 1:-1] = picture
    _draw_box(characters, (0, 0, columns + 1, rows + 1), "─│┌┐└┘")
    zoom = np.array([columns / pixels.shape[1], rows / pixels.shape[0]])
    left, top = np.floor(boxes[0, :2] * zoom).astype(int).tolist()
    right, bottom = np.ceil(boxes[0, 2:] * zoom).astype(int).tolist()
    _draw_box(characters, (left, top, right + 1, bottom + 1), "═║╔╗╚╝")
    stops = np.clip(np.floor(fixations * zoom).astype(int), 0, [columns - 1, rows - 1]) + 1
    for index, (column, row) in enumerate(stops):
        characters[row, column] = _PATH_MARKS[index]
    return ["".join(line) for line in characters]


def _draw_box(
    characters: NDArray[np.str_], edges: tuple[int, int, int, int], style: Sequence[str]
) -> None:
    """Draws a box on the characters `(rows, columns)`, pushed onto them where it lies outside.

    Args:
        characters: What to draw on, in place.
        edges: Left, top, right and bottom, all drawn on.
        style: Horizontal and vertical line; top left, top right, bottom left, bottom right corner.
    """
    left, right = np.clip(edges[::2], 0, characters.shape[1] - 1).tolist()
    top, bottom = np.clip(edges[1::2], 0, characters.shape[0] - 1).tolist()
    horizontal, vertical, *corners = style
    characters[[top, bottom], left:right] = horizontal
    characters[top:bottom, [left, right]] = vertical
    for place, corner in zip(itertools.product((top, bottom), (left, right)), corners, strict=True):
        characters[place] = corner


def _retina(patches: list[Pixels], boxes: Integers) -> list[str]:
    """Returns the patches side by side, each under its extent in pixels."""
    room = max((_COLUMNS - 1) // len(patches) - 1, _CHARACTER_ASPECT)
    pictures = [_shade(patch, room, _RETINA_ROWS) for patch in patches]
    width = pictures[0].shape[1]
    captions = " ".join(extent_text(box)[:width].ljust(width) for box in boxes)
    rows = ["│".join("".join(part) for part in row) for row in zip(*pictures, strict=True)]
    return [f" {captions}", *(f"│{row}│" for row in rows)]


def _shade(pixels: Pixels, max_columns: int, max_rows: int) -> NDArray[np.str_]:
    """Returns an image `(height, width, 3)` as characters `(rows, columns)`, averaged to fit."""
    height, width = pixels.shape[:2]
    zoom = min(1.0, max_columns / (_CHARACTER_ASPECT * width), max_rows / height)
    columns = max(int(_CHARACTER_ASPECT * width * zoom), 1)
    rows = max(int(height * zoom), 1)
    grey = Image.fromarray(pixels).convert("L").resize((columns, rows), Image.Resampling.BOX)
    levels = np.rint(np.asarray(grey) / WHITE * (len(_SHADES) - 1))
    shades: NDArray[np.str_] = _SHADES[levels.astype(int)]
    return shades


def _belief(belief: Numbers | None, names: Sequence[str] | None) -> list[str]:
    if belief is None:
        return []
    names = names or numbers_as_names(belief)
    likeliest = likeliest_classes(belief, _TOP_CLASSES)
    return ["belief " + ", ".join(f"{names[number]}: {belief[number]:.0%}" for number in likeliest)]
