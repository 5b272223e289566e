"""The glimpse sensor: which pixels a glimpse is made of, and what becomes of them."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ram_env import GlimpseSensor
from ram_env.sensor import ROUNDING

# 10 20 30 40 / 50 60 70 80 / 90 100 110 120 / 130 140 150 160
IMAGE = np.arange(10, 170, 10, dtype=np.uint8).reshape(4, 4)

# Locations in steps of 1/64, on images this small, are exact in floating point: ties are ties.
exact_locations = st.tuples(*[st.integers(-64, 64).map(lambda step: step / 64)] * 2)
any_locations = st.tuples(*[st.floats(-1, 1)] * 2)
sensors = st.builds(GlimpseSensor, st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))


def look(sensor, image, *location):
    """The glimpse of one image at one location, in grey levels."""
    glimpses = sensor(np.asarray(image)[np.newaxis], np.array([location], np.float64))
    return glimpses[0] * 255


def slow_glimpse(image, location, sensor):
    """What the sensor's docstring says, one pixel after the other, as exact fractions of white."""
    height, width, channels = image.shape
    point = [
        (Fraction(part) + 1) / 2 * side
        for part, side in zip(location, (width, height), strict=True)
    ]
    pixels = image.tolist()

    def brightness(row, column, channel):
        inside = 0 <= row < height and 0 <= column < width
        return pixels[row][column][channel] if inside else 0

    def block_mean(top, left, block, channel):
        total = sum(
            brightness(row, column, channel)
            for row in range(top, top + block)
            for column in range(left, left + block)
        )
        return Fraction(total, 255 * block**2)

    patches = []
    for scale in range(sensor.num_scales):
        block = sensor.scale_factor**scale
        left, top = (nearest_start(part, sensor.patch_size * block) for part in point)
        patches.append(
            [
                [
                    [
                        block_mean(top + row * block, left + column * block, block, channel)
                        for channel in range(channels)
                    ]
                    for column in range(sensor.patch_size)
                ]
                for row in range(sensor.patch_size)
            ]
        )
    return np.array(patches, dtype=np.float64)


def nearest_start(point, side):
    """Where a side begins whose middle is nearest to the point; the later one at a tie."""
    starts = range(int(point) - side - 1, int(point) + 2)
    return min(starts, key=lambda start: (abs(start + Fraction(side, 2) - point), -start))


# ----------------------------------------------------------------------------- numbers done by hand


@pytest.mark.parametrize(
    ("location", "patch"),
    [
        ((0, 0), [[60, 70], [100, 110]]),
        ((-1, -1), [[0, 0], [0, 10]]),
        ((1, -1), [[0, 0], [40, 0]]),
        ((-1, 1), [[0, 130], [0, 0]]),
        ((1, 1), [[160, 0], [0, 0]]),
        ((0.5, -0.5), [[30, 40], [70, 80]]),
        ((-0.5, 0.5), [[90, 100], [130, 140]]),
        ((0.2, 0), [[60, 70], [100, 110]]),  # the point (2.4, 2) is nearer to 2 than to 3
        ((0.3, 0), [[70, 80], [110, 120]]),
        ((0.25, 0), [[70, 80], [110, 120]]),  # ties go right ...
        ((-0.25, 0), [[60, 70], [100, 110]]),
        ((0, 0.25), [[100, 110], [140, 150]]),  # ... and down
    ],
)
def test_an_even_patch_is_centred_on_the_nearest_grid_crossing(location, patch):
    np.testing.assert_allclose(look(GlimpseSensor(patch_size=2), IMAGE, *location), [patch])


