"""`ram sweep`: searches a space of hyperparameters for the best validation accuracy.

Optuna proposes the trials, says which to stop early and keeps the ledger, `study.journal`, that
only this process writes; `launcher.py` runs them, here or by Ray. A trial is a folder with a run
for each seed, `trials/<number>/seed-<seed>`, which its training state lets go on wherever it was
killed. So what a sweep has done is all in its folder, and `--resume` goes on from there, here or
on any cluster. The test images are never looked at.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import optuna
import tyro
from optuna.distributions import distribution_to_json
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from agents.base import LearningDivergedError
from agents.files import digest_of
from experiments.algorithms import go_on_or_start
from experiments.config import TrainConfig
from experiments.launcher import (
    SOME_FAILED,
    Numbers,
    Report,
    Workers,
    last_line,
    launch,
)
from experiments.run_folder import (
    RunFolder,
    differences,
    is_unused,
    read_json,
    sole_driver,
    write_json,
    write_text,
)
from experiments.space import SEED, Point, Space, read_space
from experiments.sweep_results import Result, as_markdown, write_results
from ram_env.validation import require_integer, require_positive

# How far a trial has come, an attribute of Optuna's: seed, epoch, seconds of training so far.
REACHED = "reached"
NOTHING_REACHED = [0, 0, 0.0]
SECONDS_PER_HOUR = 3600
# What a trial leaves that has diverged.
DIVERGED = "diverged.txt"
# After so many the fault is not the points': a device that is not there, a disk that is full.
MOST_FAILURES_IN_A_ROW = 10
ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


@dataclass(frozen=True, kw_only=True)
class SweepCommand(Workers):
    """Search for hyperparameters: the best validation accuracy, mean over seeds.

    Writes a table of all trials, charts, TensorBoard logs, and the best configuration as a file
    for `ram train --preset`. A trial that fails is reported, and the rest goes on; one whose
    learning diverges counts as a bad one.
    """

    space: Annotated[Path, tyro.conf.Positional]
    """YAML file: `preset: NAME`, and under `space` fields of the configuration by their dotted
    names, each with a list of choices or a range {low: ..., high: ..., log: true}."""
    search: Literal["grid", "random", "tpe"] = "tpe"
    """Every point of a grid, points at random, or Bayesian: Optuna's tree-structured Parzen
    estimator."""
    trials: int | None = None
    """How many points, with those that an earlier call has run; None: the whole grid, or until
    --max-hours are over."""
    max_hours: float | None = None
    """Begin no more trials after so many hours, and stop those that run after their epoch."""
    seeds: int = 1
    """How many seeds, from 0 on, each point is trained with."""
    search_seed: int = 0
    """Seed of the search."""
    early_stopping: Literal["none", "asha"] = "none"
    """Whether trials that lag behind are stopped: asha, asynchronous successive halving."""
    grace_epochs: int = 1
    """Epochs that asha leaves every trial."""
    reduction: int = 3
    """Of the trials that come so far, asha lets the best 1 in this many go on to as many times
    the epochs."""
    folder: Path = Path("runs/sweep")
    """Where the trials and the results go."""
    resume: bool = False
    """Go on with the sweep in the folder: what has ended is not run again."""

    def __post_init__(self) -> None:
        """Checks the values."""
        super().__post_init__()
        for name, least in (
            ("seeds", 1),
            ("search_seed", 0),
            ("grace_epochs", 1),
            ("reduction", 2),
        ):
            require_integer(name, getattr(self, name), at_least=least)
        if self.trials is not None:
            require_integer("trials", self.trials, at_least=1)
        if self.max_hours is not None:
            require_positive("max_hours", self.max_hours)
        if self.search != "grid" and self.trials is None and self.max_hours is None:
            raise ValueError(
                f"--search {self.search} has no end of its own: give --trials, --max-hours or both"
            )

    def plan(self, space: Space) -> dict[str, Any]:
        """Returns all that must not change when the sweep goes on, for JSON."""
        names = ("search", "seeds", "search_seed", "early_stopping", "grace_epochs", "reduction")
        return {
            "base": space.base.to_json(),
            "data": {str(path): digest_of(path) for path in space.datasets},
            "space": {name: distribution_to_json(values) for name, values in space.fields.items()},
            **{name: getattr(self, name) for name in names},
        }


@dataclass(frozen=True)
class Trial:
    """One point of the space, to be trained: the job that goes to a worker.

    Attributes:
        number: Its number in the sweep.
        folder: Where its runs are.
        space: What is searched.
        point: Its place in that.
        seeds: How many seeds it is trained with.
    """

    number: int
    folder: Path
    space: Space
    point: Point
    seeds: int

    def __str__(self) -> str:
        return f"trial {self.number}"

    def config(self, seed: int) -> TrainConfig:
        """Returns what to train; a ValueError if its values do not go together."""
        return self.space.config_at({**self.point, SEED: seed})

    @property
    def runs(self) -> list[Path]:
        """The folders of its seeds' runs."""
        return [self.folder / f"seed-{seed}" for seed in range(self.seeds)]


