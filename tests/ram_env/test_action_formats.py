"""Action formats: what actions mean, and what is said of those that mean nothing."""

import re

import numpy as np
import pytest
from gymnasium import spaces

from ram_env.action_formats import ACTION_FORMATS, NO_ANSWER

NUM_CLASSES, GRID_SIZE = 4, 3


def action_format(name):
    return ACTION_FORMATS[name](NUM_CLASSES, GRID_SIZE)


def dict_action(location=(0.5, -1), label=2):
    return {"location": location, "label": label}


@pytest.mark.parametrize(
    ("name", "space"),
    [
        (
            "dict",
            spaces.Dict(
                location=spaces.Box(-1, 1, (2,), np.float32), label=spaces.Discrete(NUM_CLASSES)
            ),
        ),
        ("multi_discrete", spaces.MultiDiscrete([GRID_SIZE, GRID_SIZE, NUM_CLASSES])),
        ("discrete", spaces.Discrete(GRID_SIZE**2 + NUM_CLASSES)),
    ],
)
def test_spaces(name, space):
    assert action_format(name).space == space


def test_there_are_three_formats():
    assert set(ACTION_FORMATS) == {"dict", "multi_discrete", "discrete"}


# ----------------------------------------------------------------------------------- what they mean


@pytest.mark.parametrize(
    ("location", "label"),
    [
        ((0.5, -1), 2),
        ([-1, 1], 0),
        (np.array([0.25, 0.75], np.float32), np.int64(3)),
        (np.array([0, 1]), np.array(1, np.uint8)),
        (np.array([1, -1], np.float64), 1),
    ],
)
def test_a_dict_says_location_and_class(location, label):
    decision = action_format("dict").decode(dict_action(location, label), ())
    np.testing.assert_array_equal(decision.location, location)
    assert decision.label == label
    assert not decision.answers_now


@pytest.mark.parametrize("container", [list, tuple, np.array])
@pytest.mark.parametrize(
    ("cell", "location"),
    [  # thirds of [-1, 1] have their middles at -2/3, 0 and 2/3
        ((0, 0), (-2 / 3, -2 / 3)),
        ((1, 1), (0, 0)),
        ((2, 0), (2 / 3, -2 / 3)),
        ((0, 1), (-2 / 3, 0)),
    ],
)
def test_multi_discrete_says_column_row_and_class(cell, location, container):
    decision = action_format("multi_discrete").decode(container([*cell, 3]), ())
    np.testing.assert_allclose(decision.location, location, atol=1e-15)
    assert decision.label == 3
    assert not decision.answers_now


@pytest.mark.parametrize(
    ("action", "location"),
    [  # 0 1 2 / 3 4 5 / 6 7 8: row by row
        (0, (-2 / 3, -2 / 3)),
        (1, (0, -2 / 3)),
        (2, (2 / 3, -2 / 3)),
        (3, (-2 / 3, 0)),
        (4, (0, 0)),
        (8, (2 / 3, 2 / 3)),
    ],
)
def test_the_first_discrete_actions_look_at_a_cell(action, location):
    decision = action_format("discrete").decode(action, ())
    np.testing.assert_allclose(decision.location, location, atol=1e-15)
    assert decision.label == NO_ANSWER == -1
    assert not decision.answers_now


@pytest.mark.parametrize("number_type", [int, np.int64, np.uint8, np.array])
@pytest.mark.parametrize(("action", "label"), [(9, 0), (10, 1), (12, 3)])
def test_the_last_discrete_actions_answer(action, label, number_type):
    decision = action_format("discrete").decode(number_type(action), ())
    assert decision.label == label
    assert decision.answers_now


@pytest.mark.parametrize("grid_size", [1, 2, 7, 10])
@pytest.mark.parametrize("name", ["multi_discrete", "discrete"])
def test_cells_are_spread_evenly_over_the_image(name, grid_size):
    grid = ACTION_FORMATS[name](NUM_CLASSES, grid_size)
    cells = [(column, row) for row in range(grid_size) for column in range(grid_size)]
    actions = (
        np.arange(grid_size**2)
        if name == "discrete"
        else np.array([(column, row, 0) for column, row in cells])
    )
    locations = grid.decode(actions, (grid_size**2,)).location
    edges = [np.array(cell) / grid_size * 2 - 1 for cell in cells]  # left and top of each cell
    np.testing.assert_allclose(locations - edges, 1 / grid_size, rtol=1e-9)


