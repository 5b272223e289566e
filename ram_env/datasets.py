"""Images and labels as arrays: embedded MNIST, IDX folders, `.npz` files and the user's own.

Everything an environment needs of a data set is a `Dataset`; `load_dataset` makes one of whatever
the user has at hand. A source is either *official*, with a training and a test set of its own that
the three splits are cut from, or it is *whole*, one set that is used as it is.

| Source | Kind | Splits |
|---|---|---|
| `"mnist"` | official | 55,000, 5,000 and 10,000 items |
| folder of IDX files | official | 11/12 and 1/12 of the training set, the test set |
| `.npz` with `x_train, y_train, x_test, y_test` | official | the same |
| `.npz` with `images, labels` | whole | every split is all of it |
| pair `(images, labels)` of arrays | whole | every split is all of it |
| `Dataset` | whole | every split is all of it |
"""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import ArrayLike, NDArray

from ram_env.validation import as_array, brief

SPLITS = ("train", "val", "test")
"""The names of the splits, in the order in which an experiment meets them."""

# One twelfth of MNIST's 60,000 training images is the usual validation set of 5,000.
_VAL_FRACTION = 12

_DATA_FOLDER = Path(__file__).parent / "data"

_MNIST_MD5 = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}

# Images and labels of the training set, then of the test set: as IDX files and as .npz arrays.
_IDX_PARTS = (("train-images", "train-labels"), ("t10k-images", "t10k-labels"))
_NPZ_PARTS = (("x_train", "y_train"), ("x_test", "y_test"))
_NPZ_WHOLE = ("images", "labels")

_IDX_UNSIGNED_BYTE = 0x08

# What np.load raises, depending on which byte of an archive is wrong.
_DAMAGED_NPZ = (ValueError, EOFError, OSError, RuntimeError, zlib.error, zipfile.BadZipFile)

_MOST_CLASSES = 2**20  # an answer is one of a list, and has a probability each

_ALLOWED_PIXELS = "allowed are uint8, floats within [0, 1], and booleans"
_ALLOWED_SOURCES = (
    "allowed are 'mnist', the path of an existing folder of IDX files or of an existing .npz file, "
    "a pair (images, labels) of arrays, or a Dataset"
)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images, checked once, so that whoever holds one need not check again.

    The arrays are read-only views. uint8 images and int64 labels are not copied, so they share
    memory with the arrays they were made of, whose own flags stay as they were.

    Attributes:
        images: uint8 array of shape `(num_items, height, width)` or
            `(num_items, height, width, channels)`; 255 is white. At construction also floats in
            [0, 1], which become `round(255 * x)`, and booleans, which become 0 and 255.
        labels: int64 array of shape `(num_items,)`, each in `[0, num_classes)`. At construction any
            integer dtype.
        num_classes: How many classes there are; at construction None means the highest label + 1.

    Raises:
        ValueError: At construction, if images or labels have another dtype, shape or range (uint8
            images of nothing but 0 and 1, too), if their numbers differ, or if there is not at
            least one item and one pixel.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    # None only until __post_init__ has filled it in, so that whoever reads it gets an int.
    num_classes: int = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        """Checks the arrays and normalises them to their documented dtypes."""
        images = _as_uint8(as_array(self.images))
        labels = _as_int64(as_array(self.labels))
        if len(images) != len(labels):
            raise ValueError(f"{len(images)} images but {len(labels)} labels; each image needs one")
        num_classes = _checked_num_classes(labels, self.num_classes)

        # The dataclass is frozen for its users, not yet for itself.
        object.__setattr__(self, "images", read_only(images))
        object.__setattr__(self, "labels", read_only(labels))
        object.__setattr__(self, "num_classes", num_classes)

    def __reduce__(self) -> tuple[type[Dataset], tuple[Any, ...]]:
        """Pickled and copied through the constructor: NumPy's pickles forget to be read-only."""
        return Dataset, (self.images, self.labels, self.num_classes)

    def __deepcopy__(self, _memo: dict[int, Any]) -> Dataset:
        """Returns the data set itself, which never changes."""
        return self

    def _part(self, items: slice) -> Dataset:
        """Returns some of the items, as views; what holds of all of them is not checked again."""
        part = object.__new__(Dataset)
        object.__setattr__(part, "images", self.images[items])
        object.__setattr__(part, "labels", self.labels[items])
        object.__setattr__(part, "num_classes", self.num_classes)
        return part

    def __len__(self) -> int:
        """Returns the number of items."""
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of one image: `(height, width)` or `(height, width, channels)`."""
        return self.images.shape[1:]


DatasetSource: TypeAlias = str | os.PathLike[str] | tuple[ArrayLike, ArrayLike] | Dataset
"""What `load_dataset` makes a `Dataset` of."""


def load_dataset(source: DatasetSource, split: str = "train") -> Dataset:
    """Makes a data set of whatever the user has at hand.

    An official source holds a training and a test set: `train` is the training set without its
    last `len // 12` items (at least 1), `val` is those items, and `test` is the test set. All
    three have the same `num_classes`, the highest label of both sets + 1.

    Any other source is used whole, whatever the split: who passes arrays has chosen them for a
    role, and the split only says which. `official_splits` tells the two kinds apart.

    Embedded MNIST is read once a process; all its splits are views of the same memory.

    Args:
        source: `"mnist"` (embedded; write `"./mnist"` for a folder of that name); the path of a
            folder of IDX files, plain or `.gz`, named like MNIST's own with any prefix
            (`emnist-digits-train-images-idx3-ubyte.gz`; the test set `t10k` or `test`); the
            path of an `.npz` with `x_train, y_train, x_test, y_test` (official) or with
            `images, labels` (whole); a pair `(images, labels)` of arrays; or a
            `Dataset`, which is returned as it is.
        split: One of `SPLITS`.

    Returns:
        The data set; its arrays are read-only.

    Raises:
        ValueError: If source or split is not one of the above, if a file is missing, ambiguous,
            damaged or of another format, or if the arrays are not what `Dataset` takes.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; allowed are {', '.join(map(repr, SPLITS))}")
    recognised = _recognise(source)
    if isinstance(recognised, _Whole):
        return recognised.read()
    return _cut(*recognised.read(), split)


