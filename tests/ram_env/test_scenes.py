"""Scenes: how an item becomes an episode's image, and whose image number 17 is the same."""

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import pytest

from ram_env import (
    ClutteredScene,
    Dataset,
    DistortedScene,
    Distortion,
    GlimpseEnv,
    GlimpseVectorEnv,
    PlainScene,
    ShiftedScene,
    TranslatedScene,
    load_dataset,
)
from ram_env.scenes import SCENES, Others, find_scene

ALMOST_ONE = np.nextafter(1.0, 0.0)
# A crowded scene for the tiny data set: 12 x 12 pixels.
CROWDED = ClutteredScene(size=12, num_pieces=3, piece_size=3)

# sha256 of the first test and val scenes of MNIST. They never change: figures of different people
# are figures of the same images.
GOLDEN_SCENES = {
    ("translated", "test"): "e9aea7eb44476fa0c256837b2e5ab269621a302d67539c34cf6db52e23fb0da3",
    ("cluttered", "test"): "cf64dfddf0e2b8f35073bc360be94a6fad9998b042871f08bfdad59d89484943",
    ("cluttered", "val"): "c9d2fca6ee97c75f004dba0613fe1f9f4d605a3b9b253e3caf998044ef767380",
    ("cluttered-100", "test"): "9bd16a5738e3a26587e67426c76f0931bdae1d85f45605181a75abc82bba9516",
}
GOLDEN_ITEMS = [0, 1, 17, 4999, 9999]


def pick(uniform, count):
    return math.floor(uniform * count)


def place(scene, picture, top, left):
    """Shows a picture on a scene, pixel by pixel: the brighter one is seen."""
    for row, column in np.ndindex(picture.shape[:2]):
        spot = (top + row, left + column)
        scene[spot] = np.maximum(scene[spot], picture[row, column])


def slow_clutter(item, uniforms, images, own_index, scene):
    """One cluttered scene, made of its uniforms one piece after the other."""
    height, width, *channels = item.shape
    canvas = np.zeros((scene.size, scene.size, *channels), np.uint8)
    item_row, item_column, *numbers = uniforms
    place(
        canvas,
        item,
        pick(item_row, scene.size - height + 1),
        pick(item_column, scene.size - width + 1),
    )
    others = [image for index, image in enumerate(images) if index != own_index]
    side = scene.piece_size
    for first in range(0, len(numbers), 5):
        other, crop_row, crop_column, row, column = numbers[first : first + 5]
        source = others[pick(other, len(others))]
        top, left = pick(crop_row, height - side + 1), pick(crop_column, width - side + 1)
        crop = source[top : top + side, left : left + side]
        place(canvas, crop, pick(row, scene.size - side + 1), pick(column, scene.size - side + 1))
    return canvas


def compose(scene, items, uniforms, others=None):
    if others is None:
        others = Others(items, None)
    return scene.compose(items, np.asarray(uniforms, np.float64), others)