def run_trial(trial: Trial, report: Report) -> None:
    """Trains a trial's seeds one after another, from where they are, and reports every epoch.

    If learning diverges, the trial is at its end, and says why in `DIVERGED`.
    """
    for seed, folder in enumerate(trial.runs):
        trainer = go_on_or_start(folder, trial.config(seed))
        progress = _Reports(seed, report)
        for row in trainer.rows:  # those that nobody heard of, as the process died, among them
            progress.on_epoch(row)
        if not trainer.is_finished:
            try:
                trainer.train(progress)
            except LearningDivergedError as error:
                write_text(trial.folder / DIVERGED, f"seed {seed}: {error}\n")
                return


class _Reports:
    """Reports the epochs of a run, with the seconds since the one before."""

    def __init__(self, seed: int, report: Report) -> None:
        self._seed = seed
        self._report = report
        self._began = time.perf_counter()

    def on_update(self, loss: float, reward: float) -> None:
        """Says nothing."""

    def on_epoch(self, row: dict[str, float]) -> None:
        """Reports an epoch."""
        seconds = time.perf_counter() - self._began
        self._began = time.perf_counter()
        epoch = {"epoch": row["epoch"], "val_accuracy": row["val_accuracy"]}
        self._report({"seed": self._seed, **epoch, "seconds": seconds})


