"""`ram benchmark`: agents x tasks x seeds, each trained and tested in the same way, side by side.

Of `ram` and its variants, and of `ppo`, the epoch that is the best on `val` is tested; of all other
agents, what they are in the end.

Every cell has a folder of its own, `<folder>/cells/<task>/<epochs>-epochs/<agent>/seed-<seed>`, and
is finished once its `result.json` is there, which is written last. So a benchmark that was stopped
goes on where it was, and one that is asked for more agents or seeds runs only what is new. An agent
of one's own is run again when the file that its function is in has changed (what that imports is
not looked at). A result of another configuration or of other data is refused.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tyro

from agents.files import digest_of
from agents.full_image import NETWORKS
from agents.hyperparameters import ReinforceHyperparameters
from experiments.benchmark_plots import plot_gaze_maps, plot_glimpse_curves, plot_learning_curves
from experiments.config import TrainConfig
from experiments.contenders import (
    DESCRIPTIONS,
    PPO,
    Cell,
    code_of,
    count_parameters,
    find_contender,
)
from experiments.evaluate import evaluate, evaluation_env, wilson_interval
from experiments.launcher import (
    SOME_FAILED,
    Numbers,
    Report,
    Workers,
    last_line,
    launch,
)
from experiments.presets import find_preset
from experiments.render import draw_gaze, gaze_centres, mean_image
from experiments.run_folder import is_unused, read_json, sole_driver, write_json, write_text
from experiments.tables import csv_table, markdown_table
from ram_env.validation import require_integer

FAILURE = "failure.txt"
# A cell's environment steps by the second, on one core (of networks that see the whole image, those
# that as many images would be): for the estimate, until there are finished cells to go by.
STEPS_PER_SECOND = {PPO: 1_000.0, "mlp": 150_000.0, "cnn": 25_000.0}
SMALL_REINFORCE, LARGE_REINFORCE, MAP_REINFORCE = 35_000.0, 18_000.0, 2_500.0
LARGE_HIDDEN_SIZE = 512
CELLS = "cells"  # folder of the runs
GAZE = "gaze.npy"  # of a cell: where it looked at the test images, in pixels
SEEDS = 3
QUICK_AGENTS = "ram,ram-raster,ram-random,ram-center,ppo"
QUICK_EPOCHS = 1
QUICK_SEEDS = 2


@dataclass(frozen=True, kw_only=True)
class BenchmarkCommand(Workers):
    """Compare agents: train each on each task from each seed, test it, write a table and charts.

    What is finished is not run again, so the same command goes on with a benchmark that was
    stopped; an agent of yours is, when its file has changed. A run that fails is reported, and the
    rest goes on.
    """

    agents: str | None = None
    """Names, separated by commas: ram, ram-reward, ram-raster, ram-random, ram-center, ppo,
    mlp, cnn, or package.module:function for one of yours, called with a task, seed=... and
    timesteps=...; None: all that there are."""
    tasks: str = "fglab"
    """Names of presets, or preset files, separated by commas."""
    dataset: str | None = None
    """Data set to learn and to be tested on in place of the presets': a folder of IDX files, or an
    .npz file with x_train, y_train, x_test and y_test."""
    seeds: int | None = None
    """How many seeds, from 0 on; None: 3."""
    epochs: int | None = None
    """Passes over as many episodes as there are training images; None: as many as the preset's."""
    quick: bool = False
    """A small one to begin with: where nothing else is asked for, 1 epoch, 2 seeds, and the agents
    ram, ram-raster, ram-random, ram-center and ppo."""
    folder: Path = Path("runs/benchmark")
    """Where the cells and the results go."""

    def __post_init__(self) -> None:
        """Checks the counts."""
        super().__post_init__()
        for name in ("seeds", "epochs"):
            if (value := getattr(self, name)) is not None:
                require_integer(name, value, at_least=1)

    def cells(self) -> list[Cell]:
        """Returns the cells to run, in their order; a ValueError names what there is not."""
        agents = self.agents
        if agents is None:
            agents = QUICK_AGENTS if self.quick else ",".join(DESCRIPTIONS)
        seeds = self.seeds or (QUICK_SEEDS if self.quick else SEEDS)
        epochs = self.epochs or (QUICK_EPOCHS if self.quick else None)
        for name in _names(agents):
            find_contender(name)
        return [
            Cell(
                agent=agent,
                task=task,
                seed=seed,
                epochs=epochs or find_preset(task).epochs,
                dataset=self.dataset,
            )
            for task in _names(self.tasks)
            for agent in _names(agents)
            for seed in range(seeds)
        ]


