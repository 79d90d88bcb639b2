"""The event loop stays responsive: fair scheduling, short collections, blocking work in threads."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from promptclimb import SearchConfig, resume, search
from promptclimb.agent import api
from promptclimb.agent.events.types import Event
from promptclimb.agent.position import Position
from promptclimb.agent.search import choice, result_writer, run
from promptclimb.agent.search.event_loop import to_the_end, without_old_objects
from tests.fakes.chat_by_hash import ChatByHash
from tests.fakes.clock import VirtualTimeLoop
from tests.fakes.evaluators import FakeEvaluator

RESTARTS = 8


class Counting(VirtualTimeLoop):
    """A loop that counts its turns."""

    turns = 0

    def _run_once(self) -> None:
        self.turns += 1
        super()._run_once()  # type: ignore[misc]  # not in the types


class ByTurn:
    """Which restarts were worked on in each turn of the loop."""

    def __init__(self) -> None:
        self.restarts: dict[int, set[int]] = defaultdict(set)

    def __call__(self, event: Event) -> None:
        """Note whom it is about."""
        position = getattr(event, "position", None)
        if isinstance(position, Position):
            loop = asyncio.get_running_loop()
            assert isinstance(loop, Counting)
            self.restarts[loop.turns].add(position.restart)


def test_in_one_turn_of_the_loop_one_restart_is_worked_on(tmp_path: Path) -> None:
    """In a search of restarts in lockstep, from the drawing of their templates on, and in a replay."""
    config = SearchConfig(
        data="fake", llm="fake", method="pn", restarts=RESTARTS, concurrency=RESTARTS, conversations=1,
        rounds=2,
        proposals=3, initial=6, run_dir=tmp_path / "run",
    )  # fmt: skip
    with asyncio.Runner(loop_factory=Counting) as runner:
        fresh, replayed = ByTurn(), ByTurn()
        runner.run(search(config, custom_scorer=FakeEvaluator(), chat=ChatByHash(), on_event=fresh))
        more = {"rounds": 3}
        runner.run(
            resume(
                config.run_dir or "", changes=more, custom_scorer=FakeEvaluator(), chat=ChatByHash(),
                on_event=replayed,
            )
        )  # fmt: skip
    for feedback in (fresh, replayed):
        assert set().union(*feedback.restarts.values()) == set(range(1, RESTARTS + 1))
        assert max(map(len, feedback.restarts.values())) == 1


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    """Each test begins and ends with nothing frozen."""
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_what_was_there_before_is_not_collected_meanwhile() -> None:
    """A full collection looks at what is new alone."""
    kept = [[number] for number in range(1_000)]
    with without_old_objects():
        assert not any(collected is kept for collected in gc.get_objects())
    assert any(collected is kept for collected in gc.get_objects())
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize("own", ["off", "frozen"])
def test_a_program_that_has_its_own_way_keeps_it(own: str) -> None:
    """Collections turned off stay off, and what the program has frozen stays frozen."""
    if own == "off":
        gc.disable()
    else:
        gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        with without_old_objects():
            assert (gc.get_freeze_count() > 0) == (frozen > 0)
        assert (gc.get_freeze_count() > 0) == (frozen > 0)
    finally:
        gc.unfreeze()
        gc.enable()


LONG = [
    (run, "read_pool"), (run.Store, "create"), (run.Store, "close"),
    (choice, "ranked"), (choice, "row_of"), (result_writer, "view_of"),
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
