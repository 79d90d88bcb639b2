"""Whole searches on fakes, in virtual time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from promptclimb.agent.api import resume, search
from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.events.types import Listener
from promptclimb.agent.results.result import SearchResult
from tests.fakes.chat_by_hash import ChatByHash
from tests.fakes.clock import run_virtual
from tests.fakes.evaluators import FakeEvaluator


def searched(
    config: SearchConfig, *, chat: Any = None, evaluator: Any = None, on_event: Listener | None = None
) -> SearchResult:
    """The result of a search."""
    parts = {"custom_scorer": evaluator or FakeEvaluator(), "chat": chat or ChatByHash()}
    return run_virtual(search(config, **parts, on_event=on_event))


def resumed(
    run_dir: Path, changes: Mapping[str, Any] | None = None, *, chat: Any = None, evaluator: Any = None
) -> SearchResult:
    """The result of a run that is resumed."""
    parts = {"custom_scorer": evaluator or FakeEvaluator(), "chat": chat or ChatByHash()}
    return run_virtual(resume(run_dir, changes=changes, **parts))