def _names(text: str) -> list[str]:
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def folder_of(folder: Path, cell: Cell) -> Path:
    """Returns the folder of a cell of the benchmark in a folder."""
    epochs, seed = f"{cell.epochs}-epochs", f"seed-{cell.seed}"
    return folder / CELLS / _slug(cell.task) / epochs / _slug(cell.agent) / seed


def _slug(name: str) -> str:
    """Returns what of a name can be in the name of a file."""
    return re.sub(r"[^\w.-]+", "-", name)


def run_cell(benchmark: Path, cell: Cell, _report: Report) -> None:
    """Trains and tests a cell, the job of a worker, and writes its result last.

    A run that was killed goes on from its last epoch; other agents begin anew.

    Args:
        benchmark: The benchmark's folder.
        cell: The cell.
    """
    folder = folder_of(benchmark, cell)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FAILURE).unlink(missing_ok=True)  # an earlier try's
    # As they are now: what changes while it learns has no part in it.
    code, data = code_of(cell.agent), digest_of(cell.config.data)
    began = time.perf_counter()
    trained = find_contender(cell.agent)(cell, folder)
    seconds = trained.seconds_before + time.perf_counter() - began
    task = cell.config.task
    env = evaluation_env(task, "test", **trained.env_options)
    evaluation = evaluate(trained.agent, env)
    glimpses = float(np.isfinite(evaluation.locations[..., 0]).sum(axis=1).mean())
    draw_gaze(folder / "gaze.png", env, evaluation)
    np.save(folder / GAZE, gaze_centres(env, evaluation).astype(np.float32))
    result = {
        "config": cell.config.to_json(),
        "code": code,
        "data": data,
        "accuracy": evaluation.accuracy,
        "num_images": len(evaluation.labels),
        "accuracy_after_glimpses": evaluation.accuracy_after_glimpses,
        "glimpses": glimpses,
        "fovea_pixels": glimpses * env.task.patch_size**2,
        "timesteps": trained.timesteps,
        "images": trained.episodes,
        "seconds": seconds,
        "parameters": count_parameters(trained.agent),
        "curve": [point._asdict() for point in trained.curve],
    }
    write_json(folder / "result.json", result)


