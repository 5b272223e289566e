"""Pictures of an episode: where the agent looks, what it sees and what it believes.

`render_frame` draws one RGB frame (`render_mode="rgb_array"`), `render_text` the same moment in
characters (`render_mode="ansi"`). Both are pure, arrays in and a picture out, so that a recorded
trajectory can be drawn as well as a live environment.

A frame is laid out from the shapes alone (`_Layout`), never from what is shown, so that every frame
of an episode has the same even size, as video encoders demand. Everything is drawn on a canvas of
twice the size and averaged down, which smooths shapes and text, while the enlarged image pixels
stay crisp because their edges fall on whole frame pixels.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ram_env.action_formats import NO_ANSWER

Colour: TypeAlias = tuple[int, int, int]
Paint: TypeAlias = Colour | tuple[int, int, int, int]  # with an alpha
Point: TypeAlias = tuple[float, float]
Pixels: TypeAlias = NDArray[np.uint8]
Numbers: TypeAlias = NDArray[np.floating[Any]]
Integers: TypeAlias = NDArray[np.integer[Any]]

# The colour-blind safe palette of Okabe & Ito (2008), finest scale first. Green and vermillion come
# last because they also say right and wrong.
SCALE_COLOURS: list[Colour] = [
    (230, 159, 0),  # orange
    (86, 180, 233),  # sky blue
    (204, 121, 167),  # reddish purple
    (240, 228, 66),  # yellow
    (0, 158, 115),  # bluish green
    (213, 94, 0),  # vermillion
]
_RIGHT: Colour = (38, 200, 150)  # bluish green and vermillion, lightened to be read on dark
_WRONG: Colour = (245, 121, 58)

_BACKGROUND: Colour = (15, 19, 28)
_PANEL: Colour = (35, 43, 60)  # lighter than black: the border of a dark image must show
_TRACK: Colour = (35, 43, 60)
_BAR: Colour = (112, 130, 164)
_PAST: Colour = (62, 74, 100)
_MUTED: Colour = (150, 162, 186)
_TEXT: Colour = (240, 243, 250)
_SHADOW: Colour = (8, 10, 16)
_SHADOW_ALPHA = 170
_OPAQUE = 255
_WHITE = np.iinfo(np.uint8).max
_IMAGE_AXES = ("height", "width")

# Lengths in frame pixels at the reference width; `_Layout.unit` scales them to other widths.
_REFERENCE_WIDTH = 640
_MIN_WIDTH = 240
_SUPERSAMPLE = 2
_GAP = 16
_SMALL_GAP = 6
_HEADER_HEIGHT = 48
_HEADER_FONT = 21
_FONT = 13
_MIN_FONT = 10  # smaller digits are no longer told apart
_PROGRESS_HEIGHT = 4
_LINE_WIDTH = 2
_CORNER_RADIUS = 6
_DOT_RADIUS = 9
_MIN_DOT_RADIUS = 6.5
_MAX_BAR_ROW = 26

# Proportions of text and marks to the font's size.
_LINE_HEIGHT = 1.4
_DIGIT_HEIGHT = 0.7
_DIGIT_WIDTH = 0.6
_PERCENT_WIDTH = 2.6
_MIN_PERCENT_ROW = 10  # width of a bar's row: narrower ones have no percentage
_MARK_WIDTH = 0.9
_TICK = ((-0.38, 0.02), (-0.1, 0.3), (0.4, -0.32))
_TICK_THICKNESS = 0.14
_TICK_WIDTH = 1.2

# Proportions of the layout.
_IMAGE_SHARE = 0.68  # of the width, for an image with the retina beside it
_MAX_PANEL_HEIGHT = 0.85  # of the width: what a tall image may take
_MIN_COLUMN_HEIGHT = 0.52  # of the width: what retina and belief need beside the image
_BELIEF_HEIGHT = 0.28  # of the width: a title and ten bars
_ROW_HEIGHT = 0.36  # of the width: retina and belief below the image
_RETINA_SHARE = 0.44  # of the width, when below the image
_WIDE_ASPECT = 1.3  # wider images have the retina below
_NARROW_WIDTH = 360  # narrower frames too
_OUTSIDE_SHARE = 1 / 10  # of the image's longer side, shown all around it
_WHOLE_CELL = 4  # image pixels drawn at this size or larger get a whole number of frame pixels

_OLDEST_FRESHNESS = 0.35  # opacity of the first line of the path
_DOT_TO_BOX = 0.12  # radius of a dot to the side of the finest box, so that it does not hide it
_RING_TO_LINE = 0.6
_MAX_STOPS = 12  # glimpses: more stops would hide each other, and the image
_NUMBER_TO_RADIUS = {1: 1.55, 2: 1.25}  # font size by number of digits
_BAR_TO_ROW = 0.64

_MAX_CLASSES = 20  # of more, only the top ones are shown
_TOP_CLASSES = 10

_TEXT_COLUMNS = 80
_TEXT_ROWS = 40
_TEXT_RETINA_ROWS = 16
_TEXT_TOP_CLASSES = 4
_CHARACTER_ASPECT = 2  # a character is about twice as high as wide
_SHADES = np.array(list(" ░▒▓█"))
_PATH_MARKS = "123456789abcdefghijklmnopqrstuvwxyz"


# --------------------------------------------------------------------------------- public functions


class Verdict(NamedTuple):
    """How an episode went.

    Attributes:
        text: In words.
        is_success: Whether it went well; None where that is not known.
    """

    text: str
    is_success: bool | None


def render_frame(
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
    width: int = _REFERENCE_WIDTH,
) -> Pixels:
    """Draws one moment of an episode as an RGB frame.

    The image is large, with the path of the gaze and the current boxes on it; beside it (below it,
    where it is wide) are the retina, one patch per scale, and the class probabilities. The size of
    the frame depends on the size of the image and on `width`, on nothing else. A path of up to 12
    glimpses has numbered stops, a longer one is a line alone.

    Args:
        image: The scene, uint8 `(height, width)` or `(height, width, channels)`, 1 or 3 channels.
        fixations: Centres `(x, y)` of the glimpses so far, in pixels from the top-left edge of
            the image, `(t, 2)`, the current one last.
        boxes: Left, top, right and bottom pixel edges (half-open) of every scale at the current
            fixation, finest first, `(num_scales, 4)`. They may lie outside the image.
        glimpse: The retina in [0, 1], `(num_scales, patch, patch)`, or with channels at the end.
        num_glimpses: How many glimpses the agent has in all.
        belief: Class probabilities, `(num_classes,)`. None: "not given" is written in their place.
        label: The true class. It is shown, so it is to be given at the end only.
        prediction: The answer, -1 if the episode ended without one, None before its end.
        verdict: How the episode went; None: as label and prediction say.
        names: What the classes, or whatever else is chosen, are called; None: their numbers.
        width: Width of the frame in pixels.

    Returns:
        The frame, uint8 `(frame_height, width, 3)`; `frame_height` is even.

    Raises:
        ValueError: `width` is odd or less than 240, or an array has another shape than these.
    """
    _check_shapes(fixations, boxes, glimpse)
    pixels = as_rgb("image", image, _IMAGE_AXES)
    layout = _layout(_check_width(width), pixels.shape[1], pixels.shape[0])
    canvas = _Canvas(_Rect(0, 0, layout.width, layout.height), _BACKGROUND)
    verdict = verdict or _class_verdict(label, prediction)
    _draw_header(canvas, layout, _progress_text(len(fixations), num_glimpses), verdict)
    _draw_progress(canvas, layout, len(fixations), num_glimpses)
    _draw_image(canvas, layout, pixels, fixations, boxes, has_stops=num_glimpses <= _MAX_STOPS)
    _draw_retina(canvas, layout, _patches(glimpse), boxes)
    _draw_belief(canvas, layout, belief, names, label, prediction)
    return canvas.to_array()


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
        ValueError: An array has another shape than these.
    """
    _check_shapes(fixations, boxes, glimpse)
    stops = fixations if num_glimpses <= _MAX_STOPS else fixations[:0]
    said = _verdict(label, prediction) if verdict is None else verdict.text
    status = [_progress_text(len(fixations), num_glimpses), said]
    lines = [
        *_text_scene(as_rgb("image", image, _IMAGE_AXES), stops, boxes),
        *_text_retina(_patches(glimpse), boxes),
        " | ".join(part for part in status if part),
        *_text_belief(belief, names),
    ]
    return "\n".join(line.rstrip()[:_TEXT_COLUMNS] for line in lines)


