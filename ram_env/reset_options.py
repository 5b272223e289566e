"""What callers may ask of a reset, checked: seeds, the item to show, which rows to reset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ram_env.validation import as_array, brief


def require_known_options(options: dict[str, Any] | None, *, allowed: tuple[str, ...]) -> None:
    """Raises a ValueError that names a reset option which does not exist, or options of no dict."""
    unknown = [name for name in _by_name(options) if name not in allowed]
    if unknown:
        told = ", ".join(allowed) or "none"
        raise ValueError(f"unknown reset option {unknown[0]!r}; allowed: {told}")


def requested_index(
    options: dict[str, Any] | None, rows: NDArray[np.int64], num_envs: int, num_items: int
) -> NDArray[np.int64] | None:
    """Returns the items that `options["index"]` asks for in the environments `rows`, or None.

    Args:
        options: A reset's options; the index is one integer for all, or one for each environment.
        rows: Which environments are reset; what the index says of others does not count.
        num_envs: How many environments there are.
        num_items: How many items the split has; 0 where a task has no items.

    Raises:
        ValueError: Not integers, of another shape, or not in the split; or options of no dict.
    """
    asked = _by_name(options).get("index")
    if asked is None:
        return None
    if not num_items:
        raise ValueError(
            f"options['index']={brief(asked)}: this task has no items to choose from; "
            "its episodes are chosen by seed"
        )
    index = as_array(asked)
    if index.dtype.kind not in "iu" or index.shape not in ((), (num_envs,)):
        raise ValueError(
            f"options['index']={brief(asked)} is not an integer"
            + (f" or {num_envs} of them" if num_envs > 1 else "")
        )
    items = np.broadcast_to(index, (num_envs,))[rows]
    outside = (items < 0) | (items >= num_items)
    if outside.any():
        raise ValueError(
            f"options['index'] holds {items[outside][0]}; the split has items 0..{num_items - 1}"
        )
    return items.astype(np.int64)


def requested_rows(options: dict[str, Any] | None, num_envs: int) -> NDArray[np.int64]:
    """Returns the environments that `options["reset_mask"]` asks to reset; all without one.

    Raises:
        TypeError: The mask is not a NumPy array of booleans (as in Gymnasium).
        ValueError: It has another shape than `(num_envs,)`, or is all False; or options of no dict.
    """
    mask = _by_name(options).get("reset_mask")
    if mask is None:
        return np.arange(num_envs)
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
        raise TypeError(f"options['reset_mask']={brief(mask)} is not a NumPy array of booleans")
    if mask.shape != (num_envs,) or not mask.any():
        raise ValueError(
            f"options['reset_mask']={brief(mask)} is not of shape ({num_envs},) with at least one "
            "True"
        )
    return np.flatnonzero(mask)


def requested_seeds(
    seed: int | Sequence[int | None] | NDArray[np.integer[Any]] | None, num_envs: int
) -> list[int | None]:
    """Returns a seed for each environment: None, `seed + i` as Gymnasium does, or the list's own.

    Raises:
        ValueError: It is none of these; the list must have `num_envs` seeds of at least 0.
    """
    if seed is None:
        return [None] * num_envs
    if isinstance(seed, int | np.integer):
        if seed < 0:
            raise ValueError(f"seed={seed!r} is not an integer of at least 0")
        return [int(seed) + position for position in range(num_envs)]
    if not isinstance(seed, Sequence | np.ndarray) or len(seed) != num_envs:
        raise ValueError(
            f"seed={brief(seed)} is neither None nor an integer nor, for num_envs={num_envs}, "
            f"a list of {num_envs}"
        )
    for each in seed:
        if each is not None and (not isinstance(each, int | np.integer) or each < 0):
            raise ValueError(
                f"seed={brief(seed)} holds {each!r}, not an integer of at least 0 or None"
            )
    return [None if each is None else int(each) for each in seed]


def _by_name(options: object) -> Mapping[str, Any]:
    """Returns a reset's options, or raises a ValueError; None is none of them."""
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise ValueError(
            f"options={brief(options)} is not a dict of reset options; give one, or None"
        )
    return options
