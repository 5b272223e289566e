"""Pictures of a run: what must be seen in them, measured in their pixels, and how they are kept."""

import errno

import numpy as np
import pytest
from PIL import Image

from agents.files import replace_atomically
from experiments import pictures
from experiments.pictures import (
    draw_glimpses,
    draw_patches,
    write_episodes,
    write_gif,
    write_png,
)
from ram_env import GlimpseSensor
from ram_env.rendering import SCALE_COLOURS

MAGENTA = (255, 0, 255)  # drawn by nothing but the images under test
SIZES = [(28, 28), (60, 60), (100, 100), (20, 45), (45, 20)]
SMALLEST_TILE, LARGEST_TILE = 200, 260


def painted(colour, n=1, height=28, width=28):
    return np.broadcast_to(np.array(colour, np.uint8), (n, height, width, 3)).copy()


def boxes_at(*boxes, n=1):
    return np.tile(np.array(boxes), (n, 1, 1))


def hidden_boxes(n=1, num_scales=1):
    """Boxes so far outside that nothing of them is seen."""
    return boxes_at(*[(-900, -900, -890, -890)] * num_scales, n=n)


def has_colour(picture, colour):
    return (picture == np.array(colour, np.uint8)).all(axis=-1)


def extent(mask):
    """Left, top, right and bottom edges of what a mask covers."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


def blocks(mask):
    """The extents of what a mask covers, a block of adjacent columns each."""
    columns = np.flatnonzero(mask.any(axis=0))
    groups = np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1)
    return [extent(mask & np.isin(np.arange(mask.shape[1]), group)[np.newaxis]) for group in groups]


# ----------------------------------------------------------------------------------------- glimpses


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_image_pixels_become_crisp_squares(size, channels):
    images = np.random.default_rng(0).integers(0, 256, (2, *size, *channels), np.uint8)
    found = blocks(has_colour(draw_glimpses(painted(MAGENTA, 2, *size), hidden_boxes(2)), MAGENTA))
    picture = draw_glimpses(images, hidden_boxes(2))
    assert picture.dtype == np.uint8
    for image, (left, top, right, bottom) in zip(images, found, strict=True):
        factor, rest = divmod(right - left, size[1])
        assert rest == 0
        assert factor >= 2
        assert bottom - top == factor * size[0]
        enlarged = image.reshape(*size, -1).repeat(factor, axis=0).repeat(factor, axis=1)
        expected = np.broadcast_to(enlarged, (*enlarged.shape[:2], 3))
        np.testing.assert_array_equal(picture[top:bottom, left:right], expected)


def test_a_digit_is_as_large_as_it_can_be_seen_well():
    left, top, right, bottom = extent(
        has_colour(draw_glimpses(painted(MAGENTA), hidden_boxes()), MAGENTA)
    )
    assert (right - left, bottom - top) == (196, 196)
    assert top >= 16


@pytest.mark.parametrize("num_scales", [1, 2, 4, 7])
def test_every_box_has_its_colour_right_around_its_pixels(num_scales):
    """Boxes within each other, on black and on white."""
    side = 60
    nested = [(25 - 3 * k, 26 - 3 * k, 35 + 3 * k, 34 + 3 * k) for k in range(num_scales)]
    (left, top, right, _) = extent(
        has_colour(draw_glimpses(painted(MAGENTA, 1, side, side), hidden_boxes()), MAGENTA)
    )
    factor = (right - left) // side
    for brightness in (0, 255):
        images = np.full((1, side, side), brightness, np.uint8)
        picture = draw_glimpses(images, boxes_at(*nested))
        for scale, box in enumerate(nested):
            colour = SCALE_COLOURS[scale % len(SCALE_COLOURS)]
            x0, y0, x1, y1 = np.array((left, top) * 2) + factor * np.array(box)
            x, y = (x0 + x1) // 2, (y0 + y1) // 2
            for row, column in ((y, x0 - 1), (y, x1), (y0 - 1, x), (y1, x)):
                assert tuple(picture[row, column]) == colour
            for row, column in ((y, x0), (y, x1 - 1), (y0, x), (y1 - 1, x)):
                assert tuple(picture[row, column]) != colour


def test_lines_are_kept_apart_from_white_by_darkness_on_both_sides():
    picture = draw_glimpses(np.full((1, 28, 28), 255, np.uint8), boxes_at((8, 8, 20, 20)))
    row = picture[picture.shape[0] // 2].astype(int)
    is_line = has_colour(row, SCALE_COLOURS[0])
    starts = np.flatnonzero(is_line[1:] & ~is_line[:-1])
    ends = np.flatnonzero(is_line[:-1] & ~is_line[1:]) + 1
    assert len(starts) == len(ends) == 2
    assert row[[*starts, *ends]].max() < 100


def test_where_lines_meet_the_finest_is_on_top():
    same = draw_glimpses(painted((0, 0, 0)), boxes_at((8, 8, 20, 20), (8, 8, 20, 20)))
    assert has_colour(same, SCALE_COLOURS[0]).any()
    assert not has_colour(same, SCALE_COLOURS[1]).any()


def test_boxes_are_seen_outside_their_image_but_not_outside_their_tile():
    images = painted(MAGENTA, 3)
    plain = draw_glimpses(images, hidden_boxes(3))
    boxes = hidden_boxes(3)
    boxes[1] = (-1, -500, 29, 500)  # its sides are just outside the image
    picture = draw_glimpses(images, boxes)
    first, second, third = blocks(has_colour(plain, MAGENTA))
    lines = has_colour(picture, SCALE_COLOURS[0])
    left, top, right, bottom = extent(lines)
    assert first[2] < left < second[0]
    assert second[2] < right < third[0]
    assert top < second[1]
    assert bottom > second[3]
    # The neighbours lie as far away as the middle of the gap is.
    changed = extent((picture != plain).any(axis=-1))
    assert changed[0] >= (first[2] + second[0]) // 2
    assert changed[2] <= (second[2] + third[0]) // 2


def test_too_large_images_are_averaged_down_with_their_boxes():
    picture = draw_glimpses(painted(MAGENTA, 1, 300, 600), boxes_at((0, 0, 300, 300)))
    assert picture.shape[1] == draw_glimpses(painted(MAGENTA), hidden_boxes()).shape[1]
    image = extent(
        has_colour(draw_glimpses(painted(MAGENTA, 1, 300, 600), hidden_boxes()), MAGENTA)
    )
    line = extent(has_colour(picture, SCALE_COLOURS[0]))
    assert abs((image[2] - image[0]) - 2 * (image[3] - image[1])) <= 1
    middle = (image[0] + image[2]) // 2
    assert abs(line[2] - middle) <= 4


# ------------------------------------------------------------------------------------------ patches


@pytest.mark.parametrize("num_scales", [1, 3, 7])
@pytest.mark.parametrize("patch", [4, 8, 12])
def test_patches_are_below_each_other_in_one_size_and_framed(num_scales, patch):
    """Patch k of every image is blue with k + 1 as its amount, but one magenta corner."""
    glimpses = np.zeros((2, num_scales, patch, patch, 3), np.float32)
    glimpses[..., 2] = (np.arange(num_scales) + 1).reshape(-1, 1, 1) * 20 / 255
    glimpses[:, :, 0, 0] = (1, 0, 1)
    picture = draw_patches(glimpses)
    lowest = 0
    sides = set()
    for scale in range(num_scales):
        inside = has_colour(picture, (0, 0, 20 * (scale + 1)))
        for left, top, right, bottom in blocks(inside):
            assert top > lowest
            sides |= {right - left, bottom - top}
            # A shadow of the frame lies on the outermost pixels.
            x, y = (left + right) // 2, (top + bottom) // 2
            beside = (
                (slice(y, y + 1), slice(left - 3, left)),
                (slice(top - 3, top), slice(x, x + 1)),
            )
            colour = SCALE_COLOURS[scale % len(SCALE_COLOURS)]
            assert all(has_colour(picture[part], colour).any() for part in beside)
            assert tuple(picture[top + 3, left + 3]) == MAGENTA
        lowest = bottom
    assert max(sides) - min(sides) == 0
    assert min(sides) > 150


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_patch_values_survive(channels):
    values = np.array([-0.1, 10 / 255, 0.5, 1.1], np.float32).reshape(2, 2)
    glimpses = np.broadcast_to(values.reshape(2, 2, *(1 for _ in channels)), (2, 2, *channels))
    picture = draw_patches(glimpses[np.newaxis, np.newaxis])
    left, top, right, bottom = extent(has_colour(picture, SCALE_COLOURS[0]))
    quarter = (right - left) // 4
    rows = [top + quarter, bottom - quarter]
    columns = [left + quarter, right - quarter]
    found = picture[np.ix_(rows, columns)]
    assert (found == found[..., :1]).all()
    np.testing.assert_array_equal(found[..., 0], [[0, 10], [128, 255]])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("n", [1, 2, 5])
def test_columns_of_both_pictures_line_up(n, size):
    sensor = GlimpseSensor(patch_size=8, num_scales=2)
    boxes = sensor.boxes(size, np.zeros((n, 2)))
    seen = draw_glimpses(painted(MAGENTA, n, *size), boxes)
    got = draw_patches(np.ones((n, 2, 8, 8), np.float32))
    assert seen.shape[1] == got.shape[1]
    assert SMALLEST_TILE * n < seen.shape[1] < LARGEST_TILE * n + 20
    columns = zip(blocks(has_colour(seen, MAGENTA)), blocks(got.min(axis=-1) == 255), strict=True)
    for image, patch in columns:
        assert abs((image[0] + image[2]) - (patch[0] + patch[2])) <= 2


# ---------------------------------------------------------------------------------- both, wrong use


def test_arguments_stay_as_they_are():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 28, 28), np.uint8)
    glimpses = rng.random((2, 2, 8, 8), np.float32) * 1.5
    boxes = boxes_at((4, 4, 12, 12), (0, 0, 16, 16), n=2)
    frames = [image[..., np.newaxis].repeat(3, axis=-1) for image in images]
    kept = [array.copy() for array in (images, glimpses, boxes, *frames)]
    for array in (images, glimpses, boxes, *frames):
        array.setflags(write=False)
    draw_glimpses(images, boxes)
    draw_patches(glimpses)
    pictures._with_palette(np.stack(frames))
    for array, before in zip((images, glimpses, boxes, *frames), kept, strict=True):
        np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize(
    ("images", "boxes", "message"),
    [
        ((28, 28), (1, 1, 4), r"images\.shape=\(28, 28\)"),
        ((2, 28, 28, 2), (2, 1, 4), r"images\.shape=\(2, 28, 28, 2\)"),
        ((0, 28, 28), (0, 1, 4), r"images\.shape=\(0, 28, 28\)"),
        ((2, 28, 28), (3, 1, 4), r"boxes\.shape=\(3, 1, 4\) is not \(2, num_scales, 4\)"),
        ((2, 28, 28), (2, 4), r"boxes\.shape=\(2, 4\)"),
        ((2, 28, 28), (2, 1, 3), r"boxes\.shape=\(2, 1, 3\)"),
    ],
)
def test_wrong_shapes_of_images_and_boxes_are_refused(images, boxes, message):
    with pytest.raises(ValueError, match=message):
        draw_glimpses(np.zeros(images, np.uint8), np.zeros(boxes, int))


@pytest.mark.parametrize("shape", [(2, 8, 8), (2, 1, 8, 8, 2), (0, 1, 8, 8), (2, 0, 8, 8)])
def test_wrong_shapes_of_glimpses_are_refused(shape):
    with pytest.raises(ValueError, match=r"glimpses\.shape="):
        draw_patches(np.zeros(shape, np.float32))


# -------------------------------------------------------------------------------------------- files


def read_gif(path):
    """Frames `(n, height, width, 3)` and their durations in ms, and for how often they repeat."""
    with Image.open(path) as image:
        frames, durations = [], []
        for index in range(image.n_frames):
            image.seek(index)
            durations.append(image.info["duration"])
            frames.append(np.array(image.convert("RGB")))
        return np.stack(frames), durations, image.info["loop"]


def moving_square(num_frames=4, size=(30, 40)):
    """A magenta square that moves over a background of a few dark, similar colours."""
    frames = painted((15, 19, 28), num_frames, *size)
    frames[:, :, ::2] = (14, 18, 29)
    for index in range(num_frames):
        frames[index, 5:10, 5 * index : 5 * index + 5] = MAGENTA
    return frames


def test_a_png_holds_the_picture(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    path = tmp_path / "new" / "folder" / "picture.png"
    write_png(path, picture)
    with Image.open(path) as image:
        assert image.format == "PNG"
        np.testing.assert_array_equal(np.array(image), picture)


def test_a_gif_holds_the_frames_exactly_and_repeats_for_ever(tmp_path):
    frames = moving_square()
    write_gif(tmp_path / "episode.gif", list(frames), [0.5, 0.29, 0.333, 2])
    found, durations, loop = read_gif(tmp_path / "episode.gif")
    np.testing.assert_array_equal(found, frames)
    assert durations == [500, 290, 330, 2000]
    assert loop == 0


def test_episodes_follow_one_another_and_each_stays_at_its_end(tmp_path):
    frames = moving_square(5)
    episodes = (frames[:3], iter(frames[3:]))
    write_episodes(tmp_path / "episode.gif", episodes, seconds=0.2, seconds_at_the_end=1.5)
    found, durations, _ = read_gif(tmp_path / "episode.gif")
    np.testing.assert_array_equal(found, frames)
    assert durations == [200, 200, 1500, 200, 1500]


def test_frames_of_more_colours_keep_their_areas_exactly_and_the_rest_nearly(tmp_path):
    frames = moving_square(3, (100, 200))
    ramp = np.arange(200)
    for row in range(10, 20):
        frames[:, row] = np.stack([ramp, (ramp * row) % 256, 255 - ramp], axis=-1)
    assert len(np.unique(frames.reshape(-1, 3), axis=0)) > 256
    write_gif(tmp_path / "episode.gif", list(frames), [1, 1, 1])
    found, _, _ = read_gif(tmp_path / "episode.gif")
    np.testing.assert_array_equal(found[:, :10], frames[:, :10])
    np.testing.assert_array_equal(found[:, 20:], frames[:, 20:])
    error = np.abs(found.astype(int) - frames)
    assert error.max() < 64
    assert error[:, 10:20].mean() < 16


def test_a_frame_that_equals_the_one_before_prolongs_it(tmp_path):
    one, two = moving_square(2)
    write_gif(tmp_path / "episode.gif", [one, one, two, two, one], [0.1, 0.2, 0.3, 0.4, 0.5])
    found, durations, _ = read_gif(tmp_path / "episode.gif")
    np.testing.assert_array_equal(found, [one, two, one])
    assert durations == [300, 700, 500]


@pytest.mark.parametrize("count", [1, 3])
def test_a_single_picture_can_be_a_gif(tmp_path, count):
    (frame,) = moving_square(1)
    write_gif(tmp_path / "still.gif", [frame] * count, [0.4] * count)
    with Image.open(tmp_path / "still.gif") as image:
        np.testing.assert_array_equal(np.array(image.convert("RGB")), frame)
        assert image.info["duration"] == 400 * count


def test_only_what_changes_makes_a_gif_larger(tmp_path):
    frames = np.random.default_rng(0).integers(0, 100, (1, 100, 150, 1), np.uint8)
    frames = np.tile(frames, (10, 1, 1, 3))
    for index, frame in enumerate(frames):
        frame[0, index] = frame[-1, -1 - index] = MAGENTA
    sizes = []
    for count in (1, 10):
        write_gif(tmp_path / "episode.gif", list(frames[:count]), [0.5] * count)
        sizes.append((tmp_path / "episode.gif").stat().st_size)
    np.testing.assert_array_equal(read_gif(tmp_path / "episode.gif")[0], frames)
    assert sizes[1] < 2 * sizes[0]


def test_frames_without_a_duration_and_of_two_sizes_are_refused(tmp_path):
    frames = list(moving_square(2))
    with pytest.raises(ValueError, match="2 frames, but 3 durations"):
        write_gif(tmp_path / "episode.gif", frames, [1, 1, 1])
    with pytest.raises(ValueError, match="shape"):
        write_gif(tmp_path / "episode.gif", [frames[0], frames[1][:-1]], [1, 1])
    with pytest.raises(ValueError, match="at least one"):
        write_gif(tmp_path / "episode.gif", [], [])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("picture.png", lambda path: write_png(path, moving_square(1)[0])),
        ("episode.gif", lambda path: write_gif(path, list(moving_square(2)), [1, 1])),
    ],
)
def test_a_writer_that_fails_leaves_the_old_file_alone(tmp_path, monkeypatch, name, write):
    path = tmp_path / name
    path.write_bytes(b"old")

    def save(self, file, *args, **kwargs):
        assert file != path
        file.write_bytes(b"half")
        assert path.read_bytes() == b"old"
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", save)
        with pytest.raises(OSError, match="disk full"):
            write(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]

    write(path)
    assert path.read_bytes() != b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_told_with_the_file(tmp_path):
    path = tmp_path / "file.txt"
    with pytest.raises(OSError, match=r"No space left.*file\.txt"), replace_atomically(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_what_is_to_be_replaced_stays_until_the_new_file_is_whole(tmp_path):
    path = tmp_path / "new" / "file.txt"
    for content in ("first", "second"):
        before = path.read_text() if path.exists() else None
        with replace_atomically(path) as beside:
            assert beside.parent == path.parent
            beside.write_text(content)
            assert (path.read_text() if path.exists() else None) == before
        assert path.read_text() == content
        assert list(path.parent.iterdir()) == [path]
