"""The optimisers, by name (those of FGLab's example), and how their learning rates fall."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from agents.hyperparameters import Schedule

OPTIMISERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
    "adadelta": torch.optim.Adadelta,
    "adam": torch.optim.AdamW,
}


def make_optimiser(
    network: nn.Module, *, name: str, momentum: float, weight_decay: float
) -> Optimizer:
    """Returns an optimiser of a network's parameters; its learning rate is set at each update.

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
    return OPTIMISERS[name](
        network.parameters(), lr=0.0, weight_decay=weight_decay, **extras.get(name, {})
    )


def decay(schedule: Schedule, progress: float) -> float:
    """Returns what a schedule leaves of the learning rate after `progress` in [0, 1] of it."""
    progress = min(progress, 1.0)
    return {
        "constant": 1.0,
        "linear": 1.0 - progress,
        "cosine": 0.5 * (1.0 + math.cos(math.pi * progress)),
    }[schedule]
