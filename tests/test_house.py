"""The house rules that no linter knows: which room may import which, and how large a room may grow."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from collections import defaultdict
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
ORDER = {
    "agent": ("cli", "study", "search", "restart", "results", "store", "llm", "config", "events"),
    "evaluator": (
        *("pico_training", "open", "white_box", "clip", "datasets", "pico"),
        *("batching", "custom", "fakes", "spec", "scoring"),
    ),
}
"""From the top floor down: a room imports lower ones only. Modules at a room's root that are not named here
are its ground: they import no named one."""
READS_PICKLES = re.compile(r"\b(?:pickle|dill|joblib|marshal|shelve)\.(?:loads?|open|Unpickler)\b")
SINGLE_BACKTICK = re.compile(r"(?<!`)`(?!`)")
UNNAMED = frozenset({"__init__", "__main__", "errors"})
"""Module names that stand in several rooms because they are the same thing there."""
MAX_MODULE_LINES, MAX_FUNCTION_LINES = 300, 40
DATA_IN_CODE = frozenset({"prompts/captions.py"})
"""Modules that are a list, as long as it is."""
MEDIAN_MODULE_LINES = 120
NOT_OUR_WORDS = re.compile(r"\btold right\b|\blanes?\b|\bstretch(?:es)?\b", re.IGNORECASE)
"""Words that once stood for what the field calls correctly classified, rate limiter and session."""
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


def floor_of(module: str) -> int:
    """How high up a module's room lies, 0 for the ground."""
    room, _, rest = module.partition(".")
    names = ORDER[room]
    return max((len(names) - place for place, name in enumerate(names) if is_in(rest, name)), default=0)


def is_in(module: str, room: str) -> bool:
    """Whether a module is a room, or lies in it."""
    return module == room or module.startswith(f"{room}.")


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_room_imports_only_what_it_may(path: Path) -> None:
    """prompts/ imports nothing of ours, evaluator/ never agent, agent/ never torch, not even lazily."""
    room = path.relative_to(ROOT).parts[0]
    for name in imports(path):
        first = name.split(".")[0]
        assert first not in FOREIGN.get(room, ()), name
        assert first not in ROOMS or first in MAY_USE.get(room, ROOMS), name
        assert room == "promptclimb" or first != "promptclimb", f"{name}: imports of our own are relative"


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if module_of(path).split(".")[0] in ORDER], ids=relative
)
def test_a_room_imports_lower_rooms_only(path: Path) -> None:
    """The order of the rooms is the order in which a reader can take them: no import runs back up."""
    module = module_of(path)
    for name in imports(path):
        if name.split(".")[0] == module.split(".")[0] and floor_of(module) >= 0:
            assert floor_of(name) <= floor_of(module), f"{module} imports {name}"


def test_nothing_at_run_time_imports_how_the_models_were_made() -> None:
    """evaluator/pico_training is a workshop: a run needs what came out of it, never the tools."""
    training = "evaluator.pico_training"
    for path in SOURCES:
        if not module_of(path).startswith(training):
            assert not [name for name in imports(path) if name.startswith(training)], relative(path)


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Each module can be read after those that it imports."""
    waiting = {
        module: {name for name in imports(path) if name in MODULES and name != module}
        for module, path in MODULES.items()
        if path.name != "__init__.py"
    }
    while ready := [module for module, names in waiting.items() if not names & waiting.keys()]:
        for module in ready:
            del waiting[module]
    assert not waiting


def test_no_name_of_a_module_stands_for_two_things() -> None:
    """A file's name is enough to know which one is meant; a command's file is named like its room."""
    places = defaultdict(list)
    for path in SOURCES:
        if path.stem not in UNNAMED and path.parent != ROOT / "agent" / "cli":
            places[path.stem].append(relative(path))
    packages = {path.parent.name for path in SOURCES if path.name == "__init__.py"}
    twice = {
        name: where
        for name, where in places.items()
        if len(where) > 1 or (name in packages and Path(where[0]).parent.name != name)
    }
    assert not twice


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_modules_and_functions_stay_small_enough_to_read(path: Path) -> None:
    """A module that outgrows its page is asked to become two rooms."""
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= MAX_MODULE_LINES or relative(path) in DATA_IN_CODE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            explained = len((ast.get_docstring(node, clean=False) or "").splitlines())
            lines = (node.end_lineno or node.lineno) - node.lineno + 1 - explained
            assert lines <= MAX_FUNCTION_LINES, f"{node.name} has {lines} lines"


def test_most_modules_are_a_page_or_two() -> None:
    """Half of them have no more than 120 lines."""
    lengths = [len(path.read_text("utf-8").splitlines()) for path in SOURCES if path.name != "__init__.py"]
    assert statistics.median(lengths) <= MEDIAN_MODULE_LINES


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_docstrings_mark_code_in_one_way(path: Path) -> None:
    """Double backticks, everywhere; and the field's words."""
    text = path.read_text("utf-8")
    assert not NOT_OUR_WORDS.search(text)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node) or ""
            assert not SINGLE_BACKTICK.search(docstring), docstring.splitlines()[0]


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_nothing_pickled_is_ever_read(path: Path) -> None:
    """No module unpickles, and torch reads weights alone."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert not READS_PICKLES.search(called), f"line {node.lineno}"
            if called.endswith("torch.load"):
                given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert given.get("weights_only") == "True", f"line {node.lineno}"


@pytest.mark.parametrize("path", [*TESTS, *sorted((ROOT / "tests" / "fakes").glob("*.py"))], ids=relative)
def test_no_test_sleeps(path: Path) -> None:
    """Time is the event loop's clock; a fake may yield, and a job for a thread may take its time."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            calls = [one for one in ast.walk(node) if isinstance(one, ast.Call)]
            slept = [one for one in calls if ast.unparse(one.func) == "time.sleep"]
            assert not slept, f"{node.name}, line {slept[0].lineno}"


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
