"""One experiment of FGLab: what its options mean, and what becomes of it."""

from __future__ import annotations

import math
import platform
import sys
import time
from dataclasses import replace
from typing import Any

import torch

from agents.hyperparameters import (
    Device,
    Hyperparameters,
    RecurrentPPOHyperparameters,
    ReinforceHyperparameters,
)
from experiments.algorithms import find_trainer
from experiments.config import TrainConfig
from experiments.evaluate import describe, evaluate_best, evaluation_task, score
from experiments.fglab.charts import line_chart, thin_out
from experiments.fglab.log import say
from experiments.fglab.options import OPTIONS, Request
from experiments.fglab.results import Results
from experiments.plots import plot_losses
from experiments.presets import PRESETS, SCAN
from experiments.render import draw_run
from experiments.run_folder import RunFolder, write_json
from experiments.train import stopping_cleanly
from experiments.trainer import Trainer
from ram_env.sensor import MAX_PIXEL

PRESET_OF_TASK = {
    "28": "fglab",
    "translated": "paper-translated",
    "cluttered": "paper-cluttered",
    "cluttered-100": "paper-cluttered-100",
}
# The original's training, in what it has no options for; but the gaze begins as a scan, from which
# it departs slowly.
AGENT = ReinforceHyperparameters(
    white_level=MAX_PIXEL,
    raster=SCAN,
    reinforce_weight=0.1,
    location_learning_rate=0.03,
    supervise="last",
    precision="auto",
)
# Options that our hyperparameters take as they are, where they have them.
AS_IS = (
    "seed",
    "location_hidden_size",
    "glimpse_hidden_size",
    "image_hidden_size",
    "hidden_size",
    "reward_scale",
    "learning_rate",
    "optimiser",
    "core",
)
# Options that mean nothing to recurrent PPO.
NOT_OF_PPO = ("locatorStd", "rewardScale", "optimiser", "momentum", "core")
CHART = "chart.json"
ITERATIONS_A_LINE = 10  # as the original
PICTURES = ("glimpse*.png", "patch*.png", "loss.png", "losses.png", "gaze.png", "episode.gif")


def run(request: Request, process_started: float) -> None:
    """Trains, tests and draws, and hands FGMachine what it is to upload.

    Args:
        request: What FGMachine asks for.
        process_started: `time.monotonic()` when the process began.

    Raises:
        ValueError: An option does not fit the others, or a folder is there already: nothing has
            been written. Or learning has diverged: the notes say so.
    """
    device, device_note = find_gpu(request)
    config = configure(request, device=device)
    results = Results(request.results, request.experiment_id)
    # Two levels down: what is higher and has the id in its name, FGMachine takes for the results.
    run_folder = RunFolder(request.runs / "fglab" / request.experiment_id)
    run_folder.require_unused()
    evaluation_task(config.task, "test", **config.agent.env_options)
    find_trainer(config)
    results.appear(process_started)
    run_folder = RunFolder.create(run_folder.path, name=request.experiment_id, config=config)
    report = Report(results, config.epochs)
    notes = {
        "Device": device_note,
        "Run folder": str(run_folder.path.resolve()),
        "Versions": f"Python {platform.python_version()}, PyTorch {torch.__version__}",
    }
    if request["agent"] == RecurrentPPOHyperparameters.algorithm:
        notes["Not used by recurrent_ppo"] = ", ".join(NOT_OF_PPO)
    for name, note in notes.items():
        say(f"{name}: {note}")
    try:
        trainer = find_trainer(config).start(run_folder, config)
        _train(trainer, report)
        _test_and_draw(trainer, report, results)
    except BaseException as error:  # whatever it is, the page is to show it
        report.write_charts()
        results.finish({**notes, "Notes": f"{report.progress}: {_reason(error)}"})
        raise
    report.write_charts()
    seconds = time.monotonic() - process_started
    results.finish({**notes, "Notes": f"{report.progress}: finished, {seconds:.0f} seconds"})


