"""House rules that no linter knows: imports between rooms, unique names, plain words, safe reading."""

from __future__ import annotations

import ast
import gc
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest
from PIL import Image

from promptclimb.agent.cli.parser import make_parser
from tests.fakes.visual_api import COLOURS
from tests.paths import ROOT

ROOMS = ("agent", "evaluator", "prompts")
FOREIGN = {"agent": {"torch", "open_clip", "torchvision"}, "prompts": {"asyncio", "torch"}}
"""Packages that a room must not import."""
MAY_USE = {"agent": {"agent", "evaluator", "prompts"}, "evaluator": {"evaluator"}, "prompts": {"prompts"}}
"""The rooms that each room may import."""
ORDER = {
    "agent": (
        *("cli", "api", "study", "present", "search"),
        *("results", "store", "llm", "config", "methods", "events"),
    ),
    "evaluator": (
        "open", "prediction", "classifier", "white_box", "remote", "clip", "datasets", "pico", "batching",
        "custom", "fakes", "learning", "likeness", "held_near", "tally", "spec", "scoring", "head",
    ),
}  # fmt: skip
"""From the top down: a room imports lower ones only. A module that is not named here is at the bottom."""
CEILINGS = {
    "lines that spell an option": 0,
    "uses of what rewrites sentences": 0,
    "modules of ours that search/run.py imports": 15,
    "modules between log and report": 9,
    "options of search": 47,
}
"""The most that there may be; they only fall."""
DECLARES_OPTIONS = ("agent/cli/", "agent/config/")
"""Folders that may spell an option."""
FOREIGN_OPTIONS = (
    *("quiet", "no-deps", "only-binary", "require-hashes", "no-cache-dir", "no-input", "retries", "timeout"),
    *("disable-pip-version-check", "hash", "dest", "requirement", "ctx-size", "custom_template_file"),
    *("help", "help-all"),
)
"""Options of pip, llama.cpp and CLIP_benchmark, and those of every command line."""
OPTION = re.compile(
    rf"(?<![\w/.-])(?<!var\()(?<!=\")--(?!(?:{'|'.join(FOREIGN_OPTIONS)})(?![\w-]))[a-z][a-z-]*[a-z]"
)
REWRITES = re.compile(r"\b(?:in_python|python_words|worded)\b|\berror\.args = |\binspect\.unwrap\b")
READS_PICKLES = re.compile(r"\b(?:pickle|dill|joblib|marshal|shelve)\.(?:loads?|open|Unpickler)\b")
SINGLE_BACKTICK = re.compile(r"(?<!`)`(?!`)")


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


SOURCES = python_files(*ROOMS, "promptclimb")
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(tree(path)))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> str:
    """The dotted name of a source file, such as ``agent.store.disk``."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.fixture(autouse=True, scope="module")
def no_collections() -> Iterator[None]:
    """What is parsed here stays: looking for garbage in it takes four times as long as parsing."""
    gc.disable()
    yield
    gc.enable()


MODULES = {module_of(path): path for path in SOURCES}


@cache
def imports(path: Path) -> tuple[str, ...]:
    """Imports anywhere in a source file: our modules by dotted name, others by package."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    package = path.relative_to(ROOT).parts[:-1]
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            source = ".".join((*base, *(node.module or "").split("."))).strip(".")
            inner = [f"{source}.{alias.name}" for alias in node.names if f"{source}.{alias.name}" in MODULES]
            yield from inner or [source]


def level_of(module: str) -> int:
    """The height of a module's room, 0 for the bottom."""
    room, _, rest = module.partition(".")
    names = ORDER[room]
    levels = (len(names) - index for index, name in enumerate(names) if f"{rest}.".startswith(f"{name}."))
    return max(levels, default=0)


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    waiting = list(tree(path).body)
    for node in waiting:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        elif isinstance(node, ast.ClassDef):
            waiting += node.body


def called(call: ast.Call) -> str:
    """The dotted name of what is called; empty for a call that has none."""
    parts, node = [], call.func
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    parts.append(node.id if isinstance(node, ast.Name) else "")
    return ".".join(reversed(parts))


def lines_with(pattern: re.Pattern[str], paths: Iterable[Path]) -> list[str]:
    """The lines in which a pattern stands, with their places."""
    return [
        f"{relative(path)}:{number}: {line.strip()}"
        for path in paths
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if pattern.search(line)
    ]