def as_rgb(name: str, pixels: Pixels, axes: Sequence[str]) -> Pixels:
    """Returns pictures as such of three channels, `(*axes, 3)`.

    Args:
        name: What to call them in an error.
        pixels: uint8 with these axes, or with 1 or 3 channels at the end.
        axes: The names of their axes.

    Raises:
        ValueError: They have other axes, or not 1 or 3 channels, or there are none.
    """
    with_channels = pixels[..., np.newaxis] if pixels.ndim == len(axes) else pixels
    is_image = with_channels.ndim == len(axes) + 1 and with_channels.shape[-1] in (1, 3)
    if not is_image or not pixels.size:
        raise ValueError(
            f"{name}.shape={pixels.shape} is not ({', '.join(axes)}[, channels]), 1 or 3 channels, "
            "with at least one pixel"
        )
    return np.broadcast_to(with_channels, (*with_channels.shape[:-1], 3))


def scale_colour(scale: int) -> Colour:
    """Returns the colour of a scale, 0 the finest; of many scales some share theirs."""
    return SCALE_COLOURS[scale % len(SCALE_COLOURS)]


# ------------------------------------------------------------------------- what both have in common


def _check_width(width: int) -> int:
    if width < _MIN_WIDTH or width % 2:
        raise ValueError(f"width={width!r} is not an even number of at least {_MIN_WIDTH}")
    return int(width)


