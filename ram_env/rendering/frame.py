"""One moment of an episode as a picture."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ram_env.action_formats import NO_ANSWER
from ram_env.rendering.canvas import DIGIT_HEIGHT, Canvas
from ram_env.rendering.colours import (
    BACKGROUND,
    BAR,
    MUTED,
    OPAQUE,
    PANEL,
    PAST,
    RIGHT,
    SHADOW,
    SHADOW_ALPHA,
    TEXT,
    TRACK,
    WRONG,
    Colour,
    scale_colour,
)
from ram_env.rendering.layout import (
    GAP,
    LINE_WIDTH,
    MIN_FONT,
    MIN_WIDTH,
    REFERENCE_WIDTH,
    TOP_CLASSES,
    Layout,
    Point,
    Rect,
    cell_size,
    grid,
    lay_out,
)
from ram_env.rendering.moment import (
    IMAGE_AXES,
    MAX_STOPS,
    Integers,
    Numbers,
    Pixels,
    Verdict,
    as_rgb,
    check_moment,
    class_verdict,
    extent_text,
    likeliest_classes,
    numbers_as_names,
    patches_of,
    progress_text,
)

_HEADER_FONT = 21
_PROGRESS_HEIGHT = 4
_CORNER_RADIUS = 6
_DOT_RADIUS = 9
_MIN_DOT_RADIUS = 6.5
_MAX_BAR_ROW = 26

# Proportions of text and marks to the font's size.
_DIGIT_WIDTH = 0.6
_PERCENT_WIDTH = 3.0
_MIN_PERCENT_ROW = 10  # width of a bar's row: narrower ones have no percentage
_MARK_WIDTH = 0.9
_TICK = ((-0.38, 0.02), (-0.1, 0.3), (0.4, -0.32))
_TICK_THICKNESS = 0.14
_TICK_WIDTH = 1.2

_OLDEST_FRESHNESS = 0.35  # opacity of the first line of the path
_DOT_TO_BOX = 0.12  # radius of a dot to the side of the finest box, so that it does not hide it
_RING_TO_LINE = 0.6
_NUMBER_TO_RADIUS = {1: 1.55, 2: 1.25}  # font size by number of digits
_BAR_TO_ROW = 0.64

_MAX_CLASSES = 20  # of more, only the top ones are shown


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
    width: int = REFERENCE_WIDTH,
) -> Pixels:
    """Draws one moment of an episode as an RGB frame.

    The image is large, with the path of the gaze and the current boxes on it; beside it (below it,
    where it is wide) are the retina, one patch per scale, and the class probabilities. The size of
    the frame depends on the size of the image and on `width`, on nothing else. A path of up to 12
    glimpses has numbered stops, a longer one is a line alone.

    Args:
        image: The scene, uint8 `(height, width)` or `(height, width, channels)`, 1 or 3 channels.
        fixations: Centres `(x, y)` of the glimpses so far, in pixels from the top-left corner of
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
        ValueError: `width` is odd or less than 240, or an array another shape or type than
            these.
    """
    check_moment(image, fixations, boxes, glimpse, belief, names, num_glimpses=num_glimpses)
    pixels = as_rgb("image", image, IMAGE_AXES)
    layout = lay_out(_check_width(width), pixels.shape[1], pixels.shape[0])
    canvas = Canvas(Rect(0, 0, layout.width, layout.height), BACKGROUND)
    verdict = verdict or class_verdict(label, prediction)
    _draw_header(canvas, layout, progress_text(len(fixations), num_glimpses), verdict)
    _draw_progress(canvas, layout, len(fixations), num_glimpses)
    _draw_image(canvas, layout, pixels, fixations, boxes, has_stops=num_glimpses <= MAX_STOPS)
    _draw_retina(canvas, layout, patches_of(glimpse), boxes)
    _draw_belief(canvas, layout, belief, names, label, prediction)
    return canvas.to_array()


def _check_width(width: int) -> int:
    if width < MIN_WIDTH or width % 2:
        raise ValueError(f"width={width!r} is not an even number of at least {MIN_WIDTH}")
    return int(width)


def _draw_header(canvas: Canvas, layout: Layout, progress: str, verdict: Verdict) -> None:
    """Writes how far the episode is at the left and, at its end, how it went at the right."""
    size = max(_HEADER_FONT * layout.unit, MIN_FONT)
    left, _, right, bottom = layout.header
    middle = (bottom - layout.small_gap) / 2
    canvas.text((left, middle), progress, size, TEXT)
    if verdict.is_success:
        _draw_tick(canvas, (right - size / 2, middle), size)
        canvas.text((right - _TICK_WIDTH * size, middle), verdict.text, size, RIGHT, "right")
    else:
        colour = TEXT if verdict.is_success is None else WRONG
        canvas.text((right, middle), verdict.text, size, colour, "right")


def _draw_tick(canvas: Canvas, centre: Point, size: float) -> None:
    """Draws a tick with lines: Pillow's own font has none."""
    x, y = centre
    points = [(x + size * dx, y + size * dy) for dx, dy in _TICK]
    canvas.line(points, RIGHT, size * _TICK_THICKNESS)


