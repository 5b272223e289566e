"""What a data set is, which sources make one, and what is said of those that cannot."""

import copy
import gzip
import hashlib
import importlib.util
import os
import pickle
import re
import shutil
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from ram_env import datasets
from ram_env.datasets import SPLITS, Dataset, load_dataset, official_splits

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")

IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def idx_bytes(array, type_code=0x08):
    """An IDX file, written out from the format's description and not from the reader."""
    header = bytes([0, 0, type_code, array.ndim])
    sizes = b"".join(struct.pack(">I", size) for size in array.shape)
    return header + sizes + array.astype(np.uint8).tobytes()


def numbered_images(num_items, *shape):
    """Images that can be told apart: the pixels of image i are all i + 2 (0 and 1 are a mask)."""
    shape = shape or (2, 3)
    brightness = np.arange(2, num_items + 2, dtype=np.uint8)
    return np.broadcast_to(brightness.reshape(-1, *(1 for _ in shape)), (num_items, *shape))


def four_arrays(num_train=24, num_test=5, shape=(2, 3)):
    """Training images and labels, then test images and labels; the test set has the top label."""
    return (
        numbered_images(num_train, *shape),
        np.arange(num_train) % 3,
        numbered_images(num_test, *shape) + 100,
        np.arange(num_test) % 4,
    )


def write_idx_folder(folder, arrays=None, names=IDX_NAMES, suffix=""):
    """Writes four IDX files and returns their folder."""
    folder.mkdir(exist_ok=True)
    for name, array in zip(names, arrays or four_arrays(), strict=True):
        content = idx_bytes(array)
        (folder / (name + suffix)).write_bytes(gzip.compress(content, 1) if suffix else content)
    return folder


def write_npz(path, arrays=None):
    """Writes an .npz file with Keras' names and returns its path."""
    names = ("x_train", "y_train", "x_test", "y_test")
    np.savez(path, **dict(zip(names, arrays or four_arrays(), strict=True)))
    return path


def address(array):
    """Where an array's memory begins."""
    return array.__array_interface__["data"][0]


# --- MNIST, against facts from elsewhere --------------------------------------------------------


@pytest.mark.parametrize(("split", "num_items"), [("train", 55_000), ("val", 5_000)])
def test_mnist_training_images_are_divided_at_55_000(split, num_items):
    dataset = load_dataset("mnist", split)
    assert dataset.images.shape == (num_items, 28, 28)
    assert dataset.labels.shape == (num_items,)
    assert len(dataset) == num_items
    assert dataset.image_shape == (28, 28)
    assert dataset.num_classes == 10


def test_mnist_test_set_is_the_official_one():
    dataset = load_dataset("mnist", "test")
    assert dataset.images.shape == (10_000, 28, 28)
    assert dataset.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert dataset.num_classes == 10


def test_mnist_train_is_the_default_and_begins_as_published():
    assert load_dataset("mnist").labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]


def test_mnist_train_and_val_together_are_the_official_training_set():
    train, val = load_dataset("mnist", "train"), load_dataset("mnist", "val")
    counts = np.bincount(train.labels) + np.bincount(val.labels)
    assert counts.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    pixel_sum = train.images.sum(dtype=np.int64) + val.images.sum(dtype=np.int64)
    # The mean that every MNIST tutorial normalises with; as signed bytes it would be wrong.
    assert round(pixel_sum / (60_000 * 784 * 255), 4) == 0.1307


def test_mnist_images_are_upright_and_as_the_file_has_them():
    with gzip.open(Path(datasets.__file__).parent / "data/t10k-images-idx3-ubyte.gz") as file:
        file.seek(16 + 17 * 784)
        seventeenth = np.frombuffer(file.read(784), np.uint8).reshape(28, 28)
    assert np.array_equal(load_dataset("mnist", "test").images[17], seventeenth)


def test_embedded_files_are_the_official_ones_and_the_notice_names_each():
    # The md5 sums that torchvision checks its downloads against.
    official = {
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    }
    folder = Path(datasets.__file__).parent / "data"
    notice = (folder / "NOTICE").read_text()
    for name, md5 in official.items():
        assert hashlib.md5((folder / name).read_bytes()).hexdigest() == md5
        assert f"{md5}  {name}" in notice


def test_embedded_mnist_is_in_memory_once():
    first, second = load_dataset("mnist", "train"), load_dataset("mnist", "train")
    assert address(first.images) == address(second.images)
    assert address(first.labels) == address(second.labels)
    val = load_dataset("mnist", "val")
    assert address(val.images) == address(first.images) + first.images.nbytes
    assert address(val.labels) == address(first.labels) + first.labels.nbytes


