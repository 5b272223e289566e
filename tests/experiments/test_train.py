from __future__ import annotations

import csv
import inspect
import json
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.catch import CatchConfig
from experiments.config import TaskConfig, TrainConfig
from experiments.presets import PRESETS, find_preset
from experiments.run_folder import RunFolder, read_json, sole_driver, write_json
from experiments.saved_agents import load_best
from experiments.train import TrainCommand, _defaults, main

NUM_GLIMPSES = 3
ALWAYS_WRITTEN = {
    "config.json",
    "metrics.csv",
    "scores.json",
    "loss.png",
    "episode.gif",
    "gaze.png",
    "checkpoints",
    "tensorboard",
}


def rows_in(path: Path) -> int:
    return len(path.read_text().splitlines()) - 1 if path.exists() else 0


@pytest.fixture(scope="module")
def finished_run(tiny_options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    main([*tiny_options, "--run-dir", str(folder)])
    return folder


def test_a_run_writes_its_folder(finished_run: Path) -> None:
    pictures = {
        f"{kind}{glimpse}.png"
        for kind in ("glimpse", "patch")
        for glimpse in range(1, NUM_GLIMPSES + 1)
    }
    assert {path.name for path in finished_run.iterdir()} == ALWAYS_WRITTEN | pictures
    checkpoints = {path.name for path in (finished_run / "checkpoints").iterdir()}
    assert checkpoints == {"best.safetensors", "latest.safetensors", "begun_with.json"}
    assert list((finished_run / "tensorboard").iterdir())


def test_metrics_have_a_row_for_each_epoch(finished_run: Path) -> None:
    with (finished_run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3]
    # 275 training images, in whole batches of 25, three glimpses each
    assert [int(row["timesteps"]) for row in rows] == [825, 1650, 2475]
    assert {
        "train_loss",
        "train_cross_entropy",
        "train_accuracy",
        "val_cross_entropy",
        "val_accuracy",
    } <= {*rows[0]}


def test_scores_are_of_every_test_image_once(finished_run: Path) -> None:
    scores = json.loads((finished_run / "scores.json").read_text())
    confusion = scores["confusion"]
    assert scores["num_images"] == sum(map(sum, confusion)) == 60
    assert scores["accuracy"] == sum(row[c] for c, row in enumerate(confusion)) / 60
    assert scores["accuracy_after_glimpses"][-1] == scores["accuracy"]
    low, high = scores["confidence_interval_95"]
    assert low < scores["accuracy"] < high or scores["accuracy"] in (0, 1)
    assert set(scores["accuracy_by_gaze"]) == {"own", "random", "center"}


def test_the_configuration_is_kept(finished_run: Path, tiny_npz: Path) -> None:
    config = TrainConfig.from_json(json.loads((finished_run / "config.json").read_text()))
    assert config.task.dataset == str(tiny_npz)
    assert config.epochs == 3
    assert config.agent.hidden_size == 16


def test_the_version_that_wrote_a_run_is_kept_and_changes_nothing(finished_run: Path) -> None:
    document = read_json(finished_run / "config.json")
    assert document.pop("version") == read_json(finished_run / "scores.json")["version"]
    assert TrainConfig.from_json(document | {"version": "0.0.1"}) == TrainConfig.from_json(document)


def test_results_go_to_stdout_and_progress_to_stderr(
    tiny_options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*tiny_options, "--epochs", "1", "--run-dir", str(tmp_path / "run")])
    out, err = capsys.readouterr()
    assert "test accuracy" in out
    assert "epoch" not in out
    assert "epoch 1/1" in err
    assert "loss=" in err
    with (tmp_path / "run" / "metrics.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert f"val={float(row['val_accuracy']):.2%}" in err.splitlines()[-1]


def test_a_log_gets_no_state_of_the_bar_for_every_update(
    tiny_options: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def states(name: str) -> int:
        main([*tiny_options, "--run-dir", str(tmp_path / name)])
        return capsys.readouterr().err.count("\r")

    quiet = states("each half minute")
    monkeypatch.setattr("experiments.train.LOG_SECONDS", 0.0)
    assert quiet <= 2 * 3 + 1, "one for each of three epochs, one more as it ends, and the last"
    assert states("each update") > quiet


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(0.0, id="as the first row is written"),
        pytest.param(0.05, id="a little later", marks=pytest.mark.slow),
        pytest.param(0.1, id="later still", marks=pytest.mark.slow),
        pytest.param(0.15, id="last", marks=pytest.mark.slow),
    ],
)
def test_killed_and_resumed_is_as_if_never_killed(
    finished_run: Path,
    tiny_options: list[str],
    tmp_path: Path,
    moment: float,
    start_training: Any,
    wait_until: Any,
) -> None:
    run = tmp_path / "killed"
    process = start_training([*tiny_options, "--run-dir", str(run)])
    wait_until(lambda: rows_in(run / "metrics.csv") >= 1, process)
    time.sleep(moment)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL  # and has not ended before
    main(["--resume", str(run)])
    for name in ("metrics.csv", "scores.json", "checkpoints/best.safetensors"):
        assert (run / name).read_bytes() == (finished_run / name).read_bytes(), name