@pytest.mark.parametrize(
    ("patch_size", "location", "patch"),
    [
        (1, (-0.75, -0.75), [[10]]),
        (1, (-1, -1), [[10]]),
        (1, (0.25, -0.25), [[70]]),
        (1, (0, 0), [[110]]),  # the corner of four pixels: right and down
        (1, (1, 1), [[0]]),  # right and down of the last pixel is outside
        (3, (0.25, 0.25), [[60, 70, 80], [100, 110, 120], [140, 150, 160]]),
        (3, (-1, -1), [[0, 0, 0], [0, 10, 20], [0, 50, 60]]),
        (3, (1, 0.25), [[80, 0, 0], [120, 0, 0], [160, 0, 0]]),
    ],
)
def test_an_odd_patch_is_centred_on_the_pixel_that_holds_the_point(patch_size, location, patch):
    np.testing.assert_allclose(look(GlimpseSensor(patch_size), IMAGE, *location), [patch])


@pytest.mark.parametrize(
    ("scale_factor", "location", "coarse"),
    [
        (2, (0, 0), [[35, 55], [115, 135]]),  # 35 = (10 + 20 + 50 + 60) / 4
        (2, (-1, -1), [[0, 0], [0, 35]]),
        (2, (0.5, 0), [[45, 30], [125, 70]]),  # 30 = (40 + 80) / 4, two pixels are outside
        (3, (0, 0), [[140 / 9, 220 / 9], [460 / 9, 540 / 9]]),  # five of nine pixels are outside
        (1, (0, 0), [[60, 70], [100, 110]]),
    ],
)
def test_a_coarser_scale_averages_a_larger_square(scale_factor, location, coarse):
    sensor = GlimpseSensor(patch_size=2, num_scales=2, scale_factor=scale_factor)
    fine, found = look(sensor, IMAGE, *location)
    np.testing.assert_allclose(found, coarse, rtol=1e-6)
    np.testing.assert_array_equal(fine, look(GlimpseSensor(patch_size=2), IMAGE, *location)[0])