def test_a_file_is_in_memory_once_for_all_its_splits_until_it_changes(tmp_path):
    path = tmp_path / "digits.npz"
    images = np.arange(6 * 4 * 4, dtype=np.uint8).reshape(6, 4, 4)
    parts = {"x_train": images, "y_train": np.arange(6), "x_test": images, "y_test": np.arange(6)}
    np.savez(path, **parts)
    train, val = load_dataset(path, "train"), load_dataset(str(path), "val")
    assert address(val.images) == address(train.images) + train.images.nbytes
    np.savez(path, **{**parts, "x_train": images + 1})
    os.utime(path, (0, 0))  # file systems do not tell writes within a few milliseconds apart
    np.testing.assert_array_equal(load_dataset(path, "train").images, train.images + 1)


@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_damaged_embedded_mnist_says_to_reinstall(tmp_path, monkeypatch, damage):
    package_file = Path(datasets.__file__)
    shutil.copytree(package_file.parent / "data", tmp_path / "data")
    victim = tmp_path / "data/train-images-idx3-ubyte.gz"
    content = victim.read_bytes()
    victim.unlink()
    if damage == "truncated":
        victim.write_bytes(content[:-1])

    spec = importlib.util.spec_from_file_location(
        "copied_datasets", shutil.copy(package_file, tmp_path)
    )
    copied = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "copied_datasets", copied)  # dataclasses look it up there
    spec.loader.exec_module(copied)
    with pytest.raises(ValueError, match=r"train-images.*missing or damaged.*md5.*reinstall"):
        copied.load_dataset("mnist", "test")


# --- Dataset: what it takes ---------------------------------------------------------------------


def test_uint8_images_and_int64_labels_are_viewed_and_never_copied():
    images, labels = numbered_images(4).copy(), np.arange(4)
    dataset = Dataset(images, labels)
    assert np.shares_memory(dataset.images, images)
    assert np.shares_memory(dataset.labels, labels)


def test_arrays_are_read_only_and_the_users_own_stay_writeable():
    images, labels = numbered_images(4).copy(), np.arange(4)
    dataset = Dataset(images, labels)
    with pytest.raises(ValueError, match="read-only"):
        dataset.images[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        dataset.labels[0] = 1
    assert images.flags.writeable
    assert labels.flags.writeable


def test_a_split_may_be_black_where_the_set_is_not(tmp_path):
    images, labels, *test = four_arrays(num_train=24)
    images = images.copy()
    images[-2:] = 1  # the twelfth that is for validation: as good as black, and no mask
    folder = write_idx_folder(tmp_path, (images, labels, *test))
    assert load_dataset(folder, "val").images.max() == 1


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda dataset: pickle.loads(pickle.dumps(dataset))]
)
def test_arrays_of_copies_are_read_only(copied):
    dataset = Dataset(np.full((2, 3, 4), 7, np.uint8), [0, 1], num_classes=5)
    again = copied(dataset)
    assert not again.images.flags.writeable
    assert not again.labels.flags.writeable
    assert (again.images == dataset.images).all()
    assert again.labels.tolist() == [0, 1]
    assert again.num_classes == 5


@pytest.mark.parametrize("source", ["mnist", "idx", "npz", "arrays"])
def test_arrays_of_every_source_are_read_only(tmp_path, source):
    made = {
        "mnist": lambda: "mnist",
        "idx": lambda: write_idx_folder(tmp_path),
        "npz": lambda: write_npz(tmp_path / "set.npz"),
        "arrays": lambda: (numbered_images(4).copy(), np.arange(4)),
    }[source]()
    for split in SPLITS:
        dataset = load_dataset(made, split)
        assert not dataset.images.flags.writeable
        assert not dataset.labels.flags.writeable


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (2, 3, 1), (2, 3, 3)])
def test_grey_and_colour_images_keep_their_shape(shape):
    dataset = Dataset(numbered_images(4, *shape), np.arange(4))
    assert dataset.images.shape == (4, *shape)
    assert dataset.image_shape == shape
    assert len(dataset) == 4


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_within_0_and_1_become_the_nearest_of_256_levels(dtype):
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    dataset = Dataset((levels / 255).astype(dtype), np.zeros(1, int))
    assert dataset.images.dtype == np.uint8
    assert np.array_equal(dataset.images, levels)


