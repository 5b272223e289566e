from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import VectorWrapper

from agents.gaze import WithGaze, center_gaze
from agents.hyperparameters import RecurrentPPOHyperparameters
from agents.reinforce import Reinforce
from experiments.config import TaskConfig, TrainConfig
from experiments.evaluate import (
    Evaluation,
    accuracy_of_means,
    describe,
    evaluate,
    evaluate_best,
    evaluation_env,
    evaluation_task,
    score,
    wilson_interval,
)
from experiments.evaluate import main as evaluate_main
from experiments.run_folder import RunFolder
from experiments.train import main as train_main
from ram_env import CLASSIFICATION_ENVIRONMENTS, GlimpseVectorEnv, __version__

NUM_ITEMS = 10


def make_env(num_envs: int, **options: Any) -> GlimpseVectorEnv:
    """Ten 6x6 images, each of one grey that tells its index; classes 0, 1, 2, 0, ..."""
    images = np.broadcast_to(
        np.arange(NUM_ITEMS, dtype=np.uint8)[:, None, None] * 20, (NUM_ITEMS, 6, 6)
    )
    return GlimpseVectorEnv(
        (images, np.arange(NUM_ITEMS) % 3),
        split="test",
        num_envs=num_envs,
        num_glimpses=3,
        patch_size=2,
        **options,
    )


class Oracle:
    """Knows every image by its grey; names the right class from a given glimpse on."""

    def __init__(self, right_from: int = 1) -> None:
        self.right_from = right_from

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic=False
    ) -> Any:
        assert deterministic
        taken = np.where(episode_start, 0, 0 if state is None else state) + 1
        index = np.rint(observation["glimpse"][:, 0, 0, 0] * 255 / 20).astype(int)
        label = np.where(taken >= self.right_from, index % 3, (index + 1) % 3)
        location = np.full((len(index), 2), 0.1 * taken[:, None], np.float32)
        return {"location": location, "label": label}, taken


@pytest.mark.parametrize("num_envs", [1, 3, 10, 16])
def test_every_item_counts_once_whatever_the_batch(num_envs: int) -> None:
    evaluation = evaluate(Oracle(), make_env(num_envs))
    assert evaluation.labels.tolist() == [index % 3 for index in range(NUM_ITEMS)]
    assert evaluation.predictions.tolist() == evaluation.labels.tolist()
    assert evaluation.accuracy == 1


def test_accuracy_after_each_glimpse() -> None:
    evaluation = evaluate(Oracle(right_from=3), make_env(4))
    assert evaluation.accuracy_after_glimpses == [0, 0, 1]
    assert evaluation.accuracy == 1


def test_locations_are_where_it_looked() -> None:
    evaluation = evaluate(Oracle(), make_env(4))
    np.testing.assert_allclose(
        evaluation.locations,
        np.broadcast_to([[[0, 0], [0.1, 0.1], [0.2, 0.2]]], (10, 3, 2)),
        rtol=1e-6,
    )


def test_an_agent_that_answers_early_is_done() -> None:
    class Hasty:
        def predict(self, observation: Any, *_: Any, **__: Any) -> Any:
            index = np.rint(observation["glimpse"][:, 0, 0, 0] * 255 / 20).astype(int)
            answers = 49 + index % 3
            look_at_centre = 24
            return np.where(index % 2 == 0, answers, look_at_centre), None

    evaluation = evaluate(Hasty(), make_env(4, action_format="discrete"))
    even = np.arange(NUM_ITEMS) % 2 == 0
    assert (evaluation.predictions[even] == evaluation.labels[even]).all()
    assert (evaluation.predictions[~even] == -1).all()
    assert evaluation.accuracy == 0.5
    assert evaluation.accuracy_after_glimpses == [0.5, 0.5, 0.5]  # an answer stands
    assert np.isnan(evaluation.locations[even, 1:]).all()
    assert evaluation.confusion[:, -1].sum() == 5


