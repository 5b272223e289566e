"""What frames and text have in common: the arrays of a moment, and what is said of it in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ram_env.action_formats import NO_ANSWER
from ram_env.validation import brief

Pixels: TypeAlias = NDArray[np.uint8]
Numbers: TypeAlias = NDArray[np.floating[Any]]
Integers: TypeAlias = NDArray[np.integer[Any]]

WHITE = np.iinfo(np.uint8).max
IMAGE_AXES = ("height", "width")
MAX_STOPS = 12  # glimpses: more stops would hide each other, and the image


class Verdict(NamedTuple):
    """How an episode went.

    Attributes:
        text: In words.
        is_success: Whether it went well; None where that is not known.
    """

    text: str
    is_success: bool | None


def as_rgb(name: str, pixels: Pixels, axes: Sequence[str]) -> Pixels:
    """Returns pictures as such of three channels, `(*axes, 3)`.

    Args:
        name: What to call them in an error.
        pixels: uint8 with these axes, or with 1 or 3 channels at the end.
        axes: The names of their axes.

    Raises:
        ValueError: They have other axes, or not 1 or 3 channels, or there are none.
    """
    with_channels = pixels[..., np.newaxis] if pixels.ndim == len(axes) else pixels
    is_image = with_channels.ndim == len(axes) + 1 and with_channels.shape[-1] in (1, 3)
    if not is_image or not pixels.size:
        raise ValueError(
            f"{name}.shape={pixels.shape} is not ({', '.join(axes)}[, channels]), 1 or 3 channels, "
            "with at least one pixel"
        )
    return np.broadcast_to(with_channels, (*with_channels.shape[:-1], 3))


def check_moment(
    image: Pixels,
    fixations: Numbers,
    boxes: Integers,
    glimpse: NDArray[np.float32],
    belief: Numbers | None,
    names: Sequence[str] | None,
    *,
    num_glimpses: int,
) -> None:
    """Raises a ValueError unless the arrays are what `render_frame` documents."""
    _require_kind("image", image, kind=np.uint8, wanted="uint8, 255 is white")
    _require_kind("fixations", fixations, kind=np.number, wanted="real numbers")
    _require_kind("boxes", boxes, kind=np.integer, wanted="integers")
    _require_kind("glimpse", glimpse, kind=np.floating, wanted="floats in [0, 1], not bytes")
    if fixations.ndim != 2 or fixations.shape[0] < 1 or fixations.shape[1] != 2:
        raise ValueError(f"fixations.shape={fixations.shape} is not (t, 2) with t of at least 1")
    if not np.isfinite(fixations).all():
        raise ValueError(f"fixations={brief(fixations)} are not all finite")
    if len(fixations) > num_glimpses:
        raise ValueError(f"num_glimpses={num_glimpses}, and there are {len(fixations)} fixations")
    if glimpse.ndim not in (3, 4) or glimpse.shape[0] < 1:
        raise ValueError(
            f"glimpse.shape={glimpse.shape} is not (num_scales, patch, patch[, channels])"
        )
    if boxes.shape != (glimpse.shape[0], 4):
        raise ValueError(f"boxes.shape={boxes.shape} is not ({glimpse.shape[0]}, 4)")
    if belief is None:
        return
    _require_kind("belief", belief, kind=np.floating, wanted="floats, probabilities")
    if belief.ndim != 1 or not len(belief):
        raise ValueError(f"belief.shape={belief.shape} is not (num_classes,)")
    if names is not None and len(names) != len(belief):
        raise ValueError(f"{len(names)} names, and a belief in {len(belief)} classes")


def _require_kind(name: str, array: object, *, kind: type[Any], wanted: str) -> None:
    """Raises a ValueError unless it is an array, and of such numbers."""
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{name}={brief(array)} is no array; give one of {wanted}")
    if not np.issubdtype(array.dtype, kind):
        raise ValueError(f"{name}.dtype={array.dtype}; allowed are {wanted}")


def patches_of(glimpse: NDArray[np.float32]) -> list[Pixels]:
    """Returns the retina as one image `(patch, patch, 3)` per scale."""
    levels = np.rint(np.clip(glimpse, 0.0, 1.0) * WHITE).astype(np.uint8)
    return list(as_rgb("glimpse", levels, ("num_scales", "patch", "patch")))


def extent_text(box: Integers) -> str:
    """Returns how wide a box is, in words."""
    left, _, right, _ = box.tolist()
    return f"{right - left} px"


def progress_text(used: int, num_glimpses: int) -> str:
    """Returns how far the episode is, in words."""
    return f"glimpse {used} of {num_glimpses}"


def answer_in_words(label: int | None, prediction: int | None) -> str:
    """Returns the answer and the truth in words, as far as they are given."""
    parts = []
    if prediction is not None:
        parts.append("no answer" if prediction == NO_ANSWER else f"said {prediction}")
    if label is not None:
        parts.append(f"is {label}")
    return ", ".join(parts)


def class_verdict(label: int | None, prediction: int | None) -> Verdict:
    """Returns the verdict of an answer; of a right one the truth needs no words."""
    if label is None or prediction is None:
        return Verdict(answer_in_words(label, prediction), None)
    is_right = prediction == label
    return Verdict(answer_in_words(None if is_right else label, prediction), is_right)


def numbers_as_names(belief: Numbers) -> list[str]:
    """Returns the names of classes that have none: their numbers."""
    return [str(number) for number in range(len(belief))]


def likeliest_classes(belief: Numbers, count: int) -> list[int]:
    """Returns the `count` likeliest classes, the likeliest first."""
    order: list[int] = np.argsort(-belief, kind="stable")[:count].tolist()
    return order