def _check_shapes(fixations: Numbers, boxes: Integers, glimpse: NDArray[np.float32]) -> None:
    if fixations.ndim != 2 or fixations.shape[0] < 1 or fixations.shape[1] != 2:
        raise ValueError(f"fixations.shape={fixations.shape} is not (t, 2) with t of at least 1")
    if glimpse.ndim not in (3, 4) or glimpse.shape[0] < 1:
        raise ValueError(
            f"glimpse.shape={glimpse.shape} is not (num_scales, patch, patch[, channels])"
        )
    if boxes.shape != (glimpse.shape[0], 4):
        raise ValueError(f"boxes.shape={boxes.shape} is not ({glimpse.shape[0]}, 4)")


def _patches(glimpse: NDArray[np.float32]) -> list[Pixels]:
    """Returns the retina as one image `(patch, patch, 3)` per scale."""
    levels = np.rint(np.clip(glimpse, 0.0, 1.0) * _WHITE).astype(np.uint8)
    return list(as_rgb("glimpse", levels, ("num_scales", "patch", "patch")))


def _extent_text(box: Integers) -> str:
    left, _, right, _ = box.tolist()
    return f"{right - left} px"


def _progress_text(used: int, num_glimpses: int) -> str:
    return f"glimpse {used} of {num_glimpses}"


def _verdict(label: int | None, prediction: int | None) -> str:
    """Returns the answer and the truth in words, as far as they are given."""
    parts = []
    if prediction is not None:
        parts.append("no answer" if prediction == NO_ANSWER else f"said {prediction}")
    if label is not None:
        parts.append(f"is {label}")
    return ", ".join(parts)


def _class_verdict(label: int | None, prediction: int | None) -> Verdict:
    """Returns the verdict of an answer; of a right one the truth needs no words."""
    if label is None or prediction is None:
        return Verdict(_verdict(label, prediction), None)
    is_right = prediction == label
    return Verdict(_verdict(None if is_right else label, prediction), is_right)


def _numbers(belief: Numbers) -> list[str]:
    """Returns the names of classes that have none: their numbers."""
    return [str(number) for number in range(len(belief))]


def _likeliest(belief: Numbers, count: int) -> list[int]:
    """Returns the `count` likeliest classes, the likeliest first."""
    order: list[int] = np.argsort(-belief, kind="stable")[:count].tolist()
    return order


# ------------------------------------------------------------------------------------------- layout