def check_ceiling(name: str, members: Sequence[str]) -> None:
    assert len(members) <= CEILINGS[name], f"{len(members)} {name}:\n" + "\n".join(members)


def test_options_are_spelled_by_the_command_line_alone() -> None:
    """A message names a setting; the command line, in one place, shows it as an option."""
    texts = [
        path
        for room in ROOMS
        for ending in ("py", "toml", "j2")
        for path in (ROOT / room).rglob(f"*.{ending}")
    ]
    lines = lines_with(OPTION, [path for path in texts if not relative(path).startswith(DECLARES_OPTIONS)])
    check_ceiling("lines that spell an option", lines)


def test_no_sentence_is_rewritten() -> None:
    """A sentence is made once, by whoever shows it."""
    check_ceiling("uses of what rewrites sentences", lines_with(REWRITES, SOURCES))


def test_a_search_is_read_in_one_module() -> None:
    """``search/run.py`` leans on few modules."""
    ours = {name for name in imports(MODULES["agent.search.run"]) if name in MODULES}
    check_ceiling("modules of ours that search/run.py imports", sorted(ours))


def test_the_report_is_few_modules_from_the_log() -> None:
    """Modules of results/ and present/ that the module which writes the report needs."""
    (page,) = [
        module
        for module, path in MODULES.items()
        if any(function.name == "write_report" for function in functions(path))
    ]
    needed, waiting = set[str](), [page]
    while waiting:
        for name in imports(MODULES[waiting.pop()]):
            if (
                name in MODULES
                and name.startswith(("agent.results.", "agent.present."))
                and name not in needed
            ):
                needed.add(name)
                waiting.append(name)
    check_ceiling("modules between log and report", sorted(needed - {page}))


def test_a_search_has_few_options() -> None:
    """What few need stands in the settings file alone."""
    parser = make_parser(["search"])
    (choices,) = [action.choices for action in parser._actions if action.dest == "command"]
    assert isinstance(choices, dict)
    options = [name for name in choices["search"].known_options() if name not in ("--help", "--help-all")]
    check_ceiling("options of search", options)


def test_a_room_imports_only_what_it_may() -> None:
    """prompts/ imports nothing of ours, evaluator/ never agent, agent/ never torch, not even lazily."""
    wrong = []
    for path in SOURCES:
        room = path.relative_to(ROOT).parts[0]
        for name in imports(path):
            first = name.split(".")[0]
            if (
                first in FOREIGN.get(room, ())
                or (first in ROOMS and first not in MAY_USE.get(room, ROOMS))
                or (first == "promptclimb" and room != "promptclimb")
            ):
                wrong.append(f"{relative(path)} imports {name}")
    assert not wrong


def test_a_room_imports_lower_rooms_only() -> None:
    """The order of the rooms is the order in which they can be read."""
    wrong = []
    for module, path in MODULES.items():
        room = module.split(".")[0]
        wrong += [
            f"{module} imports {name}"
            for name in (imports(path) if room in ORDER else ())
            if name.split(".")[0] == room and level_of(name) > level_of(module)
        ]
    assert not wrong


