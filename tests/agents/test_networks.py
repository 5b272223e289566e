from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from agents.hyperparameters import ReinforceHyperparameters
from agents.networks import (
    GlimpseNetwork,
    LstmCore,
    MapCore,
    PatchConvolutions,
    PlacedGlimpse,
    RecurrentAttention,
    ReluCore,
)
from agents.spaces import GlimpseGeometry
from ram_env.sensor import GlimpseSensor

CPU = torch.device("cpu")


GEOMETRY = GlimpseGeometry((16, 16), scale_factor=2, location_range=1.0)


def make_network(geometry: GlimpseGeometry | None = GEOMETRY, **options: Any) -> RecurrentAttention:
    hyperparameters = ReinforceHyperparameters(
        glimpse_hidden_size=6,
        location_hidden_size=7,
        image_hidden_size=8,
        hidden_size=9,
        **options,
    )
    return RecurrentAttention((2, 3, 3), 5, hyperparameters, geometry)


def test_the_gaze_begins_at_the_rasters_places_in_turn_whatever_is_seen() -> None:
    network = make_network(raster=((0.5, -0.5), (0.25, 1.0)))
    for taken, place in ((1.0, [0.5, -0.5]), (2.0, [0.25, 1.0]), (3.0, [0.5, -0.5])):
        means = network.location_mean(
            torch.randn(4, 9), torch.full((4, 1), taken), torch.rand(4, 2)
        )
        torch.testing.assert_close(means, torch.tensor([place] * 4))


def test_without_a_raster_it_begins_at_the_centre() -> None:
    means = make_network().location_mean(
        torch.randn(6, 4, 9), torch.ones(6, 4, 1), torch.rand(6, 4, 2)
    )
    assert (means == 0).all()


def test_how_large_the_hidden_state_is_does_not_move_the_gaze() -> None:
    network = make_network()
    torch.nn.init.normal_(network.location_network.weight)
    hidden, ones, here = torch.randn(4, 9), torch.ones(4, 1), torch.zeros(4, 2)
    small, large = (network.location_mean(h, ones, here) for h in (hidden, 10 * hidden + 3))
    torch.testing.assert_close(small, large, rtol=1e-3, atol=1e-3)


def test_a_relative_gaze_begins_with_the_rasters_steps_from_where_it_looks() -> None:
    network = make_network(raster=((0.5, -0.5), (0.25, 1.0)), location_frame="gaze")
    # From the centre to the first place, on to the second, and from that back to the first.
    for taken, step in ((1.0, [0.5, -0.5]), (2.0, [-0.25, 1.5]), (3.0, [0.25, -1.5])):
        location = torch.rand(4, 2)
        means = network.location_mean(torch.randn(4, 9), torch.full((4, 1), taken), location)
        torch.testing.assert_close(means, location + torch.tensor(step))


def test_where_is_told_by_octaves_of_sines_and_cosines() -> None:
    network = make_network(location_frequencies=2).glimpse_network
    # x = 1/4, y = -1/2 at the frequencies pi and 2 pi.
    half = math.sqrt(1 / 2)
    sines, cosines = [half, 1.0, -1.0, 0.0], [half, 0.0, 0.0, -1.0]
    expected = torch.tensor([[0.25, -0.5, *sines, *cosines]])
    waves = network._waves(torch.tensor([[0.25, -0.5]]))
    torch.testing.assert_close(waves, expected, atol=1e-6, rtol=0)
    assert network(torch.rand(1, 2, 3, 3), torch.tensor([[0.25, -0.5]])).shape == (1, 8)


def make_glimpse_network(**options: Any) -> GlimpseNetwork:
    torch.manual_seed(0)
    sizes = {"glimpse_hidden_size": 6, "location_hidden_size": 7, "output_size": 8}
    return GlimpseNetwork((2, 3, 3), white_level=1.0, **sizes, **options)