class _Rect(NamedTuple):
    """A rectangle in frame pixels."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def middle(self) -> Point:
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def grown(self, by: float) -> _Rect:
        return _Rect(self.left - by, self.top - by, self.right + by, self.bottom + by)

    def centred(self, width: float, height: float) -> _Rect:
        """Returns a rectangle of this size in the middle of this one, on whole pixels."""
        left = self.left + (self.width - width) // 2
        top = self.top + (self.height - height) // 2
        return _Rect(left, top, left + width, top + height)


@dataclass(frozen=True)
class _Layout:
    """Where the parts of a frame go, in frame pixels.

    Attributes:
        width: Width of the frame, even.
        height: Height of the frame, even.
        header: The line of text at the top.
        panel: The image and its surroundings.
        image: The image itself, within the panel.
        retina: The patches.
        belief: The class probabilities.
    """

    width: int
    height: int
    header: _Rect
    panel: _Rect
    image: _Rect
    retina: _Rect
    belief: _Rect

    @property
    def unit(self) -> float:
        """The scale of fonts, gaps and lines: 1 at the reference width."""
        return self.width / _REFERENCE_WIDTH

    @property
    def font_size(self) -> float:
        return max(_FONT * self.unit, _MIN_FONT)

    @property
    def line_height(self) -> float:
        return self.font_size * _LINE_HEIGHT

    @property
    def line_width(self) -> int:
        return max(round(_LINE_WIDTH * self.unit), _LINE_WIDTH)

    @property
    def small_gap(self) -> float:
        return _SMALL_GAP * self.unit


@lru_cache(maxsize=64)
def _layout(width: int, image_width: int, image_height: int) -> _Layout:
    """Lays out a frame: retina and belief beside the image, or below it where it is wide."""
    is_wide = width < _NARROW_WIDTH or image_width >= _WIDE_ASPECT * image_height
    gap, top = (round(length * width / _REFERENCE_WIDTH) for length in (_GAP, _HEADER_HEIGHT))
    # The frame becomes as high as its content needs.
    content = _Rect(gap, max(top, 2 * _MIN_FONT), width - gap, math.inf)

    outside = math.ceil(max(image_width, image_height) * _OUTSIDE_SHARE)
    columns, rows = image_width + 2 * outside, image_height + 2 * outside
    room = content.width if is_wide else _IMAGE_SHARE * content.width
    cell = _cell_size(room, _MAX_PANEL_HEIGHT * width, columns, rows)

    panel_width, panel_height = math.ceil(columns * cell), math.ceil(rows * cell)
    if is_wide:
        panel, retina, belief = _place_below(content, panel_height, gap)
    else:
        panel, retina, belief = _place_beside(content, panel_width, panel_height, gap)
    return _Layout(
        width=width,
        height=2 * math.ceil((belief.bottom + gap) / 2),
        header=content._replace(top=0, bottom=content.top),
        panel=panel,
        image=panel.centred(image_width * cell, image_height * cell),
        retina=retina,
        belief=belief,
    )


def _place_beside(
    content: _Rect, panel_width: int, panel_height: int, gap: int
) -> tuple[_Rect, _Rect, _Rect]:
    """Returns the panel at the left, and retina above belief at the right, as high as the panel."""
    height = max(panel_height, round(_MIN_COLUMN_HEIGHT * content.width))
    panel = _Rect(content.left, content.top, content.left + panel_width, content.top + height)
    column = _Rect(panel.right + gap, panel.top, content.right, panel.bottom)
    # The retina's patches cannot use more height than about the width of the column.
    split = column.top + min(column.height - _BELIEF_HEIGHT * content.width, column.width + 2 * gap)
    return panel, column._replace(bottom=split), column._replace(top=split + gap / 2)


def _place_below(content: _Rect, panel_height: int, gap: int) -> tuple[_Rect, _Rect, _Rect]:
    """Returns the panel over the whole width, and retina and belief side by side below it."""
    panel = content._replace(bottom=content.top + panel_height)
    top = panel.bottom + gap
    height = max(_ROW_HEIGHT * content.width, _MIN_FONT * _TOP_CLASSES * _LINE_HEIGHT)
    row = content._replace(top=top, bottom=top + round(height))
    split = row.left + round(_RETINA_SHARE * row.width)
    return panel, row._replace(right=split), row._replace(left=split + gap)


def _cell_size(width: float, height: float, columns: int, rows: int) -> float:
    """Returns how many frame pixels a side of an image pixel gets, for `columns` by `rows` to fit.

    Whole numbers are crisp; small cells may be halves, which the canvas still resolves, and huge
    images are averaged down.
    """
    cell = min(width / columns, height / rows)
    if cell >= _WHOLE_CELL:
        return float(math.floor(cell))
    return math.floor(cell * _SUPERSAMPLE) / _SUPERSAMPLE or cell


def _grid(area: _Rect, count: int, spacing: Point) -> list[_Rect]:
    """Returns `count` cells in reading order, in the grid that gives the largest squares.

    Args:
        area: What to divide.
        count: How many cells.
        spacing: What is lost of every cell's width and height.
    """

    def side(columns: int) -> float:
        rows = math.ceil(count / columns)
        return max(min(area.width / columns - spacing[0], area.height / rows - spacing[1]), 1.0)

    columns = max(range(1, count + 1), key=side)
    width, height = side(columns) + spacing[0], side(columns) + spacing[1]
    cells = []
    for index in range(count):
        row, column = divmod(index, columns)
        left, top = area.left + column * width, area.top + row * height
        cells.append(_Rect(left, top, left + width, top + height))
    return cells


# ------------------------------------------------------------------------------------------- canvas


class _Canvas:
    """A part of the frame to draw on, in frame coordinates; what lies outside is cut off."""

    def __init__(self, bounds: _Rect, background: Colour) -> None:
        self.bounds = bounds
        size = (round(bounds.width * _SUPERSAMPLE), round(bounds.height * _SUPERSAMPLE))
        self._image = Image.new("RGB", size, background)
        self._draw = ImageDraw.Draw(self._image)
        # Mode RGBA on an RGB image blends in colours that have an alpha, but is slow.
        self._blend = ImageDraw.Draw(self._image, "RGBA")

    def to_array(self) -> Pixels:
        return np.array(self._image.reduce(_SUPERSAMPLE))

    def paste(self, other: _Canvas) -> None:
        self._image.paste(other._image, self._at(other.bounds[:2]))

    def picture(self, area: _Rect, pixels: Pixels) -> None:
        """Enlarges an image `(height, width, 3)` to the area, every pixel a crisp square."""
        left, top, right, bottom = self._corners(area)
        picture = Image.fromarray(pixels)
        is_larger = right - left >= picture.width
        resample = Image.Resampling.NEAREST if is_larger else Image.Resampling.BOX
        self._image.paste(picture.resize((right - left, bottom - top), resample), (left, top))

    def fill(self, area: _Rect, colour: Colour, radius: float = 0.0) -> None:
        left, top, right, bottom = self._corners(area)
        if left < right and top < bottom:
            corners = (left, top, right - 1, bottom - 1)
            self._draw.rounded_rectangle(corners, radius * _SUPERSAMPLE, fill=colour)

    def outline(self, area: _Rect, colour: Paint, thickness: float) -> None:
        """Draws a frame around the area, which itself stays uncovered."""
        left, top, right, bottom = self._corners(area.grown(thickness))
        line = round(thickness * _SUPERSAMPLE)
        corners = (left, top, right - 1, bottom - 1)
        self._brush(colour).rectangle(corners, outline=colour, width=line)

    def line(self, points: Sequence[Point], colour: Paint, thickness: float) -> None:
        corners = [self._at(point) for point in points]
        line = round(thickness * _SUPERSAMPLE)
        self._brush(colour).line(corners, colour, line, joint="curve")

    def disc(self, centre: Point, radius: float, colour: Paint) -> None:
        x, y = self._at(centre)
        reach = radius * _SUPERSAMPLE
        self._brush(colour).ellipse((x - reach, y - reach, x + reach, y + reach), fill=colour)

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        self._draw.polygon([self._at(point) for point in points], fill=colour)

    def text(
        self,
        at: Point,
        text: str,
        size: float,
        colour: Colour,
        align: Literal["left", "middle", "right"] = "left",
    ) -> None:
        """Writes a line whose left end, middle or right end is at half the height of digits."""
        word = _word(text, round(size * _SUPERSAMPLE))
        x, y = self._at((at[0], at[1] + size * _DIGIT_HEIGHT / 2))
        start = x - round(word.length * {"left": 0.0, "middle": 0.5, "right": 1.0}[align])
        self._image.paste(colour, (start + word.left, y + word.top), word.mask)

    def _brush(self, colour: Paint) -> ImageDraw.ImageDraw:
        return self._draw if len(colour) == len(_BACKGROUND) else self._blend

    def _at(self, point: Sequence[float]) -> tuple[int, int]:
        x, y = point
        left, top, *_ = self.bounds
        return round((x - left) * _SUPERSAMPLE), round((y - top) * _SUPERSAMPLE)

    def _corners(self, area: _Rect) -> tuple[int, int, int, int]:
        return (*self._at(area[:2]), *self._at(area[2:]))


class _Word(NamedTuple):
    """A rendered text: its opacity, where that lies from the start of the baseline, its length."""

    mask: Image.Image
    left: int
    top: int
    length: float


# The same few words and numbers come back in every frame, and rendering them is the slowest part.
@lru_cache(maxsize=2048)
def _word(text: str, size: int) -> _Word:
    font = _font(size)
    left, top, right, bottom = (round(edge) for edge in font.getbbox(text, anchor="ls"))
    mask = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(mask).text((-left, -top), text, fill=_OPAQUE, font=font, anchor="ls")
    return _Word(mask, left, top, font.getlength(text))


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


# ------------------------------------------------------------------------------------------- header


def _draw_header(canvas: _Canvas, layout: _Layout, progress: str, verdict: Verdict) -> None:
    """Writes how far the episode is at the left and, at its end, how it went at the right."""
    size = max(_HEADER_FONT * layout.unit, _MIN_FONT)
    left, _, right, bottom = layout.header
    middle = (bottom - layout.small_gap) / 2
    canvas.text((left, middle), progress, size, _TEXT)
    if verdict.is_success:
        _draw_tick(canvas, (right - size / 2, middle), size)
        canvas.text((right - _TICK_WIDTH * size, middle), verdict.text, size, _RIGHT, "right")
    else:
        colour = _TEXT if verdict.is_success is None else _WRONG
        canvas.text((right, middle), verdict.text, size, colour, "right")


def _draw_tick(canvas: _Canvas, centre: Point, size: float) -> None:
    """Draws a tick with lines: Pillow's own font has none."""
    x, y = centre
    points = [(x + size * dx, y + size * dy) for dx, dy in _TICK]
    canvas.line(points, _RIGHT, size * _TICK_THICKNESS)


