"""`ram evaluate`: how good an agent is on every item of a split, one deterministic episode each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, cast

import gymnasium as gym
import numpy as np
import torch
import tyro
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from agents.base import Agent, AgentWithProbabilities, ask, ask_probabilities
from agents.gaze import Gaze, RandomGaze, WithGaze, center_gaze
from agents.hyperparameters import Device
from experiments.config import TaskConfig
from experiments.run_folder import RunFolder, write_json
from experiments.saved_agents import is_pretrained, load_best, open_run
from ram_env import CLASSIFICATION_ENVIRONMENTS, GlimpseTask, GlimpseVectorEnv, __version__
from ram_env.action_formats import NO_ANSWER
from ram_env.datasets import official_splits
from ram_env.episodes import Observation
from ram_env.validation import brief, require_integer

EVALUATION_ENVS = 500
MAX_CLASSES_TOLD = 20
MAX_CLASSES_OF_CONFUSION = 1000
Z_95 = 1.959963984540054  # the normal distribution's 97.5 % quantile


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One episode of every item of a split, in the items' order.

    Attributes:
        labels: True classes, int64 `(N,)`.
        predictions: The answers, int64 `(N,)`, -1 where none was given.
        answers_after: The class that the agent would have named after each glimpse, int64
            `(N, T)`; -1 where it named none, or had answered already.
        locations: Where it looked, float32 `(N, T, 2)`; NaN where it had answered already.
        probabilities: Probability of each class at the answer, `(N, K)`; None for agents without
            `class_probabilities`.
        num_classes: K.
    """

    labels: NDArray[np.int64]
    predictions: NDArray[np.int64]
    answers_after: NDArray[np.int64]
    locations: NDArray[np.float32]
    probabilities: NDArray[np.float64] | None
    num_classes: int

    @property
    def accuracy(self) -> float:
        """The fraction of right answers."""
        return float(np.mean(self.predictions == self.labels))

    @property
    def confidence_interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the accuracy."""
        return wilson_interval(int(np.sum(self.predictions == self.labels)), len(self.labels))

    @property
    def cross_entropy(self) -> float:
        """Mean negative log-probability of the true class at the answer; NaN without it."""
        if self.probabilities is None:
            return math.nan
        right = self.probabilities[np.arange(len(self.labels)), self.labels]
        return float(-np.log(np.maximum(right, np.finfo(np.float32).tiny)).mean())

    @property
    def accuracy_after_glimpses(self) -> list[float]:
        """The accuracy if the answer had been due after each glimpse, T numbers.

        An answer that ended the episode stands.
        """
        ended = np.isnan(self.locations[..., 0])
        answers = np.where(ended, self.predictions[:, None], self.answers_after)
        accuracies: list[float] = (answers == self.labels[:, None]).mean(axis=0).tolist()
        return accuracies

    @property
    def confusion(self) -> NDArray[np.int64]:
        """How often class row was called class column, `(K, K + 1)`; the last is no answer."""
        counts = np.zeros((self.num_classes, self.num_classes + 1), np.int64)
        np.add.at(counts, (self.labels, self.predictions), 1)  # -1 is the last column
        return counts

    @property
    def accuracy_by_class(self) -> list[float | None]:
        """The accuracy on the items of each class, None for a class without items."""
        totals = np.bincount(self.labels, minlength=self.num_classes)
        right = np.bincount(self.labels[self.labels == self.predictions], minlength=len(totals))
        return [hits / total if total else None for hits, total in zip(right, totals, strict=True)]


def wilson_interval(successes: float, trials: int) -> tuple[float, float]:
    """Returns the 95 % confidence interval of a proportion (Wilson 1927)."""
    proportion, z_squared = successes / trials, Z_95**2
    centre = proportion + z_squared / (2 * trials)
    spread = Z_95 * math.sqrt(proportion * (1 - proportion) / trials + z_squared / (4 * trials**2))
    scale = 1 + z_squared / trials
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def make_env(
    task: TaskConfig, split: str, *, num_envs: int, autoreset_mode: AutoresetMode, **options: Any
) -> GlimpseVectorEnv:
    """Returns the environments of a task on a split; `options` override the task's own."""
    env = gym.make_vec(
        task.env,
        num_envs=num_envs,
        split=split,
        autoreset_mode=autoreset_mode,
        **{**task.options, **options},
    )
    return cast(GlimpseVectorEnv, env.unwrapped)


