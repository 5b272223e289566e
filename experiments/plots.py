"""Charts of a run: how its training went, and where its agent looks.

Matplotlib's object interface only, never pyplot: no display is needed, and no chart leaves
anything behind.
"""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from agents.files import replace_atomically
from ram_env.rendering import SCALE_COLOURS

Numbers: TypeAlias = NDArray[np.floating[Any] | np.integer[Any]]
Floats: TypeAlias = NDArray[np.float64]
History: TypeAlias = Sequence[dict[str, float]]

_PLAIN_NUMBER = "{x:g}"
_DPI = 150
_POINTS_PER_INCH = 72
_WIDTH = 9.4  # inches, as all sizes of figures
_FONT_SIZE = 9.0
_SMALL_FONT_SIZE = 8.0
_PADDING = 0.09
_TITLE_SIZE = 11.0

INK = "#1f2430"
MUTED = "#667085"
GRID = "#e4e7ec"
ACCENT = "#0072b2"
# Blue and vermillion of the colour-blind safe palette of Okabe & Ito (2008).
_TRAIN = ACCENT
_VAL = "#d55e00"

_TRAINING_HEIGHT = 4.3
_PANEL_HEIGHTS = (3.0, 1.0)  # of the cross-entropy and of the loss's other terms below it
_TITLE_PAD = 22  # points, for the line below the title
_SUBTITLE_PAD = 8
_LINE_WIDTH = 1.6
_THIN_LINE_WIDTH = 1.1
_MARK_TO_LINE = 2.8  # diameter of an epoch's mark to the line's width
_BEST_MARK_SIZE = 9.0
_MAX_MARKED_EPOCHS = 25  # marks of more epochs than that run into each other
_NAME_DISTANCE = 7  # points between the end of a line and its name
_NAME_HEIGHT = 1.3  # of the font's size
_MEANS_IN_A_CHART = 50  # about how many means of losses that do not overlap
_HALO = 3.0  # points of white around names, which may lie on grid lines
_EPOCH_MARGIN = 0.02  # of the axis
_TERMS_MARGIN = 0.15
_LONE_EPOCH_MARGIN = 0.5
_ROUND_STEPS = [1, 2, 5, 10]
_FINE_LOG_TICKS = (1, 2, 5)
_COARSE_LOG_TICKS = (1,)
_MAX_FINE_LOG_SPAN = 500.0  # beyond that factor, ticks at powers of ten are enough
_LOG_PADDING = 1.25
_MIN_LOG_SPAN = 6.0  # a factor: with less, small changes look large and round ticks run out
_TOP_OF_ERRORS = 105.0  # per cent
_LOWEST_ERROR = 0.01  # per cent: where a logarithmic axis puts no error at all

_MAX_COLUMNS = 4
_MAX_PANEL_WIDTH = 4.0
_PANEL_TEXT_HEIGHT = 0.45  # title and numbers
_FOOTER_HEIGHT = 0.4
_CHARACTERS_PER_INCH = 15  # of small text
_BINS = 96  # of the heat map, along the image's longer side
_BLUR = 0.025  # standard deviation, in longer sides of the image
_HEAT = "magma"
_HEAT_OPACITY = 0.9
_FADE = 0.5  # exponent: below 1, so that thinly populated places are seen
_IMAGE_DIMMING = 1.6  # the mean image is the background, so it is darker than it could be
_BOX_LINE_WIDTH = 1.6
_SHADOW_LINE_WIDTH = 3.4  # around the box's line, which is as bright as the map

# The terms of the loss that say little by themselves: columns of the metrics, and their names.
LOSS_TERMS = {
    "train_reinforce_loss": "REINFORCE",
    "train_baseline_loss": "baseline",
    "train_policy_gradient_loss": "policy",
    "train_value_loss": "value",
}


# ----------------------------------------------------------------------------------------- training


