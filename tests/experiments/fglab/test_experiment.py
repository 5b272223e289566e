"""A whole experiment, as FGMachine sees it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from experiments.fglab.__main__ import main
from experiments.fglab.experiment import configure
from experiments.fglab.options import BY_NAME, read_arguments
from experiments.fglab.results import SECONDS_AFTER_A_BURST, SECONDS_UNTIL_WATCHED
from experiments.reinforce_trainer import ReinforceTrainer

REPOSITORY = Path(__file__).parents[3]
ID = "55e069f9cf4e1fe075b76b95"
NUM_GLIMPSES = 3
NUM_UPDATES = 4 * (275 // 25)  # the last 25 of 300 training images are for validation


def folders(tmp_path: Path) -> list[str]:
    return ["--results", str(tmp_path / "results"), "--runs", str(tmp_path / "runs")]


# --- what the options mean ------------------------------------------------------------------------


def test_the_originals_options_mean_what_they_meant() -> None:
    config = configure(read_arguments(["-locatorStd", "0.1", "-unitPixels", "13"]), device="cpu")
    assert config.agent.location_std == 0.2  # main.lua hands 2 * locatorStd to its Gaussian
    assert config.task.location_range == 13 / 14  # pixels, of the 14 there are to the edge
    assert config.task.num_scales == 3
    assert config.task.num_glimpses == 6
    assert config.agent.white_level == 255  # Torch7's MNIST is bytes
    assert config.agent.schedule == "constant"
    assert config.agent.supervise == "last"
    assert config.task.train_scene is None
    assert (config.epochs, config.batch_size, config.agent.seed) == (1, 100, 123)


@pytest.mark.parametrize(
    ("option", "text", "field", "value"),
    [
        ("seed", "7", "agent.seed", 7),
        ("locationHiddenSize", "7", "agent.location_hidden_size", 7),
        ("glimpsePatchSize", "7", "task.patch_size", 7),
        ("glimpseDepth", "7", "task.num_scales", 7),
        ("glimpseScale", "7", "task.scale_factor", 7),
        ("glimpseHiddenSize", "7", "agent.glimpse_hidden_size", 7),
        ("imageHiddenSize", "7", "agent.image_hidden_size", 7),
        ("hiddenSize", "7", "agent.hidden_size", 7),
        ("locatorStd", "0.25", "agent.location_std", 0.5),
        ("unitPixels", "7", "task.location_range", 0.5),
        ("rho", "7", "task.num_glimpses", 7),
        ("rewardScale", "2.5", "agent.reward_scale", 2.5),
        ("batchSize", "7", "batch_size", 7),
        ("learningRate", "0.5", "agent.learning_rate", 0.5),
        ("optimiser", "adam", "agent.optimiser", "adam"),
        ("momentum", "0.25", "agent.momentum", 0.25),
        ("epochs", "7", "epochs", 7),
        ("agent", "recurrent_ppo", "agent.algorithm", "recurrent_ppo"),
        ("task", "cluttered", "task.env", "ram_env/ClutteredMNIST-v0"),
        ("core", "lstm", "agent.core", "lstm"),
    ],
)
def test_every_option_becomes_what_it_is_for(
    option: str, text: str, field: str, value: object
) -> None:
    found: Any = configure(read_arguments([f"--{option}", text]), device="cpu")
    for name in field.split("."):
        found = getattr(found, name)
    assert found == value
    assert field.endswith(BY_NAME[option].becomes) or option == "agent"


def test_no_option_is_forgotten() -> None:
    (mark,) = test_every_option_becomes_what_it_is_for.pytestmark
    assert {"cuda", *(case[0] for case in mark.args[1])} == set(BY_NAME)


@pytest.mark.parametrize("optimiser", ["rmsprop", "adagrad", "adadelta", "adam"])
def test_momentum_is_sgds_alone(optimiser: str) -> None:
    agent = configure(read_arguments(["-optimiser", optimiser]), device="cpu").agent
    assert (agent.optimiser, agent.momentum) == (optimiser, 0.0)


def test_recurrent_ppo_takes_the_options_that_it_has() -> None:
    arguments = ["--agent=recurrent_ppo", "--hiddenSize=64", "--learningRate=0.01", "--seed=7"]
    config = configure(read_arguments([*arguments, "--locatorStd=0.5"]), device="cpu")
    agent = config.agent
    assert agent.algorithm == "recurrent_ppo"
    assert (agent.lstm_hidden_size, agent.learning_rate, agent.seed) == (64, 0.01, 7)
    assert (config.epochs, config.batch_size) == (1, 100)


@pytest.mark.parametrize(
    ("task", "env", "half_side"),
    [
        ("28", "ram_env/FoveatedMNIST-v0", 14),
        ("translated", "ram_env/TranslatedMNIST-v0", 30),
        ("cluttered", "ram_env/ClutteredMNIST-v0", 30),
        ("cluttered-100", "ram_env/ClutteredMNIST100-v0", 50),
    ],
)
def test_the_gaze_reaches_as_far_as_the_tasks_images(task: str, env: str, half_side: int) -> None:
    farthest = read_arguments(["-task", task, "-unitPixels", str(half_side)])
    config = configure(farthest, device="cpu")
    assert config.task.env == env
    assert config.task.location_range == 1
    too_far = read_arguments(["-task", task, "-unitPixels", str(half_side + 1)])
    with pytest.raises(ValueError, match=rf"unitPixels={half_side + 1}.*allowed: 1 to {half_side}"):
        configure(too_far, device="cpu")


# --- what comes of it -----------------------------------------------------------------------------


def test_everything_reaches_fgmachine(
    quick: list[str], tmp_path: Path, watch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    watcher = watch(tmp_path / "results", ID, seconds_to_settle=0.05)
    main([*folders(tmp_path), *quick, f"--_id={ID}"])
    watcher.finish()
    assert watcher.errors == []
    assert watcher.strangers == set()
    pictures = {
        f"{kind}{glimpse}.png"
        for kind in ("glimpse", "patch")
        for glimpse in range(1, NUM_GLIMPSES + 1)
    }
    others = {
        "scores.json",
        "chart.json",
        "notes.json",
        "loss.png",
        "losses.png",
        "gaze.png",
        "episode.gif",
    }
    assert set(watcher.uploads) == pictures | others
    scores = watcher.uploads["scores.json"][-1]["_scores"]
    assert 0 <= scores["Accuracy"] <= 1
    assert scores["Error rate (%)"] == round(100 - 100 * scores["Accuracy"], 2)
    losses, accuracies = watcher.uploads["chart.json"][-1]["_charts"]
    assert losses["columnNames"] == ["train", "x"]
    assert losses["data"]["columns"][1] == list(range(1, NUM_UPDATES + 1))
    assert len(losses["data"]["columns"][0]) == NUM_UPDATES
    assert accuracies["columnNames"] == ["train", "validation", "x"]
    assert accuracies["data"]["columns"][2] == [1, 2, 3, 4]
    notes = watcher.uploads["notes.json"][-1]
    assert notes["Device"] == "CPU"
    assert "4 of 4 epochs: finished" in notes["Notes"]
    run = tmp_path / "runs" / "fglab" / ID
    assert notes["Run folder"] == str(run)
    assert (run / "checkpoints" / "best.safetensors").exists()
    log = capsys.readouterr().out
    assert "Loss @ iteration 10: " in log
    assert "Epoch 4/4: training accuracy " in log
    assert "\r" not in log
    assert "\x1b" not in log


def test_recurrent_ppo_runs_and_says_which_options_it_has_no_use_for(
    quick: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--agent=recurrent_ppo", "--batchSize=20", "--epochs=1", f"--_id={ID}"]
    taken = [option for option in quick if not option.startswith(("--batchSize", "--epochs"))]
    main([*folders(tmp_path), *taken, *options])
    run = tmp_path / "runs" / "fglab" / ID
    assert (run / "checkpoints" / "best.zip").exists()
    log = capsys.readouterr().out
    assert "Not used by recurrent_ppo: locatorStd, rewardScale, optimiser, momentum, core" in log
    assert "Epoch 1/1: training accuracy " in log
    assert "test accuracy: " in log


def test_cuda_without_a_gpu_runs_on_the_cpu_and_says_so(
    quick: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    main([*folders(tmp_path), *quick, "--cuda=true"])
    captured = capsys.readouterr()
    assert "WARNING: cuda was asked for, but PyTorch finds no GPU here" in captured.out
    notes = (tmp_path / "results" / "123456789" / "notes.json").read_text()
    assert "WARNING: cuda was asked for" in notes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--zzz=1"], "unknown option '--zzz=1'"),
        (["--unitPixels=15"], "unitPixels=15 reaches out"),
        (["--glimpsePatchSize=40"], "patch_size=40"),
        (["--glimpseDepth=6"], "num_scales=6"),
    ],
)
def test_what_is_wrong_ends_it_before_anything_is_written(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([*folders(tmp_path), *arguments, f"--_id={ID}"])
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_id_that_was_there_before_loses_nothing(
    quick: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    earlier = tmp_path / "runs" / "fglab" / ID / "config.json"
    earlier.parent.mkdir(parents=True)
    earlier.write_text("{}")
    with pytest.raises(SystemExit) as exit_:
        main([*folders(tmp_path), *quick, f"--_id={ID}"])
    assert exit_.value.code == 2
    assert "holds another run" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_ctrl_c_ends_it_without_a_traceback_and_the_notes_say_so(
    quick: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("experiments.fglab.experiment._test_and_draw", interrupted)
    with pytest.raises(SystemExit) as exit_:
        main([*folders(tmp_path), *quick, f"--_id={ID}"])
    assert exit_.value.code == 128 + signal.SIGINT
    assert "interrupted" in (tmp_path / "results" / ID / "notes.json").read_text()


def test_learning_that_diverges_fails_with_what_to_do(
    quick: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = [word for word in quick if "optimiser" not in word]
    with pytest.raises(SystemExit) as exit_:
        main([*folders(tmp_path), *quick, "--learningRate=1e30", f"--_id={ID}"])
    assert exit_.value.code == 2
    assert "learning has diverged" in capsys.readouterr().err
    assert "learning has diverged" in (tmp_path / "results" / ID / "notes.json").read_text()


def test_however_it_fails_the_page_shows_how(
    quick: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*_: object) -> None:
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(ReinforceTrainer, "start", start)
    with pytest.raises(RuntimeError):
        main([*folders(tmp_path), *quick, f"--_id={ID}"])
    assert "CUDA out of memory" in (tmp_path / "results" / ID / "notes.json").read_text()


@pytest.mark.parametrize("option", ["rho", "batchSize", "hiddenSize"])
def test_a_zero_too_many_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    with pytest.raises(SystemExit):
        main([*folders(tmp_path), f"--{option}=100000", f"--_id={ID}"])
    assert f"{option}=" in (message := capsys.readouterr().err)
    assert "at most" in message
    assert not (tmp_path / "results").exists()


# --- as a process ---------------------------------------------------------------------------------


def start(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-u", "-m", "experiments.fglab", *folders(tmp_path), *arguments]
    return subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(process: subprocess.Popen[str], beginning: str) -> None:
    assert process.stdout is not None
    assert any(line.startswith(beginning) for line in process.stdout), process.communicate()[1]


def test_the_kill_button_ends_it_soon_and_keeps_what_was_done(tmp_path: Path, watch: Any) -> None:
    watcher = watch(tmp_path / "results", ID, seconds_to_settle=0.2)
    began = time.monotonic()
    process = start(tmp_path, "-epochs", "50", "-_id", ID)
    wait_for(process, "Loss @ iteration 20")
    process.send_signal(signal.SIGTERM)
    killed = time.monotonic()
    process.communicate(timeout=30)
    assert time.monotonic() - killed < 10
    assert process.returncode == 128 + signal.SIGTERM
    watcher.finish()
    assert watcher.errors == []
    assert watcher.appeared is not None
    assert watcher.appeared - began >= SECONDS_UNTIL_WATCHED
    losses, *_ = watcher.uploads["chart.json"][-1]["_charts"]
    assert losses["data"]["columns"][1][-1] >= 20
    assert "stopped by a signal" in watcher.uploads["notes.json"][-1]["Notes"]
    chart, notes = (tmp_path / "results" / ID / name for name in ("chart.json", "notes.json"))
    assert notes.stat().st_mtime - chart.stat().st_mtime >= SECONDS_AFTER_A_BURST
    assert (tmp_path / "runs" / "fglab" / ID / "checkpoints" / "stopped.safetensors").exists()


def test_it_goes_on_when_nobody_listens_any_more(tmp_path: Path) -> None:
    process = start(tmp_path, "-epochs", "1", "-_id", ID)
    wait_for(process, "Loss @ iteration 10")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    errors = process.stderr.read()
    assert process.wait(timeout=120) == 0, errors
    assert "BrokenPipe" not in errors
    assert (tmp_path / "results" / ID / "scores.json").exists()