def test_floats_are_rounded_and_not_cut_off():
    images = np.array([[[0.0, 0.4 / 255, 0.6 / 255, 254.4 / 255, 254.6 / 255, 1.0]]])
    assert Dataset(images, np.array([0])).images.tolist() == [[[0, 0, 1, 254, 255, 255]]]


def test_booleans_become_black_and_white():
    images = np.array([[[True, False]]])
    assert Dataset(images, np.array([0])).images.tolist() == [[[255, 0]]]


def test_images_may_be_black():
    assert not Dataset(np.zeros((2, 3, 4), np.uint8), np.arange(2)).images.any()


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int32, np.uint64, ">i8"])
def test_labels_of_any_integer_dtype_become_int64(dtype):
    dataset = Dataset(numbered_images(3), np.array([0, 2, 1], dtype))
    assert dataset.labels.dtype == np.int64
    assert dataset.labels.tolist() == [0, 2, 1]


def test_num_classes_is_the_highest_label_and_one_unless_given():
    labels = np.array([0, 4, 1], np.uint8)
    assert Dataset(numbered_images(3), labels).num_classes == 5
    assert Dataset(numbered_images(3), labels, num_classes=7).num_classes == 7
    assert Dataset(numbered_images(3), labels, num_classes=5).num_classes == 5
    assert type(Dataset(numbered_images(3), labels, np.int64(5)).num_classes) is int


def test_the_highest_uint8_label_does_not_wrap_around():
    assert Dataset(numbered_images(1), np.array([255], np.uint8)).num_classes == 256


def test_a_dataset_is_frozen_and_equal_only_to_itself():
    dataset = Dataset(numbered_images(3), np.arange(3))
    with pytest.raises(AttributeError):
        dataset.num_classes = 4
    assert dataset == dataset
    assert dataset != Dataset(dataset.images, dataset.labels)
    assert len({dataset, dataset}) == 1


# --- Dataset: what it refuses -------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint16, np.complex64, object, "U1"])
def test_images_of_other_dtypes_are_refused_by_name(dtype):
    images = np.zeros((2, 3, 3)).astype(dtype)
    with pytest.raises(ValueError, match=rf"dtype {np.dtype(dtype)}.*uint8, floats.*booleans"):
        Dataset(images, np.arange(2))


def test_integers_are_told_how_to_become_bytes():
    with pytest.raises(ValueError, match=r"int64.*0 to 255 give images\.astype\(np\.uint8\)"):
        Dataset(np.full((2, 3, 3), 200), np.arange(2))


def test_a_mask_is_told_that_it_would_be_black_unless_it_is_booleans():
    mask = np.zeros((3, 4, 4), np.uint8)
    mask[2, 1, 1] = 1
    with pytest.raises(ValueError, match=r"nothing but 0 and 1.*255 is white.*astype\(bool\)"):
        Dataset(mask, np.arange(3))
    assert Dataset(mask.astype(bool), np.arange(3)).images.max() == 255


@pytest.mark.parametrize("sizes", [((3, 3), (3, 4)), ((3, 3), (4, 3)), ((3, 3), (3, 3, 3))])
@pytest.mark.parametrize("as_nested", [np.zeros, lambda size: np.zeros(size).tolist()])
def test_images_of_different_sizes_are_refused(sizes, as_nested):
    images = [as_nested(size) for size in sizes]
    with pytest.raises(ValueError, match=r"of different sizes.*resize or pad them"):
        Dataset(images, np.arange(2))
    with pytest.raises(ValueError, match=r"of different sizes.*resize or pad them"):
        load_dataset((images, np.arange(2)))


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (np.nan, "nan to nan"),
        (np.inf, r"0\.0 to inf"),
        (-0.01, r"-0\.01 to 0\.0"),
        (255.0, r"0\.0 to 255\.0"),
    ],
)
def test_floats_outside_0_and_1_are_refused_with_their_range(value, found):
    images = np.zeros((2, 3, 3))
    images[1, 2, 0] = value
    with pytest.raises(ValueError, match=rf"float64 must be finite and within \[0, 1\].*{found}"):
        Dataset(images, np.arange(2))


def test_floats_up_to_255_are_told_what_to_divide_by():
    images = np.full((2, 3, 3), 254.0)
    with pytest.raises(ValueError, match="images / 255"):
        Dataset(images, np.arange(2))
    assert (Dataset(images / 255, np.arange(2)).images == 254).all()