def _draw_progress(canvas: _Canvas, layout: _Layout, used: int, num_glimpses: int) -> None:
    """Draws a bar of one segment per glimpse, the used ones filled, the current one bright."""
    bottom = layout.header.bottom - layout.small_gap
    top = bottom - max(_PROGRESS_HEIGHT * layout.unit, _LINE_WIDTH)
    step = layout.header.width / num_glimpses
    space = layout.small_gap / 2 if step > 2 * layout.small_gap else 0.0
    for index in range(num_glimpses):
        left = layout.header.left + index * step
        right = left + step - (space if index < num_glimpses - 1 else 0.0)
        colour = _TEXT if index == used - 1 else _BAR if index < used else _TRACK
        canvas.fill(_Rect(left, top, right, bottom), colour)


# -------------------------------------------------------------------------------------------- image


def _draw_image(
    canvas: _Canvas,
    layout: _Layout,
    pixels: Pixels,
    fixations: Numbers,
    boxes: Integers,
    *,
    has_stops: bool,
) -> None:
    """Draws the image in its panel, with the current boxes and the path of the gaze on it."""
    # A canvas of its own cuts off boxes that reach past the panel.
    panel = _Canvas(layout.panel, _BACKGROUND)
    panel.fill(layout.panel, _PANEL, _CORNER_RADIUS * layout.unit)
    panel.picture(layout.image, pixels)
    cell = layout.image.width / pixels.shape[1]
    corner = np.array(layout.image[:2])
    areas = [_Rect(*edges) for edges in (np.tile(corner, 2) + cell * boxes).tolist()]
    _draw_boxes(panel, layout, areas)
    centres = [(x, y) for x, y in (corner + cell * fixations).tolist()]
    _draw_path(panel, layout, centres)
    if has_stops:
        _draw_stops(panel, layout, centres, _dot_radius(layout, areas[0].width))
    canvas.paste(panel)