class Benchmark:
    """The cells in a folder, as the launcher's jobs.

    Args:
        folder: Where they are.
        cells: Which of them, in the order to run them.
    """

    def __init__(self, folder: Path, cells: Sequence[Cell]) -> None:
        if not cells:
            raise ValueError("there is nothing to compare: name at least one agent and one task")
        self.folder = folder
        self.cells = list(cells)
        self.failed: list[Cell] = []
        self._digest = cache(digest_of)  # data may be large, and results are asked for often
        self._left = [cell for cell in self.cells if self.result_of(cell) is None]

    def folder_of(self, cell: Cell) -> Path:
        """Returns the folder of a cell."""
        return folder_of(self.folder, cell)

    def result_of(self, cell: Cell) -> dict[str, Any] | None:
        """Returns what a cell came to; None if it is not finished, or of older code of one's own.

        Raises:
            ValueError: It is damaged, or of another configuration, as the preset has changed
                since, or of other data.
        """
        path = self.folder_of(cell) / "result.json"
        if not path.exists():
            return None
        result = read_json(path)
        if "config" not in result:
            raise ValueError(f"{path} is damaged; remove it, and {cell} is tested again")
        if TrainConfig.from_json(result["config"]) != cell.config:
            raise ValueError(
                f"{path.parent} is of another configuration than {cell}; give another --folder, or "
                "remove it"
            )
        if result.get("data", data := self._digest(cell.config.data)) != data:
            raise ValueError(
                f"{path.parent} is of other data: {cell.config.task.dataset} has changed since; "
                "give another --folder, or remove it"
            )
        code = code_of(cell.agent)
        return result if result.get("code", code) == code else None

    def plan(self) -> str:
        """Returns what is to be run, and about how long that takes, one cell after another."""
        left = self._left
        done = len(self.cells) - len(left)
        seconds = [self._estimate(cell) for cell in left]
        known = sum(estimate for estimate in seconds if estimate is not None)
        unknown = sum(estimate is None for estimate in seconds)
        lines = [
            f"{len(self.cells)} cell{'s' * (len(self.cells) != 1)}: {done} finished, "
            f"{len(left)} to run"
            + (f", about {max(1, round(known / 60))} min one after another" if known else "")
            + (f", {unknown} of unknown length" if unknown else "")
        ]
        for agent in dict.fromkeys(cell.agent for cell in left):
            count = sum(cell.agent == agent for cell in left)
            lines.append(f"  {count} x {agent}: {DESCRIPTIONS.get(agent, 'yours')}")
        return "\n".join(lines)

    def _estimate(self, cell: Cell) -> float | None:
        """Returns about how many seconds a cell takes; None for an agent never seen."""
        rates = [
            other.timesteps / result["seconds"]
            for other in self.cells
            if other.agent == cell.agent and (result := self.result_of(other)) is not None
        ]
        if rates:
            rate = float(np.mean(rates))
        elif cell.agent in DESCRIPTIONS:
            rate = STEPS_PER_SECOND.get(cell.agent) or _reinforce_rate(cell.config)
        else:
            return None
        return cell.timesteps / rate

    # --- the launcher's jobs ------------------------------------------------------------------

    def next(self) -> Cell | None:
        """Returns the next cell that is not finished."""
        if not self._left:
            return None
        cell = self._left.pop(0)
        print(f"{self._name(cell)} ...", file=sys.stderr)
        return cell

    def on_report(self, job: Cell, progress: Numbers) -> bool:
        """Lets every cell go on."""
        return True

    def on_end(self, job: Cell, failure: str | None) -> None:
        """Says how a cell ended, and keeps why it failed."""
        if failure is not None:
            self.failed.append(job)
            write_text(self.folder_of(job) / FAILURE, failure)
            print(f"{self._name(job)} failed: {last_line(failure)}", file=sys.stderr)
        elif (result := self.result_of(job)) is not None:
            error_rate = 1 - result["accuracy"]
            seconds = f"{result['seconds']:.0f} s"
            print(f"{self._name(job)}: {error_rate:.2%} error, {seconds}", file=sys.stderr)
        else:  # a worker has imported another file than this process had
            print(
                f"{self._name(job)}: its agent's file has changed meanwhile; the same command "
                "tests it again",
                file=sys.stderr,
            )

    def _name(self, cell: Cell) -> str:
        number = self.cells.index(cell) + 1
        return f"[{number}/{len(self.cells)}] {cell}"

    # --- what there is ------------------------------------------------------------------------

    def rows(self) -> list[Row]:
        """Returns a row of the table for each task and agent with finished cells."""
        groups: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
        for cell in self.cells:
            if (result := self.result_of(cell)) is not None:
                groups.setdefault((cell.task, cell.agent, cell.epochs), []).append(result)
        return [Row.of(*key, results) for key, results in groups.items()]

    def write_results(self) -> None:
        """Writes the table as Markdown and CSV, and the charts, of what is finished."""
        rows = self.rows()
        if not rows:
            return
        write_text(self.folder / "table.md", as_markdown(rows))
        write_text(self.folder / "table.csv", csv_table(Row._fields, rows))
        for task in dict.fromkeys(cell.task for cell in self.cells):
            results: dict[str, list[dict[str, Any]]] = {}
            for cell in self.cells:
                if cell.task == task and (result := self.result_of(cell)) is not None:
                    results.setdefault(cell.agent, []).append(result)
            if results:
                plot_learning_curves(results, self.folder / f"learning-{_slug(task)}.png")
                plot_glimpse_curves(results, self.folder / f"glimpses-{_slug(task)}.png")
                self._draw_gazes(task)

    def _draw_gazes(self, task: str) -> None:
        """Draws where each agent looks on a task, of the first seed that is finished."""
        shown: dict[str, Cell] = {}
        for cell in self.cells:
            looks = cell.task == task and cell.agent not in NETWORKS
            if looks and self.result_of(cell) is not None:
                shown.setdefault(cell.agent, cell)
        if shown:
            centres = {
                agent: np.load(self.folder_of(cell) / GAZE).astype(np.float64)
                for agent, cell in shown.items()
            }
            env = evaluation_env(next(iter(shown.values())).config.task, "test")
            plot_gaze_maps(centres, mean_image(env), self.folder / f"gaze-{_slug(task)}.png")


