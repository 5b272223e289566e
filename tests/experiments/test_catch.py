from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from PIL import Image

from agents.gaze import WithGaze, center_gaze
from agents.reinforce import Reinforce
from experiments import catch
from experiments.catch import TEST_SEEDS, VAL_SEEDS, CatchConfig, main, make_envs, play
from experiments.config import TaskConfig
from experiments.run_folder import read_json
from experiments.saved_agents import load_best, open_run
from ram_env import __version__

TINY = [
    *("--epochs", "2", "--updates-per-epoch", "1", "--batch-size", "8"),
    *("--hidden-size", "8", "--image-hidden-size", "8"),
    *("--glimpse-hidden-size", "4", "--location-hidden-size", "4", "--core", "lstm"),
]


class Tracker:
    """Sees through the screen's environment, moves below the ball, and tells nobody."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def remember(num_envs: int, **options: object) -> object:
            self.env = make_envs(num_envs, **options)
            return self.env

        monkeypatch.setattr("experiments.catch.make_envs", remember)

    def predict(self, observation: dict, state: object, *_: object, **__: object) -> tuple:
        episodes = self.env._episodes
        move = np.sign(episodes.ball_column - episodes.paddle).clip(-1, 1) + 1
        return {"location": observation["location"], "move": move}, state


class Idler:
    """Does nothing."""

    def predict(self, observation: dict, state: object, *_: object, **__: object) -> tuple:
        location = observation["location"]
        return {"location": location, "move": np.ones(len(location), int)}, state


class IdlerOnAGrid:
    """Does nothing either, and says so by column, row and move, as SB3's agents do."""

    def __init__(self, *counts: int) -> None:
        self.action_space = spaces.MultiDiscrete(counts)

    def predict(self, observation: dict, state: object, *_: object, **__: object) -> tuple:
        return np.tile([4, 4, 1], (len(observation["location"]), 1)), state


