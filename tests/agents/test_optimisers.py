from __future__ import annotations

import pytest
import torch
from torch import nn

from agents.optimisers import OPTIMISERS, decay, make_optimiser


@pytest.mark.parametrize("name", OPTIMISERS)
def test_every_optimiser_goes_down_hill(name: str) -> None:
    layer = nn.Linear(3, 1)
    optimiser = make_optimiser(layer, name=name, momentum=0.9, weight_decay=0.0)
    optimiser.param_groups[0]["lr"] = 1.0 if name == "adadelta" else 0.01
    inputs, targets = torch.eye(3), torch.ones(3, 1)
    losses = []
    for _ in range(20):
        loss = (layer(inputs) - targets).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_sgd_has_nesterov_momentum() -> None:
    optimiser = make_optimiser(nn.Linear(1, 1), name="sgd", momentum=0.9, weight_decay=0.0)
    assert optimiser.defaults["nesterov"] is True
    assert optimiser.defaults["momentum"] == 0.9


@pytest.mark.parametrize(
    ("schedule", "at_start", "half_way", "at_end", "beyond"),
    [
        ("constant", 1.0, 1.0, 1.0, 1.0),
        ("linear", 1.0, 0.5, 0.0, 0.0),
        ("cosine", 1.0, 0.5, 0.0, 0.0),
    ],
)
def test_schedules(
    schedule: str, at_start: float, half_way: float, at_end: float, beyond: float
) -> None:
    values = [decay(schedule, progress) for progress in (0.0, 0.5, 1.0, 1.5)]
    assert values == pytest.approx([at_start, half_way, at_end, beyond])
