"""Distortions of images, with amounts at their ends, where the result can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ram_env import Distortion

NONE = {"rotation": 0, "scale": 0, "shear": 0, "shift": 0, "bend": 0}
ROTATION, SHEAR, SCALE_X, SCALE_Y, SHIFT_X, SHIFT_Y = range(6)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (4, 9, 9), dtype=np.uint8)


def uniforms(distortion: Distortion, count: int, **amounts: float) -> np.ndarray:
    """All in the middle, which is no distortion, but for those given, from -1 to 1."""
    numbers = np.full((count, distortion.num_uniforms), 0.5)
    for name, amount in amounts.items():
        numbers[:, globals()[name]] = (amount + 1) / 2
    return numbers


def test_the_middle_of_every_range_leaves_images_as_they_are(images: np.ndarray) -> None:
    distortion = Distortion()
    found = distortion.apply(images, uniforms(distortion, 4))
    np.testing.assert_array_equal(found, images)


@pytest.mark.parametrize(("amount", "turns"), [(1, 1), (-1, -1)])
def test_a_rotation_by_90_degrees_turns_the_image(
    images: np.ndarray, amount: int, turns: int
) -> None:
    distortion = Distortion(**{**NONE, "rotation": 90})
    found = distortion.apply(images, uniforms(distortion, 4, ROTATION=amount))
    # Where the pixels come from is turned clockwise, so that the image is turned the other way.
    expected = np.rot90(images, turns, axes=(1, 2)).astype(int)
    assert np.abs(found - expected).max() <= 1  # rounding


def test_a_whole_shift_moves_pixels_and_lets_black_in(images: np.ndarray) -> None:
    distortion = Distortion(**{**NONE, "shift": 2})
    found = distortion.apply(images, uniforms(distortion, 4, SHIFT_X=1, SHIFT_Y=-1))
    np.testing.assert_array_equal(found[:, 2:, :-2], images[:, :-2, 2:])
    assert not found[:, :2].any()
    assert not found[:, :, -2:].any()


def test_half_a_pixel_is_the_mean_of_two() -> None:
    image = np.array([[[0, 100, 200, 50]]], np.uint8)
    distortion = Distortion(**{**NONE, "shift": 0.5})
    found = distortion.apply(image, uniforms(distortion, 1, SHIFT_X=1))
    np.testing.assert_array_equal(found, [[[50, 150, 125, 25]]])


def test_scale_is_of_each_axis() -> None:
    image = np.zeros((1, 9, 9), np.uint8)
    image[0, 4, 2:7] = 255  # five pixels wide, one high
    distortion = Distortion(**{**NONE, "scale": np.log(2)})
    # Pixels come from half as far off the middle: twice as wide, 0.5 to each side of it as high.
    found = distortion.apply(image, uniforms(distortion, 1, SCALE_X=-1, SCALE_Y=-1))
    np.testing.assert_array_equal(found[0, 4], 255)
    np.testing.assert_array_equal(found[0, 3], 128)
    assert not found[0, 2].any()
    wider = distortion.apply(image, uniforms(distortion, 1, SCALE_X=-1))
    np.testing.assert_array_equal(wider[0, 4], 255)
    assert not wider[0, [3, 5]].any()
    higher = distortion.apply(image, uniforms(distortion, 1, SCALE_Y=-1))
    np.testing.assert_array_equal(higher[0, 3:6], np.outer([128, 255, 128], image[0, 4] // 255))


def test_an_image_is_scaled_as_it_stands_after_it_was_turned() -> None:
    image = np.zeros((1, 9, 9), np.uint8)
    image[0, 2:7, 4] = 255  # one pixel wide, five high: turned, it is what is made wider
    distortion = Distortion(**{**NONE, "rotation": 90, "scale": np.log(2)})
    found = distortion.apply(image, uniforms(distortion, 1, ROTATION=1, SCALE_X=-1))
    np.testing.assert_allclose(found[0, 4], 255, atol=1)
    assert found[0, [3, 5]].max() <= 1


def test_shear_moves_rows_by_their_distance_from_the_middle() -> None:
    image = np.zeros((1, 5, 5), np.uint8)
    image[0, :, 2] = 255
    distortion = Distortion(**{**NONE, "shear": 1})
    found = distortion.apply(image, uniforms(distortion, 1, SHEAR=1))
    np.testing.assert_array_equal(found[0], 255 * np.fliplr(np.eye(5)))


def test_bends_are_as_large_as_said_and_smooth() -> None:
    distortion = Distortion(**{**NONE, "bend": 1.5})
    numbers = np.random.default_rng(0).random((2000, distortion.num_uniforms))
    ramp = np.broadcast_to(np.arange(28, dtype=np.uint8) * 9, (2000, 28, 28))
    bends = []
    for axis in (1, 2):  # a ramp along it tells from where along it pixels come
        along = ramp if axis == 2 else ramp.swapaxes(1, 2)
        bent = distortion.apply(along, numbers).astype(float) / 9 - along / 9
        bends.append(bent[:, 6:-6, 6:-6])
        assert bends[-1].std() == pytest.approx(1.5, rel=0.15)
        assert np.abs(np.diff(bends[-1], axis=3 - axis)).max() < 1.5  # neighbours move alike
    assert abs(np.corrcoef(bends[0].ravel(), bends[1].ravel())[0, 1]) < 0.05


def test_each_image_has_its_own_distortion_and_colours_move_together(images: np.ndarray) -> None:
    distortion = Distortion()
    numbers = np.random.default_rng(1).random((4, distortion.num_uniforms))
    together = distortion.apply(images, numbers)
    for row in range(4):
        alone = distortion.apply(images[row : row + 1], numbers[row : row + 1])
        np.testing.assert_array_equal(together[row], alone[0])
    colour = np.stack([images, 255 - images, images], axis=-1)
    found = distortion.apply(colour, numbers)
    np.testing.assert_array_equal(found[..., 0], together)
    np.testing.assert_array_equal(found[..., 2], together)


@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 2, 7), (3, 28, 20)])
def test_any_size_of_image_will_do(shape: tuple[int, int, int]) -> None:
    images = np.full(shape, 200, np.uint8)
    distortion = Distortion()
    found = distortion.apply(images, np.random.default_rng(2).random((3, distortion.num_uniforms)))
    assert found.shape == shape


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("rotation", -1, "a number of at least 0"),
        ("bend", float("nan"), "a number of at least 0"),
        ("scale", float("inf"), "a number of at least 0"),
        ("grid_size", 1, "an integer of at least 2"),
    ],
)
def test_bad_amounts_are_refused_by_name(name: str, value: float, allowed: str) -> None:
    with pytest.raises(ValueError, match=f"{name}=.* is not {allowed}"):
        Distortion(**{name: value})