def test_colours_come_last_and_are_seen_apart():
    colours = np.stack([IMAGE, IMAGE // 2, np.zeros_like(IMAGE)], axis=-1)
    glimpse = look(GlimpseSensor(patch_size=2, num_scales=2), colours, 0, 0)
    assert glimpse.shape == (2, 2, 2, 3)
    np.testing.assert_allclose(glimpse[0, 0, 0], [60, 30, 0])
    np.testing.assert_allclose(glimpse[1, ..., 0], [[35, 55], [115, 135]])
    np.testing.assert_array_equal(glimpse[..., 2], 0)


def test_x_moves_along_columns_and_y_along_rows():
    height, width = 3, 5
    image = np.arange(1, 16, dtype=np.uint8).reshape(height, width)
    sensor = GlimpseSensor(patch_size=1)
    columns = [(column + 0.5) / width * 2 - 1 for column in range(width)]
    rows = [(row + 0.5) / height * 2 - 1 for row in range(height)]
    seen = [[look(sensor, image, x, y).item() for x in columns] for y in rows]
    np.testing.assert_allclose(seen, image)


# -------------------------------------------------------------------------- against slow arithmetic


@settings(deadline=None, max_examples=150)
@given(
    sensor=sensors,
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    channels=st.sampled_from([None, 1, 3]),
    locations=st.lists(exact_locations, min_size=1, max_size=2),
    seed=st.integers(0, 1000),
)
def test_glimpses_are_those_of_the_slow_reference(sensor, height, width, channels, locations, seed):
    shape = (len(locations), height, width, channels or 1)
    images = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    expected = np.stack(
        [
            slow_glimpse(image, location, sensor)
            for image, location in zip(images, locations, strict=True)
        ]
    )
    if channels is None:
        images, expected = images[..., 0], expected[..., 0]
    found = sensor(images, np.array(locations))
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("corner", [(-1, -1), (1, -1), (-1, 1), (1, 1), (0, -1), (1, 0), (0, 0)])
@pytest.mark.parametrize("scale_factor", [1, 2, 3])
@pytest.mark.parametrize("patch_size", [1, 2, 3, 8])
def test_corners_and_borders_are_those_of_the_slow_reference(patch_size, scale_factor, corner):
    sensor = GlimpseSensor(patch_size, 3, scale_factor)
    image = np.random.default_rng(1).integers(1, 256, (5, 8, 1), np.uint8)
    found = look(sensor, image, *corner) / 255
    np.testing.assert_allclose(found, slow_glimpse(image, corner, sensor), rtol=0, atol=1e-6)


# ------------------------------------------------------------------------------- squares and points


@pytest.mark.parametrize(
    ("location", "point"),
    [((-1, -1), (0, 0)), ((0, 0), (20, 5)), ((1, 1), (40, 10)), ((0.5, -0.5), (30, 2.5))],
)
def test_locations_are_fractions_of_the_image(location, point):
    np.testing.assert_array_equal(GlimpseSensor().centres((10, 40), np.array(location)), point)


def test_squares_grow_by_the_scale_factor_and_may_reach_outside():
    sensor = GlimpseSensor(patch_size=8, num_scales=3, scale_factor=2)
    assert sensor.extents == [8, 16, 32]
    centre, corner = sensor.boxes((28, 28), np.array([[0, 0], [-1, 1]]))
    # left, top, right, bottom
    np.testing.assert_array_equal(centre, [[10, 10, 18, 18], [6, 6, 22, 22], [-2, -2, 30, 30]])
    np.testing.assert_array_equal(corner, [[-4, 24, 4, 32], [-8, 20, 8, 36], [-16, 12, 16, 44]])


@settings(deadline=None, max_examples=300)
@given(
    sensor=st.builds(GlimpseSensor, st.integers(1, 9), st.integers(1, 4), st.integers(1, 3)),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    location=st.one_of(any_locations, exact_locations),
)
def test_all_scales_share_one_centre_at_the_border_too(sensor, height, width, location):
    boxes = sensor.boxes((height, width), np.array(location))
    np.testing.assert_array_equal(boxes[:, 2:] - boxes[:, :2], np.array([sensor.extents] * 2).T)
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    point = sensor.centres((height, width), np.array(location))
    nearly_a_tie = 2 * ROUNDING * max(height, width)
    assert np.abs(middles - point).max() <= 0.5 + nearly_a_tie
    for parity in (0, 1):
        alike = middles[np.array(sensor.extents) % 2 == parity]
        assert (alike == alike[:1]).all()
    assert np.ptp(middles, axis=0).max() <= 0.5


# --------------------------------------------------------------------------------------- the values


@pytest.mark.parametrize(
    ("patch_size", "num_scales", "scale_factor"),
    [(8, 1, 2), (2, 3, 2), (3, 3, 3), (2, 2, 5), (1, 2, 16), (1, 2, 17), (1, 3, 15), (1, 2, 257)],
)
def test_white_stays_exactly_one(patch_size, num_scales, scale_factor):
    sensor = GlimpseSensor(patch_size, num_scales, scale_factor)
    side = 2 * sensor.extents[-1]
    white = np.full((1, side, side), 255, np.uint8)
    np.testing.assert_array_equal(sensor(white, np.zeros((1, 2))), np.float32(1))


@settings(deadline=None, max_examples=100)
@given(sensor=sensors, location=any_locations, seed=st.integers(0, 1000))
def test_values_are_within_0_and_1_even_half_outside(sensor, location, seed):
    image = np.random.default_rng(seed).choice(np.array([0, 254, 255], np.uint8), (1, 5, 4))
    glimpse = sensor(image, np.array([location]))
    assert glimpse.min() >= 0
    assert glimpse.max() <= 1


def test_outside_the_image_is_black():
    sensor = GlimpseSensor(patch_size=4, num_scales=2)
    glimpse = look(sensor, np.full((6, 6), 255, np.uint8), -1, 1)
    np.testing.assert_allclose(glimpse[0] / 255, [[0, 0, 1, 1]] * 2 + [[0, 0, 0, 0]] * 2)
    np.testing.assert_allclose(glimpse[1] / 255, [[0, 0, 1, 1]] * 2 + [[0, 0, 0, 0]] * 2)


@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 3)])
def test_a_glimpse_does_not_depend_on_the_batch_it_is_in(shape):
    generator = np.random.default_rng(2)
    images = generator.integers(0, 256, (40, *shape), np.uint8)
    locations = generator.uniform(-1, 1, (40, 2))
    sensor = GlimpseSensor(patch_size=3, num_scales=3, scale_factor=3)
    together = sensor(images, locations)
    alone = np.concatenate([sensor(images[[i]], locations[[i]]) for i in range(40)])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(together[::-3], sensor(images[::-3], locations[::-3]))


