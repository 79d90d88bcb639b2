"""A restart as its method sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptclimb import SearchConfig, search
from promptclimb.agent.methods.base import Propose, SearchMethod, Steps, View
from promptclimb.agent.search import restart
from promptclimb.evaluator.fakes import FakeEvaluator
from tests.fakes.clock import run_virtual


class Looker:
    """Keeps the views that it is given, and proposes nothing."""

    def __init__(self) -> None:
        self.views: list[View] = []

    def conversation(self, view: View) -> Steps:
        """One empty step."""
        self.views.append(view)
        yield Propose([])


@pytest.fixture
def looker(monkeypatch: pytest.MonkeyPatch) -> Looker:
    """The method in the place of another."""
    own = Looker()
    looks = SearchMethod(
        summary="looks",
        conversation=own.conversation,
        requests=0,
        uses_description=True,
        uses_class_names=True,
    )
    monkeypatch.setattr(restart, "METHODS", {"random": looks})
    return own


@pytest.mark.parametrize("blind", [False, True])
def test_a_method_gets_the_description_and_the_class_names(
    tmp_path: Path, looker: Looker, blind: bool
) -> None:
    """Unless the search is blind; the names are those that the evaluator knows, by label."""
    evaluator = FakeEvaluator()
    config = SearchConfig(
        data="fake",
        method="random",
        restarts=1,
        conversations=1,
        initial=6,
        describe="throws of dice",
        blind=blind,
        run_dir=tmp_path / "r",
    )
    run_virtual(search(config, evaluator=evaluator))
    (view,) = looker.views
    known = ("", ()) if blind else ("throws of dice", evaluator.info.class_names)
    assert (view.description, tuple(view.class_names)) == known