def _draw_boxes(panel: _Canvas, layout: _Layout, areas: list[_Rect]) -> None:
    # Coarse first: where lines meet, the finest is on top.
    for scale, area in reversed(list(enumerate(areas))):
        # A shadow keeps the colour apart from bright pixels.
        shadow = area.grown(layout.line_width)
        panel.outline(shadow, (*_SHADOW, _SHADOW_ALPHA), 1)
        panel.outline(area, scale_colour(scale), layout.line_width)


def _dot_radius(layout: _Layout, finest_side: float) -> float:
    """Returns the radius of the path's dots: small where the finest box is small."""
    wanted = min(_DOT_RADIUS * layout.unit, _DOT_TO_BOX * finest_side)
    return max(wanted, _MIN_DOT_RADIUS * max(layout.unit, 1.0))


def _draw_path(panel: _Canvas, layout: _Layout, centres: list[Point]) -> None:
    """Draws the gaze as a line that fades into the past."""
    last = len(centres) - 1
    for index, ends in enumerate(itertools.pairwise(centres)):
        freshness = _OLDEST_FRESHNESS + (1 - _OLDEST_FRESHNESS) * (index + 1) / last
        panel.line(ends, (*_SHADOW, _SHADOW_ALPHA), layout.line_width + 2)
        panel.line(ends, (*_TEXT, round(_OPAQUE * freshness)), layout.line_width)


def _draw_stops(panel: _Canvas, layout: _Layout, centres: list[Point], radius: float) -> None:
    """Draws the numbered stops of the gaze."""
    last = len(centres) - 1
    ring = layout.line_width * _RING_TO_LINE
    for index, centre in enumerate(centres):
        is_current = index == last
        panel.disc(centre, radius + 2 * ring, (*_SHADOW, _SHADOW_ALPHA))
        panel.disc(centre, radius + ring, _TEXT if is_current else _MUTED)
        panel.disc(centre, radius, _TEXT if is_current else _PAST)
        number = str(index + 1)
        size = radius * _NUMBER_TO_RADIUS.get(len(number), 1.0)
        panel.text(centre, number, size, _SHADOW if is_current else _TEXT, "middle")