def test_the_inputs_are_left_as_they_were():
    images = np.random.default_rng(3).integers(0, 256, (2, 5, 5), np.uint8)
    locations = np.array([[0.1, 0.2], [-1, 1]])
    copies = images.copy(), locations.copy()
    glimpses = GlimpseSensor(patch_size=3, num_scales=2)(images, locations)
    glimpses[:] = 0.5
    np.testing.assert_array_equal(images, copies[0])
    np.testing.assert_array_equal(locations, copies[1])


def test_read_only_images_and_single_precision_locations_will_do():
    images = IMAGE[np.newaxis].copy()
    images.flags.writeable = False
    locations = np.array([[0.5, -0.5]], np.float32)
    glimpse = GlimpseSensor(patch_size=2)(images, locations)
    np.testing.assert_allclose(glimpse[0, 0] * 255, [[30, 40], [70, 80]])


def test_images_padded_once_are_seen_as_they_are():
    images = np.stack([IMAGE, IMAGE.T])
    locations = np.array([[-1, 0.5], [1, 1]])
    sensor = GlimpseSensor(patch_size=3, num_scales=2)
    canvases = sensor.pad(images)
    np.testing.assert_array_equal(sensor.interior(canvases), images)
    rows = np.arange(len(images))
    np.testing.assert_array_equal(
        sensor.glimpse(canvases, rows, locations), sensor(images, locations)
    )
    # The interior is a view: what is drawn there is what is seen.
    sensor.interior(canvases)[0] = images[1]
    np.testing.assert_array_equal(
        sensor.glimpse(canvases, rows, locations), sensor(images[[1, 1]], locations)
    )


def test_any_of_the_padded_images_can_be_looked_at_in_any_order():
    images = np.stack([IMAGE, IMAGE.T, 255 - IMAGE])
    locations = np.array([[-1, 0.5], [1, 1], [0, 0], [0, 0]])
    sensor = GlimpseSensor(patch_size=2, num_scales=2)
    rows = np.array([2, 0, 2, 1])
    np.testing.assert_array_equal(
        sensor.glimpse(sensor.pad(images), rows, locations),
        sensor(images[rows], locations),
    )


@pytest.mark.parametrize("chunk_pixels", [1, 16 * 16, 5 * 8 * 8])
def test_how_many_glimpses_are_cut_at_a_time_does_not_matter(monkeypatch, chunk_pixels):
    images = np.random.default_rng(0).integers(0, 256, (7, 20, 30), dtype=np.uint8)
    locations = np.random.default_rng(1).uniform(-1, 1, (7, 2))
    sensor = GlimpseSensor(patch_size=4, num_scales=3)
    at_once = sensor(images, locations)
    monkeypatch.setattr("ram_env.sensor.CHUNK_PIXELS", chunk_pixels)
    np.testing.assert_array_equal(sensor(images, locations), at_once)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("side", "count", "patch_size", "step"),
    [(28, 7, 7, 4), (28, 28, 8, 1), (60, 60, 12, 1), (60, 12, 12, 5), (100, 50, 9, 2)],
)
def test_points_evenly_apart_are_seen_evenly_apart(side, count, patch_size, step, dtype):
    # The middles of a grid's cells, of which many are ties, and none is exact as a location.
    middles = ((2 * np.arange(count) + 1) / count - 1).astype(dtype)
    locations = np.stack([middles, middles], axis=-1)
    boxes = GlimpseSensor(patch_size).boxes((side, side), locations)
    assert (np.diff(boxes[:, 0, :2], axis=0) == step).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_even_patch_at_the_middle_of_a_pixel_goes_right_and_down(dtype):
    locations = np.stack([2 * (np.arange(28) + 0.5) / 28 - 1] * 2, axis=-1).astype(dtype)
    left_and_top = GlimpseSensor(8).boxes((28, 28), locations)[:, 0, :2]
    assert left_and_top.T.tolist() == [[pixel + 1 - 4 for pixel in range(28)]] * 2


