"""The house rules that no linter knows: which room may import which, and how large a room may grow."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.paths import ROOT

ROOMS = ("agent", "evaluator", "prompts")
FOREIGN = {
    "agent": {"torch", "open_clip", "torchvision"},
    "prompts": {"asyncio", "torch"},
}
"""What a room must not import of others' packages."""
MAY_USE = {"agent": {"agent", "evaluator", "prompts"}, "evaluator": {"evaluator"}, "prompts": {"prompts"}}
"""Which of the three rooms each may import."""
MAX_MODULE_LINES = 320
MAX_FUNCTION_LINES = 60
SOURCES = sorted(path for room in (*ROOMS, "promptclimb") for path in (ROOT / room).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))


def relative(path: Path) -> str:
    """A test id that is the same on every machine."""
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> str:
    """The dotted name of a source file, from the room on: ``agent.store.disk``."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in SOURCES}


def imports(path: Path) -> Iterator[str]:
    """What a source file imports, anywhere in it: our modules by dotted name, others' by package."""
    package = path.relative_to(ROOT).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            source = ".".join((*base, *(node.module or "").split("."))).strip(".")
            inner = [f"{source}.{alias.name}" for alias in node.names if f"{source}.{alias.name}" in MODULES]
            yield from inner or [source]


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_room_imports_only_what_it_may(path: Path) -> None:
    """prompts/ imports nothing of ours, evaluator/ never agent, agent/ never torch, not even lazily."""
    room = path.relative_to(ROOT).parts[0]
    for name in imports(path):
        first = name.split(".")[0]
        assert first not in FOREIGN.get(room, ()), name
        assert first not in ROOMS or first in MAY_USE.get(room, ROOMS), name
        assert room == "promptclimb" or first != "promptclimb", f"{name}: imports of our own are relative"


def test_nothing_at_run_time_imports_how_the_models_were_made() -> None:
    """evaluator/pico/training is a workshop: a run needs what came out of it, never the tools."""
    training = "evaluator.pico.training"
    for path in SOURCES:
        if not module_of(path).startswith(training):
            assert not [name for name in imports(path) if name.startswith(training)], relative(path)


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_modules_and_functions_stay_small_enough_to_read(path: Path) -> None:
    """A module that outgrows its page is asked to become two rooms."""
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= MAX_MODULE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= MAX_FUNCTION_LINES, f"{node.name} has {lines} lines"


@pytest.mark.parametrize("path", TESTS, ids=relative)
def test_every_test_says_what_it_shows(path: Path) -> None:
    """Each test has a docstring: one line that states the behaviour."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            assert ast.get_docstring(node), f"{node.name} has no docstring"


def test_tests_lie_where_what_they_test_lies() -> None:
    """tests/ mirrors the rooms: a folder of tests is named like a room, or like a module in it."""
    folders = {path.parent.relative_to(ROOT / "tests").as_posix() for path in TESTS}
    own = {".", "fakes"}
    missing = sorted(folder for folder in folders - own if not (ROOT / folder).is_dir())
    assert not missing


@pytest.mark.parametrize("module", ["promptclimb", "promptclimb.agent.search.api", "run_agent"])
def test_torch_is_not_imported_until_it_is_needed(module: str) -> None:
    """Importing the library or asking for help stays light: no torch, no open_clip."""
    code = f"import sys, {module}; print(sorted({{'torch', 'open_clip'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
