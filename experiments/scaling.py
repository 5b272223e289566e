"""How sweeps and benchmarks scale: what a job costs besides its work, and what it leaves on disk.

`python -m experiments.scaling` measures that here and works out the load of many machines; what
came out is in `docs/scaling.md`. Learning and the ledger are measured in seconds of the
processor, so that other programs on the same cores do not count; launching and writing, by the
clock.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tyro

from experiments.algorithms import find_trainer
from experiments.launcher import Numbers, Report, Workers, launch, using_threads
from experiments.presets import find_preset
from experiments.run_folder import RunFolder
from experiments.space import parse_space
from experiments.sweep import Sweep, SweepCommand, Trial
from experiments.tables import markdown_table

EMPTY_JOBS = 40
BUSY_JOBS_EACH = 4  # for each of the workers
PRODUCTS = 300  # of a busy job, of matrices of this side
SIDE = 384
EPOCHS_OF_A_TRIAL = 10
LEDGERS = (10, 300, 1000)  # trials that a ledger has when another is added
MACHINES = (10, 100, 1000)
FILES_PER_EPOCH = 4  # state, best model, metrics, TensorBoard
CORES = 16  # of each of these machines, a trial on each core


class _Timed:
    """So many jobs, and when each ended."""

    def __init__(self, count: int) -> None:
        self._left = list(range(count))
        self.ends: list[float] = []

    def next(self) -> int | None:
        """Returns the next job."""
        return self._left.pop(0) if self._left else None

    def on_report(self, job: int, progress: Numbers) -> bool:
        """Lets it go on."""
        return True

    def on_end(self, job: int, failure: str | None) -> None:
        """Notes the time."""
        assert failure is None, failure
        self.ends.append(time.perf_counter())


class Launch(NamedTuple):
    """What launching costs.

    Attributes:
        start: Seconds until the first job has ended, which does nothing.
        each: Seconds for each further job.
    """

    start: float
    each: float


def nothing(_job: int, _report: Report) -> None:
    """A job without work."""


def multiply(job: int, _report: Report) -> None:
    """A job that keeps one core busy."""
    matrix = np.random.default_rng(job).normal(size=(SIDE, SIDE)) / math.sqrt(SIDE)
    product = matrix
    for _ in range(PRODUCTS):
        product = product @ matrix
        product /= np.abs(product).max()


def measure_launch(place: Workers) -> Launch:
    """Returns what jobs cost that do nothing."""
    jobs, began = _Timed(EMPTY_JOBS), time.perf_counter()
    launch(jobs, nothing, place)
    first, *_, last = jobs.ends
    return Launch(first - began, (last - first) / (EMPTY_JOBS - 1))


def measure_busy(place: Workers) -> float:
    """Returns jobs a second, from the first end to the last, of those that keep a core busy."""
    side_by_side = place.workers or 1
    jobs = _Timed(BUSY_JOBS_EACH * side_by_side)
    launch(jobs, multiply, place)
    return (len(jobs.ends) - side_by_side) / (jobs.ends[-1] - jobs.ends[side_by_side - 1])


class Epoch(NamedTuple):
    """What an epoch of a run takes and leaves.

    Attributes:
        seconds: Of the processor, on one core.
        checkpoint_seconds: To write what follows, until it is on the disk.
        state_bytes: The training state, after every epoch.
        model_bytes: The model, after each epoch that is the best so far.
    """

    seconds: float
    checkpoint_seconds: float
    state_bytes: int
    model_bytes: int


def measure_epoch(preset: str, folder: Path) -> Epoch:
    """Returns what an epoch of a preset costs, validation and checkpoints included."""
    config = replace(find_preset(preset), epochs=1)
    run = RunFolder.create(folder, name=preset, config=config)
    trainer = find_trainer(config).start(run, config)
    with using_threads(1):
        began = time.process_time()
        trainer.train(_Silent())
        seconds = time.process_time() - began
    began = time.perf_counter()
    trainer.write_training_state(run.latest)
    trainer.write_model(run.best)
    checkpoint_seconds = time.perf_counter() - began
    state, model = (path.stat().st_size for path in (run.latest, run.best))
    return Epoch(seconds, checkpoint_seconds, state, model)


class _Silent:
    """Tells nobody."""

    def on_update(self, loss: float, reward: float) -> None:
        """Says nothing."""

    def on_epoch(self, row: dict[str, float]) -> None:
        """Says nothing."""


def measure_ledger(trials: int, folder: Path) -> float:
    """Returns the driver's seconds for one more trial of `EPOCHS_OF_A_TRIAL`, after so many."""
    space = parse_space(
        find_preset("fglab"),
        {"agent.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "epochs": [10]},
    )
    command = SweepCommand(space=Path(), search="random", trials=trials + 3, folder=folder)
    sweep = Sweep(folder, space, command)
    for _ in range(trials):
        sweep.study.tell(sweep.study.ask(space.fields), 0.5)
    began = time.process_time()
    for _ in range(3):
        job = sweep.next()
        assert job is not None
        _pretend(sweep, job)
    return (time.process_time() - began) / 3


def _pretend(sweep: Sweep, job: Trial) -> None:
    """Tells of a trial's epochs, and leaves the metrics that its run would."""
    rows = []
    for epoch in range(1, EPOCHS_OF_A_TRIAL + 1):
        rows.append({"epoch": float(epoch), "timesteps": 0.0, "val_accuracy": 0.5})
        sweep.on_report(job, {"seed": 0, "seconds": 1.0, **rows[-1]})
    RunFolder(job.runs[0]).write_metrics(rows)
    sweep.on_end(job, None)


class Load(NamedTuple):
    """What machines do, and ask of what they share.

    Attributes:
        machines: How many.
        trials_per_hour: Trials that end.
        driver: How busy the driver's process is; above 1, it is what all wait for.
        megabytes_per_second: Checkpoints written to the shared storage.
        files_per_second: Files written there.
    """

    machines: int
    trials_per_hour: float
    driver: float
    megabytes_per_second: float
    files_per_second: float


def load_of(
    machines: int, epoch: Epoch, *, epochs: int, launch_seconds: float, driver_seconds: float
) -> Load:
    """Returns the load of machines with `CORES` trials each, side by side.

    Args:
        machines: How many.
        epoch: An epoch of a trial, one core.
        epochs: Of a trial.
        launch_seconds: What a trial costs its worker besides.
        driver_seconds: What it costs the driver.
    """
    trials_per_second = machines * CORES / (epochs * epoch.seconds + launch_seconds)
    epochs_per_second = trials_per_second * epochs
    written = epoch.state_bytes + epoch.model_bytes
    return Load(
        machines,
        trials_per_hour=3600 * trials_per_second,
        driver=trials_per_second * driver_seconds,
        megabytes_per_second=epochs_per_second * written / 1e6,
        files_per_second=epochs_per_second * FILES_PER_EPOCH,
    )


@dataclass(frozen=True, kw_only=True)
class ScalingCommand:
    """Measure what sweeps cost besides training, and work out what many machines would."""

    preset: str = "fglab"
    """What the trials train."""
    workers: int = 2
    """How many side by side on this machine's cores."""


def main(argv: Sequence[str] | None = None) -> None:
    """Measures, and prints what came out as Markdown."""
    command = tyro.cli(ScalingCommand, prog="python -m experiments.scaling", args=argv)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        epoch = measure_epoch(command.preset, folder / "run")
        print(f"an epoch of {command.preset}: {epoch}", flush=True)
        driver = {trials: measure_ledger(trials, folder / str(trials)) for trials in LEDGERS}
    for trials, seconds in driver.items():
        print(f"driver, trial {trials} of {EPOCHS_OF_A_TRIAL} epochs: {1000 * seconds:.1f} ms")
    launches = _measure_launches(command.workers)
    work_out = partial(
        load_of,
        epoch=epoch,
        epochs=EPOCHS_OF_A_TRIAL,
        launch_seconds=launches,
        driver_seconds=driver[LEDGERS[-1]],
    )
    columns = ("machines", "trials/h", "driver busy", "checkpoints (MB/s)", "files/s")
    rows = [
        (
            f"{load.machines:,}",
            f"{load.trials_per_hour:,.0f}",
            f"{load.driver:.1%}",
            f"{load.megabytes_per_second:,.1f}",
            f"{load.files_per_second:,.0f}",
        )
        for load in map(work_out, MACHINES)
    ]
    print(f"\n{markdown_table(columns, rows, text_columns=0)}")


def _measure_launches(workers: int) -> float:
    """Prints what launching costs, and returns what each trial does with all workers."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    here = Workers(threads=1)
    one, many = Workers(workers=1, threads=1), Workers(workers=workers, threads=1)
    rows = []
    each = 0.0
    for name, place in (("here", here), ("Ray, 1 worker", one), (f"Ray, {workers} workers", many)):
        start, each = measure_launch(place)
        rows.append((name, f"{start:.2f}", f"{1000 * each:.1f}"))
    print(f"\n{markdown_table(('', 'start (s)', 'each trial (ms)'), rows)}", flush=True)
    rates = [measure_busy(place) for place in (one, many, one, many)]
    ratio = (rates[1] + rates[3]) / (rates[0] + rates[2])
    print(f"busy jobs, {workers} workers to 1: {ratio:.2f} times as fast", flush=True)
    return each


if __name__ == "__main__":
    main()