def test_film_begins_as_the_sum_and_scales_it_by_what_where_says() -> None:
    film, sum_ = make_glimpse_network(what_where="film"), make_glimpse_network(what_where="sum")
    for network in (film, sum_):
        torch.manual_seed(1)
        network.initialise_by_he()
    glimpse, location = torch.rand(4, 2, 3, 3), torch.rand(4, 2)
    summed = sum_(glimpse, location).detach()
    torch.testing.assert_close(film(glimpse, location), summed)
    unit = int(summed[0].argmax())
    assert summed[0, unit] > 0
    with torch.no_grad():  # one unit at the first place by 1 + 2, all others by 1
        where = torch.relu(film.where(location))
        film.gain.weight[unit] = 2 * where[0] / where[0].square().sum()
    expected = summed * (1 + where @ film.gain.weight.detach().T)
    assert expected[0, unit] == pytest.approx(3 * float(summed[0, unit]))
    torch.testing.assert_close(film(glimpse, location), expected)


@pytest.mark.parametrize("patch_size", [1, 2, *range(7, 15)])
def test_convolutions_see_every_pixel(patch_size: int) -> None:
    torch.manual_seed(0)
    convolutions = PatchConvolutions((1, patch_size, patch_size))
    glimpse = torch.rand(50, 1, patch_size, patch_size, requires_grad=True)
    maps = convolutions(glimpse)
    assert maps.shape == (50, convolutions.size)
    maps.sum().backward()
    assert (glimpse.grad.abs().sum(dim=0) > 0).all()


