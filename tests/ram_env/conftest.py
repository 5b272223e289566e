"""What the tests of the environment share: a small data set and an exact comparison."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def tiny():
    """Twelve images, 6 pixels high and 8 wide, none of them black, in three classes."""
    images = np.random.default_rng(0).integers(1, 256, (12, 6, 8), np.uint8)
    return images, np.arange(12) % 3


@pytest.fixture(scope="session")
def assert_same():
    """Asserts that two nests of dicts, sequences, arrays and numbers are equal, types included."""
    return _assert_same


def _assert_same(found, expected, where="value"):
    assert type(found) is type(expected), f"{where}: {found!r} is not like {expected!r}"
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key in expected:
            _assert_same(found[key], expected[key], f"{where}[{key!r}]")
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected), where
        for position, pair in enumerate(zip(found, expected, strict=True)):
            _assert_same(*pair, f"{where}[{position}]")
    elif isinstance(expected, np.ndarray):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), where
        if expected.dtype == object:
            _assert_same(list(found), list(expected), where)
        else:
            assert np.array_equal(found, expected), f"{where}: {found} is not {expected}"
    else:
        assert found == expected, f"{where}: {found!r} is not {expected!r}"
