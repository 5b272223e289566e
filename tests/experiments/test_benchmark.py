from __future__ import annotations

import csv
import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from PIL import Image

from agents.full_image import FullImageClassifier
from agents.gaze import RandomGaze
from agents.hyperparameters import ReinforceHyperparameters
from experiments import benchmark, contenders, presets
from experiments.benchmark import Benchmark, BenchmarkCommand, Row, as_markdown, main
from experiments.config import TaskConfig, TrainConfig
from experiments.contenders import Cell, action_options, find_contender
from experiments.evaluate import evaluation_task
from experiments.presets import FIXED_RASTERS, PRESETS, SCAN
from experiments.run_folder import read_json, write_json
from ram_env import GlimpseVectorEnv

NAME = "tests_benchmark_agents"


class FirstClass:
    """Says 0 after every glimpse."""

    def predict(
        self,
        observation: dict[str, np.ndarray],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[dict[str, np.ndarray], Any]:
        num_envs = len(observation["location"])
        locations = RandomGaze(0)(np.ones(num_envs, np.int64))
        return {"location": locations, "label": np.zeros(num_envs, np.int64)}, None


class FirstAnswer(FirstClass):
    """Answers at once, by an action of look-or-answer on a grid of 4x4."""

    action_space = spaces.Discrete(4 * 4 + 3)

    def predict(self, observation: dict[str, np.ndarray], *_: Any, **__: Any) -> Any:
        return np.full(len(observation["location"]), 16), None


@pytest.fixture(autouse=True)
def agents(monkeypatch: pytest.MonkeyPatch, tiny_npz: Path) -> dict[str, list[Any]]:
    """A module with agents of one's own, and a preset that takes a moment."""
    import types

    calls: dict[str, list[Any]] = {"made": []}
    module = types.ModuleType(NAME)

    def first_class(task: TaskConfig, *, seed: int, timesteps: int) -> FirstClass:
        calls["made"].append((task.env, seed, timesteps))
        return FirstClass()

    def broken(task: TaskConfig, *, seed: int, timesteps: int) -> FirstClass:
        if seed == 1:
            raise RuntimeError("no such luck")
        return FirstClass()

    module.first_class, module.broken = first_class, broken  # type: ignore[attr-defined]
    module.FirstAnswer = FirstAnswer  # type: ignore[attr-defined]
    module.first_answer = lambda *_, **__: FirstAnswer()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, NAME, module)
    task = TaskConfig(env="ram_env/MNIST-v0", dataset=str(tiny_npz), num_glimpses=3, patch_size=4)
    tiny = TrainConfig(task=task, agent=PRESETS["fglab"].agent, batch_size=25, epochs=2)
    monkeypatch.setitem(PRESETS, "tiny", tiny)
    monkeypatch.setattr(presets, "PPO_ENVS", 20)
    return calls


def agent_of(agent: str, task: str) -> ReinforceHyperparameters:
    hyperparameters = Cell(agent=agent, task=task, seed=3, epochs=1).config.agent
    assert isinstance(hyperparameters, ReinforceHyperparameters)
    return hyperparameters


@pytest.mark.parametrize("task", PRESETS)
@pytest.mark.parametrize(
    ("agent", "changes"),
    [
        ("ram", {}),
        ("ram-random", {"gaze": "random"}),
        ("ram-center", {"gaze": "raster", "raster": ()}),
        (
            "ram-reward",
            {
                "loss": "reinforce",
                "location_return": "reward",
                "baseline": "uninformed",
                "initialisation": "uniform",
            },
        ),
    ],
)
def test_a_variant_is_the_preset_but_for_its_seed_and_what_its_name_says(
    task: str, agent: str, changes: dict[str, Any]
) -> None:
    expected = dataclasses.replace(PRESETS[task].agent, seed=3, **changes)
    assert agent_of(agent, task) == expected


def test_recurrent_ppo_has_the_seed_of_its_cell() -> None:
    assert Cell(agent="ppo", task="fglab", seed=3, epochs=1).config.agent.seed == 3


@pytest.mark.parametrize("task", PRESETS)
def test_the_gaze_at_the_centre_is_there_from_the_first_glimpse_on(task: str) -> None:
    cell = Cell(agent="ram-center", task=task, seed=3, epochs=1)
    assert cell.config.task == dataclasses.replace(PRESETS[task].task, start=None)
    assert evaluation_task(cell.config.task, "val").start == "center"