class Sweep:
    """The trials of a sweep, as the launcher's jobs.

    Args:
        folder: Where it is, or is to be.
        space: What is searched.
        command: How.

    Raises:
        ValueError: The folder holds a sweep that is not to be gone on with, or none, or another;
            or the space has no grid.
    """

    def __init__(self, folder: Path, space: Space, command: SweepCommand) -> None:
        self.folder = folder
        self.space = space
        self.command = command
        grid = list(space.grid()) if command.search == "grid" else None
        _keep_plan(folder / "sweep.json", command.plan(space), resume=command.resume)
        self.study = _open_study(folder, command)
        if grid is not None:
            self._enqueue(grid)
        # Of these Optuna gives the records alone; a trial to report to is made of its private id.
        self._left = [
            optuna.trial.Trial(self.study, trial._trial_id)
            for trial in self._frozen(TrialState.RUNNING)
        ]
        self._open: dict[int, optuna.trial.Trial] = {}
        self._failures_in_a_row = 0
        hours = command.max_hours
        self._deadline = math.inf if hours is None else time.time() + hours * SECONDS_PER_HOUR
        self._limit = command.trials or (len(grid) if grid is not None else math.inf)

    # --- the launcher's jobs ------------------------------------------------------------------

    def next(self) -> Trial | None:
        """Returns a trial that was being run when the sweep was stopped, or else a new one."""
        if time.time() >= self._deadline or self.gave_up:
            return None
        if self._left:
            trial = self._left.pop(0)
            self._propose_the_rest(trial)
        elif self._begun < self._limit and self._has_points:
            # A sampler for each trial: what it proposes depends on the trial's number, and on
            # what has ended by then, but not on whether the sweep was stopped in between.
            self.study.sampler = _sampler(self.command, self._begun)
            trial = self.study.ask(self.space.fields)
        else:
            return None
        self._open[trial.number] = trial
        return self._job(trial.number, trial.params)

    def _propose_the_rest(self, trial: optuna.trial.Trial) -> None:
        """Has Optuna propose what it had not yet, of a trial in whose proposal it was killed.

        What it had drawn is drawn once more, for nothing, so that the rest is what it would have
        been.
        """
        sampler = self.study.sampler = _sampler(self.command, trial.number)
        for name, values in self.space.fields.items():
            if name not in trial.params:
                trial._suggest(name, values)
            elif not values.single():  # of a single choice there is nothing to draw
                sampler.sample_independent(self.study, self._frozen_at(trial.number), name, values)

    def on_report(self, job: Trial, progress: Numbers) -> bool:
        """Takes down an epoch, once, and returns whether there may be another.

        Of several seeds the first decides: only a trial that it brings to the end is given others.
        """
        trial, record = self._open[job.number], self._frozen_at(job.number)
        seed, epoch = int(progress["seed"]), int(progress["epoch"])
        epochs = job.config(seed).epochs
        *reached, seconds = record.user_attrs.get(REACHED, NOTHING_REACHED)
        if [seed, epoch] > reached:
            trial.set_user_attr(REACHED, [seed, epoch, seconds + progress["seconds"]])
            if seed == 0:
                best = max([*record.intermediate_values.values(), progress["val_accuracy"]])
                trial.report(best, epoch)
                if epoch < epochs and trial.should_prune():
                    self.study.tell(trial, state=TrialState.PRUNED)
                    self._say(job, f"stopped early, {best:.2%} after epoch {epoch}")
                    self._failures_in_a_row = 0
                    del self._open[job.number]  # no more is heard of it
                    return False
        is_last = seed == job.seeds - 1 and epoch >= epochs  # and it has ended, in time or not
        return is_last or time.time() < self._deadline

    def on_end(self, job: Trial, failure: str | None) -> None:
        """Takes down how a trial ended."""
        trial = self._open.pop(job.number)
        if failure is not None:
            write_text(job.folder / "failure.txt", failure)
            self.study.tell(trial, state=TrialState.FAIL)
            self._failures_in_a_row += 1
            self._say(job, f"failed: {last_line(failure)}")
            return
        self._failures_in_a_row = 0
        result = self._result(self._frozen_at(job.number))
        if result.has_diverged:
            # Not as a failure, which Optuna's sampler would forget, and come back to.
            self.study.tell(trial, state=TrialState.PRUNED)
            self._say(job, (job.folder / DIVERGED).read_text().strip())
            return
        self.study.tell(trial, result.val_accuracy)
        self._say(job, f"{result.val_accuracy:.2%} of the validation images")

    # --- what there is ------------------------------------------------------------------------

    @property
    def gave_up(self) -> bool:
        """Whether so many trials have failed, one after the other, that others would fail, too."""
        return self._failures_in_a_row >= MOST_FAILURES_IN_A_ROW

    @property
    def failed(self) -> list[int]:
        """The numbers of the trials that failed."""
        return [trial.number for trial in self._frozen(TrialState.FAIL)]

    def results(self) -> list[Result]:
        """Returns what every trial that was begun has come to."""
        return [self._result(trial) for trial in self._frozen(TrialState.RUNNING, *ENDED)]

    def summary(self) -> str:
        """Returns how far the sweep is."""
        ended, running = len(self._frozen(*ENDED)), len(self._frozen(TrialState.RUNNING))
        limit = "" if self._limit == math.inf else f" of {self._limit}"
        return f"{self.folder}: {ended}{limit} trials have ended, {running} are to go on"

    def _result(self, record: FrozenTrial) -> Result:
        job = self._job(record.number, record.params)
        try:
            runs = [RunFolder(path).read_metrics() for path in job.runs]
        except ValueError as error:  # of a trial that has ended: all others have results
            print(f"{job}: {error}", file=sys.stderr)
            runs = []
        return Result(
            number=record.number,
            state=record.state,
            has_diverged=(job.folder / DIVERGED).exists(),
            point=record.params,
            accuracies=[[row["val_accuracy"] for row in rows] for rows in runs if rows],
            seconds=record.user_attrs.get(REACHED, NOTHING_REACHED)[-1],
        )

    def _job(self, number: int, point: Point) -> Trial:
        folder = self.folder.resolve() / "trials" / str(number)
        return Trial(number, folder, self.space, point, self.command.seeds)

    @property
    def _begun(self) -> int:
        return len(self._frozen(TrialState.RUNNING, *ENDED))

    @property
    def _has_points(self) -> bool:
        return self.command.search != "grid" or bool(self._frozen(TrialState.WAITING))

    def _frozen(self, *states: TrialState) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=states)

    def _enqueue(self, grid: Sequence[Point]) -> None:
        """Has Optuna propose these, each once, also if it was killed here before.

        Optuna's GridSampler cannot be told of the last result where trials are asked for.
        """
        for point in grid[len(self.study.get_trials(deepcopy=False)) :]:
            self.study.enqueue_trial(point)

    def _say(self, job: Trial, what: str) -> None:
        point = ", ".join(f"{name}={value}" for name, value in job.point.items())
        ended = len(self._frozen(*ENDED))
        print(f"[{ended} ended] {job}: {what} ({point})", file=sys.stderr, flush=True)

    def _frozen_at(self, number: int) -> FrozenTrial:
        return self.study.get_trials(deepcopy=False)[number]


