"""The progress of a search below a notebook's cell."""

from __future__ import annotations

import builtins
import sys
from functools import partialmethod
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import pytest
from rich.live import Live

from promptclimb.agent.api import search
from promptclimb.agent.config.schema import SearchConfig
from tests.fakes.evaluators import FakeEvaluator


class Output:
    """The widget of ``ipywidgets`` that rich writes its panel into."""

    cleared = closed = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing was opened."""

    def clear_output(self, *, wait: bool) -> None:
        Output.cleared += 1

    def close(self) -> None:
        Output.closed += 1


async def test_a_search_in_a_notebook_shows_its_progress(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By rich, in a widget that changes and goes with the search."""
    displayed: list[Any] = []
    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setattr(builtins, "get_ipython", lambda: shell, raising=False)
    members = {
        "IPython": {},
        "IPython.display": {"display": displayed.append},
        "ipywidgets": {"Output": Output},
    }
    for name, content in members.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    # The panel is shown at once, not only when a thread comes to it.
    monkeypatch.setattr(Live, "start", partialmethod(Live.start, refresh=True))
    config = SearchConfig(
        data="words", method="random", restarts=1, conversations=1, rounds=2, initial=5,
        run_dir=tmp_path / "run",
    )  # fmt: skip
    await search(config, custom_scorer=FakeEvaluator())
    assert any(isinstance(shown, Output) for shown in displayed)
    assert Output.cleared
    assert Output.closed == 1
