"""Frames and texts: what must be seen in them, measured in their pixels and characters."""

import numpy as np
import pytest

from ram_env.rendering import SCALE_COLOURS, colours, render_frame, render_text

MAGENTA = (255, 0, 255)  # drawn by nothing but the image or the glimpse under test
NUM_GLIMPSES = 6
PATH = np.array([(14.0, 14.0), (20.0, 8.0), (9.0, 20.0), (15.0, 6.0), (22.0, 19.0), (12.0, 12.0)])
BELOW_HEADER = 60  # frame rows at width 640


def boxes_around(centre, patch, num_scales):
    sides = patch * 2 ** np.arange(num_scales)
    corners = np.floor(np.asarray(centre) - sides[:, np.newaxis] / 2).astype(int)
    return np.concatenate([corners, corners + sides[:, np.newaxis]], axis=1)


def moment(image=None, path=PATH[:3], *, patch=8, num_scales=1, fill=0.0):
    """The positional arguments of both functions, for a gaze that ends at the path's last point."""
    image = np.zeros((28, 28), np.uint8) if image is None else image
    glimpse = np.full((num_scales, patch, patch, *image.shape[2:]), fill, np.float32)
    path = np.array(path, np.float64)
    return image, path, boxes_around(path[-1], patch, num_scales), glimpse


def frame_of(*args, **kwargs):
    kwargs.setdefault("num_glimpses", NUM_GLIMPSES)
    return render_frame(*args, **kwargs)


def painted(colour, height=28, width=28):
    return np.broadcast_to(np.array(colour, np.uint8), (height, width, 3)).copy()


def has_colour(frame, colour):
    return (frame == np.array(colour, np.uint8)).all(axis=-1)


