"""Checks of what users hand over; every message names the value and what is allowed."""

from __future__ import annotations

import math
import numbers
import reprlib
from collections.abc import Collection, Mapping
from typing import Any, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray

Place: TypeAlias = tuple[float, float]  # (x, y) in [-1, 1], as locations are

_SHORT = reprlib.Repr()
_SHORT.maxother = _SHORT.maxstring = 80  # characters, of an array and of a text


def brief(value: object) -> str:
    """Returns the repr of a value for an error, in one line and cut short if it is long."""
    return " ".join(_SHORT.repr(value).split())


def as_options(values: Mapping[str, Any]) -> str:
    """Returns options as one would write them, an enum's by its value, for an error."""
    return ", ".join(f"{name}={getattr(value, 'value', value)!r}" for name, value in values.items())


def require_integer(name: str, value: object, *, at_least: int) -> None:
    """Raises a ValueError unless `value` is an integer (no bool) of at least `at_least`."""
    is_integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not is_integer or value < at_least:  # type: ignore[operator]
        raise ValueError(f"{name}={value!r} is not an integer of at least {at_least}")


def settle_integers(options: object, *names: str, at_least: int) -> None:
    """Checks fields of a frozen dataclass as `require_integer`, and makes them Python's integers.

    NumPy's small ones wrap around when they are multiplied.
    """
    for name in names:
        value = getattr(options, name)
        require_integer(name, value, at_least=at_least)
        object.__setattr__(options, name, int(value))


def require_number(name: str, value: object, *, at_least: float) -> None:
    """Raises a ValueError unless `value` is a finite number (no bool) of at least `at_least`."""
    if not _is_number(value) or value < at_least:
        raise ValueError(f"{name}={value!r} is not a number of at least {at_least:g}")


def require_positive(name: str, value: object, *, at_most: float = math.inf) -> None:
    """Raises a ValueError unless `value` is a finite number (no bool) above 0, up to `at_most`."""
    if not _is_number(value) or not 0 < value <= at_most:
        limit = f" and at most {at_most:g}" if math.isfinite(at_most) else ""
        raise ValueError(f"{name}={value!r} is not a number above 0{limit}")


def _is_number(value: object) -> TypeGuard[float]:
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return is_real and math.isfinite(value)  # type: ignore[arg-type]


def is_place(value: object) -> TypeGuard[Place]:
    """Returns whether it is a pair of numbers in [-1, 1], or an array of them."""
    pair = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(pair, list | tuple) or len(pair) != len(("x", "y")):
        return False
    return all(_is_number(number) and -1 <= number <= 1 for number in pair)


def require_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Raises a ValueError unless `value` is one of `choices`."""
    if value not in list(choices):  # a list, as in a dict the value would have to be hashable
        raise ValueError(f"{name}={value!r} is not one of {sorted(choices)}")


def as_array(value: Any) -> NDArray[Any]:
    """Returns `value` as an array; a ragged list as one of objects, which fails checks of type."""
    try:
        return np.asarray(value)
    except ValueError:
        # One by one: np.array fails here, too, on images of one height and different widths.
        return np.fromiter(value, dtype=object)


def require_probabilities(name: str, value: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Returns `value` as float64 numbers in [0, 1] of that shape, or raises a ValueError."""
    array = as_array(value)
    fits = array.dtype.kind in "fiub" and array.shape == shape
    if not fits or not ((array >= 0) & (array <= 1)).all():
        raise ValueError(f"{name}={brief(value)} is not an array of probabilities of shape {shape}")
    return array.astype(np.float64)