def evaluation_task(task: TaskConfig, split: str, **options: Any) -> GlimpseTask:
    """Returns what is played in the environments to evaluate on, without making any.

    Raises:
        ValueError: As `evaluation_env`.
    """
    _require_test_set(task)
    own = CLASSIFICATION_ENVIRONMENTS[task.env]
    return GlimpseTask.from_options({**own, **task.options, "split": split, **options})


def evaluation_env(task: TaskConfig, split: str, **options: Any) -> GlimpseVectorEnv:
    """Returns the environments to evaluate on.

    Raises:
        ValueError: The data set has no such split of its own, or an option is not allowed.
    """
    _require_test_set(task)
    mode = AutoresetMode.NEXT_STEP
    return make_env(task, split, num_envs=EVALUATION_ENVS, autoreset_mode=mode, **options)


def _require_test_set(task: TaskConfig) -> None:
    if not official_splits(task.dataset):
        raise ValueError(
            f"dataset={brief(task.dataset)} has no test set of its own to report on; training and "
            "evaluation need x_train, y_train, x_test and y_test, or a folder of IDX files; what "
            f"tests an agent on arrays is evaluate(agent, gymnasium.make_vec({task.env!r}, "
            f"num_envs={EVALUATION_ENVS}, split='test', dataset=(images, labels)))"
        )


def evaluate(
    agent: Agent, env: GlimpseVectorEnv, *, seed: int = 0, deterministic: bool = True
) -> Evaluation:
    """Plays one episode of every item of the environment's split.

    Args:
        agent: Whoever is to be judged; its class after each glimpse is what its action names.
        env: The environments, in the next-step autoreset mode.
        seed: Seed of the environments, which matters where an episode's start is random.
        deterministic: Whether the agent takes its likeliest actions; otherwise it samples them.

    Raises:
        ValueError: It is no `GlimpseVectorEnv`, or in another autoreset mode, or has other spaces
            than those the agent was made for; or the agent is none.
    """
    _require_visitable(env)
    require_spaces(agent, env)
    num_items, num_glimpses = len(env.task.items), env.task.num_glimpses
    has_probabilities = isinstance(agent, AgentWithProbabilities)
    evaluation = Evaluation(
        labels=env.task.items.labels,
        predictions=np.full(num_items, NO_ANSWER),
        answers_after=np.full((num_items, num_glimpses), NO_ANSWER),
        locations=np.full((num_items, num_glimpses, 2), np.nan, np.float32),
        probabilities=np.zeros((num_items, env.task.num_classes)) if has_probabilities else None,
        num_classes=env.task.num_classes,
    )
    for first in range(0, num_items, env.num_envs):
        index = np.arange(first, first + env.num_envs) % num_items
        counted = np.arange(env.num_envs) < num_items - first  # the last batch may be too long
        options = {"index": index}
        observation, _ = env.reset(seed=seed if first == 0 else None, options=options)
        _play(agent, env, observation, index, counted, evaluation, deterministic=deterministic)
    return evaluation


class Tested(NamedTuple):
    """The best model of a run, and what it does on a split.

    Attributes:
        agent: The model.
        env: The evaluation environments of the split.
        evaluation: What it did there.
    """

    agent: Agent
    env: GlimpseVectorEnv
    evaluation: Evaluation


def evaluate_best(run: RunFolder, *, split: str = "test", device: Device | None = None) -> Tested:
    """Plays one episode of a run's best model on every item of a split.

    Args:
        run: The run.
        split: `"test"` or `"val"`.
        device: Where the model is to run; None: as the run was configured.

    Raises:
        ValueError: There is no such model yet, or it is damaged; or the images, or the classes, of
            the data set are others in size or number than those it has learned from.
    """
    config = run.read_config()
    agent = load_best(run, device=device)
    env = evaluation_env(config.task, split, **config.agent.env_options)
    return Tested(agent, env, evaluate(agent, env))


def accuracy_of_means(agent: Agent, env: GlimpseVectorEnv, rollouts: int) -> float:
    """Returns the accuracy of class probabilities averaged over sampled episodes of each item.

    Args:
        agent: With `class_probabilities`; it samples from PyTorch's global generator.
        env: As in `evaluate`.
        rollouts: Episodes of each item.

    Raises:
        ValueError: The agent has no class probabilities, or there are no rollouts.
    """
    require_integer("rollouts", rollouts, at_least=1)
    _require_probabilities(agent, rollouts)
    total = np.zeros((len(env.task.items), env.task.num_classes))
    for rollout in range(rollouts):
        probabilities = evaluate(agent, env, seed=rollout, deterministic=False).probabilities
        assert probabilities is not None
        total += probabilities
    return float(np.mean(total.argmax(axis=1) == env.task.items.labels))


