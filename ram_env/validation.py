"""Checks of what users hand over; every message names the value and what is allowed."""

from __future__ import annotations

import numbers
from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray


def require_integer(name: str, value: object, *, at_least: int) -> None:
    """Raises a ValueError unless `value` is an integer (no bool) of at least `at_least`."""
    is_integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not is_integer or value < at_least:  # type: ignore[operator]
        raise ValueError(f"{name}={value!r} is not an integer of at least {at_least}")


def require_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Raises a ValueError unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name}={value!r} is not one of {sorted(choices)}")


def require_probabilities(value: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Returns `value` as float64 probabilities of that shape, or raises a ValueError."""
    probabilities = np.asarray(value, np.float64)
    if probabilities.shape != shape or not np.all(probabilities >= 0):
        raise ValueError(f"belief={value!r} is not an array of probabilities of shape {shape}")
    return probabilities
