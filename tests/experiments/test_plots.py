"""Charts of a run: what they show, where, and that they are readable whatever there is to show."""

import itertools
import math

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from experiments import plots
from experiments.plots import mark_log_axis, new_figure, plot_gaze, plot_training
from ram_env.rendering import SCALE_COLOURS

NOTHING = math.nan
CENTRE = 14.0


def history(num_epochs, **changes):
    """A training that improves; `changes` replaces values, `name=value` or `name=[values]`."""
    rows = []
    for index in range(num_epochs):
        error = 0.01 + 0.2 / (index + 1)
        row = {
            "epoch": index + 1,
            "timesteps": 1000 * index,
            "train_loss": 5.0,
            "train_cross_entropy": 3 * error,
            "train_reinforce_loss": -error,
            "train_baseline_loss": error / 2,
            "train_reward": 1 - error,
            "train_accuracy": 1 - error,
            "val_cross_entropy": 2 * error,
            "val_accuracy": 1 - error / 2,
        }
        for name, value in changes.items():
            row[name] = value[index] if isinstance(value, list) else value
        rows.append(row)
    return rows


def pixels_of(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.array(image.convert("RGB"))


def count(pixels, colour):
    """How many pixels have a colour, given as matplotlib takes it."""
    return (np.abs(pixels - np.array(to_rgb(colour)) * 255).max(axis=-1) < 2).sum()


def named_lines(axes):
    return {
        line.get_label(): np.asarray(line.get_xydata())
        for line in axes.lines
        if not line.get_label().startswith("_")
    }


def ring_of(axes):
    (ring,) = (line for line in axes.lines if line.get_fillstyle() == "none")
    return np.asarray(ring.get_xydata())[0]


def texts_of(figure):
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


# ----------------------------------------------------------------------------------------- training


@pytest.mark.parametrize("num_epochs", [1, 12, 200])
@pytest.mark.parametrize("val_loss", [0.5, NOTHING])
def test_both_curves_are_seen_in_both_panels(tmp_path, num_epochs, val_loss):
    plot_training(history(num_epochs, val_cross_entropy=val_loss), tmp_path / "loss.png")
    pixels = pixels_of(tmp_path / "loss.png")
    height, width, _ = pixels.shape
    assert 1200 <= width <= 1600
    assert height < width
    losses, errors = pixels[:, : width // 2], pixels[:, width // 2 :]
    # One epoch is a dot and a word, several pixels wide.
    for panel, colour, is_there in (
        (losses, plots._TRAIN, True),
        (losses, plots._VAL, not math.isnan(val_loss)),
        (errors, plots._TRAIN, True),
        (errors, plots._VAL, True),
    ):
        assert (count(panel, colour) > 100) == is_there
    assert (pixels == 255).all(axis=-1).mean() > 0.8


def test_the_curves_are_the_comparable_quantities(tmp_path, figures):
    rows = history(12)
    plot_training(rows, tmp_path / "loss.png")
    entropy, errors, terms = figures[0].axes
    epochs = np.arange(1, 13)
    expected = {
        entropy: {"training": "train_cross_entropy", "validation": "val_cross_entropy"},
        terms: {"REINFORCE": "train_reinforce_loss", "baseline": "train_baseline_loss"},
        errors: {"training": "train_accuracy", "validation": "val_accuracy"},
    }
    for axes, names in expected.items():
        lines = named_lines(axes)
        assert lines.keys() == names.keys()
        for name, key in names.items():
            values = np.array([row[key] for row in rows])
            values = 100 * (1 - values) if axes is errors else values
            np.testing.assert_allclose(lines[name], np.stack([epochs, values], axis=-1))
    assert entropy.get_yscale() == errors.get_yscale() == "log"
    assert all(axes.get_ylabel() for axes in expected)
    assert terms.get_xlabel() == errors.get_xlabel() == "epoch"


def test_the_first_of_the_best_epochs_is_marked(tmp_path, figures):
    accuracies = [0.9, 0.97, NOTHING, 0.985, 0.985, 0.98]
    plot_training(history(6, val_accuracy=accuracies), tmp_path / "loss.png")
    np.testing.assert_allclose(ring_of(figures[0].axes[1]), [4, 1.5])
    assert "best validation: 1.50 % in epoch 4" in texts_of(figures[0])


def test_epochs_without_validation_are_left_out(tmp_path, figures):
    values = [0.9, NOTHING, NOTHING, 0.8]
    rows = history(4, val_cross_entropy=values, val_accuracy=values)
    del rows[1]["val_cross_entropy"], rows[1]["val_accuracy"]
    plot_training(rows, tmp_path / "loss.png")
    entropy, errors, _ = figures[0].axes
    np.testing.assert_allclose(named_lines(entropy)["validation"], [[1, 0.9], [4, 0.8]])
    np.testing.assert_allclose(named_lines(errors)["validation"], [[1, 10], [4, 20]])


def test_one_validation_in_a_long_training_is_seen(tmp_path, figures):
    values = [NOTHING] * 99 + [0.9]
    plot_training(
        history(100, val_cross_entropy=values, val_accuracy=values), tmp_path / "loss.png"
    )
    for axes in figures[0].axes[:2]:
        (line,) = (line for line in axes.lines if line.get_label() == "validation")
        assert line.get_marker() == "o"


def test_no_more_than_all_can_be_wrong(tmp_path, figures):
    plot_training(history(3, train_accuracy=0.1, val_accuracy=0.2), tmp_path / "loss.png")
    errors = figures[0].axes[1]
    bottom, top = errors.get_ylim()
    assert 100 < top < 110
    assert bottom < 20  # so that there are more marks than that at 100
    assert errors.get_ylabel() == "wrong answers (%)"


def test_an_error_is_what_the_task_says_it_is(tmp_path, figures):
    plot_training(history(3), tmp_path / "loss.png", errors_are="balls missed")
    assert figures[0].axes[1].get_ylabel() == "balls missed (%)"


def test_no_error_at_all_has_a_place(tmp_path, figures):
    rows = history(3, train_accuracy=1.0, val_accuracy=1.0)
    plot_training(rows, tmp_path / "loss.png")
    errors = figures[0].axes[1]
    bottom, top = errors.get_ylim()
    for line in (*named_lines(errors).values(), ring_of(errors)[np.newaxis]):
        assert (bottom < line[:, 1]).all()
        assert (line[:, 1] < top).all()
    assert "best validation: 0.00 % in epoch 1" in texts_of(figures[0])


def test_hardly_anything_can_be_drawn(tmp_path, figures):
    plot_training([{"epoch": 3, "train_accuracy": 0.5}], tmp_path / "loss.png")
    assert [list(named_lines(axes)) for axes in figures[0].axes] == [[], ["training"], []]
    with pytest.raises(ValueError, match="history is empty"):
        plot_training([], tmp_path / "loss.png")


@pytest.mark.parametrize("num_epochs", [1, 2, 200])
@pytest.mark.parametrize(
    "constants", [{}, {"train_cross_entropy": 0.33, "val_cross_entropy": 0.33}]
)
def test_ticks_are_whole_epochs_and_values_have_ticks(tmp_path, figures, num_epochs, constants):
    plot_training(history(num_epochs, **constants), tmp_path / "loss.png")
    for axes in figures[0].axes:
        low, high = axes.get_xlim()
        ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert ticks
        assert all(float(tick).is_integer() for tick in ticks)
        low, high = axes.get_ylim()
        ticks = [tick for tick in axes.get_yticks() if low <= tick <= high]
        assert 2 <= len(ticks) <= 12
        # Changes by some per cent must not look like halving.
        assert axes.get_yscale() == "linear" or high > 5 * low


@pytest.mark.parametrize("distance", [0.0, 0.5])
def test_names_do_not_cover_each_other(tmp_path, figures, distance):
    rows = history(5, val_cross_entropy=0.1, train_cross_entropy=0.1 + distance)
    plot_training(rows, tmp_path / "loss.png")
    figure = figures[0]
    names = [text for text in figure.axes[0].texts if text.get_text() in ("training", "validation")]
    boxes = [text.get_window_extent() for text in names]
    assert len(boxes) == 2
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)
    assert all(box.x1 <= figure.bbox.x1 for box in boxes)


# --------------------------------------------------------------------------------------------- gaze


def gaze(num_glimpses, num_episodes=300, centre=(CENTRE, CENTRE), spread=1.0):
    rng = np.random.default_rng(0)
    return rng.normal(centre, spread, (num_episodes, num_glimpses, 2))


def heat_of(axes):
    """The heat map: colours and opacity `(rows, columns, 4)`."""
    _, heat = axes.get_images()
    return np.asarray(heat.get_array())


def peak_of(axes, image_size):
    """Where the heat map is most opaque, `(x, y)` in pixels of the image."""
    opacity = heat_of(axes)[..., 3]
    rows, columns = np.nonzero(opacity == opacity.max())
    height, width = image_size
    return (
        (columns.mean() + 0.5) * width / opacity.shape[1],
        (rows.mean() + 0.5) * height / opacity.shape[0],
    )


@pytest.mark.parametrize("num_glimpses", [1, 2, 5, 12])
def test_every_glimpse_has_a_panel(tmp_path, figures, num_glimpses):
    plot_gaze(gaze(num_glimpses, 20), np.eye(28), tmp_path / "gaze.png", glimpse_side=8)
    titles = [axes.get_title(loc="left") for axes in figures[0].axes]
    assert titles == [f"glimpse {step}" for step in range(1, num_glimpses + 1)]
    widths = [round(axes.get_window_extent().width) for axes in figures[0].axes]
    assert min(widths) >= 200
    assert max(widths) - min(widths) <= 1
    if num_glimpses > 1:
        assert 1200 <= figures[0].bbox.width <= 1600


@pytest.mark.parametrize("size", [(20, 60), (60, 20)])
def test_the_map_is_where_the_agent_looks(tmp_path, figures, size):
    height, width = size
    centres = [(0.3 * width, 0.2 * height), (0.9 * width, 0.7 * height)]
    locations = np.stack([np.full((50, 2), centre) for centre in centres], axis=1)
    plot_gaze(locations, np.ones(size), tmp_path / "gaze.png", glimpse_side=4)
    for axes, centre in zip(figures[0].axes, centres, strict=True):
        np.testing.assert_allclose(peak_of(axes, size), centre, atol=0.02 * max(size))
        x_limits, y_limits = axes.get_xlim(), axes.get_ylim()
        assert (x_limits, y_limits) == ((0, width), (height, 0))
        panel = axes.get_window_extent()
        assert panel.height / panel.width == pytest.approx(height / width, rel=0.02)


def test_the_square_and_the_numbers_tell_mean_and_spread(tmp_path, figures):
    locations = np.array([[(10.0, 6.0)], [(12.0, 6.0)]])
    plot_gaze(locations, np.ones((28, 28)), tmp_path / "gaze.png", glimpse_side=8)
    (axes,) = figures[0].axes
    (square,) = axes.patches
    assert square.get_bbox().bounds == (7, 2, 8, 8)
    assert square.get_edgecolor()[:3] == pytest.approx(np.array(SCALE_COLOURS[0]) / 255)
    assert " ".join(axes.get_xlabel().split()) == "x 11.0 ± 1.0 y 6.0 ± 0.0 px"


@pytest.mark.parametrize("point", [(14, 14), (0, 0), (28, 28)])
def test_one_point_that_all_look_at_is_seen(tmp_path, point):
    locations = np.full((5, 1, 2), point, float)
    plot_gaze(locations, np.zeros((28, 28)), tmp_path / "gaze.png", glimpse_side=8)
    pixels = pixels_of(tmp_path / "gaze.png").astype(int)
    # Nothing else is red and as bright as the middle of the spot: it is neither grey nor orange.
    is_spot = (pixels[..., 0] > 180) & (pixels[..., 0] - pixels[..., 1] > 60)
    is_spot &= pixels[..., 2] > 60
    rows, columns = np.nonzero(is_spot)
    assert len(rows) > 30
    assert np.ptp(rows) < 60
    assert np.ptp(columns) < 60


def test_a_wide_gaze_covers_more_than_a_narrow_one(tmp_path, figures):
    for spread in (0.0, 2.0, 5.0):
        locations = gaze(1, 2000, spread=spread)
        plot_gaze(locations, np.ones((28, 28)), tmp_path / "gaze.png", glimpse_side=8)
    covered = [(heat_of(figure.axes[0])[..., 3] > 0.2).mean() for figure in figures]
    assert covered[0] < 0.05
    assert covered[0] * 3 < covered[1]
    assert covered[1] * 2 < covered[2]


@pytest.mark.parametrize("spread", [0.0, 6.0])
def test_the_mean_image_shows_through(tmp_path, spread):
    images = np.zeros((2, 28, 28))
    images[1, :, 14:] = 200
    drawn = []
    for image in images:
        plot_gaze(gaze(1, 500, spread=spread), image, tmp_path / "gaze.png", glimpse_side=8)
        drawn.append(pixels_of(tmp_path / "gaze.png").astype(int))
    changed = (np.abs(drawn[1] - drawn[0]).max(axis=-1) > 20).mean()
    assert 0.2 < changed < 0.5


def test_the_mean_image_may_have_any_scale_and_channels(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8)
    stacked = np.repeat(grey[..., np.newaxis], 3, axis=-1)
    drawn = []
    for image in (grey, stacked, grey[..., np.newaxis], grey / 255):
        plot_gaze(gaze(1, 20, (15, 10)), image, tmp_path / "gaze.png", glimpse_side=4)
        drawn.append(pixels_of(tmp_path / "gaze.png").astype(int))
    for other in drawn[1:]:
        assert np.abs(other - drawn[0]).max() <= 3


@pytest.mark.parametrize(
    ("locations", "image", "message"),
    [
        ((5, 2), (28, 28), r"locations\.shape=\(5, 2\)"),
        ((5, 6, 3), (28, 28), r"locations\.shape=\(5, 6, 3\)"),
        ((0, 6, 2), (28, 28), r"locations\.shape=\(0, 6, 2\)"),
        ((5, 6, 2), (28,), r"mean_image\.shape=\(28,\)"),
    ],
)
def test_wrong_shapes_are_refused(tmp_path, locations, image, message):
    with pytest.raises(ValueError, match=message):
        plot_gaze(np.zeros(locations), np.zeros(image), tmp_path / "gaze.png", glimpse_side=8)


# --------------------------------------------------------------------------------------------- both

WRITERS = [
    lambda path: plot_training(history(2), path),
    lambda path: plot_gaze(gaze(1, 5), np.ones((28, 28)), path, glimpse_side=8),
]


@pytest.mark.parametrize("write", WRITERS)
def test_a_chart_that_fails_leaves_the_old_file_alone(tmp_path, monkeypatch, write):
    path = tmp_path / "chart.png"
    path.write_bytes(b"old")

    def savefig(self, file, **kwargs):
        assert file != path
        file.write_bytes(b"half")
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(Figure, "savefig", savefig)
        with pytest.raises(OSError, match="disk full"):
            write(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]

    write(path)
    assert pixels_of(path).std() > 1
    assert list(tmp_path.iterdir()) == [path]


def test_arguments_stay_as_they_are(tmp_path):
    rows = history(3, val_cross_entropy=[0.5, 0.4, 0.3])
    locations, image = gaze(2, 5), np.random.default_rng(0).random((28, 28, 3))
    kept = [dict(row) for row in rows], locations.copy(), image.copy()
    for array in (locations, image):
        array.setflags(write=False)
    plot_training(rows, tmp_path / "loss.png")
    plot_gaze(locations, image, tmp_path / "gaze.png", glimpse_side=8)
    assert rows == kept[0]
    np.testing.assert_array_equal(locations, kept[1])
    np.testing.assert_array_equal(image, kept[2])


# ------------------------------------------------------------------------------------ every update


def test_losses_are_drawn_with_the_means_around_them(figures, tmp_path):
    losses = [float(number % 2) for number in range(200)]
    plots.plot_losses(losses, tmp_path / "losses.png")
    (figure,) = figures
    each, means = figure.axes[0].lines
    np.testing.assert_array_equal(each.get_xdata(), np.arange(1, 201))
    np.testing.assert_array_equal(each.get_ydata(), losses)
    np.testing.assert_allclose(means.get_ydata()[10:-10], 0.5)  # of four neighbours, two are 1


def test_a_single_loss_is_its_own_mean(figures, tmp_path):
    plots.plot_losses([3.0], tmp_path / "losses.png")
    _, means = figures[0].axes[0].lines
    np.testing.assert_array_equal(means.get_ydata(), [3.0])


@pytest.mark.parametrize(("low", "high"), [(1.5, 45), (8, 9.5), (0.5, 3000)])
def test_a_logarithmic_axis_has_a_few_ticks_in_plain_numbers(low, high):
    figure = new_figure(6, 3)
    axes = figure.subplots()
    axes.set(xscale="log", xlim=(low, high))
    mark_log_axis(axes.xaxis, low, high)
    figure.draw_without_rendering()
    names = [
        label.get_text()
        for label in axes.get_xticklabels(which="both")
        if low <= float(label.get_text()) <= high
    ]
    assert 2 <= len(names) <= 8
    assert all("e" not in name for name in names)
