"""Where the parts of a frame go."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeAlias

Point: TypeAlias = tuple[float, float]

# Lengths in frame pixels at the reference width; `Layout.unit` scales them to other widths.
REFERENCE_WIDTH = 640
MIN_WIDTH = 240
SUPERSAMPLE = 2  # canvas pixels along each side of a frame pixel
GAP = 16
_SMALL_GAP = 6
_HEADER_HEIGHT = 48
_FONT = 13
MIN_FONT = 10  # smaller digits are no longer told apart
LINE_WIDTH = 2
_LINE_HEIGHT = 1.4  # of the font's size

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
TOP_CLASSES = 10  # are shown, of many


class Rect(NamedTuple):
    """A rectangle in frame pixels."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """Its width."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Its height."""
        return self.bottom - self.top

    @property
    def middle(self) -> Point:
        """Its middle."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def grown(self, by: float) -> Rect:
        """Returns a rectangle that is larger by so much on every side."""
        return Rect(self.left - by, self.top - by, self.right + by, self.bottom + by)

    def centred(self, width: float, height: float) -> Rect:
        """Returns a rectangle of this size in the middle of this one, on whole pixels."""
        left = self.left + (self.width - width) // 2
        top = self.top + (self.height - height) // 2
        return Rect(left, top, left + width, top + height)


@dataclass(frozen=True)
class Layout:
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
    header: Rect
    panel: Rect
    image: Rect
    retina: Rect
    belief: Rect

    @property
    def unit(self) -> float:
        """The scale of fonts, gaps and lines: 1 at the reference width."""
        return self.width / REFERENCE_WIDTH

    @property
    def font_size(self) -> float:
        """Size of all text but the header's."""
        return max(_FONT * self.unit, MIN_FONT)

    @property
    def line_height(self) -> float:
        """What a line of that text takes."""
        return self.font_size * _LINE_HEIGHT

    @property
    def line_width(self) -> int:
        """Thickness of the lines around boxes and patches."""
        return max(round(LINE_WIDTH * self.unit), LINE_WIDTH)

    @property
    def small_gap(self) -> float:
        """Distance of things that belong together."""
        return _SMALL_GAP * self.unit


@lru_cache(maxsize=64)
def lay_out(width: int, image_width: int, image_height: int) -> Layout:
    """Lays out a frame: retina and belief beside the image, or below it where it is wide."""
    is_wide = width < _NARROW_WIDTH or image_width >= _WIDE_ASPECT * image_height
    gap, top = (round(length * width / REFERENCE_WIDTH) for length in (GAP, _HEADER_HEIGHT))
    # The frame becomes as high as its content needs.
    content = Rect(gap, max(top, 2 * MIN_FONT), width - gap, math.inf)

    outside = math.ceil(max(image_width, image_height) * _OUTSIDE_SHARE)
    columns, rows = image_width + 2 * outside, image_height + 2 * outside
    room = content.width if is_wide else _IMAGE_SHARE * content.width
    cell = cell_size(room, _MAX_PANEL_HEIGHT * width, columns, rows)

    panel_width, panel_height = math.ceil(columns * cell), math.ceil(rows * cell)
    if is_wide:
        panel, retina, belief = _place_below(content, panel_height, gap)
    else:
        panel, retina, belief = _place_beside(content, panel_width, panel_height, gap)
    return Layout(
        width=width,
        height=2 * math.ceil((belief.bottom + gap) / 2),
        header=content._replace(top=0, bottom=content.top),
        panel=panel,
        image=panel.centred(image_width * cell, image_height * cell),
        retina=retina,
        belief=belief,
    )


def _place_beside(
    content: Rect, panel_width: int, panel_height: int, gap: int
) -> tuple[Rect, Rect, Rect]:
    """Returns the panel at the left, and retina above belief at the right, as high as the panel."""
    height = max(panel_height, round(_MIN_COLUMN_HEIGHT * content.width))
    panel = Rect(content.left, content.top, content.left + panel_width, content.top + height)
    column = Rect(panel.right + gap, panel.top, content.right, panel.bottom)
    # The retina's patches cannot use more height than about the width of the column.
    split = column.top + min(column.height - _BELIEF_HEIGHT * content.width, column.width + 2 * gap)
    return panel, column._replace(bottom=split), column._replace(top=split + gap / 2)


def _place_below(content: Rect, panel_height: int, gap: int) -> tuple[Rect, Rect, Rect]:
    """Returns the panel over the whole width, and retina and belief side by side below it."""
    panel = content._replace(bottom=content.top + panel_height)
    top = panel.bottom + gap
    height = max(_ROW_HEIGHT * content.width, MIN_FONT * TOP_CLASSES * _LINE_HEIGHT)
    row = content._replace(top=top, bottom=top + round(height))
    split = row.left + round(_RETINA_SHARE * row.width)
    return panel, row._replace(right=split), row._replace(left=split + gap)


def cell_size(width: float, height: float, columns: int, rows: int) -> float:
    """Returns how many frame pixels a side of an image pixel gets, for `columns` by `rows` to fit.

    Whole numbers are crisp; small cells may be halves, which the canvas still resolves, and huge
    images are averaged down.
    """
    cell = min(width / columns, height / rows)
    if cell >= _WHOLE_CELL:
        return float(math.floor(cell))
    return math.floor(cell * SUPERSAMPLE) / SUPERSAMPLE or cell


def grid(area: Rect, count: int, spacing: Point) -> list[Rect]:
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
        cells.append(Rect(left, top, left + width, top + height))
    return cells
