"""What a frame is drawn on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ram_env.rendering.colours import BACKGROUND, OPAQUE, Colour, Paint
from ram_env.rendering.layout import SUPERSAMPLE, Point, Rect
from ram_env.rendering.moment import Pixels

DIGIT_HEIGHT = 0.7  # of the font's size


class Canvas:
    """A part of the frame to draw on, in frame coordinates; what lies outside is cut off."""

    def __init__(self, bounds: Rect, background: Colour) -> None:
        self.bounds = bounds
        size = (round(bounds.width * SUPERSAMPLE), round(bounds.height * SUPERSAMPLE))
        self._image = Image.new("RGB", size, background)
        self._draw = ImageDraw.Draw(self._image)
        # Mode RGBA on an RGB image blends in colours that have an alpha, but is slow.
        self._blend = ImageDraw.Draw(self._image, "RGBA")

    def to_array(self) -> Pixels:
        """Returns what was drawn, averaged down to frame pixels, uint8 `(height, width, 3)`."""
        return np.array(self._image.reduce(SUPERSAMPLE))

    def paste(self, other: Canvas) -> None:
        """Puts another canvas where it belongs."""
        self._image.paste(other._image, self._at(other.bounds[:2]))

    def picture(self, area: Rect, pixels: Pixels) -> None:
        """Enlarges an image `(height, width, 3)` to the area, every pixel a crisp square."""
        left, top, right, bottom = self._corners(area)
        picture = Image.fromarray(pixels)
        is_larger = right - left >= picture.width
        resample = Image.Resampling.NEAREST if is_larger else Image.Resampling.BOX
        size = (max(1, right - left), max(1, bottom - top))  # of a strip a thousand times as long
        self._image.paste(picture.resize(size, resample), (left, top))

    def fill(self, area: Rect, colour: Colour, radius: float = 0.0) -> None:
        """Fills the area, its corners rounded by `radius`."""
        left, top, right, bottom = self._corners(area)
        if left < right and top < bottom:
            corners = (left, top, right - 1, bottom - 1)
            self._draw.rounded_rectangle(corners, radius * SUPERSAMPLE, fill=colour)

    def outline(self, area: Rect, colour: Paint, thickness: float) -> None:
        """Draws a frame around the area, which itself stays uncovered."""
        left, top, right, bottom = self._corners(area.grown(thickness))
        line = round(thickness * SUPERSAMPLE)
        corners = (left, top, right - 1, bottom - 1)
        self._brush(colour).rectangle(corners, outline=colour, width=line)

    def line(self, points: Sequence[Point], colour: Paint, thickness: float) -> None:
        """Draws a line from point to point."""
        corners = [self._at(point) for point in points]
        line = round(thickness * SUPERSAMPLE)
        self._brush(colour).line(corners, colour, line, joint="curve")

    def disc(self, centre: Point, radius: float, colour: Paint) -> None:
        """Fills a circle."""
        x, y = self._at(centre)
        reach = radius * SUPERSAMPLE
        self._brush(colour).ellipse((x - reach, y - reach, x + reach, y + reach), fill=colour)

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        """Fills the area between the points."""
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
        word = _word(text, round(size * SUPERSAMPLE))
        x, y = self._at((at[0], at[1] + size * DIGIT_HEIGHT / 2))
        start = x - round(word.length * {"left": 0.0, "middle": 0.5, "right": 1.0}[align])
        self._image.paste(colour, (start + word.left, y + word.top), word.mask)

    def _brush(self, colour: Paint) -> ImageDraw.ImageDraw:
        return self._draw if len(colour) == len(BACKGROUND) else self._blend

    def _at(self, point: Sequence[float]) -> tuple[int, int]:
        x, y = point
        left, top, *_ = self.bounds
        return round((x - left) * SUPERSAMPLE), round((y - top) * SUPERSAMPLE)

    def _corners(self, area: Rect) -> tuple[int, int, int, int]:
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
    ImageDraw.Draw(mask).text((-left, -top), text, fill=OPAQUE, font=font, anchor="ls")
    return _Word(mask, left, top, font.getlength(text))


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