@pytest.mark.parametrize("name", ACTION_FORMATS)
def test_a_batch_means_what_its_actions_mean(name):
    single = action_format(name)
    single.space.seed(0)
    actions = [single.space.sample() for _ in range(20)]
    batch = (
        {key: np.stack([action[key] for action in actions]) for key in ("location", "label")}
        if name == "dict"
        else np.stack(actions)
    )
    together = single.decode(batch, (20,))
    assert together.location.shape == (20, 2)
    assert together.label.shape == together.answers_now.shape == (20,)
    for row, action in enumerate(actions):
        alone = single.decode(action, ())
        if not alone.answers_now:
            np.testing.assert_array_equal(together.location[row], alone.location)
        assert together.label[row] == alone.label
        assert together.answers_now[row] == alone.answers_now


@pytest.mark.parametrize("name", ACTION_FORMATS)
def test_every_action_of_the_space_is_understood(name):
    single = action_format(name)
    single.space.seed(1)
    for _ in range(200):
        decision = single.decode(single.space.sample(), ())
        assert decision.answers_now or np.abs(decision.location).max() <= 1
        assert decision.label in range(-1 if name == "discrete" else 0, NUM_CLASSES)


# ---------------------------------------------------------------------------------- what is refused

BAD_DICTS = [
    # Not such a dict.
    (None, "None", "'location' and 'label'"),
    (3, "3", "'location' and 'label'"),
    ("left", "'left'", "'location' and 'label'"),
    ([0.5, 0.5, 1], "[0.5, 0.5, 1]", "'location' and 'label'"),
    (np.array([0.5, 0.25]), "0.25", "'location' and 'label'"),
    ({}, "{}", "'location' and 'label'"),
    ({"location": (0, 0)}, "(0, 0)", "'location' and 'label'"),
    ({"label": 2}, "2", "'location' and 'label'"),
    # The location.
    (dict_action(location=(1.5, 0)), "1.5", "[-1, 1]"),
    (dict_action(location=(0, -1.001)), "-1.001", "[-1, 1]"),
    (dict_action(location=(0, np.nan)), "nan", "[-1, 1]"),
    (dict_action(location=(np.inf, 0)), "inf", "[-1, 1]"),
    (dict_action(location=(0, -np.inf)), "-inf", "[-1, 1]"),
    (dict_action(location=np.array([2, 0])), "2", "[-1, 1]"),
    (dict_action(location=np.array([-128, 0], np.int8)), "-128", "[-1, 1]"),
    (dict_action(location=np.array([0, np.iinfo(np.int64).min])), "-9", "[-1, 1]"),
    (dict_action(location=0.5), "0.5", "(2,)"),
    (dict_action(location=(0.5,)), "0.5", "(2,)"),
    (dict_action(location=(0, 0, 0.5)), "0.5", "(2,)"),
    (dict_action(location=[[0, 0.5]]), "0.5", "(2,)"),
    (dict_action(location=[[0], [0, 0.5]]), "[[0], [0, 0.5]]", "(2,)"),
    (dict_action(location=None), "None", "(2,)"),
    (dict_action(location=(None, 0)), "None", "real numbers"),
    (dict_action(location=("left", "up")), "left", "real numbers"),
    (dict_action(location=(True, False)), "True", "real numbers"),
    (dict_action(location=(1j, 0)), "1j", "real numbers"),
    # The class.
    (dict_action(label=-1), "-1", "0..3"),
    (dict_action(label=4), "4", "0..3"),
    (dict_action(label=np.uint64(2**63)), "9223372036854775808", "0..3"),
    (dict_action(label=2**70), "1180591620717411303424", "integers"),
    (dict_action(label=1.0), "1.0", "integers"),
    (dict_action(label=np.nan), "nan", "integers"),
    (dict_action(label=True), "True", "integers"),
    (dict_action(label="2"), "'2'", "integers"),
    (dict_action(label=None), "None", "integers"),
    (dict_action(label=[1]), "[1]", "()"),
    (dict_action(label=[[1], [1, 2]]), "[[1], [1, 2]]", "()"),
]

BAD_MULTI_DISCRETE = [
    ([3, 0, 0], "holds 3", "0..2 x 0..2 x 0..3"),
    ([0, 3, 0], "holds 3", "0..2 x 0..2 x 0..3"),
    ([0, 0, 4], "4", "0..2 x 0..2 x 0..3"),
    ([0, -1, 0], "-1", "0..2 x 0..2 x 0..3"),
    ([0, 1], "[0, 1]", "(3,)"),
    ([0, 1, 2, 0], "[0, 1, 2, 0]", "(3,)"),
    ([[0, 1, 2]], "[[0, 1, 2]]", "(3,)"),
    (2, "2", "(3,)"),
    ([0, [1], 2], "[0, [1], 2]", "(3,)"),
    ([0.0, 1.0, 2.0], "1.0", "integers"),
    ([0, np.nan, 2], "nan", "integers"),
    ([True, True, False], "True", "integers"),
    (["0", "1", "2"], "'1'", "integers"),
    ([0, None, 2], "None", "integers"),
    (None, "None", "(3,)"),
    ("up", "'up'", "(3,)"),
    (dict_action(), "location", "(3,)"),
]