class Row(NamedTuple):
    """A row of the table: one agent on one task, over its seeds.

    Attributes:
        task: The preset.
        agent: The agent.
        epochs: Passes over as many episodes as there are training images.
        seeds: How many seeds are finished.
        error: Test error in percent, mean over seeds.
        std: Its standard deviation over seeds (n - 1), NaN for one seed.
        low: Lower end of Wilson's 95 % interval of the error in percent, for so many test images
            as there are: all seeds have the same ones, so their spread does not tell what others
            would do.
        high: Upper end.
        timesteps: Environment steps learned from, mean, None if not known.
        images: Images seen in training, one an episode, None if not known.
        glimpses: Glimpses of a test image, mean.
        fovea_pixels: Pixels of the finest scale seen of a test image, mean.
        parameters: Weights, None if not known.
        seconds: Wall-clock of training.
    """

    task: str
    agent: str
    epochs: int
    seeds: int
    error: float
    std: float
    low: float
    high: float
    timesteps: float | None
    images: float | None
    glimpses: float
    fovea_pixels: float
    parameters: int | None
    seconds: float

    @classmethod
    def of(cls, task: str, agent: str, epochs: int, results: Sequence[dict[str, Any]]) -> Row:
        """Returns the row of some results."""
        errors = np.array([100 * (1 - result["accuracy"]) for result in results])
        trials = results[0]["num_images"]
        low, high = wilson_interval(errors.mean() / 100 * trials, trials)

        def mean(name: str) -> float:
            return float(np.mean([result[name] for result in results]))

        def mean_if_known(name: str) -> float | None:
            return None if any(result[name] is None for result in results) else mean(name)

        return cls(
            task=task,
            agent=agent,
            epochs=epochs,
            seeds=len(results),
            error=float(errors.mean()),
            std=float(errors.std(ddof=1)) if len(errors) > 1 else float("nan"),
            low=100 * low,
            high=100 * high,
            timesteps=mean_if_known("timesteps"),
            images=mean_if_known("images"),
            glimpses=mean("glimpses"),
            fovea_pixels=mean("fovea_pixels"),
            parameters=results[0]["parameters"],
            seconds=mean("seconds"),
        )


def _reinforce_rate(config: TrainConfig) -> float:
    """Returns about how many environment steps a second REINFORCE makes on one core."""
    agent = config.agent
    assert isinstance(agent, ReinforceHyperparameters)
    if agent.core == "map":
        return MAP_REINFORCE
    return LARGE_REINFORCE if agent.hidden_size >= LARGE_HIDDEN_SIZE else SMALL_REINFORCE


def as_markdown(rows: Sequence[Row]) -> str:
    """Returns the table for people."""
    columns = (
        *("task", "agent", "epochs", "seeds", "test error (%)", "95 % by images", "env steps"),
        *("images", "glimpses", "fovea pixels", "parameters", "seconds"),
    )
    return markdown_table(columns, map(_cells, rows), text_columns=2)


def _cells(row: Row) -> tuple[str, ...]:
    spread = "" if row.seeds == 1 else f" ± {row.std:.2f}"
    return (
        row.task,
        row.agent,
        f"{row.epochs}",
        f"{row.seeds}",
        f"{row.error:.2f}{spread}",
        f"{row.low:.2f} to {row.high:.2f}",
        "-" if row.timesteps is None else f"{row.timesteps:,.0f}",
        "-" if row.images is None else f"{row.images:,.0f}",
        f"{row.glimpses:.2f}",
        f"{row.fovea_pixels:,.0f}",
        "-" if row.parameters is None else f"{row.parameters:,}",
        f"{row.seconds:,.0f}",
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Runs `ram benchmark`."""
    command = tyro.cli(BenchmarkCommand, prog="ram benchmark", args=argv)
    cells = command.cells()
    with sole_driver(command.folder):
        _run(command, cells)


def _run(command: BenchmarkCommand, cells: Sequence[Cell]) -> None:
    if not is_unused(command.folder) and not (command.folder / CELLS).is_dir():
        raise ValueError(
            f"--folder {command.folder} holds something else than a benchmark; give a new one"
        )
    benchmark = Benchmark(command.folder, cells)
    print(benchmark.plan(), file=sys.stderr)
    try:
        launch(benchmark, partial(run_cell, command.folder.resolve()), command)
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
        raise
    finally:
        benchmark.write_results()
    if rows := benchmark.rows():
        print(as_markdown(rows))
    print(f"{command.folder}: " + ", ".join(sorted(path.name for path in command.folder.iterdir())))
    if benchmark.failed:
        names = ", ".join(str(benchmark.folder_of(cell)) for cell in benchmark.failed)
        print(f"failed, see failure.txt; the same command tries again: {names}", file=sys.stderr)
        sys.exit(SOME_FAILED)