def test_confusion_and_accuracy_by_class() -> None:
    evaluation = Evaluation(
        labels=np.array([0, 0, 1, 2]),
        predictions=np.array([0, 1, 1, -1]),
        answers_after=np.array([[0], [1], [1], [-1]]),
        locations=np.zeros((4, 1, 2), np.float32),
        probabilities=None,
        num_classes=4,
    )
    assert evaluation.confusion.tolist() == [
        [1, 1, 0, 0, 0],
        [0, 1, 0, 0, 0],
        [0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0],
    ]
    assert evaluation.accuracy_by_class == [0.5, 1.0, 0.0, None]
    assert np.isnan(evaluation.cross_entropy)


def test_cross_entropy() -> None:
    evaluation = Evaluation(
        labels=np.array([0, 1]),
        predictions=np.array([0, 0]),
        answers_after=np.array([[0], [0]]),
        locations=np.zeros((2, 1, 2), np.float32),
        probabilities=np.array([[0.5, 0.5], [0.75, 0.25]]),
        num_classes=2,
    )
    assert evaluation.cross_entropy == pytest.approx((np.log(2) + np.log(4)) / 2)
    sure = np.array([[1.0, 0.0], [1.0, 0.0]])  # of the wrong class, once
    certain = dataclasses.replace(evaluation, probabilities=sure)
    assert 40 < certain.cross_entropy < 50  # half that of float32's smallest number: not infinite


def test_wilson_interval() -> None:
    # Wilson's interval for 8 of 10, as in the textbooks: 0.490 to 0.943.
    assert wilson_interval(8, 10) == pytest.approx((0.490, 0.943), abs=5e-4)
    low, high = wilson_interval(10, 10)
    assert low < 1
    assert high == pytest.approx(1)


def test_other_autoreset_modes_are_refused() -> None:
    with pytest.raises(ValueError, match="SameStep"):
        evaluate(Oracle(), make_env(2, autoreset_mode="SameStep"))


def test_an_environment_with_other_classes_is_refused() -> None:
    agent = Reinforce(make_env(4), hidden_size=4)
    images = np.zeros((NUM_ITEMS, 6, 6), np.uint8)
    options = {"num_glimpses": 3, "patch_size": 2, "num_envs": 4, "split": "test"}
    other = GlimpseVectorEnv((images, np.arange(NUM_ITEMS) % 4), **options)
    with pytest.raises(ValueError, match=r"num_classes=4.* the agent was made for .*num_classes=3"):
        evaluate(agent, other)
    discrete = make_env(4, action_format="discrete")
    agent_of_sb3 = SimpleNamespace(action_space=gym.spaces.Discrete(7))
    with pytest.raises(ValueError, match=r"environment's action_space is .*, the agent's Discr.*7"):
        evaluate(agent_of_sb3, discrete)


def test_an_environment_whose_images_are_not_those_of_the_agents_map_is_refused() -> None:
    agent = Reinforce(make_env(4), hidden_size=4, core="map")
    assert 0 <= evaluate(agent, make_env(4)).accuracy <= 1
    with pytest.raises(ValueError, match=r"location_range=0\.5.* map is of .*location_range=1\.0"):
        evaluate(agent, make_env(4, location_range=0.5))


def test_what_an_agent_is_not_made_for_is_refused_with_another_gaze_too() -> None:
    agent = Reinforce(make_env(4), hidden_size=4, core="map")
    with pytest.raises(ValueError, match=r"location_range=0\.5.* map is of"):
        evaluate(WithGaze(agent, center_gaze), make_env(4, location_range=0.5))
    of_sb3 = SimpleNamespace(predict=Oracle().predict, action_space=gym.spaces.Discrete(7))
    with pytest.raises(ValueError, match=r"environment's action_space is .*, the agent's Discr.*7"):
        evaluate(WithGaze(of_sb3, center_gaze), make_env(4))


def test_probabilities_are_of_all_that_was_seen() -> None:
    class Counting(Oracle):
        def class_probabilities(self, observation: Any, state: Any, starts: Any) -> Any:
            label = self.predict(observation, state, starts, deterministic=True)[0]["label"]
            return np.eye(3)[label]

    evaluation = evaluate(Counting(right_from=3), make_env(4))  # by what it remembers, the last
    assert evaluation.probabilities.argmax(axis=1).tolist() == evaluation.labels.tolist()