def extent(mask):
    """Left, top, right and bottom edges of what a mask covers."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def longest_runs(mask):
    """The longest horizontal run of each row of a mask."""
    lengths = np.zeros(len(mask), int)
    run = np.zeros(len(mask), int)
    for column in mask.T:
        run = (run + 1) * column
        lengths = np.maximum(lengths, run)
    return lengths


def beliefs(num_classes, likeliest, probability):
    belief = np.full(num_classes, (1 - probability) / (num_classes - 1))
    belief[likeliest] = probability
    return belief


# --------------------------------------------------------------------------------------------- size


@pytest.mark.parametrize("width", [240, 480, 640, 962])
@pytest.mark.parametrize("size", [(8, 8), (28, 28), (100, 200), (200, 100), (33, 47)])
def test_frame_size_is_even_and_the_same_throughout_an_episode(size, width):
    image = np.zeros(size, np.uint8)
    scale = np.array(size[::-1]) / 28
    shapes = set()
    for step in range(1, NUM_GLIMPSES + 1):
        args = moment(image, PATH[:step] * scale, patch=4, num_scales=3)
        shapes.add(frame_of(*args, width=width).shape)
        shapes.add(frame_of(*args, width=width, belief=beliefs(10, 3, 0.5)).shape)
        shapes.add(frame_of(*args, width=width, belief=beliefs(100, 3, 0.5)).shape)
    end = {"label": 3, "prediction": 5, "belief": beliefs(10, 3, 0.5)}
    shapes.add(frame_of(*args, width=width, **end).shape)
    ((height, frame_width, channels),) = shapes
    assert frame_width == width
    assert height % 2 == 0
    assert channels == 3


@pytest.mark.parametrize("width", [0, 238, 641])
def test_bad_width_is_refused(width):
    with pytest.raises(ValueError, match=rf"width={width} is not an even number of at least 240"):
        frame_of(*moment(), width=width)


@pytest.mark.parametrize("render", [frame_of, render_text])
def test_bad_shapes_are_refused(render):
    image, path, boxes, glimpse = moment()
    with pytest.raises(ValueError, match=r"fixations\.shape=\(0, 2\)"):
        render(image, path[:0], boxes, glimpse, num_glimpses=NUM_GLIMPSES)
    with pytest.raises(ValueError, match=r"boxes\.shape=\(2, 4\)"):
        render(image, path, np.tile(boxes, (2, 1)), glimpse, num_glimpses=NUM_GLIMPSES)
    with pytest.raises(ValueError, match=r"glimpse\.shape=\(8, 8\)"):
        render(image, path, boxes, glimpse[0], num_glimpses=NUM_GLIMPSES)
    with pytest.raises(ValueError, match=r"shape=\(28, 28, 2\)"):
        render(np.zeros((28, 28, 2), np.uint8), path, boxes, glimpse, num_glimpses=NUM_GLIMPSES)
    with pytest.raises(ValueError, match=r"belief\.shape=\(1, 10\) is not \(num_classes,\)"):
        render(*moment(), num_glimpses=NUM_GLIMPSES, belief=np.full((1, 10), 0.1))
    with pytest.raises(
        ValueError, match=f"num_glimpses={len(path) - 1}, and there are {len(path)}"
    ):
        render(*moment(), num_glimpses=len(path) - 1)


@pytest.mark.parametrize("render", [frame_of, render_text])
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"image": np.zeros((28, 28))}, r"image\.dtype=float64; allowed are uint8"),
        ({"image": [[0]]}, r"image=\[\[0\]\] is no array"),
        ({"fixations": [(14.0, 14.0)]}, "fixations=.*is no array"),
        ({"fixations": np.array([[np.nan, 14.0]])}, "fixations=.*not all finite"),
        ({"glimpse": np.full((1, 8, 8), 255, np.uint8)}, r"glimpse\.dtype=uint8.*\[0, 1\]"),
        ({"boxes": np.zeros((1, 4))}, r"boxes\.dtype=float64; allowed are integers"),
        ({"belief": np.zeros(0)}, r"belief\.shape=\(0,\)"),
        ({"belief": np.array([0.5, 0.5]), "names": ["cat"]}, "1 names, and a belief in 2 classes"),
    ],
)
def test_arrays_of_other_numbers_are_refused(render, changed, message):
    arrays = dict(zip(["image", "fixations", "boxes", "glimpse"], moment(), strict=True))
    with pytest.raises(ValueError, match=message):
        render(**(arrays | changed), num_glimpses=NUM_GLIMPSES)


@pytest.mark.parametrize("size", [(1, 4000), (4000, 1)], ids=str)
def test_an_image_that_is_a_thread_can_be_drawn(size):
    black, white = (frame_of(*moment(np.full(size, grey, np.uint8))) for grey in (0, 255))
    assert (black != white).any()


# -------------------------------------------------------------------------------------------- image


@pytest.mark.parametrize("size", [(28, 28), (40, 80), (90, 40)])
def test_image_pixels_appear_at_their_places(size):
    """One magenta pixel in a blue image is one crisp square where the geometry says."""
    height, width = size
    image = painted((0, 0, 255), height, width)
    row, column = height - 3, 2
    image[row, column] = MAGENTA
    frame = frame_of(*moment(image, [(width / 2, height / 2)]))
    # Boxes and path lie inside the image, so its corners tell where it is.
    left, top, right, bottom = extent(has_colour(frame, (0, 0, 255)))
    cell = (right - left) / width
    assert cell == (bottom - top) / height == int(cell) > 1
    expected = (
        left + column * cell,
        top + row * cell,
        left + (column + 1) * cell,
        top + (row + 1) * cell,
    )
    assert extent(has_colour(frame, MAGENTA)) == expected
    assert has_colour(frame, MAGENTA).sum() == cell**2


def test_one_and_three_grey_channels_look_like_none():
    image = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    expected = frame_of(*moment(image, fill=0.5))
    for channels in (1, 3):
        stacked = np.repeat(image[..., np.newaxis], channels, axis=-1)
        np.testing.assert_array_equal(frame_of(*moment(stacked, fill=0.5)), expected)


def test_images_larger_than_the_frame_are_averaged_down():
    frame = frame_of(*moment(painted(MAGENTA, 900, 900), [(450, 450)]))
    left, top, right, bottom = extent(has_colour(frame, MAGENTA))
    assert 200 < right - left < 640
    assert abs((right - left) - (bottom - top)) <= 1


# ----------------------------------------------------------------------------------- boxes and path


@pytest.mark.parametrize("num_scales", [1, 3])
def test_every_box_has_its_colour_at_its_four_edges(num_scales):
    args = moment(painted(MAGENTA), [(14, 14)], patch=4, num_scales=num_scales)
    frame = frame_of(*args)
    image_left, image_top, image_right, _ = extent(has_colour(frame, MAGENTA))
    cell = (image_right - image_left) // 28
    for box, colour in zip(args[2], SCALE_COLOURS, strict=False):
        left, top, right, bottom = (image_left, image_top) * 2 + box * cell
        x, y = (left + right) // 2, (top + bottom) // 2
        for row, column in ((y, left - 1), (y, right), (top - 1, x), (bottom, x)):
            assert tuple(frame[row, column]) == colour
        # Inside the box, its corner pixels are seen.
        assert not has_colour(frame[top:bottom, left:right], colour).any()


def test_boxes_beyond_the_image_stay_within_its_panel():
    image = painted(MAGENTA)
    centre = frame_of(*moment(image, [(14, 14)], patch=4, num_scales=4))
    corner = frame_of(*moment(image, [(28, 28)], patch=4, num_scales=4))
    changed = extent((centre != corner).any(axis=-1))
    left, _, right, bottom = extent(has_colour(centre, MAGENTA))
    margin = 2 * left  # the panel shows less than that around the image
    assert changed[0] > 0
    assert changed[1] >= 48  # the header
    assert right < changed[2] <= right + margin
    assert bottom < changed[3] <= bottom + margin


def test_path_is_drawn_and_the_current_stop_stands_out():
    image = painted(MAGENTA)
    frames = [frame_of(*moment(image, PATH[:step])) for step in (1, 2, 3)]
    hidden = [(~has_colour(frame, MAGENTA)).sum() for frame in frames]
    assert hidden[0] < hidden[1] < hidden[2]
    left, top, right, _ = extent(has_colour(frames[2], MAGENTA))
    cell = (right - left) // 28

    def brightness(stop):
        x, y = (left, top) + PATH[stop].astype(int) * cell
        # Beside the number, within the dot.
        return frames[2][y - 7 : y + 7, x - 7 : x + 7].mean()

    assert brightness(2) > 2 * brightness(1)


def test_another_fixation_gives_another_frame():
    assert not np.array_equal(
        frame_of(*moment(path=[(14, 14)])), frame_of(*moment(path=[(14, 15)]))
    )


def test_progress_is_shown():
    args = moment()
    assert not np.array_equal(frame_of(*args, num_glimpses=6), frame_of(*args, num_glimpses=7))
    # Budgets of more glimpses than the frame has pixels are possible, if hard to see.
    assert frame_of(*args, num_glimpses=1000).shape == frame_of(*args).shape


# ------------------------------------------------------------------------------------------- retina


@pytest.mark.parametrize("num_scales", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("patch", [4, 16])
def test_retina_shows_every_patch_in_the_same_size_with_its_colour(num_scales, patch):
    """Each patch is a flat colour of its own, one pixel of it magenta."""
    args = moment(painted((0, 0, 0)), [(14, 14)], patch=patch, num_scales=num_scales)
    glimpse = np.zeros((num_scales, patch, patch, 3), np.float32)
    glimpse[..., 2] = (np.arange(num_scales) + 1).reshape(-1, 1, 1) * 20 / 255
    glimpse[:, 0, 0] = (1, 0, 1)
    frame = frame_of(*args[:3], glimpse)
    sides = set()
    for scale in range(num_scales):
        left, top, right, bottom = extent(has_colour(frame, (0, 0, (scale + 1) * 20)))
        sides |= {right - left, bottom - top}
        assert tuple(frame[top, left]) == MAGENTA
        for row, column in ((top - 1, left), (bottom, left), (top, left - 1), (top, right)):
            assert tuple(frame[row, column]) == SCALE_COLOURS[scale % len(SCALE_COLOURS)]
    (side,) = sides
    assert side >= 40


# ------------------------------------------------------------------------------------------- belief


def bar_lengths(belief, width):
    """The lengths of the bars that are drawn for a belief, from top to bottom."""
    frame = frame_of(*moment(painted(MAGENTA)), belief=belief, width=width)
    beside_image = frame[BELOW_HEADER:, extent(has_colour(frame, MAGENTA))[2] :]
    runs = longest_runs(
        has_colour(beside_image, colours.BAR) | has_colour(beside_image, colours.TEXT)
    )
    # Text has the colours of bars too, but no run as long as theirs.
    is_bar = runs >= 8
    starts = np.flatnonzero(is_bar[1:] & ~is_bar[:-1]) + 1
    return [runs[start : start + is_bar[start:].argmin()].max() for start in starts]


@pytest.mark.parametrize("width", [640, 960])
def test_bars_are_as_long_as_the_probabilities_say(width):
    belief = np.array([0.4, 0.1, 0.3, 0.2])
    lengths = bar_lengths(belief, width)
    (full,) = bar_lengths(np.eye(4)[0], width)
    assert full > 100
    np.testing.assert_allclose(np.array(lengths) / full, belief, atol=1.5 / full)


def test_the_likeliest_class_stands_out():
    for likeliest in (2, 7):
        frame = frame_of(*moment(patch=4), belief=beliefs(10, likeliest, 0.9))[BELOW_HEADER:]
        bright = longest_runs(has_colour(frame, colours.TEXT))
        assert bright.max() > 50
        if likeliest == 2:
            first = bright.argmax()
    assert bright.argmax() > first + 20


def test_of_many_classes_only_the_top_ones_and_the_true_one_are_shown():
    belief = beliefs(1000, 123, 0.5)
    belief[:200] += 0.001
    frame = frame_of(*moment(), belief=belief)
    changed = belief.copy()
    changed[900:] -= 0.0001
    np.testing.assert_array_equal(frame, frame_of(*moment(), belief=changed))
    end = frame_of(*moment(), belief=belief, label=950, prediction=123)
    assert has_colour(end[BELOW_HEADER:], colours.RIGHT).any()


@pytest.mark.parametrize("num_classes", [1, 2, 11, 13, 20, 21])
def test_any_number_of_classes_fits(num_classes):
    belief = np.full(num_classes, 1 / num_classes)
    for width in (240, 480, 640):
        bottom_rows = frame_of(*moment(), belief=belief, width=width)[-4:]
        assert (bottom_rows == colours.BACKGROUND).all()


# ------------------------------------------------------------------------------------ label, answer


def verdict_pixels(frame):
    return {name: has_colour(frame, getattr(colours, name)) for name in ("RIGHT", "WRONG")}


def test_without_a_label_nothing_is_judged():
    belief = beliefs(10, 3, 0.6)
    for prediction in (None, 3, 5, -1):
        frame = frame_of(*moment(), belief=belief, prediction=prediction)
        assert not any(mask.any() for mask in verdict_pixels(frame).values())
    np.testing.assert_array_equal(
        frame_of(*moment(), belief=belief), frame_of(*moment(), belief=belief, label=None)
    )


def test_the_true_class_is_marked_in_its_row():
    heights = []
    for label in (1, 4, 8):
        frame = frame_of(*moment(), belief=np.eye(10)[9], label=label, prediction=9)
        rows = np.flatnonzero(verdict_pixels(frame)["RIGHT"].any(axis=1))
        assert np.ptp(rows) < 20
        heights.append(rows.mean())
    first, second, third = heights
    # Three rows further down, then four.
    assert third - second == pytest.approx((second - first) * 4 / 3, abs=1.5)


def test_right_and_wrong_answers_differ():
    belief = beliefs(10, 3, 0.6)
    right = verdict_pixels(frame_of(*moment(), belief=belief, label=3, prediction=3))
    assert right["RIGHT"][:BELOW_HEADER].any()
    assert not right["WRONG"].any()
    for prediction in (3, -1):
        frame = frame_of(*moment(), belief=belief, label=5, prediction=prediction)
        wrong = verdict_pixels(frame)
        assert wrong["WRONG"][:BELOW_HEADER].any()
        assert not wrong["RIGHT"][:BELOW_HEADER].any()


# ---------------------------------------------------------------------------------------- both ways


@pytest.mark.parametrize("render", [frame_of, render_text])
def test_inputs_are_left_alone_and_the_same_inputs_give_the_same_output(render):
    image = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    inputs = [*moment(image, fill=0.3, num_scales=2), beliefs(10, 3, 0.6)]
    before = [array.copy() for array in inputs]
    for array in inputs:
        array.setflags(write=False)
    outputs = [
        render(*inputs[:4], belief=inputs[4], num_glimpses=NUM_GLIMPSES, label=3, prediction=5)
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*outputs)
    for array, copy in zip(inputs, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_a_frame_belongs_to_the_caller():
    frame = frame_of(*moment())
    frame[:] = 0
    assert frame_of(*moment()).any()


# --------------------------------------------------------------------------------------------- text


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (100, 100), (100, 200), (300, 20), (28, 28, 3)])
@pytest.mark.parametrize("num_scales", [1, 4, 9])
def test_text_fits_a_terminal(size, num_scales):
    path = PATH * np.array(size[1::-1]) / 28
    args = moment(np.full(size, 255, np.uint8), path, patch=12, num_scales=num_scales)
    text = render_text(*args, num_glimpses=NUM_GLIMPSES, belief=beliefs(1000, 999, 0.7))
    lines = text.split("\n")
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 64


def test_text_says_how_far_the_episode_is():
    args = moment()
    assert "glimpse 3 of 6" in render_text(*args, num_glimpses=6)
    end = render_text(*args, num_glimpses=3, belief=beliefs(10, 4, 0.91), label=7, prediction=4)
    assert "glimpse 3 of 3 | said 4, is 7" in end
    assert "belief 4: 91%" in end
    assert "no answer, is 7" in render_text(*args, num_glimpses=3, label=7, prediction=-1)


def test_text_shows_image_path_and_box():
    image = np.zeros((28, 28), np.uint8)
    image[3, 25] = 255
    image[26, 1] = 128
    picture = render_text(*moment(image), num_glimpses=NUM_GLIMPSES).split("\n")[:30]
    # A pixel is two characters wide, and the thin frame takes one line and one column.
    assert picture[4][51:53] == "██"
    assert picture[27][3:5] == "▒▒"
    for number, (x, y) in enumerate(PATH[:3].astype(int), start=1):
        assert picture[y + 1][2 * x + 1] == str(number)
    left, top, right, bottom = moment()[2][0]
    assert picture[top][2 * left] == "╔"
    assert picture[top][2 * right + 1] == "╗"
    assert picture[bottom + 1][2 * left] == "╚"
    assert picture[bottom + 1][2 * right + 1] == "╝"


def test_text_goes_on_with_letters_after_nine_glimpses():
    path = np.stack([np.arange(1, 12) * 2.0, np.full(11, 5.0)], axis=1)
    text = render_text(*moment(path=path), num_glimpses=12)
    assert "a" in text.split("\n")[6]
    many = np.tile(path, (10, 1))
    assert "glimpse 110 of 110" in render_text(*moment(path=many), num_glimpses=110)


def test_text_shows_the_retina():
    text = render_text(*moment(fill=1.0, num_scales=2), num_glimpses=NUM_GLIMPSES)
    assert " 8 px             16 px\n│████████████████│████████████████│" in text