def plot_training(
    history: History, path: str | os.PathLike[str], *, errors_are: str = "wrong answers"
) -> None:
    """Draws the losses and the errors of a training over its epochs, as PNG.

    At the left the cross-entropy (of who has none, what is minimised), with the loss's other terms
    small below it, at the right the wrong answers and the best epoch, the first with the highest
    validation accuracy. Lines leave out what is missing or NaN.

    Args:
        history: A dict per epoch with `epoch`, `train_cross_entropy`, `val_cross_entropy` (after
            the last glimpse), `train_loss`, terms of `LOSS_TERMS`, `train_accuracy` and
            `val_accuracy`; others are ignored.
        path: The file to make or to replace.
        errors_are: What an accuracy is short of 1 by.

    Raises:
        ValueError: There is no epoch.
    """
    if not history:
        raise ValueError("history is empty: there is no epoch to draw")
    figure = new_figure(_WIDTH, _TRAINING_HEIGHT)
    grid = figure.add_gridspec(2, 2, height_ratios=_PANEL_HEIGHTS)
    entropy, errors = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[:, 1])
    terms = figure.add_subplot(grid[1, 0], sharex=entropy)
    _draw_loss(entropy, history)
    _draw_other_terms(terms, history)
    _draw_errors(errors, history, ylabel=f"{errors_are} (%)")
    figure.draw_without_rendering()  # lays out: names keep their distance in pixels
    for axes in (entropy, terms, errors):
        _name_lines(axes)
    save_figure(figure, path)


def plot_losses(losses: Sequence[float], path: str | os.PathLike[str]) -> None:
    """Draws the loss of every update, and the mean of those around it.

    Args:
        losses: What was minimised, at least one number.
        path: The PNG to write.
    """
    values = np.asarray(losses, np.float64)
    updates = np.arange(1, len(values) + 1)
    width = max(1, len(values) // _MEANS_IN_A_CHART)
    weights = np.ones(width)
    means = np.convolve(values, weights, "same") / np.convolve(
        np.ones_like(values), weights, "same"
    )
    figure = new_figure(_WIDTH, _TRAINING_HEIGHT)
    axes = figure.subplots()
    axes.plot(updates, values, color=_TRAIN, alpha=0.3, linewidth=_THIN_LINE_WIDTH)
    axes.plot(updates, means, color=_TRAIN, linewidth=_LINE_WIDTH)
    begin_chart(axes, ylabel="what is minimised")
    axes.set_xlabel("iteration", fontsize=_FONT_SIZE)
    note = f"each update's, and the mean of {width} around it"
    _write_title(axes, "Training loss", note, MUTED)
    save_figure(figure, path)


def _draw_loss(axes: Axes, history: History) -> None:
    train, val = (_column(history, f"{split}_cross_entropy") for split in ("train", "val"))
    if np.isfinite(train).any() or np.isfinite(val).any():
        _begin_epochs(axes, history, ylabel="cross-entropy (nats)")
        _write_title(axes, "Loss", "after the last glimpse", MUTED)
        use_log_scale(axes, np.concatenate([train, val]))
    else:
        train = _column(history, "train_loss")
        _begin_epochs(axes, history, ylabel="what is minimised")
        _write_title(axes, "Loss", "no cross-entropy was measured", MUTED)
    _draw_line(axes, history, train, "training", _TRAIN)
    _draw_line(axes, history, val, "validation", _VAL)
    axes.tick_params(labelbottom=False)


def _draw_other_terms(axes: Axes, history: History) -> None:
    """Draws the terms that say little by themselves: thin, grey and small."""
    _begin_epochs(axes, history, ylabel="other terms")
    axes.set_xlabel("epoch")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, steps=_ROUND_STEPS))
    axes.yaxis.set_major_formatter(_PLAIN_NUMBER)
    axes.margins(y=_TERMS_MARGIN)
    axes.axhline(0, color=MUTED, linewidth=0.6)
    for (column, name), line in zip(LOSS_TERMS.items(), ("-", "--", ":", "-."), strict=True):
        values = _column(history, column)
        if np.isfinite(values).any():
            style = {"linewidth": _THIN_LINE_WIDTH, "linestyle": line}
            _draw_line(axes, history, values, name, MUTED, **style)


def _draw_errors(axes: Axes, history: History, *, ylabel: str) -> None:
    accuracies = {split: _column(history, f"{split}_accuracy") for split in ("train", "val")}
    shown_train, shown_val = (errors_to_draw(accuracies[split]) for split in ("train", "val"))
    _begin_epochs(axes, history, ylabel=ylabel)
    axes.set_xlabel("epoch")
    use_error_scale(axes, np.concatenate([shown_train, shown_val]))
    _draw_line(axes, history, shown_train, "training", _TRAIN)
    _draw_line(axes, history, shown_val, "validation", _VAL)
    _mark_best(axes, history, accuracies["val"])