@pytest.mark.parametrize("shape", [(4,), (4, 9), (4, 2, 3, 3, 1), (0, 2, 3), (4, 0, 3)])
def test_images_of_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"images must have shape.*found \("):
        Dataset(np.zeros(shape, np.uint8), np.zeros(shape[0], int))


@pytest.mark.parametrize("shape", [(10, 3, 20, 20), (10, 20, 20, 2), (10, 20, 20, 4)], ids=str)
def test_channels_come_last_and_are_grey_or_colours(shape):
    with pytest.raises(ValueError, match=rf"{shape[3]} channels, which come last; allowed are"):
        load_dataset((np.zeros(shape, np.uint8), np.zeros(10, int)), "train")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0.0, 1.0]), "labels of dtype float64.*integers"),
        (np.array([False, True]), "labels of dtype bool.*integers"),
        (np.array(["0", "1"]), "labels of dtype <U1.*integers"),
        (np.array([0, 1], "m8[s]"), "labels of dtype timedelta64.*integers"),
        ([[0], [0, 1]], "labels of dtype object.*integers"),
        (np.array([[0], [1]]), r"labels must have shape \(num_items,\), found \(2, 1\)"),
        (np.array(1), r"labels must have shape \(num_items,\), found \(\)"),
        (np.array([0, -1]), "found labels from -1 to 0"),
        (np.array([0, 1, 2]), "2 images but 3 labels"),
        (np.array([], int), "2 images but 0 labels"),
        (np.array([0, 2**64 - 1], np.uint64), "labels up to 18446744073709551615.*return_inverse"),
        (np.array([0, 10**11]), "labels up to 100000000000.*of ids give np.unique"),
    ],
)
def test_labels_that_name_no_class_of_each_image_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        Dataset(numbered_images(2), labels)


@pytest.mark.parametrize(
    ("labels", "told", "done"),
    [
        (["cat", "ant"], "np.unique(labels, return_inverse=True)[1]", [1, 0]),
        (np.array(["cat", "ant"], object), "np.unique(labels, return_inverse=True)[1]", [1, 0]),
        (np.array([3.0, 1.0]), "labels.astype(np.int64)", [3, 1]),
        (np.array([True, False]), "labels.astype(np.int64)", [1, 0]),
        (np.array([[3], [1]]), "labels.ravel()", [3, 1]),  # as Keras has them
    ],
)
def test_labels_of_another_kind_are_told_what_to_do_which_helps(labels, told, done):
    with pytest.raises(ValueError, match=re.escape(told)):
        Dataset(numbered_images(2), labels)
    assert Dataset(numbered_images(2), eval(told)).labels.tolist() == done


def test_labels_beyond_num_classes_are_refused():
    with pytest.raises(ValueError, match=r"num_classes - 1 = 4, found labels from 0 to 5"):
        Dataset(numbered_images(2), np.array([0, 5]), num_classes=5)


@pytest.mark.parametrize("num_classes", [2.0, "2"])
def test_num_classes_that_is_no_integer_is_refused(num_classes):
    with pytest.raises(ValueError, match=r"num_classes must be an integer or None, found .*2"):
        Dataset(numbered_images(2), np.arange(2), num_classes)


# --- Sources that are used whole ----------------------------------------------------------------


@pytest.mark.parametrize("split", SPLITS)
def test_arrays_are_used_whole_whatever_the_split(split):
    images, labels = numbered_images(24).copy(), np.arange(24)
    for pair in [(images, labels), [images, labels]]:
        dataset = load_dataset(pair, split)
        assert np.shares_memory(dataset.images, images)
        assert dataset.labels.tolist() == list(range(24))
        assert not official_splits(pair)


@pytest.mark.parametrize("split", SPLITS)
def test_a_dataset_is_returned_as_it_is_whatever_the_split(split):
    dataset = Dataset(numbered_images(24), np.arange(24), num_classes=30)
    assert load_dataset(dataset, split) is dataset
    assert not official_splits(dataset)


@pytest.mark.parametrize("split", SPLITS)
def test_an_npz_of_one_set_is_used_whole_whatever_the_split(tmp_path, split):
    path = tmp_path / "one.npz"
    np.savez_compressed(path, images=numbered_images(24, 2, 2, 3), labels=np.arange(24))
    dataset = load_dataset(path, split)
    assert dataset.image_shape == (2, 2, 3)
    assert dataset.labels.tolist() == list(range(24))
    assert not official_splits(path)


# --- Sources with a training and a test set -----------------------------------------------------


