"""The house rules that no linter knows: which room may import which, and how large a room may grow."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("agent", "evaluator", "prompts")
FORBIDDEN = {
    "prompts": {"agent", "evaluator", "torch", "asyncio", "run_agent"},
    "evaluator": {"agent", "run_agent"},
    "agent": {"torch", "open_clip", "torchvision", "run_agent"},
}
MAX_MODULE_LINES = 320
MAX_FUNCTION_LINES = 60
SOURCES = [*sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py")), ROOT / "run_agent.py"]
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))


def relative(path: Path) -> str:
    """A test id that is the same on every machine."""
    return path.relative_to(ROOT).as_posix()


def imported_rooms(tree: ast.AST) -> set[str]:
    """The top-level packages that a module imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_room_imports_only_what_it_may(path: Path) -> None:
    """prompts/ imports nothing of ours, evaluator/ never agent, agent/ never torch, not even lazily."""
    room = path.relative_to(ROOT).parts[0]
    assert not imported_rooms(ast.parse(path.read_text("utf-8"))) & FORBIDDEN.get(room, set())


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


@pytest.mark.parametrize("module", ["agent", "agent.search.api", "run_agent"])
def test_torch_is_not_imported_until_it_is_needed(module: str) -> None:
    """Importing the library or asking for help stays light: no torch, no open_clip."""
    code = f"import sys, {module}; print(sorted({{'torch', 'open_clip'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