def _keep_plan(path: Path, plan: dict[str, Any], *, resume: bool) -> None:
    """Writes down what is searched and how, or checks that it is still the same."""
    if not resume:
        if path.exists():
            raise ValueError(f"--folder {path.parent} holds a sweep: go on with it by --resume")
        if not is_unused(path.parent):
            raise ValueError(f"--folder {path.parent} is not an empty folder; give a new one")
        write_json(path, plan)
        return
    if not path.exists():
        raise ValueError(f"--folder {path.parent} holds no sweep to go on with")
    plan = json.loads(json.dumps(plan))  # which makes lists of tuples
    for name, before, now in differences(_read_plan(path), plan):
        raise ValueError(
            f"the sweep in {path.parent} was begun with {name}={before}, it cannot go on "
            f"with {now}; give another --folder"
        )


def _read_plan(path: Path) -> dict[str, Any]:
    """Returns what was written down; fields that there were not then have their defaults."""
    plan = read_json(path)
    try:
        base = TrainConfig.from_json(plan["base"])
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path} does not hold what a sweep searches: {error}") from error
    return {**plan, "base": json.loads(json.dumps(base.to_json()))}


def _open_study(folder: Path, command: SweepCommand) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
    if command.early_stopping == "asha":
        pruner = optuna.pruners.SuccessiveHalvingPruner(
            min_resource=command.grace_epochs, reduction_factor=command.reduction
        )
    journal = folder / "study.journal"
    _cut_half_line(journal)
    return optuna.create_study(
        study_name="sweep",
        storage=optuna.storages.JournalStorage(JournalFileBackend(str(journal))),
        direction="maximize",
        pruner=pruner,
        load_if_exists=True,
    )


def _cut_half_line(path: Path) -> None:
    """Cuts off what a driver that was killed has half written, to which Optuna would append."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        contents = file.read()
        file.truncate(contents.rfind(b"\n") + 1)


def _sampler(command: SweepCommand, number: int) -> optuna.samplers.BaseSampler:
    """Returns what proposes a trial, by its number."""
    (seed,) = np.random.SeedSequence([command.search_seed, number]).generate_state(1)
    if command.search == "tpe":
        # Trials that still run count as bad ones, so that those side by side are not alike.
        return optuna.samplers.TPESampler(seed=int(seed), constant_liar=True)
    return optuna.samplers.RandomSampler(seed=int(seed))


def main(argv: Sequence[str] | None = None) -> None:
    """Runs `ram sweep`."""
    command = tyro.cli(SweepCommand, prog="ram sweep", args=argv)
    space = read_space(command.space)
    with sole_driver(command.folder):
        _run(command, space)


def _run(command: SweepCommand, space: Space) -> None:
    sweep = Sweep(command.folder, space, command)
    print(sweep.summary(), file=sys.stderr)
    try:
        launch(sweep, run_trial, command)
    except KeyboardInterrupt:
        print("stopped; the same command with --resume goes on", file=sys.stderr)
        raise
    finally:
        results = sweep.results()
        write_results(command.folder, sweep.space, sweep.study, results)
    print(as_markdown(sweep.space, results))
    print(sweep.summary(), file=sys.stderr)
    print(f"{command.folder}: " + ", ".join(sorted(path.name for path in command.folder.iterdir())))
    if sweep.gave_up:
        print(
            f"gave up after {MOST_FAILURES_IN_A_ROW} failures in a row; --resume goes on with the "
            "points that are left",
            file=sys.stderr,
        )
    if sweep.failed:
        numbers = ", ".join(map(str, sweep.failed))
        print(f"failed, see trials/*/failure.txt: {numbers}", file=sys.stderr)
        sys.exit(SOME_FAILED)