@pytest.mark.parametrize("agent", ["mlp", "cnn"])
def test_who_sees_the_whole_image_learns_from_the_presets_scenes_with_its_seed(
    agent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned = []

    class Noted(FullImageClassifier):
        def __init__(self, env: GlimpseVectorEnv, network: Any, *, seed: int, **rest: Any) -> None:
            learned.append((network, seed, env.task.split, env.task.scene))
            super().__init__(env, network, seed=seed, **rest)

    monkeypatch.setattr(contenders, "FullImageClassifier", Noted)
    tiny = PRESETS["tiny"]
    task = dataclasses.replace(tiny.task, train_scene="distorted")
    monkeypatch.setitem(PRESETS, "tiny", dataclasses.replace(tiny, task=task))
    run(tmp_path, agent, seeds=2)
    assert learned == [(agent, seed, "train", "distorted") for seed in (0, 1)]


@pytest.mark.parametrize("task", PRESETS)
def test_a_fixed_gaze_looks_along_a_wide_raster_where_digits_move(
    task: str, tmp_path: Path
) -> None:
    file = tmp_path / "best.json"  # the same by another name, as `ram sweep` writes it
    file.write_text(json.dumps(PRESETS[task].to_json()))
    for name in (task, str(file)):
        learned, fixed = agent_of("ram", name), agent_of("ram-raster", name)
        raster = FIXED_RASTERS.get(PRESETS[task].task.env, learned.raster or SCAN)
        assert fixed == dataclasses.replace(learned, gaze="raster", raster=raster)
        assert fixed != agent_of("ram-center", name)


def run(folder: Path, agents: str, *, seeds: int = 1, epochs: int = 1, **others: Any) -> None:
    options = {"agents": agents, "tasks": "tiny", "seeds": seeds, "epochs": epochs, **others}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    main([*words, "--folder", str(folder)])


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "table.csv").open() as file:
        return list(csv.DictReader(file))


def test_every_agent_of_the_house_is_trained_tested_and_drawn(tmp_path: Path) -> None:
    run(tmp_path, ",".join(contenders.DESCRIPTIONS))
    rows = {row["agent"]: row for row in table(tmp_path)}
    assert list(rows) == list(contenders.DESCRIPTIONS)
    for agent, row in rows.items():
        assert 0 <= float(row["low"]) <= float(row["error"]) <= float(row["high"]) <= 100
        assert int(row["parameters"]) > 1000
        curve = json.loads(
            next(tmp_path.glob(f"cells/tiny/*/{agent}/seed-0/result.json")).read_text()
        )
        assert [set(point) for point in curve["curve"]] == [
            {"timesteps", "seconds", "val_accuracy"}
        ]
        assert next(tmp_path.glob(f"cells/tiny/*/{agent}/seed-0/gaze.png")).is_file()
    assert float(rows["ram"]["images"]) == float(rows["ram"]["timesteps"]) / 3
    for name in ("learning-tiny.png", "glimpses-tiny.png"):
        width, height = Image.open(tmp_path / name).size
        assert width > 1000
        assert height > 400
    width, height = Image.open(tmp_path / "gaze-tiny.png").size
    assert height > width  # six agents that look below each other, three glimpses side by side


def test_gazes_are_drawn_on_the_images_that_were_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[np.ndarray] = []
    monkeypatch.setattr(benchmark, "plot_gaze_maps", lambda _, image, __: drawn.append(image))
    sets = {name: np.zeros((30, 12, 10), np.uint8) for name in ("x_train", "x_test")}
    labels = {name: np.arange(30) % 3 for name in ("y_train", "y_test")}
    np.savez(tmp_path / "other.npz", **sets, **labels)
    run(tmp_path / "benchmark", f"{NAME}:first_class", dataset=tmp_path / "other.npz")
    assert drawn[-1].shape == (12, 10)


def test_what_is_finished_is_not_run_again(tmp_path: Path, agents: dict[str, list[Any]]) -> None:
    run(tmp_path, f"{NAME}:first_class", seeds=2)
    assert [seed for _, seed, _ in agents["made"]] == [0, 1]
    run(tmp_path, f"{NAME}:first_class", seeds=3)
    assert [seed for _, seed, _ in agents["made"]] == [0, 1, 2]
    assert table(tmp_path)[0]["seeds"] == "3"