@pytest.fixture(params=["idx", "idx.gz", "npz"])
def write_official(request, tmp_path):
    """Writes four arrays as an official source, in each of the formats."""

    def write(arrays=None):
        if request.param == "npz":
            return write_npz(tmp_path / "set.npz", arrays)
        return write_idx_folder(tmp_path / "set", arrays, suffix=request.param.removeprefix("idx"))

    return write


def test_official_sets_are_cut_into_eleven_twelfths_one_twelfth_and_test(write_official):
    source = write_official()
    train, val, test = (load_dataset(source, split) for split in SPLITS)
    assert train.images[:, 0, 0].tolist() == list(range(2, 24))
    assert val.images[:, 0, 0].tolist() == [24, 25]
    assert test.images[:, 0, 0].tolist() == [102, 103, 104, 105, 106]
    assert train.labels.tolist() == [0, 1, 2] * 7 + [0]
    assert val.labels.tolist() == [1, 2]
    assert test.labels.tolist() == [0, 1, 2, 3, 0]
    assert train.image_shape == (2, 3)
    assert official_splits(source)


def test_all_splits_agree_on_the_classes_of_both_sets(write_official):
    images, labels, test_images, test_labels = four_arrays()
    assert labels.max() == 2
    assert test_labels.max() == 3
    source = write_official()
    assert [load_dataset(source, split).num_classes for split in SPLITS] == [4, 4, 4]
    source = write_official((images, labels + 4, test_images, test_labels))
    assert [load_dataset(source, split).num_classes for split in SPLITS] == [7, 7, 7]


@pytest.mark.parametrize(("num_train", "num_val"), [(2, 1), (11, 1), (23, 1), (24, 2), (35, 2)])
def test_val_is_a_twelfth_rounded_down_and_at_least_one(write_official, num_train, num_val):
    source = write_official(four_arrays(num_train))
    assert len(load_dataset(source, "val")) == num_val
    assert len(load_dataset(source, "train")) == num_train - num_val


def test_training_items_sorted_by_class_are_refused_as_val_would_be_the_last_classes(
    write_official,
):
    images, _, *test = four_arrays()
    in_order = np.repeat([2, 0, 1], 8)  # in whatever order the classes are
    source = write_official((images, in_order, *test))
    with pytest.raises(ValueError, match=r"24 training items .* last 2 .* of 1 alone; shuffle"):
        load_dataset(source, "test")


def test_of_sorted_training_items_val_may_be_one_that_is_like_others(write_official):
    images, _, *test = four_arrays(num_train=3)
    like_others = write_official((images, np.array([0, 1, 1]), *test))
    assert load_dataset(like_others, "val").labels.tolist() == [1]
    the_only_one = write_official((images, np.array([0, 0, 1]), *test))
    with pytest.raises(ValueError, match=r"3 training items are sorted .* of 1 alone"):
        load_dataset(the_only_one, "val")


def test_official_sets_may_be_in_colour(write_official):
    source = write_official(four_arrays(shape=(4, 5, 3)))
    for split in SPLITS:
        assert load_dataset(source, split).image_shape == (4, 5, 3)
    assert load_dataset(source, "val").images[1, 3, 4].tolist() == [25, 25, 25]


@pytest.mark.parametrize("split", SPLITS)
def test_one_training_item_cannot_be_divided(write_official, split):
    with pytest.raises(ValueError, match=r"set.*training set of 1 item.*at least 2"):
        load_dataset(write_official(four_arrays(num_train=1)), split)


@pytest.mark.parametrize("split", SPLITS)
def test_training_and_test_images_must_have_one_shape(write_official, split):
    arrays = (*four_arrays(shape=(2, 3))[:2], *four_arrays(shape=(3, 2))[2:])
    with pytest.raises(ValueError, match=r"set.*shape \(2, 3\) but test images of shape \(3, 2\)"):
        load_dataset(write_official(arrays), split)


def test_mnist_has_official_splits():
    assert official_splits("mnist")


@pytest.mark.parametrize("kind", [str, Path])
def test_paths_may_be_strings_or_path_objects(tmp_path, kind):
    assert len(load_dataset(kind(write_idx_folder(tmp_path)), "test")) == 5
    assert len(load_dataset(kind(write_npz(tmp_path / "set.npz")), "test")) == 5


def test_a_folder_called_mnist_is_reached_by_a_path(tmp_path, monkeypatch):
    write_idx_folder(tmp_path / "mnist")
    monkeypatch.chdir(tmp_path)
    assert len(load_dataset("mnist", "test")) == 10_000
    assert len(load_dataset(os.path.join(".", "mnist"), "test")) == 5