# ------------------------------------------------------------------------------------------- retina


def _draw_title(canvas: _Canvas, layout: _Layout, area: _Rect, title: str) -> _Rect:
    """Writes a title at the top of the area and returns what is left below."""
    middle = area.top + layout.font_size * _DIGIT_HEIGHT / 2
    canvas.text((area.left, middle), title, layout.font_size, _MUTED)
    return area._replace(top=area.top + layout.line_height)


def _draw_retina(canvas: _Canvas, layout: _Layout, patches: list[Pixels], boxes: Integers) -> None:
    """Draws what the agent sees: every patch at the same size, framed in its scale's colour."""
    area = _draw_title(canvas, layout, layout.retina, "retina")
    line = layout.line_width
    spacing = (2 * line + layout.small_gap, 2 * line + layout.line_height)
    for scale, place in enumerate(_grid(area, len(patches), spacing)):
        patch = patches[scale]
        room = place.width - spacing[0]
        cell = _cell_size(room, room, patch.shape[1], patch.shape[0])
        left, top = math.ceil(place.left + line), math.ceil(place.top + line)
        tile = _Rect(left, top, left + cell * patch.shape[1], top + cell * patch.shape[0])
        canvas.picture(tile, patch)
        canvas.outline(tile, scale_colour(scale), line)
        caption = (tile.middle[0], tile.bottom + line + layout.line_height / 2)
        text = _extent_text(boxes[scale])
        canvas.text(caption, text, layout.font_size, scale_colour(scale), "middle")


# ------------------------------------------------------------------------------------------- belief


@dataclass(frozen=True)
class _Bar:
    """One class: its name, its probability in [0, 1] and how to show them."""

    name: str
    probability: float
    colour: Colour
    is_chosen: bool
    is_true: bool


def _draw_belief(
    canvas: _Canvas,
    layout: _Layout,
    belief: Numbers | None,
    names: Sequence[str] | None,
    label: int | None,
    prediction: int | None,
) -> None:
    """Draws the class probabilities as bars, the answer (the likeliest class) standing out."""
    title = "class probabilities" if names is None else "probabilities"
    area = _draw_title(canvas, layout, layout.belief, title)
    if belief is None:
        middle = area.top + layout.line_height / 2
        canvas.text((area.left, middle), "not given", layout.font_size, _BAR)
        return
    bars = _bars(belief, names or _numbers(belief), label, prediction)
    for bar, row in zip(bars, _bar_rows(layout, area, len(bars)), strict=True):
        _draw_bar(canvas, layout, row, bar, max(len(bar.name) for bar in bars))


def _bars(
    belief: Numbers, names: Sequence[str], label: int | None, prediction: int | None
) -> list[_Bar]:
    """Returns the bars: all in order of class, or if too many the top ones, likeliest first."""
    belief = np.clip(np.nan_to_num(belief), 0.0, 1.0)
    chosen = int(np.argmax(belief)) if prediction in (None, NO_ANSWER) else prediction
    emphasis = _TEXT if label is None or prediction != chosen else _WRONG
    shown = list(range(len(belief)))
    if len(belief) > _MAX_CLASSES:
        # The true class and the answer are of interest even where they are not likely.
        shown = [
            number
            for rank, number in enumerate(_likeliest(belief, len(belief)))
            if rank < _TOP_CLASSES or number in (chosen, label)
        ]
    return [
        _Bar(
            name=names[number],
            probability=float(belief[number]),
            colour=_RIGHT if number == label else emphasis if number == chosen else _BAR,
            is_chosen=number == chosen,
            is_true=number == label,
        )
        for number in shown
    ]


def _bar_rows(layout: _Layout, area: _Rect, count: int) -> list[_Rect]:
    """Returns the rows of the bars: one column of them, or two where they would be too low."""
    columns = 1 if area.height >= count * layout.font_size else 2
    per_column = math.ceil(count / columns)
    width = (area.width - (columns - 1) * _GAP * layout.unit) / columns
    height = min(area.height / per_column, _MAX_BAR_ROW * layout.unit)
    rows = []
    for index in range(count):
        column, row = divmod(index, per_column)
        left = area.left + column * (width + _GAP * layout.unit)
        top = area.top + row * height
        rows.append(_Rect(left, top, left + width, top + height))
    return rows


