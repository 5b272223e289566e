"""Models that come with the package: each gives the scores that it came with."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from experiments.evaluate import main as evaluate_main
from experiments.presets import PRESETS
from experiments.render import main as render_main
from experiments.run_folder import RunFolder
from experiments.saved_agents import PRETRAINED, load_best, open_run, pretrained_names

REPOSITORY = Path(__file__).parents[2]


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"pretrained='paper-29' is not one of \[.*'paper-28'"):
        open_run("pretrained:paper-29")


def test_a_name_without_its_prefix_is_answered_with_it() -> None:
    with pytest.raises(ValueError, match=r"no folder paper-28; .* is pretrained:paper-28"):
        open_run("paper-28")


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_a_path(tmp_path: Path, kind: type) -> None:
    with pytest.raises(ValueError, match="not the folder of a run"):
        open_run(kind(tmp_path / "pretrained"))
    path = PRETRAINED / "paper-28"
    found = open_run(kind(path))
    assert found.path == RunFolder.open(kind(path)).path == path
    assert found.read_metrics()[-1]["epoch"] == PRESETS["paper-28"].epochs


def test_a_model_is_loaded_by_its_runs_name() -> None:
    named, opened = load_best("pretrained:paper-28"), load_best(open_run("pretrained:paper-28"))
    assert named.hyperparameters == opened.hyperparameters


def test_a_run_is_read_from_python_as_the_documentation_shows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = (REPOSITORY / "docs" / "plugging_in.md").read_text(encoding="utf-8")
    snippets = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (snippet,) = (part for part in snippets if "open_run" in part)
    exec(snippet, {})
    figures = capsys.readouterr().out.splitlines()
    assert figures[0] == f"ram_env/MNIST-v0 {PRESETS['paper-28'].epochs}"
    assert figures[-1].startswith("0.99")


@pytest.mark.parametrize("name", pretrained_names())
def test_it_is_small_and_has_what_tells_how_it_was_made(name: str) -> None:
    folder = PRETRAINED / name
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert size < 8e6
    assert {"config.json", "metrics.csv", "scores.json"} <= {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("name", pretrained_names())
def test_it_is_what_its_preset_trains(name: str) -> None:
    assert open_run(f"pretrained:{name}").read_config() == PRESETS[name]


@pytest.mark.parametrize("name", pretrained_names())
def test_ram_evaluate_prints_the_figure_that_it_came_with(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (PRETRAINED / name / "scores.json").read_bytes()
    evaluate_main([f"pretrained:{name}"])
    match = re.search(r"test accuracy: (\d+\.\d\d)% of 10,000 images", capsys.readouterr().out)
    assert match is not None
    # On the machine that it was trained on, to the last image; processors round sums differently,
    # and an image between two classes may fall to the other side.
    right = round(100 * float(match[1]))
    assert abs(right - 10_000 * json.loads(before)["accuracy"]) <= 3
    assert (PRETRAINED / name / "scores.json").read_bytes() == before


def test_ram_render_shows_it_in_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    render_main(["pretrained:paper-28"])
    folder = tmp_path / "runs" / "pretrained-paper-28"
    names = {path.name for path in folder.iterdir()}
    assert {"loss.png", "gaze.png", "episode.gif", "glimpse1.png", "patch6.png"} <= names
    assert Image.open(folder / "episode.gif").n_frames > 6