BAD_DISCRETE = [
    (13, "13", "0..12"),
    (-1, "-1", "0..12"),
    (2**70, "1180591620717411303424", "integers"),
    (1.0, "1.0", "integers"),
    (np.nan, "nan", "integers"),
    (np.inf, "inf", "integers"),
    (True, "True", "integers"),
    ("5", "'5'", "integers"),
    (None, "None", "integers"),
    (dict_action(), "location", "integers"),
    ([5], "[5]", "()"),
    (np.array([5]), "5", "()"),
    ([[5], [5, 6]], "[[5], [5, 6]]", "()"),
]


BAD_ACTIONS = [
    pytest.param(name, *case, id=f"{name}, {case[0]!r}")
    for name, cases in (
        ("dict", BAD_DICTS),
        ("multi_discrete", BAD_MULTI_DISCRETE),
        ("discrete", BAD_DISCRETE),
    )
    for case in cases
]


@pytest.mark.parametrize(("name", "action", "value", "allowed"), BAD_ACTIONS)
def test_a_refused_action_is_named_with_what_is_allowed(name, action, value, allowed):
    with pytest.raises(ValueError, match="action") as error:
        action_format(name).decode(action, ())
    assert value in str(error.value)
    assert allowed in str(error.value)


@pytest.mark.parametrize(
    ("name", "actions", "message"),
    [
        ("dict", dict_action([[0, 0], [0, 1.5], [0, 0]], [0, 1, 2]), "1.5"),
        ("dict", dict_action([[0, 0], [0, 1], [0, 0]], [0, 1, 4]), "4"),
        ("dict", dict_action([[0, 0], [0, 1]], [0, 1]), "(3, 2)"),
        ("dict", dict_action([[0, 0], [0, 1], [0, 0]], [0, 1]), "(3,)"),
        ("dict", dict_action((0.5, 0.5), 1), "(3, 2)"),
        ("dict", [dict_action()] * 3, "'location' and 'label'"),
        ("multi_discrete", [[0, 0, 0], [2, 2, 3], [0, 3, 0]], "holds 3"),
        ("multi_discrete", [[0, 0, 0], [2, 2, 3]], "(3, 3)"),
        ("multi_discrete", [0, 0, 0], "(3, 3)"),
        ("discrete", [0, 12, 13], "13"),
        ("discrete", [0, 1], "(3,)"),
        ("discrete", 5, "(3,)"),
    ],
)
def test_one_bad_action_in_a_batch_is_enough(name, actions, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        action_format(name).decode(actions, (3,))


def test_the_message_says_what_to_do_about_a_location_outside():
    with pytest.raises(ValueError, match="clip"):
        action_format("dict").decode(dict_action(location=(1.0001, 0)), ())


@pytest.mark.parametrize("name", list(ACTION_FORMATS))
def test_a_batch_of_another_format_is_told_in_a_line(name):
    for action in (np.zeros((256, 5)), dict_action(np.zeros((256, 5)), np.zeros(256))):
        with pytest.raises(ValueError, match="action") as error:
            action_format(name).decode(action, (256,))
        assert len(str(error.value)) < 400
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("multi_discrete", "[column, row, label]"),
        ("discrete", "row * 3 + column to look, or 9 + label to answer"),
    ],
)
@pytest.mark.parametrize("batch_shape", [(), (2,)])
def test_an_action_of_another_format_is_told_what_this_one_wants(name, meaning, batch_shape):
    actions = {
        "dict": dict_action(np.zeros((*batch_shape, 2)), np.zeros(batch_shape, int)),
        "multi_discrete": np.zeros((*batch_shape, 3), int),
        "discrete": np.zeros(batch_shape, int),
    }
    for other in set(actions) - {name}:
        with pytest.raises(ValueError, match=re.escape(meaning)) as error:
            action_format(name).decode(actions[other], batch_shape)
        assert f"which action_format='{name}' wants; give one, or" in str(error.value)


def test_an_action_that_is_no_dict_is_told_which_format_it_is_for():
    with pytest.raises(ValueError, match=r"action=3 is not a dict.*action_format='dict' wants"):
        action_format("dict").decode(3, ())