def test_an_agent_of_ones_own_is_run_again_when_its_file_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agents: dict[str, list[Any]]
) -> None:
    source, folder = tmp_path / "changing_agent.py", tmp_path / "benchmark"
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for steps in (7, 7, 8):
        source.write_text(
            f"import {NAME}\n\n\ndef make(task, seed, timesteps):\n"
            f"    agent = {NAME}.first_class(task, seed=seed, timesteps=timesteps)\n"
            f"    agent.num_timesteps = {steps}\n"
            "    return agent\n"
        )
        monkeypatch.delitem(sys.modules, "changing_agent", raising=False)
        run(folder, "changing_agent:make")
        assert float(table(folder)[0]["timesteps"]) == steps
    assert len(agents["made"]) == 2


def test_an_agent_that_is_edited_while_it_learns_is_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agents: dict[str, list[Any]]
) -> None:
    source = tmp_path / "edited_agent.py"
    source.write_text(
        f"from {NAME} import first_class\n\n\n"
        "def make(task, **options):\n"
        "    with open(__file__, 'a') as file:\n"
        "        file.write('# better\\n')\n"
        "    return first_class(task, **options)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for calls in (1, 2):
        monkeypatch.delitem(sys.modules, "edited_agent", raising=False)  # as a new process has it
        run(tmp_path / "benchmark", "edited_agent:make", seeds=2)
        # Both seeds were of the code that was imported, though its file was another by the second.
        assert table(tmp_path / "benchmark")[0]["seeds"] == "2"
        assert len(agents["made"]) == 2 * calls


def test_a_cell_of_a_worker_that_had_another_file_is_told_of(
    tmp_path: Path, agents: dict[str, list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, f"{NAME}:first_class")
    (path,) = tmp_path.rglob("result.json")
    write_json(path, {**read_json(path), "code": "another file's"})
    cell = Cell(agent=f"{NAME}:first_class", task="tiny", seed=0, epochs=1)
    Benchmark(tmp_path, [cell]).on_end(cell, None)
    assert "its agent's file has changed meanwhile" in capsys.readouterr().err


def test_the_house_s_ppo_is_refused_at_once_where_sb3_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "sb3_contrib", None)
    with pytest.raises(ValueError, match="needs Stable-Baselines3"):
        run(tmp_path / "benchmark", "ram,ppo")
    assert not (tmp_path / "benchmark").exists()


def test_data_that_have_changed_are_refused(tmp_path: Path, tiny_npz: Path) -> None:
    data = tmp_path / "data.npz"
    data.write_bytes(tiny_npz.read_bytes())
    run(tmp_path / "benchmark", f"{NAME}:first_class", dataset=data)
    with np.load(data) as arrays:
        np.savez(data, **{**arrays, "y_test": arrays["y_test"][::-1]})
    with pytest.raises(ValueError, match=r"is of other data: .*data.npz has changed.*--folder"):
        run(tmp_path / "benchmark", f"{NAME}:first_class", dataset=data)


def test_a_result_of_another_configuration_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agents: dict[str, list[Any]]
) -> None:
    run(tmp_path, f"{NAME}:first_class")
    changed = dataclasses.replace(PRESETS["tiny"], batch_size=PRESETS["tiny"].batch_size + 1)
    monkeypatch.setitem(PRESETS, "tiny", changed)
    with pytest.raises(ValueError, match=r"seed-0 is of another configuration.*--folder"):
        run(tmp_path, f"{NAME}:first_class")
    assert len(agents["made"]) == 1


def test_data_without_a_test_set_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.zeros((20, 8, 8), np.uint8)
    np.savez(tmp_path / "whole.npz", images=images, labels=np.arange(20) % 2)
    task = dataclasses.replace(PRESETS["tiny"].task, dataset=str(tmp_path / "whole.npz"))
    monkeypatch.setitem(PRESETS, "tiny", dataclasses.replace(PRESETS["tiny"], task=task))
    with pytest.raises(ValueError, match="no test set of its own"):
        run(tmp_path / "new", "ram")
    assert not (tmp_path / "new").exists()


def test_other_epochs_are_other_cells(tmp_path: Path, agents: dict[str, list[Any]]) -> None:
    run(tmp_path, f"{NAME}:first_class", epochs=1)
    run(tmp_path, f"{NAME}:first_class", epochs=2)
    (_, _, one), (_, _, two) = agents["made"]
    assert two == 2 * one


def test_what_an_unfinished_try_left_is_begun_anew(tmp_path: Path) -> None:
    cell = Cell(agent="ram", task="tiny", seed=0, epochs=1)
    folder = Benchmark(tmp_path, [cell]).folder_of(cell)
    (folder / "run").mkdir(parents=True)
    (folder / "run" / "config.json").write_text("half")
    run(tmp_path, "ram")
    assert table(tmp_path)[0]["seeds"] == "1"