@pytest.mark.skipif(not FASHION_MNIST.is_dir(), reason=f"{FASHION_MNIST} is not installed")
def test_fashion_mnist_is_read_from_its_own_files():
    train, val, test = (load_dataset(FASHION_MNIST, split) for split in SPLITS)
    assert [len(train), len(val), len(test)] == [55_000, 5_000, 10_000]
    assert train.image_shape == (28, 28)
    # Balanced by construction; 0.2860 is the mean its users normalise with.
    assert (np.bincount(train.labels) + np.bincount(val.labels)).tolist() == [6_000] * 10
    assert np.bincount(test.labels).tolist() == [1_000] * 10
    pixel_sum = train.images.sum(dtype=np.int64) + val.images.sum(dtype=np.int64)
    assert round(pixel_sum / (60_000 * 784 * 255), 4) == 0.2860


# --- IDX folders: which names -------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("prefix", ["", "emnist-digits-", "my.own_"])
@pytest.mark.parametrize("test_name", ["t10k", "test"])
@pytest.mark.parametrize("separator", ["-", "."])
def test_idx_names_in_use_are_known(tmp_path, suffix, prefix, test_name, separator):
    names = [
        prefix + name.replace("t10k", test_name).replace("-idx", f"{separator}idx")
        for name in IDX_NAMES
    ]
    folder = write_idx_folder(tmp_path, names=names, suffix=suffix)
    assert official_splits(folder)
    assert [len(load_dataset(folder, split)) for split in SPLITS] == [22, 2, 5]


def test_plain_and_packed_files_may_be_mixed(tmp_path):
    write_idx_folder(tmp_path)
    packed = tmp_path / IDX_NAMES[1]
    packed.with_name(packed.name + ".gz").write_bytes(gzip.compress(packed.read_bytes()))
    packed.unlink()
    assert load_dataset(tmp_path, "val").labels.tolist() == [1, 2]


def test_the_header_and_not_the_name_says_how_many_dimensions(tmp_path):
    names = [name.replace("idx3", "idx4") for name in IDX_NAMES]
    assert load_dataset(write_idx_folder(tmp_path, names=names)).image_shape == (2, 3)


def test_companions_folders_and_other_files_are_passed_over(tmp_path):
    write_idx_folder(tmp_path, suffix=".gz")
    (tmp_path / "README.md").write_text("train-images-idx3-ubyte")
    (tmp_path / "train-images-idx3-ubyte.sha256").write_text("0")
    (tmp_path / "._train-images-idx3-ubyte.gz").write_bytes(b"what macOS puts into zip files")
    (tmp_path / "train-images-idx3-ubyte").mkdir()
    assert len(load_dataset(tmp_path)) == 22


@pytest.mark.parametrize("missing", IDX_NAMES)
@pytest.mark.parametrize("use", [load_dataset, official_splits])
def test_a_missing_file_names_the_folder_what_is_there_and_what_is_needed(tmp_path, missing, use):
    (write_idx_folder(tmp_path) / missing).unlink()
    with pytest.raises(ValueError, match="found none") as error:
        use(tmp_path)
    message = str(error.value)
    assert str(tmp_path) in message
    assert f"one file like {missing}[.gz]" in message
    for present in set(IDX_NAMES) - {missing}:
        assert message.count(present) == 1


def test_a_folder_of_very_many_files_does_not_fill_the_screen(tmp_path):
    for number in range(300):
        (tmp_path / f"image-{number:03}.png").touch()
    with pytest.raises(ValueError, match=r"none among its 300 entries.*and more") as error:
        load_dataset(tmp_path)
    assert len(str(error.value)) < 1_000 + len(str(tmp_path))


@pytest.mark.parametrize(
    ("names", "second"),
    [
        (IDX_NAMES, "emnist-digits-train-images-idx3-ubyte"),
        (IDX_NAMES, "train-labels.idx1-ubyte"),
        (IDX_NAMES, "test-images-idx3-ubyte"),
        (IDX_NAMES, "kmnist-t10k-labels-idx1-ubyte"),
    ],
)
@pytest.mark.parametrize("use", [load_dataset, official_splits])
def test_two_files_for_one_part_are_refused_by_name(tmp_path, names, second, use):
    write_idx_folder(tmp_path, names=names)
    (tmp_path / second).touch()
    kind = "images" if "images" in second else "labels"
    role = "train" if "train" in second else "t10k"
    first = next(name for name in names if kind in name and role in name)
    with pytest.raises(ValueError, match="needs exactly one file") as error:
        use(tmp_path)
    assert repr(first) in str(error.value)
    assert repr(second) in str(error.value)