def _draw_bar(canvas: _Canvas, layout: _Layout, row: _Rect, bar: _Bar, max_letters: int) -> None:
    """Draws the mark of the true class, the class's name, the bar and its percentage."""
    size, middle = layout.font_size, row.middle[1]
    number_right = row.left + size * (_MARK_WIDTH + max_letters * _DIGIT_WIDTH)
    has_percentage = row.width > size * _MIN_PERCENT_ROW
    track_right = row.right - size * _PERCENT_WIDTH if has_percentage else row.right
    half = row.height * _BAR_TO_ROW / 2
    track = _Rect(number_right + layout.small_gap, middle - half, track_right, middle + half)
    canvas.fill(track, _TRACK)
    canvas.fill(track._replace(right=track.left + bar.probability * track.width), bar.colour)
    ink = bar.colour if bar.is_true or bar.is_chosen else _MUTED
    canvas.text((number_right, middle), bar.name, size, ink, "right")
    if has_percentage:
        canvas.text((row.right, middle), f"{bar.probability:.0%}", size, ink, "right")
    if bar.is_true:
        _draw_mark(canvas, (row.left, middle), size * _DIGIT_HEIGHT)


def _draw_mark(canvas: _Canvas, left: Point, size: float) -> None:
    """Draws a triangle that points to the true class."""
    x, y = left
    tip = x + size * math.sqrt(3) / 2
    canvas.polygon([(x, y - size / 2), (tip, y), (x, y + size / 2)], _RIGHT)


# --------------------------------------------------------------------------------------------- text


def _text_scene(pixels: Pixels, fixations: Numbers, boxes: Integers) -> list[str]:
    """Returns the image in a thin frame, the finest box in double lines, the path as digits."""
    picture = _shade(pixels, _TEXT_COLUMNS - 2, _TEXT_ROWS)
    rows, columns = picture.shape
    # Coordinates count from the thin frame, so the image's characters start at 1.
    characters = np.full((rows + 2, columns + 2), " ", dtype="<U1")
    characters[1:-1, 1:-1] = picture
    _draw_text_box(characters, (0, 0, columns + 1, rows + 1), "─│┌┐└┘")
    zoom = np.array([columns / pixels.shape[1], rows / pixels.shape[0]])
    left, top = np.floor(boxes[0, :2] * zoom).astype(int).tolist()
    right, bottom = np.ceil(boxes[0, 2:] * zoom).astype(int).tolist()
    _draw_text_box(characters, (left, top, right + 1, bottom + 1), "═║╔╗╚╝")
    stops = np.clip(np.floor(fixations * zoom).astype(int), 0, [columns - 1, rows - 1]) + 1
    for index, (column, row) in enumerate(stops):
        characters[row, column] = _PATH_MARKS[min(index, len(_PATH_MARKS) - 1)]
    return ["".join(line) for line in characters]


def _draw_text_box(
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


def _text_retina(patches: list[Pixels], boxes: Integers) -> list[str]:
    """Returns the patches side by side, each under its extent in pixels."""
    room = max((_TEXT_COLUMNS - 1) // len(patches) - 1, _CHARACTER_ASPECT)
    pictures = [_shade(patch, room, _TEXT_RETINA_ROWS) for patch in patches]
    width = pictures[0].shape[1]
    captions = " ".join(_extent_text(box)[:width].ljust(width) for box in boxes)
    rows = ["│".join("".join(part) for part in row) for row in zip(*pictures, strict=True)]
    return [f" {captions}", *(f"│{row}│" for row in rows)]


def _shade(pixels: Pixels, max_columns: int, max_rows: int) -> NDArray[np.str_]:
    """Returns an image `(height, width, 3)` as characters `(rows, columns)`, averaged to fit."""
    height, width = pixels.shape[:2]
    zoom = min(1.0, max_columns / (_CHARACTER_ASPECT * width), max_rows / height)
    columns = max(int(_CHARACTER_ASPECT * width * zoom), 1)
    rows = max(int(height * zoom), 1)
    grey = Image.fromarray(pixels).convert("L").resize((columns, rows), Image.Resampling.BOX)
    levels = np.rint(np.asarray(grey) / _WHITE * (len(_SHADES) - 1))
    shades: NDArray[np.str_] = _SHADES[levels.astype(int)]
    return shades


def _text_belief(belief: Numbers | None, names: Sequence[str] | None) -> list[str]:
    if belief is None:
        return []
    names = names or _numbers(belief)
    likeliest = _likeliest(belief, _TEXT_TOP_CLASSES)
    return ["belief " + ", ".join(f"{names[number]}: {belief[number]:.0%}" for number in likeliest)]