def test_a_damaged_result_is_named_with_what_to_do(tmp_path: Path) -> None:
    cell = Cell(agent="ram", task="tiny", seed=0, epochs=1)
    benchmark = Benchmark(tmp_path, [cell])
    path = benchmark.folder_of(cell) / "result.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"result\.json is damaged; remove it"):
        benchmark.result_of(cell)


def test_damaged_times_are_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "curve.json"
    for text in ("half", "{}", '{"points": [{"seconds": 1}]}'):
        path.write_text(text)
        assert contenders._Curve(path).points == []


def test_a_benchmark_that_is_stopped_says_so_and_tables_what_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_cell, calls = benchmark.run_cell, iter(range(3))

    def stopped_in_the_second(*arguments: Any) -> None:
        if next(calls) == 1:
            raise KeyboardInterrupt
        run_cell(*arguments)

    monkeypatch.setattr(benchmark, "run_cell", stopped_in_the_second)
    with pytest.raises(KeyboardInterrupt):
        main(["--agents", f"{NAME}:first_class", "--tasks", "tiny", "--seeds", "2",
              "--folder", str(tmp_path / "benchmark")])  # fmt: skip
    assert "stopped; the same command goes on" in capsys.readouterr().err
    assert [row["seeds"] for row in table(tmp_path / "benchmark")] == ["1"]


def test_a_run_that_was_killed_goes_on_from_its_last_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "whole", "ram", epochs=3)
    note = contenders._Curve.on_epoch
    noted: list[float] = []

    def note_two(self: Any, row: dict[str, float]) -> None:
        noted.append(row["epoch"])
        note(self, row)
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(contenders._Curve, "on_epoch", note_two)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", "ram", epochs=3)
    run(tmp_path / "killed", "ram", epochs=3)
    assert noted == [1, 2, 3]
    whole, killed = (
        json.loads(next((tmp_path / name).rglob("result.json")).read_text())
        for name in ("whole", "killed")
    )
    seconds = [[point.pop("seconds") for point in result["curve"]] for result in (whole, killed)]
    assert seconds[1] == sorted(seconds[1])
    assert killed.pop("seconds") >= seconds[1][-1]  # with those before it was killed
    del whole["seconds"]
    assert killed == whole


def test_a_task_may_be_a_preset_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(PRESETS["tiny"].to_json()))
    main(["--agents", f"{NAME}:first_class", "--tasks", f"tiny,{path}", "--seeds", "1",
          "--folder", str(tmp_path / "benchmark")])  # fmt: skip
    ours, theirs = table(tmp_path / "benchmark")
    assert (ours.pop("task"), theirs.pop("task")) == ("tiny", str(path))
    del ours["seconds"], theirs["seconds"]
    assert ours == theirs


def test_a_failed_cell_is_reported_and_the_rest_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        run(tmp_path, f"{NAME}:broken,{NAME}:first_class", seeds=3)
    assert exit_.value.code == 1
    assert [row["seeds"] for row in table(tmp_path)] == ["2", "3"]
    failures = list(tmp_path.rglob("failure.txt"))
    assert [path.parent.name for path in failures] == ["seed-1"]
    assert "no such luck" in failures[0].read_text()
    assert "no such luck" in capsys.readouterr().err


def test_the_plan_comes_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, f"{NAME}:first_class", seeds=2)
    assert "2 cells: 0 finished, 2 to run" in capsys.readouterr().err
    run(tmp_path, f"ram,{NAME}:first_class", seeds=2)
    assert "4 cells: 2 finished, 2 to run, about 1 min" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("task", "minutes"), [("fglab", 16), ("paper-translated", 41), ("paper-28", 220)]
)
def test_until_there_are_results_a_plan_goes_by_the_kind_of_the_network(
    task: str, minutes: int, tmp_path: Path
) -> None:
    cell = Cell(agent="ram", task=task, seed=0, epochs=100)
    assert f"about {minutes} min" in Benchmark(tmp_path, [cell]).plan()


