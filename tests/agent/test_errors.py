"""Errors: one root for all that a search may raise, and a tree that is drawn as it is."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from promptclimb import SearchConfig, search
from promptclimb.agent import errors
from promptclimb.evaluator.errors import ConfigError, PromptclimbError, UsageError
from tests.fakes.evaluators import FakeEvaluator
from tests.paths import ROOT

CAUGHT_INSIDE = {
    "agent.llm.client._SentOnError": "becomes a RedirectedError",
    "agent.results.result.OtherSchemaError": "becomes a line of status, or a UsageError",
    "agent.search.journal.Skipped": "ends a round, not the restart",
    "evaluator.remote.evaluator.BadReplyError": "is asked again, or becomes a ScoringEndedError",
    "evaluator.custom.WrongAnswerError": "becomes a ConfigError or an EvaluatorError",
    "evaluator.clip.tower.NotCausalError": "has the slow path taken",
    "prompts.starting.PoolError": "becomes a ConfigError in search.inputs",
    "prompts.kinds.CandidateError": "refuses one line",
}
"""Exceptions of ours that no caller of a search ever sees."""


@cache
def exception_classes() -> tuple[tuple[str, type], ...]:
    """Every exception class that our modules define."""
    return tuple(_exception_classes())


def _exception_classes() -> Iterator[tuple[str, type]]:
    files = [file for room in ("agent", "evaluator", "prompts") for file in (ROOT / room).rglob("*.py")]
    for path in sorted(files):
        source = path.read_text("utf-8")
        if not re.search(r"^class [^:]*(?:Error|Exception)\b", source, re.MULTILINE):
            continue
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for node in ast.parse(source).body:
            bases = [ast.unparse(base) for base in node.bases] if isinstance(node, ast.ClassDef) else []
            if isinstance(node, ast.ClassDef) and any(
                re.search("(Error|Exception)$", base) for base in bases
            ):
                loaded = importlib.import_module(f"promptclimb.{module}")
                yield f"{module}.{node.name}", getattr(loaded, node.name)


def test_every_error_of_ours_has_the_one_root() -> None:
    """What is not under it is named here, with what becomes of it."""
    outside = {name for name, kind in exception_classes() if not issubclass(kind, PromptclimbError)}
    assert outside == set(CAUGHT_INSIDE)


def test_the_tree_is_drawn_as_it_is() -> None:
    """Every class under the root stands in the docstring below one of its bases."""
    drawn: dict[str, str] = {}
    line_of: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if branch := re.match(r"    ([│├└─ ]*)(\w+Error)\b", line):
            depth = len(branch[1]) // 4
            line_of[depth:] = [branch[2]]
            drawn[branch[2]] = line_of[depth - 1] if depth else "Exception"
    ours = {kind.__name__: kind for _, kind in exception_classes() if issubclass(kind, PromptclimbError)}
    assert set(drawn) == set(ours)
    for name, parent in drawn.items():
        assert parent in {base.__name__ for base in ours[name].__mro__}, f"{name} is no {parent}"


@pytest.mark.usefixtures("small_sets")
@pytest.mark.parametrize(
    "wrong",
    [
        {"data": "no-such-data"},
        {"data": "backgrounds", "model": "ViT-B-33"},
        {"data": "backgrounds", "device": "cuda:77"},
        {"initial": Path("/no/such/file")},
        {"run_dir": Path("/proc/no/such")},
        {"llm": "m", "method": "pn", "base_url": "http://127.0.0.1:9/v1"},
    ],
)
async def test_a_search_raises_nothing_else(wrong: dict[str, object], tmp_path: Path) -> None:
    """Bad input of any room comes out of a search as the user's to mend, and nothing is left behind."""
    settings = {"method": "random", "run_dir": tmp_path / "run", "device": "cpu", **wrong}
    with pytest.raises(UsageError):
        await search(SearchConfig(**settings))
    assert not (tmp_path / "run").exists()


async def test_an_evaluator_of_no_kind_is_the_users_to_mend(tmp_path: Path) -> None:
    """What has no score is said before a folder is made."""
    config = SearchConfig(method="random", run_dir=tmp_path / "run")
    with pytest.raises(ConfigError, match="score"):
        await search(config, custom_scorer=object())
    with pytest.raises(ConfigError, match=r"^`initial = 1000000`: the built-in pool has \d+ templates"):
        await search(config.model_copy(update={"initial": 10**6}), custom_scorer=FakeEvaluator())
