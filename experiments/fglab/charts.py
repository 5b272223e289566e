"""Charts, in the form that FGLab's page draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

MAX_POINTS = 500  # what the page shows of a series, and few enough to be sent often


def line_chart(
    x: Sequence[float], lines: Mapping[str, Sequence[float]], *, x_label: str, y_label: str
) -> dict[str, Any]:
    """Returns a chart of lines over one x-axis.

    Args:
        x: Where the values are, at least one.
        lines: By name, as many finite values.
        x_label: What the x-axis is.
        y_label: What the y-axis is.
    """
    return {
        "columnNames": [*lines, "x"],
        "data": {"x": "x", "columns": [list(values) for values in (*lines.values(), x)]},
        "axis": {"x": {"label": {"text": x_label}}, "y": {"label": {"text": y_label}}},
    }


def thin_out(values: Sequence[float]) -> tuple[list[float], list[float]]:
    """Returns where and what: at most `MAX_POINTS` means of neighbours, in iterations from 1 on."""
    groups = np.array_split(np.asarray(values, np.float64), min(len(values), MAX_POINTS))
    ends = np.cumsum([len(group) for group in groups])
    return [float(end) for end in ends], [float(group.mean()) for group in groups]