def _draw_progress(canvas: Canvas, layout: Layout, used: int, num_glimpses: int) -> None:
    """Draws a bar of one segment per glimpse, the used ones filled, the current one bright."""
    bottom = layout.header.bottom - layout.small_gap
    top = bottom - max(_PROGRESS_HEIGHT * layout.unit, LINE_WIDTH)
    step = layout.header.width / num_glimpses
    space = layout.small_gap / 2 if step > 2 * layout.small_gap else 0.0
    for index in range(num_glimpses):
        left = layout.header.left + index * step
        right = left + step - (space if index < num_glimpses - 1 else 0.0)
        colour = TEXT if index == used - 1 else BAR if index < used else TRACK
        canvas.fill(Rect(left, top, right, bottom), colour)


# -------------------------------------------------------------------------------------------- image


def _draw_image(
    canvas: Canvas,
    layout: Layout,
    pixels: Pixels,
    fixations: Numbers,
    boxes: Integers,
    *,
    has_stops: bool,
) -> None:
    """Draws the image in its panel, with the current boxes and the path of the gaze on it."""
    # A canvas of its own cuts off boxes that reach past the panel.
    panel = Canvas(layout.panel, BACKGROUND)
    panel.fill(layout.panel, PANEL, _CORNER_RADIUS * layout.unit)
    panel.picture(layout.image, pixels)
    cell = layout.image.width / pixels.shape[1]
    corner = np.array(layout.image[:2])
    areas = [Rect(*edges) for edges in (np.tile(corner, 2) + cell * boxes).tolist()]
    _draw_boxes(panel, layout, areas)
    centres = [(x, y) for x, y in (corner + cell * fixations).tolist()]
    _draw_path(panel, layout, centres)
    if has_stops:
        _draw_stops(panel, layout, centres, _dot_radius(layout, areas[0].width))
    canvas.paste(panel)


def _draw_boxes(panel: Canvas, layout: Layout, areas: list[Rect]) -> None:
    # Coarse first: where lines meet, the finest is on top.
    for scale, area in reversed(list(enumerate(areas))):
        # A shadow keeps the colour apart from bright pixels.
        shadow = area.grown(layout.line_width)
        panel.outline(shadow, (*SHADOW, SHADOW_ALPHA), 1)
        panel.outline(area, scale_colour(scale), layout.line_width)


def _dot_radius(layout: Layout, finest_side: float) -> float:
    """Returns the radius of the path's dots: small where the finest box is small."""
    wanted = min(_DOT_RADIUS * layout.unit, _DOT_TO_BOX * finest_side)
    return max(wanted, _MIN_DOT_RADIUS * max(layout.unit, 1.0))


def _draw_path(panel: Canvas, layout: Layout, centres: list[Point]) -> None:
    """Draws the gaze as a line that fades into the past."""
    last = len(centres) - 1
    for index, ends in enumerate(itertools.pairwise(centres)):
        freshness = _OLDEST_FRESHNESS + (1 - _OLDEST_FRESHNESS) * (index + 1) / last
        panel.line(ends, (*SHADOW, SHADOW_ALPHA), layout.line_width + 2)
        panel.line(ends, (*TEXT, round(OPAQUE * freshness)), layout.line_width)


def _draw_stops(panel: Canvas, layout: Layout, centres: list[Point], radius: float) -> None:
    """Draws the numbered stops of the gaze."""
    last = len(centres) - 1
    ring = layout.line_width * _RING_TO_LINE
    for index, centre in enumerate(centres):
        is_current = index == last
        panel.disc(centre, radius + 2 * ring, (*SHADOW, SHADOW_ALPHA))
        panel.disc(centre, radius + ring, TEXT if is_current else MUTED)
        panel.disc(centre, radius, TEXT if is_current else PAST)
        number = str(index + 1)
        size = radius * _NUMBER_TO_RADIUS[len(number)]
        panel.text(centre, number, size, SHADOW if is_current else TEXT, "middle")


# ------------------------------------------------------------------------------------------- retina


def _draw_title(canvas: Canvas, layout: Layout, area: Rect, title: str) -> Rect:
    """Writes a title at the top of the area and returns what is left below."""
    middle = area.top + layout.font_size * DIGIT_HEIGHT / 2
    canvas.text((area.left, middle), title, layout.font_size, MUTED)
    return area._replace(top=area.top + layout.line_height)