def occupied(mask):
    """First and last row, then first and last column of what a mask covers."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return rows[0], rows[-1], columns[0], columns[-1]


# -------------------------------------------------------------------------------------------- plain


@pytest.mark.parametrize("shape", [(6, 8), (6, 8, 3)])
def test_a_plain_scene_is_the_item_itself(shape):
    items = np.random.default_rng(0).integers(0, 256, (3, *shape), np.uint8)
    assert PlainScene().image_shape(shape) == shape
    assert PlainScene().num_uniforms == 0
    np.testing.assert_array_equal(compose(PlainScene(), items, np.empty((3, 0))), items)


# --------------------------------------------------------------------------------------- translated


@pytest.mark.parametrize("shape", [(3, 5), (5, 3, 3), (7, 7)])
def test_a_translated_item_is_whole_somewhere_and_all_else_is_black(shape):
    generator = np.random.default_rng(1)
    items = generator.integers(1, 256, (50, *shape), np.uint8)
    scene = TranslatedScene(size=7)
    assert scene.num_uniforms == 2
    images = compose(scene, items, generator.random((50, 2)))
    assert images.dtype == np.uint8
    assert images.shape == (50, *scene.image_shape(shape)) == (50, 7, 7, *shape[2:])
    for image, item in zip(images, items, strict=True):
        top, bottom, left, right = occupied(image.reshape(7, 7, -1).any(axis=-1))
        np.testing.assert_array_equal(image[top : bottom + 1, left : right + 1], item)


@pytest.mark.parametrize(
    ("row", "column", "top", "left"),
    [
        (0, 0, 0, 0),
        (0, ALMOST_ONE, 0, 6),
        (ALMOST_ONE, 0, 7, 0),
        (ALMOST_ONE, ALMOST_ONE, 7, 6),
        (0.5, 0.5, 4, 3),  # 0.5 of 8 rows and of 7 columns
    ],
)
def test_the_two_numbers_choose_row_and_column_from_edge_to_edge(row, column, top, left):
    item = np.full((3, 4), 200, np.uint8)
    (image,) = compose(TranslatedScene(size=10), item[np.newaxis], [[row, column]])
    expected = np.zeros((10, 10), np.uint8)
    expected[top : top + 3, left : left + 4] = 200
    np.testing.assert_array_equal(image, expected)


def test_all_places_are_equally_likely():
    generator = np.random.default_rng(2)
    draws, rows, columns = 5000, 4, 5
    items = np.full((draws, 3, 2), 255, np.uint8)
    images = compose(TranslatedScene(size=6), items, generator.random((draws, 2)))
    counts = np.zeros((rows, columns))
    for image in images:
        top, _, left, _ = occupied(image > 0)
        counts[top, left] += 1
    expected = draws / counts.size
    assert ((counts - expected) ** 2 / expected).sum() < 50  # 19 degrees of freedom: p = 1e-4


def test_an_item_as_large_as_the_scene_fills_it():
    item = np.arange(1, 17, dtype=np.uint8).reshape(1, 4, 4)
    np.testing.assert_array_equal(compose(TranslatedScene(size=4), item, [[0.9, 0.1]]), item)


# ---------------------------------------------------------------------------------------- cluttered


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("shape", [(6, 8), (8, 6, 3), (5, 5, 1)])
def test_clutter_is_combined_by_the_pixelwise_maximum(shape, own):
    generator = np.random.default_rng(3)
    images = generator.integers(0, 256, (7, *shape), np.uint8)
    scene = ClutteredScene(size=11, num_pieces=5, piece_size=4)
    assert scene.num_uniforms == 2 + 5 * 5
    own_index = generator.integers(0, 7, 30)
    uniforms = generator.random((30, scene.num_uniforms))
    uniforms[0], uniforms[1] = 0, ALMOST_ONE
    others = Others(images, own_index if own else None)
    found = compose(scene, images[own_index], uniforms, others)
    expected = [
        slow_clutter(images[index], row, images, index if own else None, scene)
        for index, row in zip(own_index, uniforms, strict=True)
    ]
    np.testing.assert_array_equal(found, expected)


def test_an_item_never_clutters_its_own_scene_and_all_others_do_alike():
    num_items, draws = 5, 4000
    images = np.zeros((num_items, 2, 2), np.uint8)
    for own in range(num_items):
        uniforms = np.random.default_rng(own).random(draws)
        picked = Others(images, np.full(draws, own)).pick(uniforms)
        counts = np.bincount(picked, minlength=num_items)
        assert counts[own] == 0
        assert np.abs(np.delete(counts, own) - draws / (num_items - 1)).max() < 150  # 5.5 sigma


@pytest.mark.parametrize(
    ("own", "expected"), [(0, [1, 2]), (1, [0, 2]), (2, [0, 1]), (None, [0, 2])]
)
def test_the_extreme_numbers_pick_the_first_and_the_last_of_the_others(own, expected):
    own_index = None if own is None else np.array([own, own])
    others = Others(np.zeros((3, 2, 2), np.uint8), own_index)
    np.testing.assert_array_equal(others.pick(np.array([0, ALMOST_ONE])), expected)


def test_pieces_are_as_many_and_as_large_as_asked():
    images = np.zeros((2, 8, 8), np.uint8)
    images[1] = 255  # item 0 is invisible, so only pieces of item 1 are seen
    scene = ClutteredScene(size=20, num_pieces=3, piece_size=4)
    corners = [(0, 0), (0, ALMOST_ONE), (0.5, 0.5)]
    uniforms = [[0.3, 0.3, *(number for corner in corners for number in (0.1, 0.2, 0.7, *corner))]]
    (image,) = compose(scene, images[:1], uniforms, Others(images, np.array([0])))
    expected = np.zeros((20, 20), np.uint8)
    expected[:4, :4] = expected[:4, -4:] = expected[8:12, 8:12] = 255
    np.testing.assert_array_equal(image, expected)


def test_the_papers_scenes_by_name():
    assert find_scene("plain") == PlainScene()
    assert find_scene("translated") == TranslatedScene(size=60)
    assert find_scene("cluttered") == ClutteredScene(size=60, num_pieces=4, piece_size=8)
    assert find_scene("cluttered-100") == ClutteredScene(size=100, num_pieces=8, piece_size=8)
    for name, scene in SCENES.items():
        assert find_scene(name) is find_scene(scene) is scene


@pytest.mark.parametrize("name", SCENES)
def test_inputs_are_left_as_they_were(name):
    images = np.random.default_rng(4).integers(0, 256, (4, 28, 28), np.uint8)
    uniforms = np.random.default_rng(5).random((4, SCENES[name].num_uniforms))
    copies = images.copy(), uniforms.copy()
    compose(SCENES[name], images, uniforms, Others(images, np.arange(4)))
    np.testing.assert_array_equal(images, copies[0])
    np.testing.assert_array_equal(uniforms, copies[1])


# ---------------------------------------------------------------------------------------- what fits


@pytest.mark.parametrize(
    ("scene", "item_shape", "message"),
    [
        (TranslatedScene(size=27), (28, 20), "size=27.*at least 28"),
        (TranslatedScene(size=27), (20, 28, 3), "size=27.*at least 28"),
        (ClutteredScene(size=27), (28, 20), "size=27.*at least 28"),
        (ClutteredScene(piece_size=9), (8, 20), "piece_size=9.*at most 8"),
        (ClutteredScene(piece_size=9), (20, 8), "piece_size=9.*at most 8"),
    ],
)
def test_what_does_not_fit_is_refused(scene, item_shape, message):
    with pytest.raises(ValueError, match=message):
        scene.image_shape(item_shape)
    items = np.zeros((3, *item_shape), np.uint8)
    with pytest.raises(ValueError, match=message):
        GlimpseEnv((items, np.arange(3)), scene=scene)


def test_a_class_is_no_scene_yet():
    items = np.zeros((3, 8, 8), np.uint8)
    with pytest.raises(ValueError, match=r"scene=<class .*ClutteredScene'> is no scene; allowed"):
        GlimpseEnv((items, np.arange(3)), scene=ClutteredScene)


@pytest.mark.parametrize("scene", ["cluttered", "no such name", ClutteredScene, None])
def test_what_is_within_a_distorted_scene_is_a_scene(scene):
    with pytest.raises(ValueError, match=r"DistortedScene: scene=.* is no Scene; give") as error:
        DistortedScene(scene)
    assert f"scene={scene!r}" in str(error.value)
    assert "scene='distorted-cluttered'" in str(error.value)


@pytest.mark.parametrize("distortion", [None, 12.0, Distortion])
def test_how_far_a_scene_is_distorted_is_a_distortion(distortion):
    with pytest.raises(ValueError, match=r"distortion=.* is no Distortion; give") as error:
        DistortedScene(PlainScene(), distortion)
    assert repr(distortion) in str(error.value)


@pytest.mark.parametrize("value", [0, -3, 60.0, "60", None, True])
@pytest.mark.parametrize(
    ("scene", "name"),
    [
        (TranslatedScene, "size"),
        (ClutteredScene, "size"),
        (ClutteredScene, "num_pieces"),
        (ClutteredScene, "piece_size"),
    ],
)
def test_sizes_are_integers_of_at_least_one(scene, name, value):
    with pytest.raises(ValueError, match=f"{name}=.*at least 1") as error:
        scene(**{name: value})
    assert repr(value) in str(error.value)


@pytest.mark.parametrize("name", ["mist", "", "Plain"])
def test_unknown_names_are_refused(name):
    with pytest.raises(ValueError, match="cluttered-100") as error:
        find_scene(name)
    assert repr(name) in str(error.value)


def test_clutter_needs_another_item_to_be_cut_from():
    one_item = np.zeros((1, 8, 8), np.uint8), np.array([0])
    with pytest.raises(ValueError, match="at least 2 training images"):
        GlimpseEnv(one_item, scene="cluttered")


def test_a_translated_scene_needs_no_other_item():
    one_item = np.full((1, 8, 8), 255, np.uint8), np.array([0])
    envs = GlimpseVectorEnv(one_item, scene=TranslatedScene(size=10))
    envs.reset(seed=0)
    assert (envs.images[0] == 255).sum() == 64


# ------------------------------------------------------------------------------- in the environment


@dataclass(frozen=True)
class MirroredScene:
    """A user's own scene: the item or, as the number says, its mirror image."""

    uses_others = False
    num_uniforms = 1

    def image_shape(self, item_shape):
        return item_shape

    def compose(self, items, uniforms, others):
        return np.where((uniforms < 0.5)[..., np.newaxis], items, items[:, :, ::-1])


