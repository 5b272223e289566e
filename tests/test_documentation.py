"""What the documentation shows runs as it stands."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WITH_EXAMPLES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for package in ("ram_env", "agents", "experiments")
    for path in sorted((ROOT / package).rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_in_docstrings_run(name: str) -> None:
    failed, tried = doctest.testmod(pytest.importorskip(name))  # some need an extra
    assert tried > 0
    assert failed == 0


def test_what_the_readme_shows_of_python_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    snippets = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(snippets) == 2
    for snippet in snippets:
        exec(snippet.replace("330_000", "768"), {})  # an update instead of an epoch
    said, accuracy = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"said \d, is \d: reward [01]\.0", said)
    assert 0.05 < float(accuracy) < 0.5
    assert (tmp_path / "agent.safetensors").is_file()


def test_the_agent_in_plugging_in_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "docs" / "plugging_in.md").read_text(encoding="utf-8")
    snippet = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    exec(snippet.replace("range(200)", "range(20)"), {})
    assert 0.6 < float(capsys.readouterr().out) < 0.8
