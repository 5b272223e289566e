"""Imports run experiments -> agents -> ram_env, never back, and ram_env needs little."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]

# What a package must not import anywhere, not even inside a function.
FORBIDDEN = {
    "ram_env": {
        "agents",
        "experiments",
        "matplotlib",
        "sb3_contrib",
        "stable_baselines3",
        "torch",
    },
    "agents": {"experiments"},
}


def packages_imported_by(path):
    """The top-level packages that a source file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides which package it is from"
            found.add(node.module.split(".")[0])
    return found


def loaded_by(statement, after="pass"):
    """The top-level modules that an import adds to those of another one, in a new process."""
    code = (
        f"import sys; {after}; before = set(sys.modules); {statement}; "
        "print(*{name.split('.')[0] for name in set(sys.modules) - before})"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        cwd=REPOSITORY,
        text=True,
        timeout=120,
    )
    return set(result.stdout.split())


SOURCES = [path for package in FORBIDDEN for path in sorted((REPOSITORY / package).glob("**/*.py"))]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_imports_run_one_way(path):
    package = path.relative_to(REPOSITORY).parts[0]
    assert packages_imported_by(path).isdisjoint(FORBIDDEN[package])


def test_the_environment_imports_only_what_it_declares():
    imported = set.union(
        *(packages_imported_by(path) for path in SOURCES if "ram_env" in path.parts)
    )
    third_party = imported - sys.stdlib_module_names - {"ram_env"}
    assert third_party <= {"PIL", "gymnasium", "numpy"}


def test_importing_the_environment_loads_nothing_heavy():
    loaded = loaded_by("import ram_env")
    assert "ram_env" in loaded
    heavy = {"agents", "experiments", "matplotlib", "stable_baselines3", "torch"}
    assert loaded.isdisjoint(heavy)


def test_importing_the_environment_adds_only_pillow_to_gymnasium():
    added = loaded_by("import ram_env", after="import gymnasium, numpy") - sys.stdlib_module_names
    assert added <= {"PIL", "ram_env"}