def whole_image(scene_size, index, **options):
    """The image of a single environment's episode, seen in one glimpse as large as the scene."""
    env = GlimpseEnv(patch_size=scene_size, **options)
    observation, info = env.reset(seed=99, options={"index": index})
    assert info["index"] == index
    return np.rint(observation["glimpse"][0] * 255).astype(np.uint8)


def scenes_by_item(num_envs, seed, num_items=12, **options):
    """The image of every item, as the episodes of a vector environment bring them."""
    envs = GlimpseVectorEnv(num_envs=num_envs, patch_size=4, **options)
    found = {}
    for turn in range(500):  # more than enough for random draws to find them all
        _, infos = envs.reset(seed=seed if turn == 0 else None)
        for index, image in zip(infos["index"].tolist(), envs.images, strict=True):
            assert np.array_equal(found.setdefault(index, image.copy()), image)
        if len(found) == num_items:
            break
    return [found[index] for index in range(num_items)]


@pytest.mark.parametrize(
    ("name", "size"), [("translated", 60), ("cluttered", 60), ("cluttered-100", 100)]
)
def test_a_users_images_go_through_the_papers_scenes(name, size):
    generator = np.random.default_rng(6)
    images = generator.integers(1, 256, (5, 20, 33, 3), np.uint8)
    envs = GlimpseVectorEnv((images, np.arange(5)), scene=name, num_envs=4, patch_size=12)
    observation, infos = envs.reset(seed=1)
    assert envs.images.shape == (4, size, size, 3)
    assert observation["glimpse"].shape == (4, 1, 12, 12, 3)
    for image, item in zip(envs.images, images[infos["index"]], strict=True):
        fits = np.lib.stride_tricks.sliding_window_view(image, item.shape)[:, :, 0]
        assert (fits >= item).all(axis=(-3, -2, -1)).any()  # the item is there, or brighter