@pytest.fixture(scope="module", autouse=True)
def few_episodes() -> Iterator[None]:
    """Makes runs test and validate on a few episodes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("experiments.catch.TEST_SEEDS", TEST_SEEDS[:200])
        patch.setattr("experiments.catch.VAL_SEEDS", VAL_SEEDS[:200])
        patch.setattr("experiments.catch.NUM_ANIMATED", 1)
        yield


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "catch"
    main([*TINY, "--run-dir", str(folder)])
    return folder


def test_validation_and_test_are_other_episodes_and_ten_thousand_are_tested() -> None:
    assert len(TEST_SEEDS) == 10_000
    assert not set(VAL_SEEDS) & set(TEST_SEEDS)


def test_a_player_is_judged_by_the_balls_it_catches(monkeypatch: pytest.MonkeyPatch) -> None:
    # 1,500 episodes are more than are played at once.
    assert play(Idler(), range(1_500)).mean() == pytest.approx(2 / 24, abs=0.03)
    # The ball moves at most a pixel a step, as the paddle does, but one step later.
    assert play(Tracker(monkeypatch), range(1_500)).mean() > 0.7


def test_an_episode_does_not_depend_on_which_others_are_played() -> None:
    together = play(Idler(), range(100, 140))
    assert [bool(play(Idler(), [seed])[0]) for seed in range(100, 110)] == together[:10].tolist()
    assert play(Idler(), np.arange(100, 140)).tolist() == together.tolist()


def test_it_is_chosen_by_validation_episodes_and_tested_once_on_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played: list[tuple[range, object, bytes]] = []
    caught = iter([0.9, 0.5])  # so that the first of two epochs is the best

    def note(agent: Any, seeds: range) -> np.ndarray:
        scripted = isinstance(agent, WithGaze)
        player = agent._agent if scripted else agent
        weights = player.acting_network.action_network.weight.detach().numpy().tobytes()
        played.append((seeds, agent._gaze if scripted else None, weights))
        if seeds == catch.VAL_SEEDS:
            return np.array([next(caught)])
        # Of the agent itself a quarter, with a random gaze a half, with it at the centre three.
        share = 1 if not scripted else 3 if agent._gaze is center_gaze else 2
        return np.arange(4) < share

    monkeypatch.setattr(catch, "play", note)
    monkeypatch.setattr(catch, "draw", lambda *_: None)
    main([*TINY, "--run-dir", str(tmp_path / "run")])
    validation, test = catch.VAL_SEEDS, catch.TEST_SEEDS
    assert [seeds for seeds, _, _ in played] == [validation, validation, test, test, test]
    best, last, *tested = (weights for _, _, weights in played)
    assert best != last
    assert tested == [best] * 3
    scores = read_json(tmp_path / "run" / "scores.json")
    assert scores["catch_rate_by_gaze"] == {"own": 0.25, "random": 0.5, "center": 0.75}


def test_a_player_has_the_action_format_of_its_action_space() -> None:
    assert play(IdlerOnAGrid(5, 5, 3), range(99)).tolist() == play(Idler(), range(99)).tolist()
    with pytest.raises(ValueError, match=r"MultiDiscrete\(\[5, 5, 10\]\).*one of 3 classes"):
        play(IdlerOnAGrid(5, 5, 10), [0])
    with pytest.raises(ValueError, match=r"action holds 4; allowed: 0\.\.3 x 0\.\.3 x 0\.\.2"):
        play(IdlerOnAGrid(4, 4, 3), [0])


def test_a_player_made_for_another_screen_is_refused() -> None:
    wider = make_envs(1, screen_size=30)
    agent = Reinforce(wider, core="map", hidden_size=8, loss="reinforce")
    with pytest.raises(ValueError, match=r"image_size=\(24, 24\).*the agent's map is of .*30, 30"):
        play(agent, [0])


def test_at_least_one_episode_is_played() -> None:
    for seeds in ([], np.array([], int)):
        with pytest.raises(ValueError, match=r"seeds=.*\[\].* are no episodes"):
            play(Idler(), seeds)


def test_a_player_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match="agent=None has no method predict"):
        play(None, [0])


def test_what_trains_on_catch_and_what_tests_there_is_told() -> None:
    with pytest.raises(ValueError, match=r"Catch-v0.*`ram catch`.*experiments\.catch\.play"):
        TaskConfig(env="ram_env/Catch-v0")


def test_a_run_writes_its_folder(finished_run: Path) -> None:
    scores = json.loads((finished_run / "scores.json").read_text())
    low, high = scores["confidence_interval_95"]
    assert scores["version"] == __version__
    assert scores["num_episodes"] == 200
    assert low < scores["catch_rate"] < high
    assert scores["catch_rate_by_gaze"].keys() == {"own", "random", "center"}
    assert len((finished_run / "metrics.csv").read_text().splitlines()) == 3
    assert (finished_run / "loss.png").stat().st_size > 0
    with Image.open(finished_run / "episode.gif") as animation:
        assert animation.n_frames > 23


def test_a_configuration_comes_back_from_its_file(finished_run: Path) -> None:
    config = CatchConfig.from_json(read_json(finished_run / "config.json"))
    assert (config.epochs, config.batch_size, config.agent.hidden_size) == (2, 8, 8)


def test_a_run_is_read_as_others_are(finished_run: Path) -> None:
    run = open_run(finished_run)
    assert [row["epoch"] for row in run.read_metrics()] == [1, 2]
    scores = read_json(run.scores)
    assert play(load_best(run), TEST_SEEDS[:200]).mean() == scores["catch_rate"]
    with pytest.raises(
        ValueError, match=r"config\.json: .*`ram catch`.*read_metrics and load_best"
    ):
        run.read_config()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"agent": {"dropout": 0.5}},
            r"config\.json: agent has the key 'dropout', .* another version",
        ),
        (
            {"patience": 3},
            r"config\.json: the configuration has the key 'patience', .* another version",
        ),
    ],
)
def test_the_configuration_of_another_version_is_named(
    tmp_path: Path, changes: dict, message: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CatchConfig().to_json() | changes))
    with pytest.raises(ValueError, match=message):
        main(["--resume", str(tmp_path)])


def test_a_run_of_train_is_none_of_catch(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"task": {}, "agent": {}, "algorithm": "reinforce"}')
    with pytest.raises(ValueError, match=r"config\.json: .* `ram train --resume` goes on"):
        main(["--resume", str(tmp_path)])


def test_a_run_that_is_resumed_is_as_if_it_had_not_been_stopped(
    finished_run: Path, tmp_path: Path
) -> None:
    half = tmp_path / "half"
    main([*TINY, "--epochs", "1", "--run-dir", str(half)])
    config = read_json(half / "config.json") | {"epochs": 2}
    (half / "config.json").write_text(json.dumps(config))
    main(["--resume", str(half)])
    # The schedule's end was another in the first epoch, whose only update is at its beginning.
    rows = [(run / "metrics.csv").read_text().splitlines() for run in (half, finished_run)]
    assert rows[0] == rows[1]


def test_what_cannot_be_learned_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="loss='reinforce'"):
        main([*TINY, "--loss", "hybrid", "--run-dir", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


def test_it_does_not_go_on_under_another_configuration(finished_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    document = read_json(run / "config.json")
    document["agent"]["learning_rate"], document["epochs"] = 0.5, document["epochs"] + 1
    (run / "config.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"with agent\.learning_rate=0\.002, .*put that back"):
        main(["--resume", str(run)])


def test_resume_goes_alone_and_needs_a_run(tmp_path: Path) -> None:
    for run in ([f"--resume={tmp_path}"], ["--resume", str(tmp_path)]):
        for more in (["--epochs=3"], ["--epochs", "3"]):
            for words in ([*run, *more], [*more, *run]):
                with pytest.raises(ValueError, match=r"--resume.*alone"):
                    main(words)
    with pytest.raises(ValueError, match=r"config\.json"):
        main(["--resume", str(tmp_path)])
