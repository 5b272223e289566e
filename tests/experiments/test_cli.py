from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

from experiments.cli import VERBS, main
from ram_env import __version__


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    out = capsys.readouterr().out
    assert all(verb in out for verb in VERBS)


def test_help_imports_no_torch() -> None:
    code = (
        "import sys; from experiments.cli import main; main(['--help']); "
        "assert not {'torch', 'matplotlib', 'gymnasium'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_the_version_is_that_of_the_project(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--version"])
    assert capsys.readouterr().out == f"recurrent-attention {__version__}\n"
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert (project["name"], project["version"]) == ("recurrent-attention", __version__)


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([verb, "--help"])
    assert exit_.value.code == 0
    assert f"ram {verb}" in capsys.readouterr().out


def test_an_unknown_command_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["trian"])
    assert exit_.value.code == 2
    assert "'trian'" in capsys.readouterr().err


def test_bad_input_is_one_line_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["evaluate", "no/such/run"])
    assert exit_.value.code == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "no/such/run" in err


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 73.0 GiB"),
        torch.OutOfMemoryError("CUDA out of memory. Unable to allocate 73.0 GiB"),
        RuntimeError("DefaultCPUAllocator: not enough memory. Unable to allocate 73.0 GiB"),
    ],
)
def test_too_little_memory_is_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_: list[str]) -> None:
        raise error

    monkeypatch.setattr("experiments.train.main", run)
    with pytest.raises(SystemExit) as exit_:
        main(["train"])
    assert exit_.value.code == 2
    err = capsys.readouterr().err
    assert "give a smaller batch" in err
    assert err.endswith("Unable to allocate 73.0 GiB\n")


def test_a_fault_of_our_own_is_shown_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_: list[str]) -> None:
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr("experiments.train.main", run)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        main(["train"])


def test_a_file_where_a_folder_should_be_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as exit_:
        main(["train", "--run-dir", str(tmp_path / "file" / "run")])
    assert exit_.value.code == 2
    assert str(tmp_path / "file") in capsys.readouterr().err


def test_who_stops_reading_is_no_error() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments.cli", "evaluate", "pretrained:paper-translated"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()  # as `head` does once it has its lines
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait() == 141