def errors_to_draw(accuracies: ArrayLike) -> Floats:
    """Returns errors in per cent for a logarithmic axis, on which there is no 0."""
    return np.maximum(100 * (1 - np.asarray(accuracies, np.float64)), _LOWEST_ERROR)


def _mark_best(axes: Axes, history: History, accuracies: Floats) -> None:
    """Puts a ring around the first epoch with the fewest errors, and what it is into the title."""
    if not np.isfinite(accuracies).any():
        _write_title(axes, "Error", "no validation", MUTED)
        return
    best = int(np.nanargmax(accuracies))
    epoch = history[best]["epoch"]
    note = f"best validation: {100 * (1 - accuracies[best]):.2f} % in epoch {epoch:.0f}"
    _write_title(axes, "Error", note, _VAL)
    lowest = errors_to_draw(accuracies[best])
    (ring,) = axes.plot([epoch], [lowest], "o", color=_VAL, clip_on=False)
    ring.set(markersize=_BEST_MARK_SIZE, markeredgewidth=_LINE_WIDTH, fillstyle="none")


def _column(history: History, key: str) -> Floats:
    return np.array([row.get(key, math.nan) for row in history], np.float64)


def begin_chart(axes: Axes, *, ylabel: str) -> None:
    """Sets the axes up: thin lines, no box."""
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, labelsize=_SMALL_FONT_SIZE, length=0)
    axes.set_ylabel(ylabel, color=MUTED, fontsize=_FONT_SIZE)
    axes.xaxis.label.set(color=MUTED, fontsize=_FONT_SIZE)


def _begin_epochs(axes: Axes, history: History, *, ylabel: str) -> None:
    """Sets the axes up, with epochs from left to right."""
    begin_chart(axes, ylabel=ylabel)
    epochs = _column(history, "epoch")
    margin = _EPOCH_MARGIN * np.ptp(epochs) or _LONE_EPOCH_MARGIN
    axes.set_xlim(epochs.min() - margin, epochs.max() + margin)
    axes.xaxis.set_major_locator(MaxNLocator(steps=_ROUND_STEPS, integer=True, min_n_ticks=1))


def _write_title(axes: Axes, title: str, note: str, colour: str) -> None:
    axes.set_title(
        title, loc="left", pad=_TITLE_PAD, color=INK, fontsize=_TITLE_SIZE, fontweight="bold"
    )
    axes.annotate(
        note,
        (0, 1),
        xytext=(0, _SUBTITLE_PAD),
        xycoords="axes fraction",
        textcoords="offset points",
        color=colour,
        fontsize=_FONT_SIZE,
    )


def use_log_scale(axes: Axes, values: Floats) -> None:
    """Makes the y-axis logarithmic, wide enough for these values and for a few ticks."""
    axes.set_yscale("log")
    positive = values[np.isfinite(values) & (values > 0)]
    if not positive.size:
        axes.yaxis.set_ticks([])
        axes.yaxis.set_minor_locator(NullLocator())
        return
    low, high = positive.min() / _LOG_PADDING, positive.max() * _LOG_PADDING
    mark_log_axis(axes.yaxis, low, high)
    widening = max(1.0, math.sqrt(_MIN_LOG_SPAN * low / high))
    axes.set_ylim(low / widening, high * widening)


