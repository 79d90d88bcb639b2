"""The event loop stays responsive: blocking work in threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from promptclimb import SearchConfig, search
from promptclimb.agent import api
from promptclimb.agent.search import choice, result_writer, run
from promptclimb.agent.search.event_loop import to_the_end
from tests.fakes.chat_by_hash import ChatByHash
from tests.fakes.evaluators import FakeEvaluator

LONG = [
    (run, "read_pool"), (run.Store, "create"), (run.Store, "close"),
    (choice, "ranking"), (choice, "row_of"), (result_writer, "view_of"),
    (api, "write_report"), (result_writer, "write_result"),
]  # fmt: skip
"""What takes as long as there are templates, or some thirty settings of a database."""


def test_what_takes_long_holds_no_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Choosing among, and writing down, what a thousand restarts have found takes seconds."""
    threads: dict[str, set[threading.Thread]] = {name: set() for _, name in LONG}

    def noting(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any, **more: Any) -> Any:
            threads[name].add(threading.current_thread())
            return work(*args, **more)

        return noted

    for module, name in LONG:
        monkeypatch.setattr(module, name, noting(name, getattr(module, name)))
    config = SearchConfig(
        data="fake", llm="fake", method="pn", restarts=2, conversations=1, rounds=1, proposals=2, initial=4,
        run_dir=tmp_path / "run",
    )  # fmt: skip
    # In real time: the virtual loop has no threads.
    assert asyncio.run(search(config, custom_scorer=FakeEvaluator(), chat=ChatByHash())).status == "finished"
    assert all(threads.values())
    assert threading.main_thread() not in set().union(*threads.values())


async def test_what_is_begun_is_ended_before_a_cancellation_goes_on() -> None:
    """Else a resume would meet files that the session before is still writing."""
    begun, go, ended = threading.Event(), threading.Event(), list[str]()

    def work() -> None:
        begun.set()
        assert go.wait(60)
        ended.append("written")

    task = asyncio.create_task(to_the_end(work))
    await asyncio.to_thread(begun.wait, 60)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go.set()
    await asyncio.wait({task})
    assert task.cancelled()
    assert ended == ["written"]