def test_a_folder_with_packed_and_unpacked_files_is_read(tmp_path):
    write_idx_folder(tmp_path)
    write_idx_folder(tmp_path, suffix=".gz")
    assert len(load_dataset(tmp_path, "test")) == 5


# --- IDX files: damage --------------------------------------------------------------------------

IDX_IMAGES = idx_bytes(numbered_images(5))  # 16 bytes of header and 5 * 2 * 3 of pixels


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (IDX_IMAGES[:-1], r"expected 46 bytes for shape \(5, 2, 3\), found 45"),
        (IDX_IMAGES + b"\0", r"expected 46 bytes for shape \(5, 2, 3\), found 47"),
        (IDX_IMAGES[:16], r"expected 46 bytes for shape \(5, 2, 3\), found 16"),
        (IDX_IMAGES[:9], "expected 16 bytes for its header, found 9"),
        (IDX_IMAGES[:4], "expected 16 bytes for its header, found 4"),
        (IDX_IMAGES[:3], "not an IDX file"),
        (b"", "not an IDX file"),
        (b"\x89PNG" + IDX_IMAGES[4:], "not an IDX file.*PNG"),
        (gzip.compress(IDX_IMAGES, mtime=0), "not an IDX file"),
        (idx_bytes(numbered_images(5), 0x0D), "type 0x0d.*allowed is 0x08, unsigned bytes"),
        (idx_bytes(numbered_images(5), 0x09), "type 0x09.*allowed is 0x08, unsigned bytes"),
        (idx_bytes(np.zeros((0, 2, 3))), r"at least one item.*found \(0, 2, 3\)"),
        (idx_bytes(np.zeros((5, 6))), r"images must have shape.*found \(5, 6\)"),
        (idx_bytes(np.zeros(())), r"images must have shape.*found \(\)"),
    ],
)
@pytest.mark.parametrize("split", SPLITS)
def test_damaged_idx_files_are_named_with_what_is_wrong(tmp_path, content, message, split):
    victim = write_idx_folder(tmp_path) / "t10k-images-idx3-ubyte"
    victim.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        load_dataset(tmp_path, split)
    assert str(victim) in str(error.value)


PACKED = gzip.compress(IDX_IMAGES, mtime=0)


@pytest.mark.parametrize(
    "content",
    [
        IDX_IMAGES,  # no gzip at all: BadGzipFile
        PACKED[:-1] + bytes([PACKED[-1] ^ 1]),  # a length that does not fit: BadGzipFile
        PACKED[: len(PACKED) // 2],  # EOFError
        PACKED[:5],  # EOFError in the header
        PACKED[:10] + b"\xff" * 20,  # zlib.error
    ],
)
def test_damaged_gzip_files_are_named_with_the_cause(tmp_path, content):
    victim = write_idx_folder(tmp_path, suffix=".gz") / "t10k-images-idx3-ubyte.gz"
    victim.write_bytes(content)
    with pytest.raises(ValueError, match=r"not a whole gzip file: \w+") as error:
        load_dataset(tmp_path)
    assert str(victim) in str(error.value)
    assert error.value.__cause__ is not None


def test_images_and_labels_that_differ_in_number_name_both_files(tmp_path):
    write_idx_folder(tmp_path, (*four_arrays()[:3], np.zeros(6)))
    with pytest.raises(ValueError, match="5 images but 6 labels") as error:
        load_dataset(tmp_path)
    assert str(tmp_path / "t10k-images-idx3-ubyte") in str(error.value)
    assert str(tmp_path / "t10k-labels-idx1-ubyte") in str(error.value)


def test_images_in_the_place_of_labels_are_refused(tmp_path):
    images, _, test_images, test_labels = four_arrays()
    write_idx_folder(tmp_path, (images, images, test_images, test_labels))
    with pytest.raises(ValueError, match=r"train-labels.*labels must have shape .*\(24, 2, 3\)"):
        load_dataset(tmp_path)


# --- .npz files: refusals -----------------------------------------------------------------------


@pytest.mark.parametrize("use", [load_dataset, official_splits])
def test_an_npz_with_other_names_names_those_and_the_needed(tmp_path, use):
    path = tmp_path / "other.npz"
    np.savez(path, x_train=np.zeros(1), y_train=np.zeros(1), pictures=np.zeros(1))
    with pytest.raises(ValueError, match=r"pictures.*needed are .*x_test.*images.*labels") as error:
        use(path)
    assert str(path) in str(error.value)


class Trap:
    """Unpickling one of these makes itself known."""

    sprung = False

    def __reduce__(self):
        return (setattr, (Trap, "sprung", True))


@pytest.mark.parametrize(
    "names", [("images", "labels"), ("x_train", "y_train", "x_test", "y_test")], ids=len
)
def test_pickled_arrays_are_refused_and_never_unpickled(tmp_path, names):
    path = tmp_path / "objects.npz"
    np.savez(path, **dict.fromkeys(names, np.array([Trap()], dtype=object)))
    with pytest.raises(ValueError, match="pickled objects are never loaded") as error:
        load_dataset(path)
    assert str(path) in str(error.value)
    assert not Trap.sprung


def test_a_pickle_called_npz_is_refused_and_never_unpickled(tmp_path):
    path = tmp_path / "pickle.npz"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ValueError, match="pickled objects are never loaded"):
        load_dataset(path)
    assert not Trap.sprung