def change(run: Path, name: str, value: object) -> None:
    """Changes a field of a run's configuration, and has it learn an epoch more."""
    document = read_json(run / "config.json")
    document["epochs"] += 1
    *groups, field = name.split(".")
    (document[groups[0]] if groups else document)[field] = value
    write_json(run / "config.json", document)


@pytest.mark.parametrize(
    ("name", "before", "value"),
    [
        ("agent.hidden_size", 16, 32),
        ("batch_size", 25, 5),
        ("task.num_glimpses", 3, 2),
        ("task.train_scene", "distorted", "shifted"),
    ],
)
def test_it_does_not_go_on_under_another_configuration(
    finished_run: Path, tmp_path: Path, name: str, before: object, value: object
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    change(run, name, value)
    message = rf"has learned with {name}={before!r}, its configuration says {value!r} .*put that"
    with pytest.raises(ValueError, match=message):
        main(["--resume", str(run)])
    assert (run / "metrics.csv").read_bytes() == (finished_run / "metrics.csv").read_bytes()


def test_it_goes_on_with_its_data_wherever_that_is_but_with_no_other(
    finished_run: Path, tiny_npz: Path, tmp_path: Path
) -> None:
    run, moved = tmp_path / "run", tmp_path / "moved.npz"
    shutil.copytree(finished_run, run)
    shutil.copy(tiny_npz, moved)
    change(run, "task.dataset", str(moved))
    main(["--resume", str(run)])
    assert rows_in(run / "metrics.csv") == rows_in(finished_run / "metrics.csv") + 1
    with np.load(moved) as arrays:
        np.savez(moved, **{**arrays, "y_test": arrays["y_test"][::-1]})
    with pytest.raises(ValueError, match=r"learned from other data than .*moved\.npz holds"):
        main(["--resume", str(run)])


def test_what_begins_anew_goes_on_with_what_it_was_then(finished_run: Path, tmp_path: Path) -> None:
    # Stopped in its first epoch, perhaps as that took too much memory, there is nothing to keep.
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    shutil.rmtree(run / "checkpoints")
    (run / "metrics.csv").unlink()
    change(run, "batch_size", 5)
    main(["--resume", str(run)])
    change(run, "batch_size", 5)
    main(["--resume", str(run)])
    assert rows_in(run / "metrics.csv") == 5
    change(run, "batch_size", 25)
    with pytest.raises(
        ValueError, match="has learned with batch_size=5, its configuration says 25"
    ):
        main(["--resume", str(run)])


def test_nobody_else_trains_in_the_folder_meanwhile(
    finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    change(run, "epochs", 4)
    monkeypatch.setattr("experiments.trainer.PATIENCE", 0.2)
    with sole_driver(run), pytest.raises(ValueError, match="run: another command is at work there"):
        main(["--resume", str(run)])
    main(["--resume", str(run)])  # it is free again
    assert rows_in(run / "metrics.csv") == 4


def test_who_is_refused_changes_nothing(
    finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    (run / "checkpoints" / "latest.safetensors").unlink()  # as in its first epoch
    begun_with = run / "checkpoints" / "begun_with.json"
    before = begun_with.read_bytes()
    change(run, "agent.learning_rate", 0.5)
    monkeypatch.setattr("experiments.trainer.PATIENCE", 0.2)
    with sole_driver(run), pytest.raises(ValueError, match="another command is at work there"):
        main(["--resume", str(run)])
    assert begun_with.read_bytes() == before


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_it_with_a_checkpoint(
    finished_run: Path,
    tiny_options: list[str],
    tmp_path: Path,
    number: signal.Signals,
    exit_code: int,
    start_training: Any,
    wait_until: Any,
) -> None:
    run = tmp_path / "stopped"
    process = start_training([*tiny_options, "--epochs", "100000", "--run-dir", str(run)])
    wait_until(lambda: rows_in(run / "metrics.csv") >= 2, process)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == exit_code
    assert f"ram train --resume {run}" in err
    assert "Traceback" not in err
    assert (run / "checkpoints" / "latest.safetensors").exists()
    assert not (run / "scores.json").exists()


def test_stopped_before_the_first_epoch_ends_it_starts_anew(
    finished_run: Path,
    tiny_options: list[str],
    tmp_path: Path,
    start_training: Any,
    wait_until: Any,
) -> None:
    for attempt in range(5):
        run = tmp_path / f"early-{attempt}"
        process = start_training([*tiny_options, "--run-dir", str(run)])
        wait_until(lambda run=run: (run / "config.json").exists(), process)
        process.kill()
        process.communicate()
        if not (run / "checkpoints" / "latest.safetensors").exists():
            break
    else:
        pytest.fail("the first epoch was over each time")
    main(["--resume", str(run)])
    assert (run / "metrics.csv").read_bytes() == (finished_run / "metrics.csv").read_bytes()


def test_a_folder_that_holds_a_run_is_refused(finished_run: Path, tiny_options: list[str]) -> None:
    before = (finished_run / "config.json").read_bytes()
    with pytest.raises(ValueError, match="holds another run"):
        main([*tiny_options, "--run-dir", str(finished_run)])
    assert (finished_run / "config.json").read_bytes() == before


def test_a_folder_that_holds_something_else_is_refused(
    tiny_options: list[str], tmp_path: Path
) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match="not an empty folder"):
        main([*tiny_options, "--run-dir", str(tmp_path)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "epochs=0"),
        (["--learning-rate", "-1"], "learning_rate=-1.0"),
        (["--env", "ram_env/ImageNet-v0"], "ImageNet"),
        (["--preset", "fastest"], "fastest"),
        (["--lr", "1"], "--lr"),
    ],
)
def test_bad_options_are_named_and_nothing_is_written(
    arguments: list[str], message: str, tmp_path: Path, start_training: Any
) -> None:
    run = tmp_path / "run"
    process = start_training([*arguments, "--run-dir", str(run)])
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert message in err
    assert "Traceback" not in err
    assert not run.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [("--patch-size 99", r"patch_size=99"), ("--start -0.5 2", r"start=\(-0\.5, 2\.0\)")],
)
def test_a_task_that_cannot_be_is_refused_before_anything_is_written(
    words: str, message: str, tiny_options: list[str], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        main([*tiny_options, *words.split(), "--run-dir", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


def test_an_environment_has_the_defaults_of_its_own_preset() -> None:
    command = _defaults(["--env", "ram_env/TranslatedMNIST-v0"])
    assert command.preset == "paper-translated"
    assert command.task.train_scene == "distorted-translated"
    assert _defaults(["--preset=paper-28"]).preset == "paper-28"
    assert _defaults([]).preset == "fglab"


def test_of_an_option_that_is_given_twice_the_last_counts() -> None:
    # As in tyro, from which the option's own value comes: so the defaults are of what is named.
    presets = _defaults(["--preset", "fglab", "--preset=paper-28"])
    assert (presets.preset, presets.epochs) == ("paper-28", PRESETS["paper-28"].epochs)
    agents = _defaults(["--agent", "reinforce", "--agent", "recurrent_ppo"])
    assert agents.agent.algorithm == agents.algorithm == "recurrent_ppo"


def test_a_run_finds_its_data_from_any_folder(
    tiny_npz: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_npz.parent)
    assert TaskConfig(dataset=tiny_npz.name).with_absolute_path.dataset == str(tiny_npz)
    (tiny_npz.parent / "mnist").touch()  # a name that is known is no path
    assert TaskConfig().with_absolute_path == TaskConfig()


def test_a_run_of_catch_is_none_of_train() -> None:
    with pytest.raises(ValueError, match=r"run of `ram catch`: `ram catch --resume` goes on"):
        TrainConfig.from_json(CatchConfig().to_json())


WHOLE: dict[str, Any] = {"task": {}, "agent": {}, "algorithm": "reinforce"}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            {"epochs": 3},
            r"the configuration has no 'task': .* a preset file hold 'task' and 'agent'.*version",
        ),
        (
            {"task": {}, "agent": {}},
            r"the configuration has no 'algorithm': .*one of \['recurrent_ppo', 'reinf",
        ),
        (WHOLE | {"algorithm": "dqn"}, r"algorithm='dqn' is not one of \['recurrent_ppo', 'reinf"),
        (WHOLE | {"agent": {"dropout": 0.5}}, r"agent has the key 'dropout', .* another version"),
        (WHOLE | {"task": {"colour": "grey"}}, r"task has the key 'colour', .* another version"),
        (WHOLE | {"patience": 3}, r"the configuration has the key 'patience', .* another version"),
        (WHOLE | {"task": "mnist"}, r"task='mnist' is not an object"),
    ],
)
def test_a_file_that_is_no_configuration_is_named_with_what_it_must_hold(
    document: dict[str, Any], message: str, tmp_path: Path
) -> None:
    file = tmp_path / "config.json"
    write_json(file, document)
    with pytest.raises(ValueError, match=rf"config\.json: {message}"):
        find_preset(str(file))
    with pytest.raises(ValueError, match=rf"config\.json: {message}"):
        RunFolder.open(tmp_path).read_config()


