from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from experiments import growth
from ram_env import load_dataset
from ram_env.scenes import TranslatedScene


def test_no_environment_holds_the_data_set() -> None:
    load_dataset("mnist", "train")  # there once, whatever environments there are
    _, one = growth.make_env({**growth.BASE, "num_envs": 1})
    _, many = growth.make_env({**growth.BASE, "num_envs": 256})
    dataset_kilobytes = 55_000 * 28 * 28 / 1e3
    assert max(one, many) < dataset_kilobytes / 500
    assert many <= one


def test_memory_grows_with_the_pixels_of_the_canvas() -> None:
    _, small = growth.make_env({**growth.BASE, "scene": TranslatedScene(100)})
    _, large = growth.make_env({**growth.BASE, "scene": TranslatedScene(500)})
    more_pixels = (500 + 32) ** 2 - (100 + 32) ** 2  # the largest square is 32 pixels a side
    assert large - small == pytest.approx(more_pixels / 1e3, rel=0.02)


def test_every_point_is_measured_and_drawn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    axes = {"number of environments": {1: {"num_envs": 1}, 8: {"num_envs": 8}}}
    monkeypatch.setattr(growth, "AXES", {**axes, "number of scales": {2: {"num_scales": 2}}})
    growth.main([str(tmp_path / "growth.png")])
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("| 8 |")]
    with Image.open(tmp_path / "growth.png") as image:
        assert image.width > image.height > 500
