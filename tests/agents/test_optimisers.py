from __future__ import annotations

import pytest
import torch

from agents.networks import RecurrentAttention
from agents.optimisers import OPTIMISERS, decay, make_optimiser, set_learning_rates


def make_network() -> RecurrentAttention:
    return RecurrentAttention(
        (1, 2, 2),
        3,
        glimpse_hidden_size=4,
        location_hidden_size=4,
        image_hidden_size=4,
        hidden_size=4,
        core="rnn",
        scan_radius=0.0,
        white_level=1.0,
    )


@pytest.mark.parametrize("name", OPTIMISERS)
def test_every_optimiser_goes_down_hill(name: str) -> None:
    network = make_network()
    optimiser = make_optimiser(network, name=name, momentum=0.9, weight_decay=0.0)
    rate = 1.0 if name == "adadelta" else 0.01
    set_learning_rates(optimiser, rate, location=rate)
    losses = []
    for _ in range(20):
        loss = sum((parameter - 1).square().sum() for parameter in network.parameters())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_the_location_network_has_a_learning_rate_of_its_own() -> None:
    network = make_network()
    optimiser = make_optimiser(network, name="sgd", momentum=0.0, weight_decay=0.0)
    set_learning_rates(optimiser, 0.5, location=0.25)
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    sum(parameter.sum() for parameter in network.parameters()).backward()  # all gradients are 1
    optimiser.step()
    for name, value in network.named_parameters():
        step = 0.25 if name.startswith("location_network") else 0.5
        torch.testing.assert_close(value.detach(), before[name] - step)


def test_sgd_has_nesterov_momentum() -> None:
    optimiser = make_optimiser(make_network(), name="sgd", momentum=0.9, weight_decay=0.0)
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