def test_each_batch_begins_at_places_of_its_own() -> None:
    evaluation = evaluate(Oracle(), make_env(5, start="random"))
    first_batch, second_batch = evaluation.locations[:5, 0], evaluation.locations[5:, 0]
    assert np.abs(first_batch - second_batch).min() > 0


def test_scores_are_strict_json_and_readable() -> None:
    env = make_env(4)
    scores = score(Oracle(), env, evaluate(Oracle(), env))
    assert scores["version"] == __version__
    text = describe(json.loads(json.dumps(scores, allow_nan=False)))
    assert "test accuracy: 100.00% of 10 images" in text
    assert "confusion" in text


def test_the_scores_of_very_many_classes_are_left_to_programs() -> None:
    def scores(num_classes: int) -> dict[str, Any]:
        return {
            "split": "test",
            "accuracy": 1.0,
            "num_images": 9,
            "confidence_interval_95": [0.7, 1.0],
            "accuracy_after_glimpses": [1.0],
            "accuracy_by_gaze": {"learned": 1.0},
            "accuracy_by_class": [1.0] * num_classes,
            "confusion": [[0] * (num_classes + 1)] * num_classes,
        }

    assert "confusion" in describe(scores(20))
    assert "confusion" not in describe(scores(21))
    assert "test accuracy" in describe(scores(21))