def test_a_users_own_scene_is_as_good(tiny):
    envs = GlimpseVectorEnv(tiny, scene=MirroredScene(), num_envs=200, patch_size=4)
    _, infos = envs.reset(seed=0)
    items = tiny[0][infos["index"]]
    straight = (envs.images == items).all(axis=(1, 2))
    mirrored = (envs.images == items[:, :, ::-1]).all(axis=(1, 2))
    assert (straight ^ mirrored).all()
    assert 60 < straight.sum() < 140


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda images: images / 255, r"float64 and the shape \(2, 6, 6\)"),
        (lambda images: images[:, :1, :1], r"uint8 and the shape \(2, 1, 1\)"),
    ],
    ids=["floats", "another shape"],
)
def test_a_scene_that_does_not_compose_what_it_promises_is_named(change, found):
    class Wrong(PlainScene):
        def compose(self, items, uniforms, others):
            return change(super().compose(items, uniforms, others))

    images = np.zeros((3, 6, 6), np.uint8)
    envs = GlimpseVectorEnv((images, np.arange(3)), num_envs=2, patch_size=2, scene=Wrong())
    message = rf"scene=.* composed an array of {found}; .* uint8 and, .*\(2, 6, 6\)"
    with pytest.raises(ValueError, match=message):
        envs.reset(seed=0)


