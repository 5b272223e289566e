from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from agents.networks import LstmCore, RecurrentAttention, ReluCore

CPU = torch.device("cpu")


def make_network(core: str, **options: Any) -> RecurrentAttention:
    return RecurrentAttention(
        (2, 3, 3),
        5,
        glimpse_hidden_size=6,
        location_hidden_size=7,
        image_hidden_size=8,
        hidden_size=9,
        core=core,
        white_level=1.0,
        **{"raster": (), "location_frequencies": 0, **options},
    )


def test_the_gaze_begins_at_the_rasters_places_in_turn_whatever_is_seen() -> None:
    network = make_network("rnn", raster=((0.5, -0.5), (0.25, 1.0)))
    for taken, place in ((1.0, [0.5, -0.5]), (2.0, [0.25, 1.0]), (3.0, [0.5, -0.5])):
        means = network.location_mean(
            torch.randn(4, 9), torch.full((4, 1), taken), torch.rand(4, 2)
        )
        torch.testing.assert_close(means, torch.tensor([place] * 4))


def test_without_a_raster_it_begins_at_the_centre() -> None:
    means = make_network("rnn").location_mean(
        torch.randn(6, 4, 9), torch.ones(6, 4, 1), torch.rand(6, 4, 2)
    )
    assert (means == 0).all()


def test_a_relative_gaze_begins_with_the_rasters_steps_from_where_it_looks() -> None:
    network = make_network("rnn", raster=((0.5, -0.5), (0.25, 1.0)), relative_gaze=True)
    # From the centre to the first place, on to the second, and from that back to the first.
    for taken, step in ((1.0, [0.5, -0.5]), (2.0, [-0.25, 1.5]), (3.0, [0.25, -1.5])):
        location = torch.rand(4, 2)
        means = network.location_mean(torch.randn(4, 9), torch.full((4, 1), taken), location)
        torch.testing.assert_close(means, location + torch.tensor(step))


def test_where_is_told_by_octaves_of_sines_and_cosines() -> None:
    network = make_network("rnn", location_frequencies=2).glimpse_network
    # x = 1/4, y = -1/2 at the frequencies pi and 2 pi.
    half = math.sqrt(1 / 2)
    sines, cosines = [half, 1.0, -1.0, 0.0], [half, 0.0, 0.0, -1.0]
    expected = torch.tensor([[0.25, -0.5, *sines, *cosines]])
    waves = network._waves(torch.tensor([[0.25, -0.5]]))
    torch.testing.assert_close(waves, expected, atol=1e-6, rtol=0)
    assert network(torch.rand(1, 2, 3, 3), torch.tensor([[0.25, -0.5]])).shape == (1, 8)


def test_the_relu_core_begins_by_adding_up() -> None:
    core = ReluCore(input_size=2, hidden_size=3)
    (state,) = core(torch.zeros(1, 2), (torch.tensor([[1.0, 2.0, 3.0]]),))
    expected = torch.relu(torch.tensor([[1.0, 2.0, 3.0]]) + core.transition.bias)
    torch.testing.assert_close(state, expected)


def test_signals_keep_their_size_under_hes_weights() -> None:
    torch.manual_seed(0)
    sizes = {"glimpse_hidden_size": 400, "location_hidden_size": 1, "image_hidden_size": 400}
    network = RecurrentAttention(
        (1, 20, 20), 3, hidden_size=400, core="rnn", location_frequencies=0, raster=(),
        white_level=1.0, **sizes,
    )  # fmt: skip
    glimpse, location = torch.randn(500, 1, 20, 20), torch.zeros(500, 2)

    def mean_square() -> float:
        hidden, _ = network(glimpse, location, network.initial_state(500, CPU))
        return float(hidden.detach().square().mean())

    assert mean_square() < 0.01
    network.initialise_by_he()
    # Half of a unit's variance of 2 is cut off by its ReLU: 1, as at the input.
    assert mean_square() == pytest.approx(1, rel=0.15)
    kept = network.core.transition.weight[:, 400:]
    torch.testing.assert_close(kept, torch.eye(400))


@pytest.mark.parametrize(("core", "parts"), [("rnn", 1), ("lstm", 2)])
def test_states_have_the_core_and_the_count_of_glimpses(core: str, parts: int) -> None:
    network = make_network(core)
    state = network.initial_state(4, CPU)
    for taken in range(1, 4):
        state = network(torch.rand(4, 2, 3, 3), torch.zeros(4, 2), state)
        assert [part.shape for part in state] == [(4, 9)] * parts + [(4, 1)]
        assert (state[-1] == taken).all()


def test_heads_take_all_time_steps_at_once() -> None:
    network = make_network("rnn")
    hidden = torch.randn(6, 4, 9)
    logits = network.class_logits(hidden)
    assert logits.shape == (6, 4, 5)
    torch.testing.assert_close(logits[2], network.class_logits(hidden[2]))
    assert network.baseline(hidden, None).shape == (6, 4)
    taken, location = torch.ones(6, 4, 1), torch.zeros(6, 4, 2)
    assert network.location_mean(hidden, taken, location).shape == (6, 4, 2)


def test_an_informed_baseline_knows_how_likely_the_true_class_is_so_far() -> None:
    network = make_network("rnn", informed_baseline=True)
    with torch.no_grad():
        network.baseline_network.weight.zero_()
        network.baseline_network.weight[0, 9:] = torch.tensor([1.0, 10.0, 100.0])
        network.baseline_network.bias.fill_(0.5)
    hidden, half = torch.randn(6, 4, 9), torch.full((6, 4), math.log(0.5))
    # The log-likelihood, its square, and the likelihood.
    expected = 0.5 + math.log(0.5) + 10 * math.log(0.5) ** 2 + 100 * 0.5
    torch.testing.assert_close(network.baseline(hidden, half), torch.full((6, 4), expected))


def test_the_glimpse_network_sums_what_and_where() -> None:
    # The sum of the paper's two outer products, from the one product that it is written as.
    network = make_network("rnn").glimpse_network
    glimpse, location = torch.rand(4, 2, 3, 3), torch.rand(4, 2)
    what = torch.relu(network.what(glimpse.flatten(1)))
    where = torch.relu(network.where(location))
    weight = network.output.weight
    expected = torch.relu(what @ weight[:, :6].T + where @ weight[:, 6:].T + network.output.bias)
    torch.testing.assert_close(network(glimpse, location), expected)


def test_the_lstm_core_keeps_a_cell() -> None:
    core = LstmCore(input_size=2, hidden_size=3)
    hidden, cell = core(torch.ones(4, 2), core.initial_state(4, CPU))
    assert hidden.shape == cell.shape == (4, 3)