@pytest.mark.filterwarnings("error")  # an archive left open is a ResourceWarning
@pytest.mark.parametrize("damage", ["empty", "truncated", "flipped", "npy"])
def test_damaged_npz_files_are_named(tmp_path, damage):
    path = write_npz(tmp_path / "set.npz")
    content = path.read_bytes()
    middle = content.index(b"NUMPY") + 140  # beyond the header of the first array
    changed = bytes([content[middle] ^ 255])
    if damage == "npy":
        with path.open("wb") as file:
            np.save(file, numbered_images(3))
    else:
        path.write_bytes(
            {
                "empty": b"",
                "truncated": content[: len(content) // 2],
                "flipped": content[:middle] + changed + content[middle + 1 :],
            }[damage]
        )
    with pytest.raises(ValueError, match="cannot be read: ") as error:
        load_dataset(path)
    assert str(path) in str(error.value)


def test_arrays_of_an_npz_that_do_not_fit_are_named(tmp_path):
    path = write_npz(tmp_path / "set.npz", (*four_arrays()[:3], np.zeros(6, int)))
    with pytest.raises(ValueError, match=r"set.npz, x_test with y_test: 5 images but 6 labels"):
        load_dataset(path)


# --- Sources and splits that are none -----------------------------------------------------------


@pytest.mark.parametrize("split", ["training", "", "Train", None, 0])
def test_an_unknown_split_is_named_with_the_allowed_ones(split):
    with pytest.raises(ValueError, match=r"'train', 'val', 'test'") as error:
        load_dataset("mnist", split)
    assert f"unknown split {split!r}" in str(error.value)


def test_a_wrong_split_is_refused_even_where_the_split_changes_nothing():
    with pytest.raises(ValueError, match="unknown split 'validation'"):
        load_dataset((numbered_images(2), np.arange(2)), "validation")


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("cifar10", "'cifar10'"),
        ("MNIST", "'MNIST'"),
        ("no/such/folder", "'no/such/folder'"),
        (Path("missing.npz"), "'missing.npz'"),
        (Path(__file__), repr(__file__)),
        (None, "None of type NoneType"),
        (7, "7 of type int"),
        (np.zeros((2, 3, 3), np.uint8), "of type ndarray"),
        ((np.zeros((2, 3, 3), np.uint8),), "of type tuple"),
        ((1, 2, 3), r"(1, 2, 3) of type tuple"),
        ({"images": 1}, "of type dict"),
        (["a.npz", "b.npz"], "['a.npz', 'b.npz'] of type list"),
        (("mnist", "fashion"), "('mnist', 'fashion') of type tuple"),
        ((Path("images.npy"), np.arange(2)), "of type tuple"),
        ((Dataset(numbered_images(2), np.arange(2)),) * 2, "of type tuple"),
    ],
)
@pytest.mark.parametrize("use", [load_dataset, official_splits])
def test_an_unknown_source_is_named_with_the_allowed_ones(
    tmp_path, monkeypatch, source, named, use
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ValueError, match=r"allowed are 'mnist', .*IDX.*npz.*pair.*Dataset"
    ) as error:
        use(source)
    assert named in str(error.value)


def test_a_pair_that_is_no_images_and_labels_is_refused():
    with pytest.raises(ValueError, match="images must have shape"):
        load_dataset((1, 2))