def _draw_retina(canvas: Canvas, layout: Layout, patches: list[Pixels], boxes: Integers) -> None:
    """Draws what the agent sees: every patch at the same size, framed in its scale's colour."""
    area = _draw_title(canvas, layout, layout.retina, "retina")
    line = layout.line_width
    spacing = (2 * line + layout.small_gap, 2 * line + layout.line_height)
    for scale, place in enumerate(grid(area, len(patches), spacing)):
        patch = patches[scale]
        room = place.width - spacing[0]
        cell = cell_size(room, room, patch.shape[1], patch.shape[0])
        left, top = math.ceil(place.left + line), math.ceil(place.top + line)
        tile = Rect(left, top, left + cell * patch.shape[1], top + cell * patch.shape[0])
        canvas.picture(tile, patch)
        canvas.outline(tile, scale_colour(scale), line)
        caption = (tile.middle[0], tile.bottom + line + layout.line_height / 2)
        text = extent_text(boxes[scale])
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
    canvas: Canvas,
    layout: Layout,
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
        canvas.text((area.left, middle), "not given", layout.font_size, BAR)
        return
    bars = _bars(belief, names or numbers_as_names(belief), label, prediction)
    for bar, row in zip(bars, _bar_rows(layout, area, len(bars)), strict=True):
        _draw_bar(canvas, layout, row, bar, max(len(bar.name) for bar in bars))


def _bars(
    belief: Numbers, names: Sequence[str], label: int | None, prediction: int | None
) -> list[_Bar]:
    """Returns the bars: all in order of class, or if too many the top ones, likeliest first."""
    belief = np.clip(np.nan_to_num(belief), 0.0, 1.0)
    chosen = int(np.argmax(belief)) if prediction in (None, NO_ANSWER) else prediction
    emphasis = TEXT if label is None or prediction != chosen else WRONG
    shown = list(range(len(belief)))
    if len(belief) > _MAX_CLASSES:
        # The true class and the answer are of interest even where they are not likely.
        shown = [
            number
            for rank, number in enumerate(likeliest_classes(belief, len(belief)))
            if rank < TOP_CLASSES or number in (chosen, label)
        ]
    return [
        _Bar(
            name=names[number],
            probability=float(belief[number]),
            colour=RIGHT if number == label else emphasis if number == chosen else BAR,
            is_chosen=number == chosen,
            is_true=number == label,
        )
        for number in shown
    ]


def _bar_rows(layout: Layout, area: Rect, count: int) -> list[Rect]:
    """Returns the rows of the bars: one column of them, or two where they would be too low."""
    columns = 1 if area.height >= count * layout.font_size else 2
    per_column = math.ceil(count / columns)
    width = (area.width - (columns - 1) * GAP * layout.unit) / columns
    height = min(area.height / per_column, _MAX_BAR_ROW * layout.unit)
    rows = []
    for index in range(count):
        column, row = divmod(index, per_column)
        left = area.left + column * (width + GAP * layout.unit)
        top = area.top + row * height
        rows.append(Rect(left, top, left + width, top + height))
    return rows


def _draw_bar(canvas: Canvas, layout: Layout, row: Rect, bar: _Bar, max_letters: int) -> None:
    """Draws the mark of the true class, the class's name, the bar and its percentage."""
    size, middle = layout.font_size, row.middle[1]
    number_right = row.left + size * (_MARK_WIDTH + max_letters * _DIGIT_WIDTH)
    has_percentage = row.width > size * _MIN_PERCENT_ROW
    track_right = row.right - size * _PERCENT_WIDTH if has_percentage else row.right
    half = row.height * _BAR_TO_ROW / 2
    track = Rect(number_right + layout.small_gap, middle - half, track_right, middle + half)
    canvas.fill(track, TRACK)
    canvas.fill(track._replace(right=track.left + bar.probability * track.width), bar.colour)
    ink = bar.colour if bar.is_true or bar.is_chosen else MUTED
    canvas.text((number_right, middle), bar.name, size, ink, "right")
    if has_percentage:
        canvas.text((row.right, middle), f"{bar.probability:.0%}", size, ink, "right")
    if bar.is_true:
        _draw_mark(canvas, (row.left, middle), size * DIGIT_HEIGHT)


def _draw_mark(canvas: Canvas, left: Point, size: float) -> None:
    """Draws a triangle that points to the true class."""
    x, y = left
    tip = x + size * math.sqrt(3) / 2
    canvas.polygon([(x, y - size / 2), (tip, y), (x, y + size / 2)], RIGHT)