def _reason(error: BaseException) -> str:
    """Returns why an experiment has ended before its end, for people."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return f"stopped by a signal, status {error}" if isinstance(error, SystemExit) else f"{error}"


def _train(trainer: Trainer, report: Report) -> None:
    """Trains; a signal ends the process after the current update, with the model as it is then."""
    with stopping_cleanly(trainer):
        trainer.train(report)
    if trainer.stop_signal is not None:
        trainer.write_model(trainer.run.best.with_stem("stopped"))
        sys.exit(128 + trainer.stop_signal)


def _test_and_draw(trainer: Trainer, report: Report, results: Results) -> None:
    """Tests the best model and draws it, and gives FGMachine the scores and the pictures."""
    run = trainer.run
    say("Testing")
    tested = evaluate_best(run)
    scores = score(*tested)
    say(describe(scores))
    write_json(run.scores, scores)
    results.write_json("scores.json", {"_scores": _scores(scores)})
    say("Drawing")
    draw_run(run.path, run, tested)
    plot_losses(report.losses, run.path / "losses.png")
    for pattern in PICTURES:
        for picture in sorted(run.path.glob(pattern)):
            results.add(picture)


def find_gpu(request: Request) -> tuple[Device, str]:
    """Returns the device to run on, and what to tell of it."""
    if not request["cuda"]:
        return "cpu", "CPU"
    if torch.cuda.is_available():
        return "cuda", f"GPU: {torch.cuda.get_device_name()}"
    return "cpu", "CPU. WARNING: cuda was asked for, but PyTorch finds no GPU here"


def configure(request: Request, *, device: Device) -> TrainConfig:
    """Returns the configuration that the options stand for.

    What they leave open is as in the original where its options depend on it: learning rates are
    constant, made for bytes as input and for a loss of the last glimpse alone, and training images
    are shown as they are. What it has no options for is `AGENT`'s. Recurrent PPO takes what it has
    of them.

    Raises:
        ValueError: `unitPixels` reaches out of the task's images.
    """
    preset = PRESETS[PRESET_OF_TASK[request["task"]]]
    half_side = min(evaluation_task(preset.task, "test").image_size) // 2
    if request["unitPixels"] > half_side:
        raise ValueError(
            f"unitPixels={request['unitPixels']} reaches out of the images of task "
            f"{request['task']!r}; allowed: 1 to {half_side}"
        )
    task = replace(
        preset.task,
        num_glimpses=request["rho"],
        patch_size=request["glimpsePatchSize"],
        num_scales=request["glimpseDepth"],
        scale_factor=request["glimpseScale"],
        location_range=request["unitPixels"] / half_side,
        train_scene=None,
    )
    return replace(
        preset,
        task=task,
        agent=_hyperparameters(request, device),
        epochs=request["epochs"],
        batch_size=request["batchSize"],
    )


def _hyperparameters(request: Request, device: Device) -> Hyperparameters:
    as_is = {option.becomes: request[option.name] for option in OPTIONS if option.becomes in AS_IS}
    if request["agent"] == RecurrentPPOHyperparameters.algorithm:
        as_is["lstm_hidden_size"] = as_is["hidden_size"]
        fields = RecurrentPPOHyperparameters.__dataclass_fields__
        known = {name: value for name, value in as_is.items() if name in fields}
        return RecurrentPPOHyperparameters(device=device, **known)
    return replace(
        AGENT,
        device=device,
        # The original hands its layer of Gaussian noise twice the option's value.
        location_std=2 * request["locatorStd"],
        momentum=request["momentum"] if request["optimiser"] == "sgd" else 0.0,
        **as_is,
    )


class Report:
    """Tells FGLab how training goes: lines of its log, and charts.

    Args:
        results: Where the charts go.
        num_epochs: How many epochs there are to be.

    Attributes:
        losses: The loss of every update so far.
    """

    def __init__(self, results: Results, num_epochs: int) -> None:
        self._results = results
        self._num_epochs = num_epochs
        self.losses: list[float] = []
        self._rows: list[dict[str, float]] = []

    @property
    def progress(self) -> str:
        """How far it has come, in words."""
        return f"{len(self.losses)} iterations, {len(self._rows)} of {self._num_epochs} epochs"

    def on_update(self, loss: float, reward: float) -> None:
        """Takes note of a loss, and now and then tells of it."""
        self.losses.append(loss)
        if len(self.losses) % ITERATIONS_A_LINE == 0:
            say(f"Loss @ iteration {len(self.losses)}: {loss:.4f}")
            if self._results.is_due(CHART):
                self.write_charts()

    def on_epoch(self, row: dict[str, float]) -> None:
        """Tells of an epoch that has ended."""
        self._rows.append(row)
        say(
            f"Epoch {row['epoch']}/{self._num_epochs}: training accuracy "
            f"{row['train_accuracy']:.2%}, validation accuracy {row['val_accuracy']:.2%}"
        )

    def write_charts(self) -> None:
        """Writes the charts of what there is so far; FGLab's page does not survive empty ones."""
        losses = [loss for loss in self.losses if math.isfinite(loss)]
        charts = []
        if losses:
            iterations, means = thin_out(losses)
            charts.append(
                line_chart(iterations, {"train": means}, x_label="Iteration", y_label="Loss")
            )
        if self._rows:
            lines = {
                name: [row[column] for row in self._rows]
                for name, column in (("train", "train_accuracy"), ("validation", "val_accuracy"))
            }
            epochs = [row["epoch"] for row in self._rows]
            charts.append(line_chart(epochs, lines, x_label="Epoch", y_label="Accuracy"))
        if charts:
            self._results.write_json(CHART, {"_charts": charts})


def _scores(scores: dict[str, Any]) -> dict[str, float]:
    """Returns the scores as FGLab has them, a flat map; `Accuracy` is the original's."""
    names = {"random": "Accuracy, random gaze", "center": "Accuracy, centre gaze"}
    gazes = scores["accuracy_by_gaze"]
    return {
        "Accuracy": scores["accuracy"],
        "Error rate (%)": round(100 * (1 - scores["accuracy"]), 2),
        **{text: gazes[gaze] for gaze, text in names.items() if gaze in gazes},
    }
