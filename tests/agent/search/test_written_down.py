"""The two ends of a search: what takes long is done beside the loop, and what is begun is ended."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from promptclimb import SearchConfig, search
from promptclimb.agent.search import chosen, report_data, result_writer, run
from promptclimb.agent.search.event_loop import to_the_end
from promptclimb.evaluator.fakes import FakeEvaluator
from tests.fakes.chat_by_hash import ChatByHash
from tests.fakes.clock import run_virtual

LONG = [
    (run, "read_pool"), (run.Store, "create"), (run.Store, "close"),
    (chosen, "select"), (chosen, "row_of"), (report_data, "lineage_of"), (result_writer, "view_of"),
    (result_writer, "write_report"), (result_writer, "write_result"),
]  # fmt: skip
"""What takes as long as there are templates, or some thirty settings of a database."""


@pytest.mark.parametrize(("module", "name"), LONG, ids=lambda one: one if isinstance(one, str) else "")
def test_what_takes_long_holds_no_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> None:
    """Choosing among, and writing down, what a thousand restarts have found takes seconds."""
    threads: set[threading.Thread] = set()
    work = getattr(module, name)

    def seen(*given: Any, **more: Any) -> Any:
        threads.add(threading.current_thread())
        return work(*given, **more)

    monkeypatch.setattr(module, name, seen)
    config = SearchConfig(
        data="fake", llm="fake", method="pn", restarts=2, conversations=1, rounds=1, proposals=2, initial=4,
        top_k=2, run_dir=tmp_path / "run",
    )  # fmt: skip
    assert run_virtual(search(config, evaluator=FakeEvaluator(), chat=ChatByHash())).status == "finished"
    assert threads
    assert threading.main_thread() not in threads


def test_no_point_of_a_curve_is_looked_for_where_none_is_asked_for() -> None:
    """Not even the order of what was scored."""

    class Untouched(list[Any]):
        """A list that nobody goes through."""

        def __iter__(self) -> Any:
            raise AssertionError

    assert chosen.first_templates(Untouched(), ()) == {}


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