def _require_probabilities(agent: Agent, rollouts: int) -> None:
    """Raises a ValueError unless the agent has class probabilities to average."""
    if not isinstance(agent, AgentWithProbabilities):
        raise ValueError(
            f"rollouts={rollouts} averages class probabilities, and {type(agent).__name__} has "
            "none; those with a method class_probabilities have them: Reinforce, which is `ram "
            "train --agent reinforce`, and yours if you write one, see agents/base.py"
        )


def _play(
    agent: Agent,
    env: GlimpseVectorEnv,
    observation: Observation,
    index: NDArray[np.int64],
    running: NDArray[np.bool_],
    evaluation: Evaluation,
    *,
    deterministic: bool,
) -> None:
    """Plays one episode in each environment that is `running`, and fills in what it comes to."""
    steps = play_steps(agent, env, observation, deterministic=deterministic)
    for glimpse, step in enumerate(steps):
        seen, *_ = step.asked
        evaluation.locations[index[running], glimpse] = seen["location"][running]
        labels = env.task.actions.decode(step.action, (env.num_envs,)).label
        evaluation.answers_after[index[running], glimpse] = labels[running]
        ended = running & step.terminated
        if ended.any():
            evaluation.predictions[index[ended]] = step.info["prediction"][ended]
            if evaluation.probabilities is not None and isinstance(agent, AgentWithProbabilities):
                num_classes = evaluation.probabilities.shape[1]
                probabilities = ask_probabilities(agent, *step.asked, num_classes)
                evaluation.probabilities[index[ended]] = probabilities[ended]
        running = running & ~step.terminated


class Step(NamedTuple):
    """A step of a batch of episodes.

    Attributes:
        asked: What the agent was asked with: observations, its state, where an episode began.
        action: What it did.
        terminated: Which episodes that ended, bool `(num_envs,)`.
        info: What the environments say of it.
    """

    asked: tuple[Observation, Any, NDArray[np.bool_]]
    action: Any
    terminated: NDArray[np.bool_]
    info: dict[str, Any]


def play_steps(
    agent: Agent, env: VectorEnv[Any, Any, Any], observation: Observation, *, deterministic: bool
) -> Iterator[Step]:
    """Yields the steps until every environment has ended an episode.

    Args:
        agent: Who plays.
        env: The environments, reset.
        observation: What `reset` returned.
        deterministic: Whether to sample nothing.

    Raises:
        ValueError: The agent is none, or an action is not allowed.
    """
    state, starts = None, np.ones(env.num_envs, bool)
    running = np.ones(env.num_envs, bool)
    while running.any():
        asked = (observation, state, starts)
        action, state = ask(agent, *asked, deterministic=deterministic)
        observation, _, terminated, _, info = env.step(action)
        yield Step(asked, action, terminated, info)
        running = running & ~terminated
        starts = np.zeros(env.num_envs, bool)


def score(agent: Agent, env: GlimpseVectorEnv, learned: Evaluation) -> dict[str, Any]:
    """Returns the scores of an agent, and of the same classifier with scripted gazes, for JSON.

    Scripted gazes are for dict actions: an agent that looks or answers cannot do the one without
    the other.

    Args:
        agent: The agent.
        env: Evaluation environments.
        learned: The agent's evaluation there.
    """
    gazes: dict[str, Gaze] = {"random": RandomGaze(seed=0), "center": center_gaze}
    if env.task.action_format != "dict":
        gazes = {}
    few = learned.num_classes <= MAX_CLASSES_OF_CONFUSION  # it has the square of them
    confusion = learned.confusion.tolist() if few else None
    scripted = {name: evaluate(WithGaze(agent, gaze), env).accuracy for name, gaze in gazes.items()}
    return {
        "version": __version__,
        "split": env.task.split,
        "num_images": len(learned.labels),
        "accuracy": learned.accuracy,
        "confidence_interval_95": list(learned.confidence_interval),
        "accuracy_after_glimpses": learned.accuracy_after_glimpses,
        "accuracy_by_gaze": {"own": learned.accuracy, **scripted},
        "accuracy_by_class": learned.accuracy_by_class,
        "confusion": confusion,
    }


