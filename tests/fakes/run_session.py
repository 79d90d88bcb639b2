"""A session of a run without anything open but the evaluator and the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from promptclimb import SearchConfig
from promptclimb.agent.search.opening import RunRequest, RunSession
from promptclimb.agent.secrets import Scrubber
from promptclimb.agent.store.run import Store
from promptclimb.evaluator.scoring import Evaluator


def session_of(
    config: SearchConfig, evaluator: Evaluator, store: Store | None = None, *,
    chat: object | None = None,
) -> RunSession:  # fmt: skip
    """A session that can share answers, choose and test, but not ask."""
    nothing = cast("Any", None)
    return RunSession(
        request=RunRequest(config=config, chat=chat), pool=(),
        run_dir=Path(), store=nothing if store is None else store, evaluator=evaluator,
        scorer_calls=None, budget=nothing, llm=nothing,
        keys_in_use=Scrubber(), all_secrets=Scrubber(), written_here=(),
    )  # fmt: skip