def test_a_preset_file_may_hold_only_what_is_not_as_by_default(tmp_path: Path) -> None:
    write_json(tmp_path / "mine.json", WHOLE | {"epochs": 3})
    assert find_preset(str(tmp_path / "mine.json")) == TrainConfig(epochs=3)


def test_training_images_of_another_size_than_the_tested_are_refused(
    tiny_options: list[str], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"train_scene='translated'.*\(60, 60\).*\(8, 8\)"):
        main([*tiny_options, "--train-scene", "translated", "--run-dir", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


def test_a_map_is_of_the_tasks_images_and_goes_on_with_them(
    tiny_options: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    main([*tiny_options, "--core", "map", "--location-range", "0.75", "--run-dir", str(run)])
    assert json.loads((run / "scores.json").read_text())["accuracy"] > 0.9
    agent = load_best(RunFolder.open(run))
    assert agent.network.glimpse_network.shape == (1, 2, 8, 8)
    assert agent.network.glimpse_network.geometry.location_range == 0.75


def test_a_gpu_that_is_not_there_is_refused_before_anything_is_written(
    tiny_options: list[str], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="finds no GPU"):
        main([*tiny_options, "--device", "cuda", "--run-dir", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


def test_fewer_test_images_than_are_pictured_will_do(
    tiny_options: list[str], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    data = tmp_path / "few.npz"
    x_train, x_test = (rng.integers(0, 256, (n, 8, 8), dtype=np.uint8) for n in (60, 2))
    np.savez(
        data, x_train=x_train, y_train=np.arange(60) % 3, x_test=x_test, y_test=np.array([0, 1])
    )
    run = tmp_path / "run"
    main([*tiny_options, "--dataset", str(data), "--epochs", "1", "--run-dir", str(run)])
    assert (run / "episode.gif").exists()


def test_data_without_a_test_set_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "whole.npz"
    np.savez(data, images=np.zeros((9, 8, 8), np.uint8), labels=np.arange(9) % 3)
    with pytest.raises(ValueError, match="no test set of its own"):
        main(["--dataset", str(data), "--run-dir", str(tmp_path / "run")])


def test_resume_takes_no_other_option(finished_run: Path) -> None:
    with pytest.raises(ValueError, match="alone"):
        main(["--resume", str(finished_run), "--epochs", "9"])


def test_a_run_is_resumed_by_its_folder_and_is_a_preset_by_its_file(
    finished_run: Path, tmp_path: Path
) -> None:
    file = finished_run / "config.json"
    with pytest.raises(ValueError, match=rf"run's folder, {finished_run}, .*--preset {file}$"):
        main(["--resume", str(file)])
    with pytest.raises(ValueError, match=rf"--preset {file} begins .*, --resume {finished_run} go"):
        main(["--preset", str(finished_run), "--run-dir", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


def test_resume_of_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not the folder of a run"):
        main(["--resume", str(tmp_path)])


def test_a_damaged_training_state_is_named(tiny_options: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    main([*tiny_options, "--epochs", "1", "--run-dir", str(run)])
    state = run / "checkpoints" / "latest.safetensors"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"latest\.safetensors.*damaged"):
        main(["--resume", str(run)])


def test_metrics_that_lack_epochs_are_named(tiny_options: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    main([*tiny_options, "--epochs", "2", "--run-dir", str(run)])
    metrics = run / "metrics.csv"
    metrics.write_text("".join(metrics.read_text().splitlines(keepends=True)[:2]))
    with pytest.raises(ValueError, match=r"metrics\.csv ends at timestep 825.* at 1650.*put the"):
        main(["--resume", str(run)])


def test_runs_begun_in_the_same_second_have_folders_of_their_own(
    tiny_config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = [RunFolder.create(None, name="fglab", config=tiny_config) for _ in range(3)]
    assert len({run.path for run in runs}) == 3


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_survives_json(name: str) -> None:
    document = json.loads(json.dumps(PRESETS[name].to_json()))
    assert TrainConfig.from_json(document) == PRESETS[name]


def test_numbers_of_numpy_and_paths_survive_json_too(tiny_npz: Path, tmp_path: Path) -> None:
    values: dict[str, Any] = {"dataset": tiny_npz, "num_glimpses": np.int64(3)}
    config = TrainConfig(
        task=TaskConfig(**values, start=np.float32([0.5, -1])),  # type: ignore[arg-type]
        epochs=np.int64(2),
    )
    read = RunFolder.create(tmp_path / "run", name="run", config=config).read_config()
    assert read.task == TaskConfig(dataset=str(tiny_npz), num_glimpses=3, start=(0.5, -1.0))
    assert read.epochs == 2
    images: Any = (np.zeros((4, 8, 8), np.uint8), np.arange(4))
    with pytest.raises(ValueError, match=r"array\(.* cannot be written as JSON"):
        RunFolder.create(
            tmp_path / "other", name="run", config=TrainConfig(task=TaskConfig(dataset=images))
        )


# --- what is written down twice ------------------------------------------------------------------


def test_the_help_names_every_preset() -> None:
    help_ = Path(inspect.getfile(TrainCommand)).read_text()
    told = " ".join(help_[help_.index("preset: Annotated") :].split('"""')[1].split())
    assert f": {', '.join(PRESETS)}, or a file" in told


def test_a_preset_whose_data_set_is_nothing_is_refused_in_words(
    finished_run: Path, tmp_path: Path
) -> None:
    document = json.loads((finished_run / "config.json").read_text())
    document["task"]["dataset"] = None
    (tmp_path / "preset.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match="dataset=None is no text"):
        main(["--preset", str(tmp_path / "preset.json"), "--run-dir", str(tmp_path / "run")])
