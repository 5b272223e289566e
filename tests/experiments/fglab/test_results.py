"""The results folder, as FGMachine needs it."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from experiments.fglab.charts import MAX_POINTS, line_chart, thin_out
from experiments.fglab.results import SECONDS_UNTIL_WATCHED, Results


@pytest.fixture
def folder(tmp_path: Path) -> Results:
    results = Results(tmp_path, "abc")
    results.appear(process_started=-1e9)
    return results


def test_the_folder_appears_once_fgmachine_is_ready(tmp_path: Path) -> None:
    began = time.monotonic()
    Results(tmp_path / "new", "abc").appear(process_started=began)
    assert time.monotonic() - began >= SECONDS_UNTIL_WATCHED
    assert (tmp_path / "new" / "abc").is_dir()


def test_a_folder_that_is_there_already_is_refused(tmp_path: Path) -> None:
    (tmp_path / "abc").mkdir()
    with pytest.raises(ValueError, match=r"abc is there already.*remove it, or give another _id"):
        Results(tmp_path, "abc")


def test_json_is_there_whole_at_any_time(tmp_path: Path, watch: Any) -> None:
    watcher = watch(tmp_path, "abc", seconds_to_settle=0.05)
    results = Results(tmp_path, "abc")
    results.appear(process_started=-1e9)
    for size in range(1, 200):
        results.write_json("chart.json", {"numbers": list(range(50 * size))})
    watcher.finish()
    assert watcher.errors == []
    assert watcher.strangers == set()
    assert watcher.uploads["chart.json"][-1] == {"numbers": list(range(50 * 199))}


@pytest.mark.parametrize(
    "document", [{}, {"x": float("nan")}, {"x": [float("inf")]}], ids=["empty", "nan", "inf"]
)
def test_json_that_fgmachine_does_not_survive_is_not_written(
    folder: Results, document: dict[str, object]
) -> None:
    folder.write_json("scores.json", {"_scores": {"Accuracy": 0.5}})
    with pytest.raises(ValueError, match=r"empty|JSON"):
        folder.write_json("scores.json", document)
    assert "0.5" in (folder.path / "scores.json").read_text()
    assert [path.name for path in folder.path.parent.iterdir()] == ["abc"]  # nothing left beside


def test_files_are_added_under_their_own_names(folder: Results, tmp_path: Path) -> None:
    picture = tmp_path / "run" / "glimpse1.png"
    picture.parent.mkdir()
    picture.write_bytes(b"picture")
    folder.add(picture)
    assert (folder.path / "glimpse1.png").read_bytes() == b"picture"
    assert picture.exists()


def test_updates_faster_than_fgmachine_notices_are_not_due(
    folder: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    assert folder.is_due("chart.json")
    folder.write_json("chart.json", {"x": 1})
    now[0] += 2.9
    assert not folder.is_due("chart.json")
    now[0] += 0.2
    assert folder.is_due("chart.json")


def test_ids_of_parallel_experiments_do_not_meet(tmp_path: Path) -> None:
    def write(experiment_id: str) -> None:
        results = Results(tmp_path, experiment_id)
        results.appear(process_started=-1e9)
        for number in range(100):
            results.write_json("scores.json", {"id": experiment_id, "number": number})

    ids = [f"id{number}" for number in range(8)]
    threads = [threading.Thread(target=write, args=(name,)) for name in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(path.name for path in tmp_path.iterdir()) == ids
    for name in ids:
        assert f'"{name}", "number": 99' in (tmp_path / name / "scores.json").read_text()


def test_a_chart_has_its_columns_in_the_form_of_fglabs_page() -> None:
    chart = line_chart([1, 2], {"train": [0.9, 0.5]}, x_label="Iteration", y_label="Loss")
    assert chart == {
        "columnNames": ["train", "x"],
        "data": {"x": "x", "columns": [[0.9, 0.5], [1, 2]]},
        "axis": {"x": {"label": {"text": "Iteration"}}, "y": {"label": {"text": "Loss"}}},
    }


def test_few_values_are_drawn_as_they_are() -> None:
    assert thin_out([3.0, 1.0, 2.0]) == ([1.0, 2.0, 3.0], [3.0, 1.0, 2.0])


def test_many_values_become_means_of_neighbours() -> None:
    where, means = thin_out([float(number) for number in range(4 * MAX_POINTS)])
    assert len(where) == len(means) == MAX_POINTS
    assert where[:2] == [4.0, 8.0]
    assert where[-1] == 4 * MAX_POINTS
    assert means[:2] == [1.5, 5.5]  # the means of 0, 1, 2, 3 and of 4, 5, 6, 7