@pytest.mark.parametrize("split", ["val", "test"])
def test_scenes_to_be_measured_on_depend_on_nothing_but_the_item(tiny, split):
    options = {"dataset": tiny, "split": split, "scene": CROWDED}
    expected = scenes_by_item(num_envs=12, seed=0, order="sequential", **options)
    assert len({image.tobytes() for image in expected}) == 12
    for num_envs, seed, order in [(1, 5, "random"), (5, 6, "random"), (7, None, "sequential")]:
        found = scenes_by_item(num_envs=num_envs, seed=seed, order=order, **options)
        np.testing.assert_array_equal(found, expected)
    single = [whole_image(12, index, **options) for index in range(12)]
    np.testing.assert_array_equal(single, expected)


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_smaller_split_has_the_same_places(tiny, split):
    images, labels = tiny
    options = {"split": split, "scene": TranslatedScene(size=30), "order": "sequential"}
    everything = scenes_by_item(num_envs=12, seed=0, dataset=tiny, **options)
    first_five = Dataset(images[:5], labels[:5])
    some = scenes_by_item(num_envs=5, seed=3, num_items=5, dataset=first_five, **options)
    np.testing.assert_array_equal(some, everything[:5])


def test_training_scenes_differ_from_episode_to_episode(tiny):
    envs = GlimpseVectorEnv(tiny, scene=CROWDED, num_envs=4, patch_size=4)
    pictures = set()
    for _ in range(5):
        envs.reset(options={"index": 3})
        pictures |= {image.tobytes() for image in envs.images}
    assert len(pictures) == 20


@pytest.mark.parametrize(
    ("source", "split"),
    [("arrays", "train"), ("arrays", "val"), ("arrays", "test"), ("official", "train")],
)
def test_an_item_among_the_training_images_never_clutters_its_own_scene(source, split, tmp_path):
    # Item 0 is white and item 1 black: an item of two is cluttered by the other one alone.
    images = np.zeros((3, 8, 8), np.uint8)
    images[0] = 255
    dataset = images[:2], np.arange(2)
    if source == "official":  # the third training image is the val split
        dataset = tmp_path / "two.npz"
        arrays = {"x_train": images, "y_train": [0, 1, 1], "x_test": images, "y_test": [0, 1, 1]}
        np.savez(dataset, **arrays)
    scene = ClutteredScene(size=40, num_pieces=5, piece_size=4)
    envs = GlimpseVectorEnv(dataset, split=split, scene=scene, num_envs=20)
    for index in range(2):
        for seed in range(5):
            envs.reset(seed=20 * seed, options={"index": index})
            white = (envs.images == 255).sum(axis=(1, 2))
            if index == 0:
                assert (white == 8 * 8).all()  # the black pieces are not seen
            else:
                assert (white >= 4 * 4).all()  # every piece is white


