"""Would a test notice? The core is changed in one place at a time, and each change is to fail a test.

Prints for each file how many of a random sample of changes (mutants) its tests kill, and every survivor with
its line. A survivor is a test that is missing, dead code, or a change that nobody can see.

mutmut 3 names what it changes by the file (``agent.methods.memory``) and gives up where the tests know it as
``promptclimb.agent.methods.memory``. cosmic-ray works, but it changes annotations, which nobody executes (12
of
the 17 survivors that it found in ``memory.py`` were a ``|`` in a type), never leaves a statement out, and
starts Python anew for each mutant. So this is a tool of our own: the libraries are imported once, each mutant
lives in a fork that imports our modules, and no file is ever written to. A test that starts a process of its
own sees the sources as they are. Left alone are annotations, docstrings, decorators and texts of messages.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import importlib.machinery
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
RESTART, SEARCH, LLM = "tests/agent/search", "tests/agent/search", "tests/agent/llm"
STORE = ("tests/agent/store/test_writer.py", "tests/agent/store/test_store.py")
PACING = tuple(f"{LLM}/test_{name}.py" for name in ("window", "limiter", "pacing"))
TARGETS: dict[str, tuple[str, ...]] = {
    "agent/search/restart.py": (f"{RESTART}/test_one_restart.py", RESTART),
    "agent/methods/memory.py": ("tests/agent/methods/test_memory.py",),
    "agent/search/choice.py": (f"{RESTART}/test_choice.py", f"{RESTART}/test_readable.py"),
    "agent/search/journal.py": (f"{SEARCH}/test_journal.py",),
    "agent/store/run.py": STORE,
    "agent/store/records.py": STORE,
    "agent/store/writer.py": STORE,
    "agent/llm/budget.py": (f"{LLM}/test_limits.py", f"{LLM}/test_budget.py"),
    "evaluator/failures.py": ("tests/evaluator/test_failures.py",),
    "agent/llm/limiter.py": PACING,
    "agent/llm/pool.py": tuple(f"{LLM}/test_{name}.py" for name in ("breaker", "choice", "pacing", "pool")),
}
"""What is changed, and the tests that are to notice."""
OTHER = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or,
    ast.Or: ast.And, ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.USub: ast.UAdd,
}  # fmt: skip
OURS = ("promptclimb", "agent", "evaluator", "prompts", "tests", "test_", "conftest", "__")
UNTOUCHED = {"annotation", "returns", "decorator_list", "bases", "type_params"}


class Change(NamedTuple):
    """A node's field with another value."""

    line: int
    what: str
    owner: ast.AST
    field: str
    value: Any


def parts(node: ast.AST, *, in_message: bool = False) -> Iterator[ast.AST]:
    """Yield a node and what lies in it, without what nobody executes, and without texts for people."""
    in_message = (
        in_message or isinstance(node, ast.Raise) or ast.unparse(node).startswith(("TypeVar(", "Literal["))
    )
    if not (in_message and isinstance(node, ast.Constant)):
        yield node
    for name, value in ast.iter_fields(node):
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if name not in UNTOUCHED and not docstring:
            for each in value if isinstance(value, list) else [value]:
                protocol = isinstance(each, ast.ClassDef) and "Protocol" in map(ast.unparse, each.bases)
                if isinstance(each, ast.AST) and not isinstance(each, ast.JoinedStr) and not protocol:
                    yield from parts(each, in_message=in_message)


def may_go(statement: ast.stmt) -> bool:
    """Return whether a block makes sense without a statement."""
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Call | ast.Await)
    if isinstance(statement, ast.Assign):
        return all(isinstance(target, ast.Attribute | ast.Subscript) for target in statement.targets)
    return isinstance(statement, ast.AugAssign | ast.Delete | ast.Raise | ast.Continue | ast.Break)


def changes_of(node: Any) -> Iterator[Change]:  # noqa: C901 - a list of cases, one after the other
    """Yield the changes that may be made to one node."""

    def change(what: str, field: str, value: Any, at: Any = node) -> Change:
        return Change(at.lineno, what, node, field, value)

    for field in ("body", "orelse", "finalbody"):
        block = getattr(node, field, None)
        for place, each in enumerate(block if isinstance(block, list) else []):
            if may_go(each):
                rest = [*block[:place], ast.Pass(), *block[place + 1 :]]
                yield change(f"left out: {ast.unparse(each)}", field, rest, each)
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        yield change(f"turned round: {ast.unparse(node.test)}", "test", ast.UnaryOp(ast.Not(), node.test))
    if isinstance(node, ast.comprehension) and node.ifs:
        yield change(f"without if {ast.unparse(node.ifs[0])}", "ifs", [], node.ifs[0])
    if isinstance(node, ast.For):
        yield change(f"over nothing, not {ast.unparse(node.iter)}", "iter", ast.Tuple([], ast.Load()))
    if isinstance(node, ast.Return) and node.value and ast.unparse(node.value) not in ("None", "self"):
        yield change(f"return None, not {ast.unparse(node.value)}", "value", None)
    if isinstance(node, ast.Compare) and (other := OTHER.get(type(node.ops[0]))):
        yield change(f"{other.__name__} in {ast.unparse(node)}", "ops", [other(), *node.ops[1:]])
    if hasattr(node, "op") and (other := OTHER.get(type(node.op))):
        yield change(f"{other.__name__} in {ast.unparse(node)}", "op", other())
    if isinstance(node, ast.Call):
        for place, keyword in enumerate(node.keywords):
            rest = [*node.keywords[:place], *node.keywords[place + 1 :]]
            yield change(f"without {ast.unparse(keyword)} in {ast.unparse(node)}", "keywords", rest)
    if isinstance(node, ast.Name) and node.id in ("min", "max"):
        yield change(f"not {node.id}", "id", "max" if node.id == "min" else "min")
    if (
        isinstance(node, ast.Constant)
        and isinstance(old := node.value, bool | int | float | str)
        and old != ""
    ):
        new = f"xx{old}" if isinstance(old, str) else not old if isinstance(old, bool) else old + 1
        yield change(f"{new!r}, not {old!r}", "value", new)


