"""The optimisers, by name (those of FGLab's example), and how their learning rates fall."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from agents.hyperparameters import Schedule
from agents.networks import RecurrentAttention

LOCATIONS = "location_"  # how names of parameters begin that say where to look

OPTIMISERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
    "adadelta": torch.optim.Adadelta,
    "adam": torch.optim.AdamW,
}


def make_optimiser(
    network: RecurrentAttention, *, name: str, momentum: float, weight_decay: float
) -> Optimizer:
    """Returns an optimiser of two groups: the parameters that say where to look, and all others.

    Where to look is learned from REINFORCE alone, and an optimiser that scales gradients away
    (Adam) walks along their noise at the full learning rate: it needs a rate of its own.

    Args:
        network: Whose parameters.
        name: A key of `OPTIMISERS`.
        momentum: Of sgd (Nesterov's) and rmsprop.
        weight_decay: Decoupled for adam (AdamW), part of the gradient for the others.
    """
    extras: dict[str, dict[str, Any]] = {
        "sgd": {"momentum": momentum, "nesterov": momentum > 0},
        "rmsprop": {"momentum": momentum},
        "adam": {"fused": True},
    }
    location = [value for key, value in network.named_parameters() if key.startswith(LOCATIONS)]
    others = [value for key, value in network.named_parameters() if not key.startswith(LOCATIONS)]
    return OPTIMISERS[name](
        [{"params": location}, {"params": others}],
        lr=0.0,  # set at each update
        weight_decay=weight_decay,
        **extras.get(name, {}),
    )


def clip_gradients(optimiser: Optimizer, max_norm: float) -> Tensor:
    """Clips each group's gradient, so that the noise of where to look does not shrink the other's.

    A group without gradients is left alone: its norm would be a zero on the CPU, which does not
    stack with norms on a GPU.

    Returns:
        The norm of the whole gradient, as it was.
    """
    norms = [
        nn.utils.clip_grad_norm_(group["params"], max_norm)
        for group in optimiser.param_groups
        if any(parameter.grad is not None for parameter in group["params"])
    ]
    norm: Tensor = torch.stack(norms).norm()
    return norm


def average_weights(averaged: Any, weights: Any, num_averaged: Tensor | int, decay: float) -> None:
    """Moves an exponential moving average on; at first it forgets faster.

    Args:
        averaged: The average's tensors, as `AveragedModel` hands them to its `multi_avg_fn`.
        weights: The weights' tensors.
        num_averaged: How many there have been.
        decay: Share of the old average that stays; `(1 + n) / (10 + n)` of the first n, if that is
            less, so that it is not of the first weights for long.
    """
    count = float(num_averaged)
    torch._foreach_lerp_(averaged, weights, 1 - min(decay, (1 + count) / (10 + count)))


def set_learning_rates(optimiser: Optimizer, learning_rate: float, *, location: float) -> None:
    """Sets the learning rates of the two groups of an optimiser from `make_optimiser`."""
    for group, rate in zip(optimiser.param_groups, (location, learning_rate), strict=True):
        group["lr"] = rate


def decay(schedule: Schedule, progress: float) -> float:
    """Returns what a schedule leaves of the learning rate after `progress` in [0, 1] of it."""
    progress = min(progress, 1.0)
    return {
        "constant": 1.0,
        "linear": 1.0 - progress,
        "cosine": 0.5 * (1.0 + math.cos(math.pi * progress)),
    }[schedule]