def test_clutter_is_cut_from_training_images_only(tmp_path):
    # Twelve training images make a split of eleven, and one of val: 200 is train, 50 is val.
    brightness = np.array([200] * 11 + [50], np.uint8)[:, np.newaxis, np.newaxis]
    np.savez(
        tmp_path / "grey.npz",
        x_train=np.broadcast_to(brightness, (12, 8, 8)),
        y_train=np.arange(12) % 2,
        x_test=np.full((3, 8, 8), 100, np.uint8),
        y_test=np.zeros(3, int),
    )
    scene = ClutteredScene(size=40, num_pieces=20, piece_size=4)
    for split, own in [("train", 200), ("val", 50), ("test", 100)]:
        path = tmp_path / "grey.npz"
        envs = GlimpseVectorEnv(path, split=split, scene=scene, num_envs=10, patch_size=4)
        envs.reset(seed=0)
        assert set(np.unique(envs.images)) == {0, own, 200}


@pytest.mark.parametrize(("scene", "split"), GOLDEN_SCENES)
def test_mnists_scenes_are_the_same_for_everybody(scene, split):
    num_items = len(load_dataset("mnist", split))
    items = [index for index in GOLDEN_ITEMS if index < num_items]
    envs = GlimpseVectorEnv(split=split, scene=scene, num_envs=len(items))
    envs.reset(seed=0, options={"index": items})
    assert hashlib.sha256(envs.images.tobytes()).hexdigest() == GOLDEN_SCENES[scene, split]


def test_a_shifted_item_moves_by_up_to_max_shift_and_loses_what_leaves():
    item = np.arange(1, 10, dtype=np.uint8).reshape(1, 3, 3)
    scene = ShiftedScene(max_shift=1)
    almost_1 = np.nextafter(1, 0)
    # The window of a bordered item moves down and right, so the item moves up and left.
    towards_bottom_right = scene.compose(item, np.array([[0.0, 0.0]]), None)
    towards_top_left = scene.compose(item, np.array([[almost_1, almost_1]]), None)
    not_at_all = scene.compose(item, np.array([[0.5, 0.5]]), None)
    assert towards_bottom_right[0].tolist() == [[0, 0, 0], [0, 1, 2], [0, 4, 5]]
    assert towards_top_left[0].tolist() == [[5, 6, 0], [8, 9, 0], [0, 0, 0]]
    assert not_at_all.tolist() == item.tolist()


def test_shifted_colour_items_keep_their_layout():
    items = np.random.default_rng(0).integers(0, 256, (5, 6, 4, 3), dtype=np.uint8)
    scene = ShiftedScene(max_shift=2)
    shifted = scene.compose(items, np.full((5, 2), 0.5), None)
    assert scene.image_shape(items.shape[1:]) == (6, 4, 3)
    np.testing.assert_array_equal(shifted, items)


@pytest.mark.parametrize("max_shift", [0, -1, 1.5, "far"])
def test_a_shift_that_is_none_is_refused(max_shift):
    with pytest.raises(ValueError, match=f"max_shift={max_shift!r}"):
        ShiftedScene(max_shift=max_shift)


def test_a_distorted_scene_distorts_the_item_and_then_makes_the_scene():
    items = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
    scene = DistortedScene(TranslatedScene(20), Distortion(grid_size=3))
    uniforms = np.random.default_rng(1).random((3, scene.num_uniforms))
    assert scene.num_uniforms == (6 + 2 * 3 * 3) + 2
    assert scene.image_shape((8, 8)) == (20, 20)
    distorted = scene.distortion.apply(items, uniforms[:, :-2])
    expected = TranslatedScene(20).compose(distorted, uniforms[:, -2:], None)
    np.testing.assert_array_equal(scene.compose(items, uniforms, None), expected)
