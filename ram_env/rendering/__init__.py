"""Pictures of an episode: where the agent looks, what it sees and what it believes.

`render_frame` draws one RGB frame (`render_mode="rgb_array"`), `render_text` the same moment in
characters (`render_mode="ansi"`). Both are pure, arrays in and a picture out, so that a recorded
trajectory can be drawn as well as a live environment.

A frame is laid out from the shapes alone (`layout.py`), never from what is shown, so that every
frame of an episode has the same even size, as video encoders demand. Everything is drawn on a
canvas of twice the size and averaged down (`canvas.py`), which smooths shapes and text, while the
enlarged image pixels stay crisp because their edges fall on whole frame pixels.
"""

from ram_env.rendering.colours import SCALE_COLOURS, scale_colour
from ram_env.rendering.frame import render_frame
from ram_env.rendering.moment import Verdict, as_rgb
from ram_env.rendering.text import render_text

__all__ = ["SCALE_COLOURS", "Verdict", "as_rgb", "render_frame", "render_text", "scale_colour"]
