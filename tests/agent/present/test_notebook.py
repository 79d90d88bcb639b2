"""The progress of a search below a notebook's cell."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.events.types import Event, RoundFinished, SearchStarted
from promptclimb.agent.position import Position
from promptclimb.agent.present.notebook import NotebookProgress, notebook_progress
from promptclimb.agent.search.api import search
from promptclimb.evaluator.fakes import FakeEvaluator

STARTED = SearchStarted(
    run_dir="runs/x",
    dataset="<b>",
    classes=2,
    model="m",
    llm=None,
    method="random",
    restarts=1,
    rounds=4,
    resumed=False,
)


def round_finished(number: int) -> Event:
    """A round of the first restart is over."""
    return RoundFinished(position=Position(1, 1, number), best="a <i> {}", train=0.5)


class Notebook:
    """IPython in a notebook, as far as it is asked: what was displayed, and what replaced it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, kernel: object = "a kernel") -> None:
        self.shown: list[str] = []
        top, display = ModuleType("IPython"), ModuleType("IPython.display")
        vars(top)["get_ipython"] = lambda: SimpleNamespace(kernel=kernel)
        vars(display).update(HTML=str, display=self.display)
        monkeypatch.setitem(sys.modules, "IPython", top)
        monkeypatch.setitem(sys.modules, "IPython.display", display)

    def display(self, html: str, *, display_id: bool) -> Any:
        """Show something that can be replaced."""
        self.shown.append(html)
        return SimpleNamespace(update=self.shown.append)


def test_the_bar_moves_with_the_rounds_and_holds_no_markup_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice a second at most, so that a fast search does not wait for its display."""
    notebook, now = Notebook(monkeypatch), [10.0]
    progress = notebook_progress()
    assert progress is not None
    progress = NotebookProgress(progress._show, clock=lambda: now[0])
    progress(STARTED)
    progress(round_finished(1))
    assert len(notebook.shown) == 1
    now[0] += 0.6
    progress(round_finished(2))
    first, second = notebook.shown
    assert '<progress value="0" max="4">' in first
    assert '<progress value="2" max="4">' in second
    assert "<i>" not in second


async def test_a_search_in_a_notebook_shows_its_progress(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Without an argument; the last display is that of the end."""
    notebook = Notebook(monkeypatch)
    config = SearchConfig(
        data="words",
        method="random",
        restarts=1,
        conversations=1,
        rounds=2,
        initial=5,
        run_dir=tmp_path / "run",
    )
    await search(config, custom_scorer=FakeEvaluator())
    assert '<progress value="2" max="2">' in notebook.shown[-1]


def test_a_terminal_shows_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """With IPython there or not."""
    assert notebook_progress() is None
    Notebook(monkeypatch, kernel=None)
    assert notebook_progress() is None