def official_splits(source: DatasetSource) -> bool:
    """Tells whether a source has a training and a test set of its own.

    Looks at file names and at the names inside an `.npz`, but reads no images.

    Args:
        source: Any source that `load_dataset` takes.

    Returns:
        True where `train`, `val` and `test` differ, False where the source is used whole.

    Raises:
        ValueError: If source is none that `load_dataset` takes, or files are missing.
    """
    return isinstance(_recognise(source), _Official)


# --- Arrays: the checks behind Dataset --------------------------------------------------------


def _as_uint8(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Returns images as uint8 in [0, 255], uncopied where they are uint8 already."""
    if images.dtype == object:
        raise ValueError(
            "images of dtype object (of different sizes, or no numbers) are not allowed; "
            f"{_ALLOWED_PIXELS}, all of one size: resize or pad them"
        )
    if images.ndim not in (3, 4) or 0 in images.shape:
        raise ValueError(
            "images must have shape (num_items, height, width) or (num_items, height, width, "
            f"channels) with at least one item and one pixel, found {images.shape}"
        )
    if images.ndim == 4 and images.shape[3] not in (1, 3):
        raise ValueError(
            f"images of shape {images.shape} have {images.shape[3]} channels, which come last; "
            "allowed are none, 1 (grey) or 3 (red, green, blue)"
        )
    if images.dtype == np.uint8:
        _require_no_mask(images)
        return images
    if images.dtype == np.bool_:
        return images.astype(np.uint8) * np.uint8(255)
    if images.dtype.kind == "f":
        return _quantised(images)
    raise ValueError(
        f"images of dtype {images.dtype} are not allowed; {_ALLOWED_PIXELS}: "
        "of integers from 0 to 255 give images.astype(np.uint8)"
    )


def _require_no_mask(images: NDArray[np.uint8]) -> None:
    """Raises a ValueError if the largest value is 1: a mask, which would be all but black."""
    # Ends at the first image with a larger one, so that it costs next to nothing.
    if not any(image.max() > 1 for image in images) and images.any():
        raise ValueError(
            "images of dtype uint8 hold nothing but 0 and 1, which is all but black, as 255 is "
            "white; give booleans, as images.astype(bool), or floats in [0, 1], or 255 * images"
        )


def _quantised(images: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Returns `round(255 * images)` for finite floats within [0, 1]."""
    lowest, highest = images.min(), images.max()
    # A NaN anywhere makes both extremes NaN, which no comparison passes.
    if not (lowest >= 0 and highest <= 1):
        raise ValueError(
            f"images of dtype {images.dtype} must be finite and within [0, 1], "
            f"found values from {lowest} to {highest}; of values from 0 to 255 give images / 255"
        )
    levels: NDArray[np.uint8] = np.rint(images * 255).astype(np.uint8)
    return levels


def _as_int64(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Returns labels as int64, uncopied where they are int64 already."""
    if labels.dtype.kind not in "iu":
        hint = (
            "of whole numbers give labels.astype(np.int64)"
            if labels.dtype.kind in "fb"
            else "of names give np.unique(labels, return_inverse=True)[1]"
        )
        raise ValueError(
            f"labels of dtype {labels.dtype} are not allowed; allowed are integers: {hint}"
        )
    if labels.ndim != 1:
        raise ValueError(
            f"labels must have shape (num_items,), found {labels.shape}; give one integer for each "
            "image, of a column labels.ravel()"
        )
    if labels.size and labels.max() >= _MOST_CLASSES:
        raise ValueError(
            f"labels up to {labels.max()} would be of as many classes; allowed are labels below "
            f"{_MOST_CLASSES}: of ids give np.unique(labels, return_inverse=True)[1]"
        )
    return labels.astype(np.int64, copy=False)


def _checked_num_classes(labels: NDArray[np.int64], num_classes: int | None) -> int:
    """Returns the number of classes, once every label is known to be one of them."""
    lowest, highest = int(labels.min()), int(labels.max())
    if num_classes is None:
        num_classes = highest + 1
    if not isinstance(num_classes, int | np.integer):
        raise ValueError(f"num_classes must be an integer or None, found {num_classes!r}")
    if lowest < 0 or highest >= num_classes:
        raise ValueError(
            f"labels must be within 0 and num_classes - 1 = {num_classes - 1}, "
            f"found labels from {lowest} to {highest}"
        )
    return int(num_classes)


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Returns a read-only view; the array itself may be its owner's and stays writeable."""
    view = array.view()
    view.flags.writeable = False
    return view


# --- Sources: what is it, and is it official or whole? ----------------------------------------


@dataclass(frozen=True)
class _Whole:
    """A source that is one set, used as it is whatever the split."""

    read: Callable[[], Dataset]


@dataclass(frozen=True)
class _Official:
    """A source with sets of its own; `read` returns the full training set and the test set."""

    read: Callable[[], tuple[Dataset, Dataset]]


def _recognise(source: DatasetSource) -> _Whole | _Official:
    """Decides what a source is, without reading its images."""
    if isinstance(source, Dataset):
        dataset = source
        return _Whole(lambda: dataset)
    if isinstance(source, tuple | list) and len(source) == 2 and not _holds_sources(source):
        images, labels = source
        return _Whole(lambda: Dataset(as_array(images), as_array(labels)))
    if isinstance(source, str) and source == "mnist":
        return _Official(_read_mnist)
    if isinstance(source, str | os.PathLike):
        return _recognise_path(Path(source))
    raise ValueError(
        f"unknown dataset {brief(source)} of type {type(source).__name__}; {_ALLOWED_SOURCES}"
    )


def _holds_sources(pair: Iterable[Any]) -> bool:
    """Tells two files, say, which are no source together, from a pair of arrays."""
    return any(isinstance(part, str | os.PathLike | Dataset) for part in pair)


def _recognise_path(path: Path) -> _Whole | _Official:
    """Tells a folder of IDX files from an `.npz` file."""
    if path.is_dir():
        pairs = _find_idx_files(path)
        stamps = _stamps(file for pair in pairs for file in pair)
        return _Official(lambda: _read_once(_read_idx_sets, (path, pairs), stamps))
    if path.is_file() and path.suffix == ".npz":
        return _recognise_npz(path)
    raise ValueError(f"unknown dataset {str(path)!r}; {_ALLOWED_SOURCES}")


def _recognise_npz(path: Path) -> _Whole | _Official:
    """Tells by the names of its arrays whether an `.npz` file holds two sets or one."""
    with _open_npz(path) as archive:
        names = archive.files
    official_names = [name for pair in _NPZ_PARTS for name in pair]
    if set(names).issuperset(official_names):
        return _Official(lambda: _read_once(_read_npz_sets, (path,), _stamps([path])))
    if set(names).issuperset(_NPZ_WHOLE):
        return _Whole(lambda: _read_once(_read_npz, (path, *_NPZ_WHOLE), _stamps([path])))
    raise ValueError(
        f"{path} holds arrays named {names}; needed are {official_names} or {list(_NPZ_WHOLE)}"
    )


def _stamps(files: Iterable[Path]) -> tuple[Any, ...]:
    """Returns what tells files from others, and from themselves before a change."""
    found = [(file.resolve(), file.stat()) for file in files]
    return tuple((file, status.st_mtime_ns, status.st_size) for file, status in found)


@lru_cache(maxsize=1)
def _read_once(read: Callable[..., Any], arguments: tuple[Any, ...], _stamps: Any) -> Any:
    """Reads files again only when others were read since, or they have changed.

    The environments of a run, for training, validation and test, share the memory.
    """
    return read(*arguments)


# --- Sets: how official ones become splits ----------------------------------------------------


def _cut(training: Dataset, test: Dataset, split: str) -> Dataset:
    """Cuts a split from a training and a test set, as views of their memory."""
    num_train = len(training) - _num_val(training)
    full, items = {
        "train": (training, slice(None, num_train)),
        "val": (training, slice(num_train, None)),
        "test": (test, slice(None)),
    }[split]
    return full._part(items)


def _num_val(training: Dataset) -> int:
    """Returns how many items of a training set, the last of it, are for validation."""
    return max(1, len(training) // _VAL_FRACTION)


def _agreed(origin: Path, training: Dataset, test: Dataset) -> tuple[Dataset, Dataset]:
    """Returns a training and a test set with the same classes, once they fit together."""
    if training.image_shape != test.image_shape:
        raise ValueError(
            f"{origin}: training images of shape {training.image_shape} "
            f"but test images of shape {test.image_shape}; they must agree"
        )
    if len(training) < 2:
        raise ValueError(
            f"{origin}: a training set of {len(training)} item cannot be divided into train and "
            "val; at least 2 are needed"
        )
    num_classes = 1 + max(int(full.labels.max()) for full in (training, test))
    _require_mixed(origin, training)
    return (
        Dataset(training.images, training.labels, num_classes),
        Dataset(test.images, test.labels, num_classes),
    )


def _require_mixed(origin: Path, training: Dataset) -> None:
    """Raises a ValueError if items are sorted by class, so that val has but the last classes."""
    num_val = _num_val(training)
    of_all, of_train, of_val = (
        np.unique(labels)
        for labels in (training.labels, training.labels[:-num_val], training.labels[-num_val:])
    )
    num_runs = 1 + np.count_nonzero(np.diff(training.labels))
    is_sorted = num_runs == len(of_all) < len(training)
    is_typical = len(of_val) == min(num_val, len(of_all)) and len(of_train) == len(of_all)
    if is_sorted and not is_typical:
        raise ValueError(
            f"{origin}: the {len(training)} training items are sorted by class, and val, the last "
            f"{num_val} of them, would be of {', '.join(map(str, of_val))} alone; shuffle them"
        )


def _named_dataset(origin: str, images: NDArray[Any], labels: NDArray[Any]) -> Dataset:
    """Makes a data set whose errors name the files that the arrays came from."""
    try:
        return Dataset(images, labels)
    except ValueError as error:
        raise ValueError(f"{origin}: {error}") from error


# --- IDX files --------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _read_mnist() -> tuple[Dataset, Dataset]:
    """Reads the embedded files, once a process: a thousand environments share the memory."""
    files = [
        (_DATA_FOLDER / f"{images}-idx3-ubyte.gz", _DATA_FOLDER / f"{labels}-idx1-ubyte.gz")
        for images, labels in _IDX_PARTS
    ]
    return _read_idx_sets(_DATA_FOLDER, files, _read_embedded)


def _read_embedded(path: Path) -> bytes:
    """Returns the bytes of an embedded file, known by their md5 to be the official ones."""
    content = path.read_bytes() if path.is_file() else b""
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != _MNIST_MD5[path.name]:
        raise ValueError(
            f"{path} is missing or damaged: {len(content)} bytes with md5 {found}, expected "
            f"{_MNIST_MD5[path.name]}; reinstall the package"
        )
    return content


def _find_idx_files(folder: Path) -> tuple[tuple[Path, Path], ...]:
    """Finds images and labels of the training set, then of the test set."""
    entries = sorted(folder.iterdir())
    return tuple(
        (_only_match(folder, entries, images), _only_match(folder, entries, labels))
        for images, labels in _IDX_PARTS
    )


def _only_match(folder: Path, entries: list[Path], part: str) -> Path:
    """Returns the one file of a folder that holds a part such as `t10k-images`."""
    stem = part.replace("t10k", "(?:t10k|test)")
    # Hidden files are left out: macOS puts a "._" companion beside each file it packs.
    pattern = re.compile(rf"(?!\.)(?:.*[-_.])?{stem}[-.]idx\d-ubyte(?:\.gz)?")
    # Some archives unpack each file into a folder of the same name, hence is_file.
    matches = [path for path in entries if pattern.fullmatch(path.name) and path.is_file()]
    # Torchvision keeps each .gz beside what it has unpacked from it: the .gz will do.
    unpacked = [path for path in matches if path.with_name(f"{path.name}.gz") in matches]
    matches = [path for path in matches if path not in unpacked]
    if len(matches) == 1:
        return matches[0]

    needed = f"exactly one file like {part}-idx{3 if 'images' in part else 1}-ubyte[.gz]"
    if matches:
        raise ValueError(f"{folder}: needs {needed}, found {[path.name for path in matches]}")
    listed = [path.name for path in entries[:20]]
    raise ValueError(
        f"{folder}: needs {needed}, found none among its {len(entries)} entries: {listed}"
        + (" and more" if len(entries) > len(listed) else "")
    )


def _read_idx_sets(
    folder: Path,
    files: Iterable[tuple[Path, Path]],
    read_bytes: Callable[[Path], bytes] = Path.read_bytes,
) -> tuple[Dataset, Dataset]:
    """Reads a training and a test set from two pairs of an images and a labels file."""
    training, test = (
        _named_dataset(
            f"{images} with {labels}",
            _parse_idx(images, _unpacked(images, read_bytes(images))),
            _parse_idx(labels, _unpacked(labels, read_bytes(labels))),
        )
        for images, labels in files
    )
    return _agreed(folder, training, test)


def _unpacked(path: Path, content: bytes) -> bytes:
    """Returns the content of a file, without the gzip that a name in `.gz` announces."""
    if path.suffix != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is not a whole gzip file: {error}") from error


def _parse_idx(path: Path, content: bytes) -> NDArray[np.uint8]:
    """Returns the array in an IDX file, as a read-only view of its bytes.

    The header is two zero bytes, the dtype's code, the number of dimensions, and one big-endian
    uint32 for each of them (LeCun et al., http://yann.lecun.com/exdb/mnist/).
    """
    if len(content) < 4 or content[:2] != b"\0\0":
        raise ValueError(f"{path} is not an IDX file: it begins with {content[:4]!r}")
    type_code, num_dims = content[2], content[3]
    if type_code != _IDX_UNSIGNED_BYTE:
        raise ValueError(
            f"{path} holds elements of IDX type 0x{type_code:02x}; "
            f"allowed is 0x{_IDX_UNSIGNED_BYTE:02x}, unsigned bytes"
        )
    header_size = 4 + 4 * num_dims
    _check_size(path, len(content[:header_size]), header_size, "for its header")
    shape = struct.unpack_from(f">{num_dims}I", content, offset=4)
    _check_size(path, len(content), header_size + math.prod(shape), f"for shape {shape}")
    return np.frombuffer(content, np.uint8, offset=header_size).reshape(shape)


def _check_size(path: Path, found: int, expected: int, purpose: str) -> None:
    """Raises a ValueError unless a file is exactly as long as its header says."""
    if found != expected:
        raise ValueError(f"{path}: expected {expected} bytes {purpose}, found {found}")


# --- .npz files -------------------------------------------------------------------------------


@contextmanager
def _open_npz(path: Path) -> Iterator[NpzFile]:
    """Opens an `.npz` file; whatever is wrong with it becomes a ValueError that names it."""
    # Opened here, not by np.load, which leaves the file open when the archive is damaged.
    with path.open("rb") as file:
        try:
            if not zipfile.is_zipfile(file):
                raise ValueError("it is no whole archive")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                yield archive
        except _DAMAGED_NPZ as error:
            raise ValueError(
                f"{path} cannot be read: {error} (needed is what np.savez writes of arrays of "
                "numbers; pickled objects are never loaded)"
            ) from error


def _read_npz(path: Path, images_name: str, labels_name: str) -> Dataset:
    """Reads one set from the two arrays of an `.npz` file that hold it."""
    with _open_npz(path) as archive:
        images, labels = archive[images_name], archive[labels_name]
    return _named_dataset(f"{path}, {images_name} with {labels_name}", images, labels)


def _read_npz_sets(path: Path) -> tuple[Dataset, Dataset]:
    """Reads a training and a test set from an `.npz` file with Keras' names."""
    training, test = (_read_npz(path, *names) for names in _NPZ_PARTS)
    return _agreed(path, training, test)