def _require_visitable(env: object) -> None:
    """Raises a ValueError unless every item of a split can be visited in the environments."""
    if not isinstance(env, GlimpseVectorEnv):
        raise ValueError(
            f"env={env} is no GlimpseVectorEnv, which has the items of a split to be visited; make "
            "one with gymnasium.make_vec('ram_env/MNIST-v0', num_envs=500, split='test'), and "
            "without wrappers: what they do is the agent's to do"
        )
    if env.autoreset_mode is not AutoresetMode.NEXT_STEP:
        raise ValueError(f"autoreset_mode={env.autoreset_mode.value!r} is not 'NextStep'")


def require_spaces(agent: Agent, env: VectorEnv[Any, Any, Any]) -> None:
    """Raises a ValueError where an agent tells what it was made for, and it is something else."""
    require_env = getattr(agent, "require_env", None)  # as Reinforce has it
    if require_env is not None:
        require_env(env)
    for name in ("observation_space", "action_space"):  # as SB3's have them
        made_for, found = getattr(agent, name, None), getattr(env, f"single_{name}")
        if made_for is not None and made_for != found:
            raise ValueError(f"the environment's {name} is {found}, the agent's {made_for}")


def describe(scores: dict[str, Any]) -> str:
    """Returns the scores as text for a person; those of many classes are left to programs."""
    low, high = scores["confidence_interval_95"]
    after = scores["accuracy_after_glimpses"]
    by_class = scores["accuracy_by_class"]
    classes = []
    if len(by_class) <= MAX_CLASSES_TOLD:
        classes = [
            _table("class", range(len(by_class)), by_class),
            "confusion (rows: true class, columns: answer, the last: no answer)",
            _confusion_table(scores["confusion"]),
        ]
    return "\n".join(
        [
            f"{scores['split']} accuracy: {scores['accuracy']:.2%} of {scores['num_images']:,} "
            f"images (95% confidence interval {low:.2%} to {high:.2%}), "
            f"error: {1 - scores['accuracy']:.2%}",
            "",
            _table("after glimpse", range(1, len(after) + 1), after),
            _table("gaze", scores["accuracy_by_gaze"], scores["accuracy_by_gaze"].values()),
            *classes,
        ]
    )


def _table(title: str, names: Iterable[Any], accuracies: Iterable[float | None]) -> str:
    """Returns two lines: what, and how accurate."""
    cells = [
        (str(name), "-" if accuracy is None else f"{accuracy:.2%}")
        for name, accuracy in zip(names, accuracies, strict=True)
    ]
    width = max(len(text) for cell in cells for text in cell) + 2
    heading = "".join(name.rjust(width) for name, _ in cells)
    return f"{title:<14}{heading}\n{'':<14}{''.join(text.rjust(width) for _, text in cells)}\n"


def _confusion_table(confusion: list[list[int]]) -> str:
    num_classes = len(confusion)
    width = max(len(str(count)) for row in confusion for count in row) + 2
    heading = "".join(str(name).rjust(width) for name in (*range(num_classes), "-"))
    rows = [
        f"{name:>6}" + "".join(str(count).rjust(width) for count in row)
        for name, row in enumerate(confusion)
    ]
    return "\n".join([" " * 6 + heading, *rows])


@dataclass(frozen=True)
class EvaluateCommand:
    """Evaluate a trained model: one deterministic episode for every image of a split."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder of the run, or pretrained:NAME for a model that came with the package."""
    split: Literal["test", "val"] = "test"
    """Which images; test is what to report, val what to choose by."""
    rollouts: int = 1
    """With more than one, also the accuracy of the mean over so many sampled episodes an image."""
    device: Device = "auto"
    """Where the model runs."""


def main(argv: Sequence[str] | None = None) -> None:
    """Runs `ram evaluate`."""
    command = tyro.cli(EvaluateCommand, prog="ram evaluate", args=argv)
    require_integer("rollouts", command.rollouts, at_least=1)
    run = open_run(command.run)
    if command.rollouts > 1:  # before all that is played and written
        _require_probabilities(load_best(run, device=command.device), command.rollouts)
    tested = evaluate_best(run, split=command.split, device=command.device)
    scores = score(*tested)
    print(describe(scores), flush=True)
    if not is_pretrained(command.run):
        path = run.scores if command.split == "test" else run.path / f"scores-{command.split}.json"
        write_json(path, scores)
    if command.rollouts > 1:
        torch.manual_seed(0)
        accuracy = accuracy_of_means(tested.agent, tested.env, command.rollouts)
        print(f"\nmean of {command.rollouts} sampled episodes an image: {accuracy:.2%}")
