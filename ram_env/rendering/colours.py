"""The colours of a frame."""

from __future__ import annotations

from typing import TypeAlias

Colour: TypeAlias = tuple[int, int, int]
Paint: TypeAlias = Colour | tuple[int, int, int, int]  # with an alpha

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
RIGHT: Colour = (38, 200, 150)  # bluish green and vermillion, lightened to be read on dark
WRONG: Colour = (245, 121, 58)

BACKGROUND: Colour = (15, 19, 28)
PANEL: Colour = (35, 43, 60)  # lighter than black: the border of a dark image must show
TRACK: Colour = (35, 43, 60)
BAR: Colour = (112, 130, 164)
PAST: Colour = (62, 74, 100)
MUTED: Colour = (150, 162, 186)
TEXT: Colour = (240, 243, 250)
SHADOW: Colour = (8, 10, 16)
SHADOW_ALPHA = 170
OPAQUE = 255


def scale_colour(scale: int) -> Colour:
    """Returns the colour of a scale, 0 the finest; of many scales some share theirs."""
    return SCALE_COLOURS[scale % len(SCALE_COLOURS)]
