from __future__ import annotations

import pytest
import torch

from agents.hyperparameters import ReinforceHyperparameters
from agents.networks import RecurrentAttention
from agents.optimisers import (
    OPTIMISERS,
    average_weights,
    clip_gradients,
    decay,
    make_optimiser,
    set_learning_rates,
)


def make_network() -> RecurrentAttention:
    names = ("glimpse_hidden_size", "location_hidden_size", "image_hidden_size", "hidden_size")
    return RecurrentAttention((1, 2, 2), 3, ReinforceHyperparameters(**dict.fromkeys(names, 4)))


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
        step = 0.25 if name.startswith("location_") else 0.5
        torch.testing.assert_close(value.detach(), before[name] - step)


def test_a_group_without_gradients_does_not_count_on_any_device() -> None:
    network = make_network().to("meta")  # as on a GPU: not the device on which torch makes zeros
    optimiser = make_optimiser(network, name="sgd", momentum=0.0, weight_decay=0.0)
    for name, parameter in network.named_parameters():
        if not name.startswith("location_"):
            parameter.grad = torch.ones_like(parameter)
    assert clip_gradients(optimiser, max_norm=1.0).device.type == "meta"


def test_each_groups_gradient_is_clipped_by_itself() -> None:
    network = make_network()
    optimiser = make_optimiser(network, name="sgd", momentum=0.0, weight_decay=0.0)
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, 0.01)
    bias = network.location_network.bias
    bias.grad = torch.tensor([30.0, 40.0])
    norm = clip_gradients(optimiser, max_norm=5.0)
    assert norm.item() == pytest.approx(50, rel=1e-3)  # as it was
    torch.testing.assert_close(bias.grad, torch.tensor([3.0, 4.0]), rtol=1e-3, atol=0)
    others = optimiser.param_groups[1]["params"]
    assert all((parameter.grad == 0.01).all() for parameter in others)


@pytest.mark.parametrize(
    ("count", "share"),
    [(1, 2 / 11), (8, 9 / 18), (10_000, 0.99)],  # of the old average that stays, 0.99 at most
)
def test_an_average_forgets_fast_at_first_and_then_moves_slowly(count: int, share: float) -> None:
    average = [torch.tensor([1.0]), torch.tensor([10.0])]
    average_weights(average, [torch.tensor([0.0]), torch.tensor([0.0])], count, decay=0.99)
    torch.testing.assert_close(average, [torch.tensor([share]), torch.tensor([10 * share])])


@pytest.mark.parametrize(("name", "nesterov"), [("sgd", True), ("rmsprop", None)])
def test_sgd_and_rmsprop_have_momentum(name: str, nesterov: bool | None) -> None:
    optimiser = make_optimiser(make_network(), name=name, momentum=0.9, weight_decay=0.0)
    assert optimiser.defaults["momentum"] == 0.9
    assert optimiser.defaults.get("nesterov") is nesterov


@pytest.mark.parametrize("name", OPTIMISERS)
def test_every_optimiser_has_weight_decay(name: str) -> None:
    optimiser = make_optimiser(make_network(), name=name, momentum=0.9, weight_decay=0.5)
    assert [group["weight_decay"] for group in optimiser.param_groups] == [0.5, 0.5]


def test_adams_weight_decay_is_decoupled_from_the_gradient() -> None:
    # Loshchilov and Hutter 2019 (AdamW): a weight without a gradient loses rate * decay of itself.
    network = make_network()
    optimiser = make_optimiser(network, name="adam", momentum=0.9, weight_decay=0.5)
    set_learning_rates(optimiser, 0.1, location=0.1)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    for parameter, old in zip(network.parameters(), before, strict=True):
        torch.testing.assert_close(parameter.detach(), 0.95 * old)


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
