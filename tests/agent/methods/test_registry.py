"""A method declares itself: one module, one line, and everything else follows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from promptclimb import SearchConfig, search
from promptclimb.agent.methods.base import Propose, SearchMethod, Steps, View
from promptclimb.agent.methods.registry import METHODS, REMOVED, described
from promptclimb.agent.search.bound import bound_of
from promptclimb.evaluator.errors import ConfigError
from promptclimb.evaluator.fakes import FakeEvaluator
from tests.fakes.clock import run_virtual
from tests.fakes.study_outcomes import cells, study
from tests.paths import ROOT


def added(monkeypatch: pytest.MonkeyPatch, **declared: object) -> list[View]:
    """Register the method ``own``, and return the views that it gets."""
    views: list[View] = []

    def conversation(view: View) -> Steps:
        views.append(view)
        yield Propose([])

    method = SearchMethod(summary="of one's own", conversation=conversation, requests=0, **declared)  # type: ignore[arg-type]
    monkeypatch.setitem(METHODS, "own", method)
    return views


def config(tmp_path: Path, **more: object) -> SearchConfig:
    """A search by it."""
    return SearchConfig(
        data="fake", method="own", restarts=1, conversations=1, initial=6, run_dir=tmp_path / "r", **more
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("uses", [True, False])
def test_a_method_gets_the_description_that_it_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uses: bool
) -> None:
    """In a search, in a study, in what is said about an unused or missing description; otherwise nothing."""
    views = added(monkeypatch, uses_description=uses)
    described_config = config(tmp_path, describe="throws of dice")
    run_virtual(search(described_config, evaluator=FakeEvaluator()))
    assert [view.description for view in views] == ["throws of dice" if uses else ""]
    assert (described_config.unused_description is None) == uses
    assert (config(tmp_path).description_tip is not None) == uses
    (cell,) = cells(study(data=["one"], seeds=[1], methods=["own"], describe={"one": "dice"}))
    assert cell.config.describe == ("dice" if uses else None)


@pytest.mark.parametrize("uses", [True, False])
def test_a_method_gets_the_class_names_that_it_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uses: bool
) -> None:
    """Others see none."""
    views, evaluator = added(monkeypatch, uses_class_names=uses), FakeEvaluator()
    run_virtual(search(config(tmp_path), evaluator=evaluator))
    assert [tuple(view.class_names) for view in views] == [evaluator.info.class_names if uses else ()]


def test_what_the_built_in_methods_use_is_declared() -> None:
    """Description and class names go to the same methods."""
    uses = {name for name, method in METHODS.items() if method.uses_description}
    assert uses == {name for name, method in METHODS.items() if method.uses_class_names}
    assert uses == {"guided", "combine"}
    assert {name for name, method in METHODS.items() if not method.asks_llm} == {"random", "combine"}


@pytest.mark.parametrize("name", ["own", "combine"])
def test_any_method_without_an_llm_may_stand_in_for_the_local_one(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """And no other."""
    added(monkeypatch)
    assert SearchConfig(data="fake", llm="local", llm_fallback=name).llm_fallback == name
    with pytest.raises(ConfigError, match=r"unknown method without an LLM; known are .*combine"):
        SearchConfig(data="fake", llm="local", llm_fallback="pn")


@pytest.mark.parametrize("name", REMOVED)
def test_a_removed_method_is_explained(name: str) -> None:
    """In a search and in a study, by one line that says what to use."""
    with pytest.raises(ConfigError, match=r"^[^\n]*this method was removed[^\n]*combine or random$"):
        SearchConfig(data="fake", method=name)
    with pytest.raises(ValueError, match="this method was removed"):
        study(data=["one"], seeds=[1], methods=[name])


def test_help_lists_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its summary."""
    added(monkeypatch)
    assert described().endswith(", own (of one's own)")


def test_free_candidates_are_part_of_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as the method declares, where there is a description."""
    added(monkeypatch, uses_description=True, free_per_restart=7, free_per_round=2)
    without, described_plan = (
        bound_of(config(tmp_path, rounds=3, describe=text)).evaluations for text in (None, "dice")
    )
    assert described_plan - without == 7 + 3 * 2


def test_the_registry_is_light() -> None:
    """Help lists the methods without numpy."""
    code = (
        "import sys, promptclimb.agent.methods.registry; print(sorted({'numpy', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