@pytest.mark.parametrize(("name", "value"), [("patches", "conv"), ("what_where", "FiLM")])
def test_what_there_is_not_is_named(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{name}='{value}'"):
        make_glimpse_network(**{name: value})


def test_convolutions_take_scales_and_colours_as_channels() -> None:
    # 12x12: five places of 4x4 two pixels apart, three of 3x3 among those, 64 filters.
    grey = PatchConvolutions((6, 12, 12))
    assert grey.size == 3 * 3 * 64
    coloured = PatchConvolutions((2, 12, 12, 3))
    coloured.load_state_dict(grey.state_dict())
    glimpse = torch.rand(5, 2, 12, 12, 3)
    channels = torch.stack([glimpse[:, s, ..., c] for s in range(2) for c in range(3)], dim=1)
    assert coloured(glimpse).shape == (5, grey.size)
    torch.testing.assert_close(coloured(glimpse), grey(channels))


def test_a_stroke_that_moves_by_the_stride_is_the_same_stroke_elsewhere() -> None:
    convolutions = PatchConvolutions((1, 12, 12))
    glimpse = torch.zeros(2, 1, 12, 12)
    glimpse[0, 0, 5:7, 3:5] = glimpse[1, 0, 5:7, 5:7] = 1.0
    here, there = convolutions(glimpse).reshape(2, 64, 3, 3)
    torch.testing.assert_close(here[..., :2], there[..., 1:])


def test_a_small_patch_is_in_the_middle_of_12x12_that_are_black_around_it() -> None:
    small, large = PatchConvolutions((1, 8, 8)), PatchConvolutions((1, 12, 12))
    small.load_state_dict(large.state_dict())
    glimpse, framed = torch.rand(5, 1, 8, 8), torch.zeros(5, 1, 12, 12)
    framed[:, :, 2:10, 2:10] = glimpse
    torch.testing.assert_close(small(glimpse), large(framed))
    assert PatchConvolutions((1, 7, 7)).border == (2, 3, 2, 3)


def test_the_relu_core_begins_by_adding_up() -> None:
    core = ReluCore(input_size=2, hidden_size=3)
    (state,) = core(torch.zeros(1, 2), (torch.tensor([[1.0, 2.0, 3.0]]),))
    expected = torch.relu(torch.tensor([[1.0, 2.0, 3.0]]) + core.transition.bias)
    torch.testing.assert_close(state, expected)


@pytest.mark.parametrize("patches", ["pixels", "convolutions"])
def test_signals_keep_their_size_under_hes_weights(patches: str) -> None:
    torch.manual_seed(0)
    sizes = {"glimpse_hidden_size": 400, "location_hidden_size": 1, "image_hidden_size": 400}
    hyperparameters = ReinforceHyperparameters(patches=patches, hidden_size=400, **sizes)
    network = RecurrentAttention((1, 20, 20), 3, hyperparameters)
    glimpse, location = torch.randn(500, 1, 20, 20), torch.zeros(500, 2)

    def mean_square() -> float:
        hidden, _ = network(glimpse, location, network.initial_state(500, CPU))
        return float(hidden.detach().square().mean())

    assert mean_square() < 0.01
    mean_squares = []
    for _ in range(10):
        network.initialise_by_he()
        mean_squares.append(mean_square())
    assert not network.core.transition.bias.any()
    # Half of a unit's variance of 2 is cut off by its ReLU: 1, as at the input.
    assert sum(mean_squares) / 10 == pytest.approx(1, rel=0.15)
    kept = network.core.transition.weight[:, 400:]
    torch.testing.assert_close(kept, torch.eye(400))


@pytest.mark.parametrize(
    ("core", "sizes"), [("rnn", [9]), ("lstm", [9, 9]), ("map", [9, 2 * 2 * 16 * 16])]
)
def test_states_have_the_core_and_the_count_of_glimpses(core: str, sizes: list[int]) -> None:
    network = make_network(core=core)
    state = network.initial_state(4, CPU)
    assert [part.shape for part in state] == [(4, size) for size in (*sizes, 1)]
    for taken in range(1, 4):
        state = network(torch.rand(4, 2, 3, 3), torch.zeros(4, 2), state)
        assert [part.shape for part in state] == [(4, size) for size in (*sizes, 1)]
        assert (state[-1] == taken).all()


def test_heads_take_all_time_steps_at_once() -> None:
    network = make_network()
    hidden = torch.randn(6, 4, 9)
    logits = network.class_logits(hidden)
    assert logits.shape == (6, 4, 5)
    torch.testing.assert_close(logits[2], network.class_logits(hidden[2]))
    assert network.baseline(hidden, None).shape == (6, 4)
    taken, location = torch.ones(6, 4, 1), torch.zeros(6, 4, 2)
    assert network.location_mean(hidden, taken, location).shape == (6, 4, 2)


def test_an_informed_baseline_knows_how_likely_the_true_class_is_so_far() -> None:
    network = make_network(baseline="informed")
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
    network = make_network().glimpse_network
    glimpse, location = torch.rand(4, 2, 3, 3), torch.rand(4, 2)
    what = torch.relu(network.what(glimpse.flatten(1)))
    where = torch.relu(network.where(location))
    weight = network.output.weight
    expected = torch.relu(what @ weight[:, :6].T + where @ weight[:, 6:].T + network.output.bias)
    torch.testing.assert_close(network(glimpse, location), expected)


# --- the map ------------------------------------------------------------------------------------


@pytest.mark.parametrize("colours", [(), (1,), (3,)])
@pytest.mark.parametrize(("num_scales", "scale_factor"), [(1, 2), (2, 2), (3, 2), (2, 3)])
@pytest.mark.parametrize("patch_size", [1, 3, 4])
def test_a_map_has_each_value_on_the_pixels_that_it_is_of(
    patch_size: int, num_scales: int, scale_factor: int, colours: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(0)
    height, width, num_colours, white = 9, 14, math.prod(colours), 4.0
    sensor = GlimpseSensor(patch_size, num_scales, scale_factor)
    images = rng.integers(1, 256, (8, height, width, *colours), dtype=np.uint8)
    locations = rng.uniform(-1, 1, (8, 2)).astype(np.float32)
    locations[:3] = (1, -1), (-1, 1), (0, 0)  # two corners, and the centre
    geometry = GlimpseGeometry((height, width), scale_factor, location_range=0.9)
    reached = locations * geometry.location_range
    glimpses = sensor(images, reached)
    placed = PlacedGlimpse(glimpses.shape[1:], geometry, white_level=white)
    maps = placed(torch.from_numpy(glimpses), torch.from_numpy(locations))
    expected = np.zeros((8, num_scales, num_colours + 1, height, width), np.float32)
    values = glimpses.reshape(8, num_scales, patch_size, patch_size, num_colours)
    for image, scale in np.ndindex(8, num_scales):
        left, top, right, bottom = sensor.boxes((height, width), reached)[image, scale]
        for row in range(max(top, 0), min(bottom, height)):
            for column in range(max(left, 0), min(right, width)):
                block = scale_factor**scale
                value = values[image, scale, (row - top) // block, (column - left) // block]
                expected[image, scale, :, row, column] = (*(white * value), 1)
    assert maps.shape == (8, *placed.shape)
    np.testing.assert_array_equal(maps.numpy(), expected)


def test_a_map_needs_a_geometry() -> None:
    with pytest.raises(ValueError, match="core='map' needs the geometry"):
        make_network(core="map", geometry=None)


def test_a_newer_glimpse_covers_an_older_one_of_its_scale_and_leaves_the_rest() -> None:
    core = MapCore((2, 2, 14, 14), hidden_size=3)
    older, newer = torch.zeros(2, 1, 2, 2, 14, 14)
    for scale, first in ((0, 4), (1, 2)):
        for placed, begin in ((older, first), (newer, first + 2)):
            square = (..., slice(begin, begin + 4), slice(begin, begin + 4))
            placed[:, scale, 1][square] = 1.0
            placed[:, scale, 0][square] = 0.5 if placed is older else 0.25
    _, seen = core(newer, core(older, core.initial_state(1, CPU)))
    expected = older.clone()
    expected[:, 0, 0, 6:10, 6:10], expected[:, 0, 1, 6:10, 6:10] = 0.25, 1.0
    expected[:, 1, 0, 4:8, 4:8], expected[:, 1, 1, 4:8, 4:8] = 0.25, 1.0
    torch.testing.assert_close(seen, expected.flatten(1))


def test_what_is_seen_in_pieces_is_what_is_seen_at_once() -> None:
    # Four glimpses of 7x7, in any order, and one of 14x14, for a network of the same weights.
    torch.manual_seed(0)
    hyperparameters = ReinforceHyperparameters(core="map", hidden_size=9)
    geometry = GlimpseGeometry((14, 14), scale_factor=2, location_range=1.0)
    in_pieces, at_once = (
        RecurrentAttention((1, side, side), 5, hyperparameters, geometry) for side in (7, 14)
    )
    at_once.load_state_dict(in_pieces.state_dict())
    image = torch.rand(1, 1, 14, 14)
    expected, *_ = at_once(image, torch.zeros(1, 2), at_once.initial_state(1, CPU))
    for order in ((0, 1, 2, 3), (3, 1, 0, 2)):
        state = in_pieces.initial_state(1, CPU)
        for piece in order:
            row, column = divmod(piece, 2)
            glimpse = image[..., 7 * row : 7 * row + 7, 7 * column : 7 * column + 7]
            state = in_pieces(glimpse, torch.tensor([[column - 0.5, row - 0.5]]), state)
        torch.testing.assert_close(state[0], expected)


@pytest.mark.parametrize("size", [(side, side) for side in (1, 8, *range(13, 24))] + [(28, 60)])
def test_a_map_is_read_to_its_edges(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    core = MapCore((1, 2, *size), hidden_size=9)
    placed = torch.rand(20, 1, 2, *size, requires_grad=True)
    hidden, _ = core(placed, core.initial_state(20, CPU))
    hidden.sum().backward()
    assert (placed.grad.abs().sum(dim=0) > 0).all()


def test_a_map_is_read_alike_in_any_light() -> None:
    torch.manual_seed(0)
    core = MapCore((1, 2, 14, 14), hidden_size=9)
    maps = torch.rand(3, 2, 14, 14)
    in_the_dark, at_noon = core.reading(0.1 * maps), core.reading(10 * maps)
    torch.testing.assert_close(in_the_dark, at_noon, atol=0.01, rtol=0.01)


def test_the_lstm_core_remembers_what_its_cell_does() -> None:
    core = LstmCore(input_size=2, hidden_size=3)
    state = core.initial_state(4, CPU)
    glimpses, (hidden, cell) = torch.rand(2, 4, 2), state
    for features in glimpses:
        hidden, cell = core.cell(features, (hidden, cell))
        state = core(features, state)
        torch.testing.assert_close(state, (hidden, cell))  # h_t first, which the heads take
