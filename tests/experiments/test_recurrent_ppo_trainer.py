"""`ram train --agent recurrent_ppo`: what holds for every algorithm is in test_train.py."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from sb3_contrib import RecurrentPPO
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from experiments.config import TrainConfig
from experiments.evaluate import main as evaluate_main
from experiments.recurrent_ppo_trainer import RecurrentPPOTrainer
from experiments.run_folder import RunFolder
from experiments.train import main

NUM_ENVS, NUM_GLIMPSES, N_STEPS = 25, 3, 6
# 275 training images, in whole batches of 25, three glimpses each
EPOCH = 275 * NUM_GLIMPSES


@pytest.fixture(scope="module")
def ppo_options(tiny_npz: Path) -> list[str]:
    options = {
        "agent": "recurrent_ppo",
        "env": "ram_env/MNIST-v0",
        "dataset": tiny_npz,
        "patch-size": 4,
        "num-glimpses": NUM_GLIMPSES,
        "batch-size": NUM_ENVS,
        "n-steps": N_STEPS,
        "n-minibatches": 2,
        "grid-size": 3,
        "lstm-hidden-size": 16,
        "image-hidden-size": 16,
        "glimpse-hidden-size": 8,
        "location-hidden-size": 8,
        "epochs": 3,
    }
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


@pytest.fixture(scope="module")
def finished_run(ppo_options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "ppo"
    main([*ppo_options, "--run-dir", str(folder)])
    return folder


@pytest.mark.filterwarnings("ignore:overflow")
def test_learning_that_diverges_says_what_to_do(ppo_options: list[str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"diverged at timestep \d+: .*lower learning_rate"):
        main([*ppo_options, "--learning-rate", "1e30", "--run-dir", str(tmp_path / "run")])


class Noting:
    """Notes the mean returns that it is told of."""

    def __init__(self) -> None:
        self.returns: list[float] = []

    def on_update(self, loss: float, reward: float) -> None:
        self.returns.append(reward)

    def on_epoch(self, row: dict[str, float]) -> None:
        pass


@pytest.fixture
def trainer(finished_run: Path, tmp_path: Path) -> RecurrentPPOTrainer:
    config = dataclasses.replace(RunFolder.open(finished_run).read_config(), epochs=1)
    run = RunFolder.create(tmp_path / "run", name="run", config=config)
    return RecurrentPPOTrainer.start(run, config)


def test_each_update_is_told_of_with_the_returns_it_learned_from(
    trainer: RecurrentPPOTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress, rewards = Noting(), []
    learn_from_rollout = RecurrentPPO.train

    def train(agent: RecurrentPPO) -> None:
        rewards.append(float(agent.rollout_buffer.rewards.sum()))
        learn_from_rollout(agent)

    monkeypatch.setattr(RecurrentPPO, "train", train)
    trainer.train(progress)
    assert len(progress.returns) == len(rewards) == 900 // (NUM_ENVS * N_STEPS)
    for mean, total in zip(progress.returns, rewards, strict=True):
        episodes = total / mean
        assert episodes == pytest.approx(round(episodes))
        assert NUM_ENVS <= round(episodes) <= NUM_ENVS * N_STEPS


def test_an_epoch_that_is_whole_when_the_signal_comes_is_kept(
    trainer: RecurrentPPOTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn_from_rollout = RecurrentPPO.train

    def train(agent: RecurrentPPO) -> None:
        learn_from_rollout(agent)
        if trainer.is_finished:
            trainer.stop_signal = signal.SIGTERM

    monkeypatch.setattr(RecurrentPPO, "train", train)
    trainer.train(Noting())
    assert [row["epoch"] for row in trainer.rows] == [1]


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def rows_in(run: Path) -> int:
    return len(rows_of(run)) if (run / "metrics.csv").exists() else 0


def test_a_run_leaves_what_every_run_leaves(finished_run: Path) -> None:
    names = {path.name for path in finished_run.iterdir()}
    assert {"config.json", "metrics.csv", "scores.json", "loss.png", "gaze.png"} <= names
    assert {"episode.gif", "glimpse1.png", "patch3.png", "tensorboard"} <= names
    checkpoints = {path.name for path in (finished_run / "checkpoints").iterdir()}
    assert checkpoints == {"best.zip", "latest.zip", "begun_with.json"}


def test_epochs_end_with_the_first_rollout_that_completes_them(finished_run: Path) -> None:
    rollout = NUM_ENVS * N_STEPS
    ends = [rollout * -(-epoch * EPOCH // rollout) for epoch in (1, 2, 3)]
    rows = rows_of(finished_run)
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3]
    assert [int(row["timesteps"]) for row in rows] == ends == [900, 1650, 2550]


def test_metrics_are_of_the_reward_and_ppos_losses(finished_run: Path) -> None:
    row = rows_of(finished_run)[0]
    assert {"train_loss", "train_policy_gradient_loss", "train_value_loss"} <= {*row}
    assert row["train_reward"] == row["train_accuracy"]
    assert 0 <= float(row["train_reward"]) <= 1
    # An episode has three steps, or fewer where it is answered early.
    assert int(row["episodes"]) >= 900 // NUM_GLIMPSES - NUM_ENVS


def test_the_learning_rate_falls_to_nought_over_the_whole_run(finished_run: Path) -> None:
    agent = RecurrentPPO.load(finished_run / "checkpoints" / "latest.zip")
    assert agent.num_timesteps == 2550
    assert agent._current_progress_remaining == pytest.approx(1 - (2550 - 150) / 2475)


def test_a_rollout_longer_than_an_epoch_is_refused(
    ppo_options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    with pytest.raises(ValueError, match=r"n_steps=34 .*batch_size=25 .* 850 steps.* has 825;"):
        main([*ppo_options, "--n-steps", "34", "--run-dir", str(folder)])
    assert not folder.exists()


def test_sb3s_logger_and_ours_write_for_tensorboard(finished_run: Path) -> None:
    def tags(folder: Path) -> set[str]:
        events = EventAccumulator(str(folder)).Reload()
        return set(events.Tags()["scalars"])

    assert {"val_accuracy", "episodes"} <= tags(finished_run / "tensorboard")
    logs = tags(finished_run / "tensorboard" / "sb3")
    assert {"train/loss", "rollout/ep_rew_mean", "rollout/success_rate"} <= logs


def test_the_configuration_says_which_algorithm(finished_run: Path) -> None:
    config = TrainConfig.from_json(json.loads((finished_run / "config.json").read_text()))
    assert config.agent.algorithm == "recurrent_ppo"
    assert config.agent.env_options == {"action_format": "discrete", "grid_size": 3}


def test_ram_evaluate_prints_the_scores_of_the_run(
    finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (finished_run / "scores.json").read_bytes()
    evaluate_main([str(finished_run)])
    scores = json.loads(before)
    assert f"test accuracy: {scores['accuracy']:.2%} of 60 images" in capsys.readouterr().out
    assert (finished_run / "scores.json").read_bytes() == before
    # Who looks or answers cannot do the one without the other: no scripted gazes.
    assert set(scores["accuracy_by_gaze"]) == {"own"}


def test_killed_and_resumed_it_learns_the_epochs_that_are_left(
    ppo_options: list[str], tmp_path: Path, start_training: Any, wait_until: Any
) -> None:
    run = tmp_path / "killed"
    process = start_training([*ppo_options, "--epochs", "60", "--run-dir", str(run)])
    wait_until(lambda: rows_in(run) >= 2, process)
    process.kill()
    process.communicate()
    known = rows_of(run)
    config = json.loads((run / "config.json").read_text())
    whole = len(known) + 2
    (run / "config.json").write_text(json.dumps(config | {"epochs": whole}))
    main(["--resume", str(run)])
    rows = rows_of(run)
    # At most one row more than the training state counted was written when it was killed.
    assert rows[: len(known) - 1] == known[:-1]
    assert [int(row["epoch"]) for row in rows] == list(range(1, whole + 1))
    assert (run / "scores.json").exists()


def test_a_signal_stops_it_with_a_checkpoint(
    ppo_options: list[str], tmp_path: Path, start_training: Any, wait_until: Any
) -> None:
    run = tmp_path / "stopped"
    process = start_training([*ppo_options, "--epochs", "100000", "--run-dir", str(run)])
    wait_until(lambda: rows_in(run) >= 1, process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert f"ram train --resume {run}" in err
    assert "Traceback" not in err
    assert (run / "checkpoints" / "latest.zip").exists()


@pytest.mark.parametrize(("name", "value"), [("ent_coef", 0.5), ("lstm_hidden_size", 64)])
def test_it_does_not_go_on_with_other_hyperparameters(
    finished_run: Path, tmp_path: Path, name: str, value: float
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    document = json.loads((run / "config.json").read_text())
    document["agent"][name], document["epochs"] = value, document["epochs"] + 1
    (run / "config.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match=rf"has learned with agent\.{name}=.* says {value!r}"):
        main(["--resume", str(run)])


def test_a_damaged_training_state_is_named(ppo_options: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    main([*ppo_options, "--epochs", "1", "--run-dir", str(run)])
    state = run / "checkpoints" / "latest.zip"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"latest\.zip.*damaged"):
        main(["--resume", str(run)])


def test_each_agent_has_its_own_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--agent", "recurrent_ppo", "--help"])
    ppo = capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--help"])
    reinforce = capsys.readouterr().out
    assert "--gae-lambda" in ppo
    assert "--gae-lambda" not in reinforce
    assert "--location-std" in reinforce
    assert "--location-std" not in ppo