@pytest.mark.parametrize(
    ("agents_", "message"),
    [
        ("rma", "agent='rma'"),
        ("nowhere.at.all:make", "cannot be imported"),
        (f"{NAME}:missing", "cannot be imported"),
        ("./agent:make", "cannot be imported.*give package.module:function"),
        ("agents.mine:make", "cannot be imported.*not called as this one's"),
        (
            f"{NAME}:FirstAnswer",
            r"cannot be called as function\(task, seed=\.\.\., timesteps=\.\.\.\)",
        ),
        (f"{NAME}:__name__", "cannot be called as function"),
        (" , ", "at least one agent"),
    ],
)
def test_an_unknown_agent_is_refused_before_anything_is_written(
    tmp_path: Path, agents_: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        run(tmp_path / "new", agents_)
    assert not (tmp_path / "new").exists()


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "table.md").write_text("a sweep's")
    with pytest.raises(ValueError, match="holds something else than a benchmark"):
        run(tmp_path, "mlp")
    assert [path.name for path in tmp_path.iterdir()] == ["table.md"]


def test_an_unknown_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'nothing'"):
        main(["--tasks", "nothing", "--folder", str(tmp_path)])


def test_an_agents_action_space_says_how_it_acts(tmp_path: Path) -> None:
    assert action_options(FirstClass(), 3) == {}
    assert action_options(FirstAnswer(), 3) == {"action_format": "discrete", "grid_size": 4}
    columns_rows_classes = FirstClass()
    columns_rows_classes.action_space = spaces.MultiDiscrete([5, 5, 3])  # type: ignore[attr-defined]
    expected = {"action_format": "multi_discrete", "grid_size": 5}
    assert action_options(columns_rows_classes, 3) == expected
    run(tmp_path, f"{NAME}:first_answer,{NAME}:first_class")
    early, late = table(tmp_path)
    assert (early["glimpses"], late["glimpses"]) == ("1.0", "3.0")
    assert (early["fovea_pixels"], late["fovea_pixels"]) == ("16.0", "48.0")
    assert early["error"] == late["error"]  # both always say 0


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(27 + 3),  # 27 is no square
        spaces.Discrete(3),
        spaces.MultiDiscrete([5, 4, 3]),
        spaces.MultiDiscrete([5, 5, 4]),
        spaces.MultiDiscrete([[5, 5, 3]] * 2),  # of a batch
    ],
    ids=str,
)
def test_action_spaces_that_no_environment_has_are_refused(space: spaces.Space[Any]) -> None:
    agent = FirstClass()
    agent.action_space = space  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=r"action_space=.*allowed are"):
        action_options(agent, 3)


def test_the_quick_one_is_a_few_small_cells() -> None:
    cells = BenchmarkCommand(quick=True).cells()
    assert {(cell.task, cell.epochs) for cell in cells} == {("fglab", 1)}
    assert len(cells) == 5 * 2


def test_what_is_asked_for_goes_before_what_quick_means() -> None:
    command = BenchmarkCommand(quick=True, agents="ram,mlp", seeds=1, epochs=7, tasks="paper-28")
    assert [(cell.agent, cell.seed, cell.epochs) for cell in command.cells()] == [
        ("ram", 0, 7),
        ("mlp", 0, 7),
    ]


def test_a_row_is_the_mean_over_seeds_with_their_spread() -> None:
    blank = {
        "num_images": 100,
        "timesteps": 600,
        "images": 100,
        "glimpses": 6.0,
        "fovea_pixels": 384.0,
        "parameters": None,
        "seconds": 2.0,
    }
    row = Row.of("t", "a", 1, [{**blank, "accuracy": 0.9}, {**blank, "accuracy": 0.8}])
    assert row.error == pytest.approx(15)
    assert row.std == pytest.approx(math.sqrt(50))
    # Both seeds have the same 100 images: Wilson's interval of 15 in 100.
    assert (row.low, row.high) == pytest.approx((9.31, 23.28), abs=0.01)
    assert "| t | a | 1 | 2 | 15.00 ± 7.07 | 9.31 to 23.28 |" in as_markdown([row])
    one = Row.of("t", "a", 1, [{**blank, "num_images": 200, "accuracy": 0.85}])
    # Wilson's interval of 30 in 200, worked out by hand: (0.15962 ± 0.04974) / 1.01921.
    assert one.low == pytest.approx(10.72, abs=0.03)
    assert one.high == pytest.approx(20.61, abs=0.03)
    assert "| t | a | 1 | 1 | 15.00 | 10.7" in as_markdown([one])


def test_find_contender_returns_what_trains(agents: dict[str, list[Any]], tmp_path: Path) -> None:
    cell = Cell(agent=f"{NAME}:first_class", task="tiny", seed=7, epochs=1)
    trained = find_contender(cell.agent)(cell, tmp_path)
    assert isinstance(trained.agent, FirstClass)
    assert agents["made"] == [("ram_env/MNIST-v0", 7, cell.timesteps)]
    assert benchmark.count_parameters(trained.agent) is None