def test_the_whitest_of_the_largest_blocks_stays_white():
    white = np.full((1, 4200, 4200), 255, np.uint8)  # 4.5 thousand million in all
    assert GlimpseSensor(1, 2, 4200)(white, np.zeros((1, 2)))[0, 1, 0, 0] == 1


# ---------------------------------------------------------------------------------- what it refuses


@pytest.mark.parametrize("value", [0, -1, 2.0, "3", None, True, [2]])
@pytest.mark.parametrize("name", ["patch_size", "num_scales", "scale_factor"])
def test_sizes_are_integers_of_at_least_one(name, value):
    with pytest.raises(ValueError, match=name) as error:
        GlimpseSensor(**{name: value})
    assert repr(value) in str(error.value)
    assert "at least 1" in str(error.value)


def test_images_of_other_types_and_locations_outside_are_refused():
    with pytest.raises(ValueError, match="dtype=float64 is not uint8"):
        GlimpseSensor()(np.full((1, 8, 8), 0.5), np.zeros((1, 2)))
    for outside in (-1.01, 1.5, np.nan):
        with pytest.raises(ValueError, match=rf"{outside}, which is not in \[-1, 1\]"):
            GlimpseSensor()(IMAGE[np.newaxis], np.array([[outside, 0]]))


@pytest.mark.parametrize("shape", [(8, 8), (8,), (), (1, 8, 8, 3, 1)], ids=str)
def test_images_are_a_batch(shape):
    images = np.zeros(shape, np.uint8)
    with pytest.raises(ValueError, match=r"not \(batch, height, width\)") as error:
        GlimpseSensor()(images, np.zeros((1, 2)))
    assert f"images.shape={shape}" in str(error.value)
    assert "image[np.newaxis]" in str(error.value)
    with pytest.raises(ValueError, match=r"not \(batch, height, width\)"):
        GlimpseSensor().pad(images)


@pytest.mark.parametrize("shape", [(2,), (1, 2), (2, 2), (3,), (3, 3), (3, 1), (3, 1, 2)], ids=str)
def test_there_is_a_location_for_each_image(shape):
    with pytest.raises(ValueError, match=r"for each image, of shape \(3, 2\)") as error:
        GlimpseSensor()(np.zeros((3, 8, 8), np.uint8), np.zeros(shape))
    assert str(shape) in str(error.value)


def test_lists_will_do_as_locations_if_they_are_not_ragged():
    images = np.stack([IMAGE, IMAGE])
    locations = [[0.5, -0.5], [0, 0]]
    sensor = GlimpseSensor(patch_size=2)
    np.testing.assert_array_equal(sensor(images, locations), sensor(images, np.array(locations)))
    with pytest.raises(ValueError, match=r"\[0\].*for each image, of shape \(2, 2\)"):
        sensor(images, [[0.5, 0.5], [0]])


@pytest.mark.parametrize("locations", [[["0", "0"]], [[None, 0]], [[0j, 0j]], [[True, False]]])
def test_locations_are_real_numbers(locations):
    with pytest.raises(ValueError, match=r"locations=.*dtype.*real numbers"):
        GlimpseSensor()(IMAGE[np.newaxis], locations)


def test_numpy_integers_are_integers_that_do_not_wrap_around():
    assert GlimpseSensor(patch_size=np.int64(4), num_scales=np.uint8(2)).extents == [4, 8]
    many = GlimpseSensor(np.uint8(200), num_scales=2, scale_factor=np.uint8(2))
    assert many.extents == [200, 400]