def mark_log_axis(axis: Axis, low: float, high: float) -> None:
    """Gives a logarithmic axis from `low` to `high` a few ticks, with plain numbers."""
    ticks = _FINE_LOG_TICKS if high < _MAX_FINE_LOG_SPAN * low else _COARSE_LOG_TICKS
    axis.set_major_locator(LogLocator(subs=ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(_PLAIN_NUMBER)


def use_error_scale(axes: Axes, errors: Floats) -> None:
    """Makes the y-axis one for errors in per cent: logarithmic, and little higher than 100."""
    use_log_scale(axes, errors)
    low, high = axes.get_ylim()
    if high > _TOP_OF_ERRORS:
        axes.set_ylim(low * _TOP_OF_ERRORS / high, _TOP_OF_ERRORS)


def _draw_line(
    axes: Axes, history: History, values: Floats, name: str, colour: str, **style: Any
) -> None:
    """Draws a value per epoch, with marks if there are few; a line goes on over missing ones."""
    known = np.isfinite(values)
    if not known.any():
        return
    epochs = _column(history, "epoch")
    style = {"linewidth": _LINE_WIDTH} | style
    mark = {"marker": "o", "markersize": _MARK_TO_LINE * style["linewidth"]}
    style |= mark if known.sum() <= _MAX_MARKED_EPOCHS else {}
    axes.plot(epochs[known], values[known], label=name, color=colour, **style)


def _name_lines(axes: Axes) -> None:
    """Writes the names of lines at their right ends, moved apart where those are close."""
    lines = [line for line in axes.lines if not str(line.get_label()).startswith("_")]
    ends = [np.asarray(line.get_xydata())[-1] for line in lines]
    if not lines:
        return
    heights = axes.transData.transform(ends)[:, 1] * _POINTS_PER_INCH / _DPI
    shifts = _spread(heights, _NAME_HEIGHT * _FONT_SIZE) - heights
    for line, (epoch, value), shift in zip(lines, ends, shifts, strict=True):
        axes.annotate(
            str(line.get_label()),
            (epoch, value),
            xytext=(_NAME_DISTANCE, shift),
            textcoords="offset points",
            va="center",
            color=line.get_color(),
            fontsize=_FONT_SIZE,
            path_effects=[withStroke(linewidth=_HALO, foreground="white")],
        )


def _spread(positions: Floats, distance: float) -> Floats:
    """Returns positions that are at least so far from each other, in the same order."""
    order = np.argsort(positions, kind="stable")
    steps = distance * np.arange(len(positions))
    spread: Floats = np.empty_like(positions)
    spread[order] = np.maximum.accumulate(positions[order] - steps) + steps
    spread += (positions - spread).mean()
    return spread


# --------------------------------------------------------------------------------------------- gaze


def plot_gaze(
    locations: Numbers, mean_image: Numbers, path: str | os.PathLike[str], *, glimpse_side: int
) -> None:
    """Draws a map of where an agent looks for each time step, as PNG.

    Args:
        locations: Centres `(x, y)` of the glimpses in pixels from the image's top-left corner,
            `(num_episodes, num_glimpses, 2)`; NaN where an episode had been answered before.
        mean_image: The mean of the images, drawn in grey behind the map, `(height, width)` or
            `(height, width, channels)`.
        path: The file to make or to replace.
        glimpse_side: Side of the finest scale in pixels: the square at the mean location.

    Raises:
        ValueError: An array has another shape than these, or there is no glimpse.
    """
    if locations.ndim != 3 or locations.shape[2] != 2 or not locations.size:
        raise ValueError(f"{locations.shape=} is not (num_episodes, num_glimpses, 2)")
    if mean_image.ndim not in (2, 3):
        raise ValueError(f"{mean_image.shape=} is not (height, width[, channels])")
    grey = mean_image if mean_image.ndim == 2 else mean_image.mean(axis=-1)
    num_episodes, num_glimpses, _ = locations.shape
    figure, panels = _new_panels(num_glimpses, grey.shape[0] / grey.shape[1])
    for step, axes in enumerate(panels):
        points = locations[:, step].astype(np.float64)
        draw_mean_image(axes, grey, f"glimpse {step + 1}")
        draw_heat(axes, points, (grey.shape[0], grey.shape[1]))
        _draw_mean(axes, points, glimpse_side)
    _write_footer(
        figure,
        f"{num_episodes:,} episodes, each map scaled to its own maximum; mean ± standard "
        f"deviation; square: the finest scale ({glimpse_side} px) at the mean",
    )
    save_figure(figure, path)


def _new_panels(count: int, aspect: float) -> tuple[Figure, list[Axes]]:
    """Returns a figure with panels in rows of nearly the same length.

    Args:
        count: How many panels.
        aspect: Height to width of what they show.
    """
    rows = math.ceil(count / _MAX_COLUMNS)
    columns = math.ceil(count / rows)
    width = min(_WIDTH / columns, _MAX_PANEL_WIDTH)
    height = rows * (width * aspect + _PANEL_TEXT_HEIGHT) + _FOOTER_HEIGHT
    figure = new_figure(columns * width, height)
    panels = [figure.add_subplot(rows, columns, place + 1) for place in range(count)]
    return figure, panels


def _write_footer(figure: Figure, text: str) -> None:
    """Writes small text below everything, in as many lines as it needs."""
    room = round(figure.get_figwidth() * _CHARACTERS_PER_INCH)
    figure.supxlabel(textwrap.fill(text, room), color=MUTED, fontsize=_SMALL_FONT_SIZE)


def draw_mean_image(axes: Axes, grey: Numbers, title: str) -> None:
    """Draws the mean image `(height, width)` in grey, without axes, below a title."""
    height, width = grey.shape
    brightest = _IMAGE_DIMMING * (float(grey.max()) or 1.0)
    axes.imshow(
        grey,
        cmap="gray",
        vmin=0,
        vmax=brightest,
        extent=(0, width, height, 0),
        interpolation="bilinear",
    )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_title(title, loc="left", color=INK, fontsize=_FONT_SIZE, fontweight="bold")


def draw_heat(axes: Axes, points: Floats, image_size: tuple[int, int]) -> None:
    """Draws how often points `(n, 2)` lie where, the more opaque the more often.

    Points that are NaN, of episodes that were answered before, are left out.
    """
    points = points[np.isfinite(points[:, 0])]
    height, width = image_size
    density = _density(points, image_size)
    colours = colormaps[_HEAT](density)
    colours[..., 3] = _HEAT_OPACITY * density**_FADE
    axes.imshow(colours, extent=(0, width, height, 0), interpolation="bilinear")


def _density(points: Floats, image_size: tuple[int, int]) -> Floats:
    """Returns a smoothed histogram of points, its maximum 1.

    However few places the points share, each becomes a spot that can be seen.

    Args:
        points: `(x, y)` in pixels, `(n, 2)`.
        image_size: `(height, width)` in pixels.

    Returns:
        `(rows, columns)`, _BINS of them along the longer side.
    """
    longer_side = max(image_size)
    rows, columns = (math.ceil(_BINS * side / longer_side) for side in image_size)
    limits = ((0, image_size[0]), (0, image_size[1]))
    counts, *_ = np.histogram2d(points[:, 1], points[:, 0], bins=(rows, columns), range=limits)
    smooth = _blur_matrix(rows) @ counts @ _blur_matrix(columns)
    density: Floats = smooth / max(smooth.max(), np.finfo(np.float64).tiny)
    return density


def _blur_matrix(size: int) -> Floats:
    """Returns the matrix that convolves with a Gaussian, `(size, size)`, up to a factor."""
    places = np.arange(size)
    distances = (places[:, np.newaxis] - places) / (_BLUR * _BINS)
    blur: Floats = np.exp(-(distances**2) / 2)
    return blur


def _draw_mean(axes: Axes, points: Floats, glimpse_side: int) -> None:
    """Draws the finest scale's square at the mean of points `(n, 2)`; mean and spread below."""
    points = points[np.isfinite(points[:, 0])]
    if not len(points):
        axes.set_xlabel("nobody looked", loc="left", color=MUTED, fontsize=_SMALL_FONT_SIZE)
        return
    (x, y), (x_std, y_std) = points.mean(axis=0), points.std(axis=0)
    colour = np.array(SCALE_COLOURS[0]) / np.iinfo(np.uint8).max
    corner = (x - glimpse_side / 2, y - glimpse_side / 2)
    square = Rectangle(corner, glimpse_side, glimpse_side, fill=False)
    shadow = withStroke(linewidth=_SHADOW_LINE_WIDTH, foreground=INK)
    square.set(edgecolor=colour, linewidth=_BOX_LINE_WIDTH, path_effects=[shadow])
    axes.add_patch(square)
    numbers = f"x {x:.1f} ± {x_std:.1f}   y {y:.1f} ± {y_std:.1f} px"
    axes.set_xlabel(numbers, loc="left", color=MUTED, fontsize=_SMALL_FONT_SIZE)


# -------------------------------------------------------------------------------------------- files


def new_figure(width: float, height: float) -> Figure:
    """Returns an empty figure of this size in inches."""
    padded = ConstrainedLayoutEngine(w_pad=_PADDING, h_pad=_PADDING)
    return Figure(figsize=(width, height), dpi=_DPI, layout=padded, facecolor="white")


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Writes a figure as a PNG, at once."""
    with replace_atomically(path) as beside:
        figure.savefig(beside, format="png")