def changes(tree: ast.Module) -> list[Change]:
    """Return all changes that may be made to a module, in the order of its text."""
    return sorted((each for node in parts(tree) for each in changes_of(node)), key=lambda each: each[:2])


def changed(tree: ast.Module, change: Change) -> str:
    """Return the module's source with one change made."""
    before = getattr(change.owner, change.field)
    setattr(change.owner, change.field, change.value)
    try:
        return ast.unparse(ast.fix_missing_locations(tree))
    finally:
        setattr(change.owner, change.field, before)


def run_tests(path: Path, source: str, tests: tuple[str, ...], say: Any = None) -> None:
    """Run tests in this process, which then ends, with another source in place of a file's."""
    read = importlib.machinery.SourceFileLoader.get_code

    def get_code(loader: Any, name: str) -> Any:
        ours = Path(loader.path) == path
        return compile(source, str(path), "exec") if ours else read(loader, name)

    importlib.machinery.SourceFileLoader.get_code = get_code  # type: ignore[method-assign,assignment]
    os.setpgid(0, 0)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = scratch
        options = f"-x -q --assert=plain -p no:cacheprovider --hypothesis-seed=0 --basetemp={scratch}/tmp"
        code = pytest.main([*options.split(), *tests])
    if say is not None:
        # Few enough to lie in a pipe that nobody reads yet.
        say.send([name for name in sys.modules if name.count(".") < 2])
    os._exit(int(code))


def outcome(limit_s: float, *arguments: Any) -> str:
    """Return how the tests ended in a process of their own: passed, failed or timeout."""
    process = multiprocessing.get_context("fork").Process(target=run_tests, args=arguments)
    process.start()
    process.join(limit_s)
    if process.exitcode is None:
        os.killpg(process.pid or 0, signal.SIGKILL)
        process.join()
        return "timeout"
    return "failed" if process.exitcode else "passed"


def warm_up(path: Path, tests: tuple[str, ...]) -> float:
    """Import what the tests import of others; how many seconds the tests take with nothing changed.

    Raises:
        RuntimeError: A test fails as it is.
    """
    reader, writer = multiprocessing.Pipe(duplex=False)
    began = time.monotonic()
    if outcome(600, path, path.read_text("utf-8"), tests, writer) != "passed":
        raise RuntimeError(f"{' '.join(tests)}: a test fails with nothing changed")
    seconds = time.monotonic() - began
    for name in reader.recv():
        if not any(part.startswith(OURS) for part in name.split(".")):
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
    return seconds


def figures(name: str, lines: Container[int], most: int, seed: int) -> dict[str, Any]:
    """Change a file in so many places at random, one at a time, and count."""
    path, tests, survivors, late = ROOT / name, TARGETS[name], [], 0
    tree = ast.parse(path.read_text("utf-8"))
    found = [each for each in changes(tree) if each.line in lines]
    sample = sorted(random.Random(seed).sample(range(len(found)), min(most, len(found))))
    limit_s = 10 + 3 * warm_up(path, tests)
    for change in (found[place] for place in sample):
        ended = outcome(limit_s, path, changed(tree, change), tests)
        late += ended == "timeout"
        if ended == "passed":
            survivors.append({"line": change.line, "change": change.what})
    share = round(1 - len(survivors) / max(len(sample), 1), 3)
    return {"file": name, "possible": len(found), "made": len(sample), "killed": share, "timeouts": late,
            "survivors": survivors}  # fmt: skip


def main() -> None:
    """Change the files that are named, or all, and print a line of JSON for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", default=[*TARGETS], help="FILE or FILE:LINE,LINE; default: all")
    parser.add_argument("--sample", type=int, default=60, help="most changes a file")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="as everywhere; there is no other form")
    given = parser.parse_args()
    os.chdir(ROOT)
    for name, _, lines in (file.partition(":") for file in given.files):
        only = {int(line) for line in lines.split(",")} if lines else range(1, 10**6)
        print(json.dumps(figures(name, only, given.sample, given.seed)), flush=True)


if __name__ == "__main__":
    main()