def test_scores_are_told_even_where_they_cannot_be_written(
    tiny_options: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    train_main([*tiny_options, "--epochs", "1", "--run-dir", str(run)])
    capsys.readouterr()
    (run / "scores.json").unlink()
    (run / "scores.json").mkdir()  # as good as a full disk
    with pytest.raises(OSError, match="scores"):
        evaluate_main([str(run)])
    assert "test accuracy" in capsys.readouterr().out


def test_ram_evaluate_prints_and_saves(
    tiny_options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    train_main([*tiny_options, "--epochs", "1", "--run-dir", str(run)])
    at_the_end = (run / "scores.json").read_bytes()
    (run / "scores.json").unlink()
    capsys.readouterr()
    evaluate_main([str(run)])
    assert "test accuracy" in capsys.readouterr().out
    assert (run / "scores.json").read_bytes() == at_the_end
    evaluate_main([str(run), "--split", "val"])
    assert json.loads((run / "scores-val.json").read_text())["num_images"] == 25


class Sampled(Oracle):
    """The oracle, to be asked for samples."""

    def predict(self, *observation_and_memory: Any, deterministic: bool = False) -> Any:
        assert not deterministic
        return super().predict(*observation_and_memory, deterministic=True)


class Hesitant(Sampled):
    """It is right in two episodes of three, less surely than it is wrong in the third."""

    def __init__(self) -> None:
        super().__init__()
        self.episodes = -1

    def class_probabilities(self, observation: Any, state: Any, starts: Any) -> Any:
        self.episodes += 1
        right = self.predict(observation, state, starts)[0]["label"]
        wrong, sure = (right + 1) % 3, self.episodes % 3 == 2
        probabilities = np.zeros((len(right), 3))
        probabilities[np.arange(len(right)), wrong if sure else right] = 0.9 if sure else 0.6
        probabilities[np.arange(len(right)), right if sure else wrong] = 0.1 if sure else 0.4
        return probabilities


@pytest.mark.parametrize("shape", [(1,), (2,), ()])
def test_probabilities_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    class Odd(Oracle):
        def class_probabilities(self, observation: Any, state: Any, starts: Any) -> Any:
            return np.full((len(starts), *shape), 0.5)

    with pytest.raises(ValueError, match=rf"class_probabilities=.* of shape \({NUM_ITEMS}, 3\)"):
        evaluate(Odd(), make_env(NUM_ITEMS))


def test_probabilities_of_sampled_episodes_are_averaged_before_they_are_judged() -> None:
    # Right has (0.6 + 0.6 + 0.1) / 3 = 0.433, wrong 0.567: what most episodes say does not count.
    env = make_env(num_envs=NUM_ITEMS)
    assert accuracy_of_means(Hesitant(), env, rollouts=2) == 1.0
    assert accuracy_of_means(Hesitant(), env, rollouts=3) == 0.0


def test_sampled_episodes_begin_at_places_of_their_own() -> None:
    begun = []

    class Noted(Hesitant):
        def predict(self, observation: Any, state: Any, starts: Any, **options: Any) -> Any:
            if starts.all():
                begun.append(observation["location"].tolist())
            return super().predict(observation, state, starts, **options)

    env = make_env(num_envs=NUM_ITEMS, start="random")
    accuracy_of_means(Noted(), env, rollouts=2)
    first, second = begun
    assert first != second


def test_ram_evaluate_tells_the_accuracy_of_the_mean_of_sampled_episodes(
    tiny_options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    train_main([*tiny_options, "--epochs", "1", "--run-dir", str(run)])
    evaluate_main([str(run), "--rollouts", "2"])
    told = capsys.readouterr().out.splitlines()[-1]
    tested = evaluate_best(RunFolder.open(run))
    torch.manual_seed(0)
    accuracy = accuracy_of_means(tested.agent, tested.env, 2)
    assert told == f"mean of 2 sampled episodes an image: {accuracy:.2%}"


def test_scores_of_scripted_gazes_are_of_the_same_agent_that_looks_by_the_script() -> None:
    class Particular(Oracle):
        """Is right where it looked where it wanted to; in the centre it says 0, elsewhere 1."""

        def predict(self, observation: Any, *arguments: Any, **options: Any) -> Any:
            action, taken = super().predict(observation, *arguments, **options)
            x = observation["location"][:, 0]
            wanted = np.isclose(x, 0.1 * (taken - 1))
            otherwise = np.where(x == 0, 0, 1)
            return {**action, "label": np.where(wanted, action["label"], otherwise)}, taken

    env = make_env(NUM_ITEMS)
    scores = score(Particular(), env, evaluate(Particular(), env))
    # Of ten items four are of class 0, three of class 1.
    assert scores["accuracy_by_gaze"] == {"own": 1.0, "random": 0.3, "center": 0.4}


def test_scores_of_very_many_classes_have_no_table_of_their_square() -> None:
    env = make_env(NUM_ITEMS)
    evaluation = evaluate(Oracle(), env)
    for num_classes, has_table in ((1000, True), (2**20, False)):
        scores = score(Oracle(), env, dataclasses.replace(evaluation, num_classes=num_classes))
        assert (scores["confusion"] is not None) == has_table
        assert len(scores["accuracy_by_class"]) == num_classes
        describe(scores)


def test_scores_are_told_to_a_person() -> None:
    scores = {
        "split": "test",
        "num_images": 1000,
        "accuracy": 0.9,
        "confidence_interval_95": [0.88, 0.917],
        "accuracy_after_glimpses": [0.5, 0.9],
        "accuracy_by_gaze": {"own": 0.9, "random": 0.4},
        "accuracy_by_class": [1.0, 0.8, None],
        "confusion": [[500, 0, 0, 0], [30, 400, 50, 20], [0, 0, 0, 0]],
    }
    lines = [line.rstrip() for line in describe(scores).splitlines()]
    assert lines[0] == (
        "test accuracy: 90.00% of 1,000 images (95% confidence interval 88.00% to 91.70%), "
        "error: 10.00%"
    )
    assert [line.split() for line in lines[1:] if line] == [
        ["after", "glimpse", "1", "2"],
        ["50.00%", "90.00%"],
        ["gaze", "own", "random"],
        ["90.00%", "40.00%"],
        ["class", "0", "1", "2"],
        ["100.00%", "80.00%", "-"],
        [
            "confusion",
            "(rows:",
            "true",
            "class,",
            "columns:",
            "answer,",
            "the",
            "last:",
            "no",
            "answer)",
        ],
        ["0", "1", "2", "-"],
        ["0", "500", "0", "0", "0"],
        ["1", "30", "400", "50", "20"],
        ["2", "0", "0", "0", "0"],
    ]


@pytest.mark.parametrize("env", CLASSIFICATION_ENVIRONMENTS)
def test_what_is_played_can_be_told_without_playing(env: str) -> None:
    task = TaskConfig(env=env, num_glimpses=2)
    told, played = (
        evaluation_task(task, "val", grid_size=3),
        evaluation_env(task, "val", grid_size=3),
    )
    assert dataclasses.asdict(told) == dataclasses.asdict(played.task)


def test_a_mean_of_no_episodes_is_refused() -> None:
    with pytest.raises(ValueError, match="rollouts=0"):
        accuracy_of_means(Hesitant(), make_env(num_envs=NUM_ITEMS), rollouts=0)


def test_who_has_no_probabilities_has_no_mean_of_them_and_plays_nothing() -> None:
    class Untouched(Sampled):
        def predict(self, *_: Any, **__: Any) -> Any:
            raise AssertionError("it is asked for an action")

    with pytest.raises(ValueError, match=r"rollouts=2 .* Untouched has none; .*Reinforce"):
        accuracy_of_means(Untouched(), make_env(num_envs=NUM_ITEMS), rollouts=2)


def test_ram_evaluate_refuses_rollouts_before_anything_is_played_or_written(
    tiny_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sb3_contrib")
    from experiments.recurrent_ppo_trainer import RecurrentPPOTrainer

    agent = RecurrentPPOHyperparameters(
        n_steps=3, n_minibatches=1, grid_size=3, lstm_hidden_size=4, image_hidden_size=4
    )
    task = TaskConfig(dataset=str(tiny_npz), num_glimpses=3, patch_size=4)
    config = TrainConfig(task=task, agent=agent, batch_size=5)
    run = RunFolder.create(tmp_path / "run", name="run", config=config)
    RecurrentPPOTrainer.start(run, config).write_model(run.best)
    with pytest.raises(ValueError, match=r"rollouts=3 .* RecurrentPPO has none"):
        evaluate_main([str(run.path), "--rollouts", "3"])
    assert capsys.readouterr().out == ""
    assert not run.scores.exists()


def test_an_agent_that_returns_no_state_is_told_what_predict_must_return() -> None:
    class ActionsAlone(Oracle):
        def predict(self, *arguments: Any, **keywords: Any) -> Any:
            return super().predict(*arguments, **keywords)[0]

    with pytest.raises(
        ValueError, match=r"must return \(actions, state\).*ActionsAlone returned {'"
    ):
        evaluate(ActionsAlone(), make_env(4))


def test_what_is_no_agent_is_named() -> None:
    with pytest.raises(ValueError, match=r"agent=None has no method predict\(observation, state"):
        evaluate(None, make_env(4))  # type: ignore[arg-type]


def test_an_agent_is_tested_on_arrays_as_the_error_says() -> None:
    images, labels = np.zeros((9, 8, 8), np.uint8), np.arange(9) % 3
    task = TaskConfig(env="ram_env/MNIST-v0", dataset=(images, labels))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no test set of its own") as error:
        evaluation_env(task, "test")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600
    told = str(error.value).partition("arrays is ")[2]
    names = {"evaluate": evaluate, "gymnasium": gym, "agent": Oracle()}
    evaluation = eval(told, {**names, "images": images, "labels": labels})
    assert evaluation.labels.tolist() == labels.tolist()


@pytest.mark.parametrize(
    "env",
    [
        lambda: gym.make("ram_env/MNIST-v0"),
        lambda: gym.make_vec("ram_env/MNIST-v0", num_envs=2, vectorization_mode="sync"),
        lambda: gym.make_vec("ram_env/Catch-v0", num_envs=2),
        lambda: VectorWrapper(gym.make_vec("ram_env/MNIST-v0", num_envs=2)),  # it might matter
    ],
)
def test_what_has_no_items_to_visit_is_refused_with_what_to_do(env: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match=r"no GlimpseVectorEnv.*make_vec"):
        evaluate(Oracle(), env())