def test_nothing_installed_imports_training() -> None:
    """A run needs the bundled models, not the code that trained them."""
    assert not [relative(path) for path in SOURCES if any(n.startswith("training") for n in imports(path))]


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Each module can be read after the modules that it imports."""
    waiting = {
        module: {name for name in imports(path) if name in MODULES and name != module}
        for module, path in MODULES.items()
        if path.name != "__init__.py"
    }
    while ready := [module for module, names in waiting.items() if not names & waiting.keys()]:
        for module in ready:
            del waiting[module]
    assert not waiting


def public_types(path: Path) -> Iterator[str]:
    for node in tree(path).body:
        if isinstance(node, ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            variable = isinstance(node.value, ast.Call) and called(node.value) in ("TypeVar", "ParamSpec")
            names = [] if variable else [target.id for target in targets if isinstance(target, ast.Name)]
        else:
            continue
        yield from (name for name in names if name[0] != "_" and not name.isupper() and not name.islower())


def test_names_of_public_types_are_unique() -> None:
    """A name is enough to know which class or type alias is meant."""
    places = defaultdict(list)
    for path in SOURCES:
        for name in public_types(path):
            places[name].append(relative(path))
    assert not {name: where for name, where in places.items() if len(where) > 1}


def test_docstrings_mark_code_with_double_backticks() -> None:
    """One dialect everywhere."""
    wrong = []
    for path in SOURCES:
        for node in nodes(path):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                docstring = ast.get_docstring(node) or ""
                if SINGLE_BACKTICK.search(docstring):
                    wrong.append(f"{relative(path)}: {docstring.splitlines()[0]}")
    assert not wrong


def test_nothing_pickled_is_ever_read() -> None:
    """No module unpickles, and torch reads weights alone."""
    wrong = []
    for path in SOURCES:
        for node in nodes(path):
            if isinstance(node, ast.Call):
                name = called(node)
                arguments = {keyword.arg: keyword.value for keyword in node.keywords}
                weights = arguments.get("weights_only")
                only_weights = isinstance(weights, ast.Constant) and weights.value is True
                if (name.endswith("torch.load") and not only_weights) or READS_PICKLES.search(name):
                    wrong.append(f"{relative(path)}:{node.lineno}")
    assert not wrong


def test_no_test_sleeps() -> None:
    """Time is the event loop's clock; a fake may yield, and a job for a thread may take its time."""
    wrong = []
    files = [*TESTS, *sorted((ROOT / "tests" / "fakes").glob("*.py"))]
    for path in (path for path in files if "time.sleep" in path.read_text("utf-8")):
        for function in functions(path):
            calls = (node for node in ast.walk(function) if isinstance(node, ast.Call))
            if function.name.startswith("test_") and any(called(c) == "time.sleep" for c in calls):
                wrong.append(f"{relative(path)}: {function.name}")
    assert not wrong


def test_every_test_states_a_behaviour() -> None:
    """Each test has a docstring."""
    wrong = [
        f"{relative(path)}: {function.name}"
        for path in TESTS
        for function in functions(path)
        if function.name.startswith("test_") and not ast.get_docstring(function)
    ]
    assert not wrong


def test_tests_mirror_the_rooms() -> None:
    """A folder of tests is named like the folder or module that it tests."""
    folders = {path.parent.relative_to(ROOT / "tests").as_posix() for path in TESTS} - {".", "fakes"}
    assert not sorted(
        folder for folder in folders if not (ROOT / folder).is_dir() and not (ROOT / f"{folder}.py").is_file()
    )


LIGHT = """
import asyncio, contextlib, sys
from promptclimb.evaluator import batching, fakes, prediction
from promptclimb.evaluator.datasets import hand_made, loading
from promptclimb.evaluator.errors import DataError
from promptclimb.evaluator.open import open_evaluator
from promptclimb.evaluator.spec import EvaluatorSpec
from promptclimb.evaluator.white_box import references
from tests.fakes.visual_api import VisualApi

loading.known(), hand_made.for_dataset("dtd"), references.check_reference("coop-tuned")
spec = EvaluatorSpec(data=sys.argv[1], scorer="chat", model="m", scorer_url="http://a")
assert asyncio.run(open_evaluator(spec, ask=VisualApi()).score(["which?\\n{classes}"]))[0].train == 1.0
with contextlib.suppress(DataError):
    open_evaluator(EvaluatorSpec(data="no/such"))
assert "promptclimb.agent" not in sys.modules
import promptclimb, promptclimb.agent.api, run_agent
print(sorted({"torch", "open_clip", "sklearn", "datasets"} & sys.modules.keys()))

import torch
from promptclimb.evaluator.held_near import LabelledFeatures, learn

features = torch.nn.functional.normalize(torch.randn(8, 3, 4), dim=2)
learn(torch.eye(4)[:2], LabelledFeatures(features, torch.arange(8) % 2), 100.0)
print("torch._dynamo" in sys.modules)
"""


def test_torch_is_not_imported_until_it_is_needed(tmp_path: Path) -> None:
    """Data sets, a scorer behind an API and the library itself need no torch, open_clip or scikit-learn.

    And learning from features needs torch, but not its compiler.
    """
    for name, colour in COLOURS.items():
        for number in range(10):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.new("RGB", (8, 8 + number), colour).save(tmp_path / name / f"{number}.png")
    command = [sys.executable, "-c", LIGHT, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\nFalse\n", "")
