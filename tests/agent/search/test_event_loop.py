"""The event loop stays responsive: fair scheduling, short collections, blocking work in threads."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from promptclimb import SearchConfig, resume, search
from promptclimb.agent.events.types import Event
from promptclimb.agent.position import Position
from promptclimb.agent.search import choice, result_writer, run
from promptclimb.agent.search.event_loop import (
    FairScheduler,
    short_collections,
    to_the_end,
)
from promptclimb.evaluator.fakes import FakeEvaluator
from tests.fakes.chat_by_hash import ChatByHash
from tests.fakes.clock import VirtualTimeLoop, run_virtual

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
        proposals=3, initial=6, top_k=3, run_dir=tmp_path / "run",
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


async def test_first_come_first_served_and_who_has_left_takes_no_turn() -> None:
    """One a turn, in the order in which they came; others of the loop's have theirs between."""
    turns, order = FairScheduler(), list[str]()

    async def work(name: str) -> None:
        await turns.turn()
        order.append(name)

    tasks = [asyncio.create_task(work(str(number))) for number in range(6)]
    await asyncio.sleep(0)
    for left in (1, 2, 5):
        tasks[left].cancel()
    while not all(task.done() for task in tasks):
        order.append("|")
        await asyncio.sleep(0)
    assert "".join(order).strip("|") == "0|3|4"
    await turns.turn()  # it goes on after all have left


class Ring:
    """Garbage that only a collection finds."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    """Each test begins and ends with nothing frozen."""
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_what_has_lived_through_a_collection_is_not_looked_at_again() -> None:
    """A full collection then takes as long as there is that is new, whatever a search keeps."""
    with short_collections():
        kept = [[number] for number in range(1_000)]
        gc.collect()
        assert not any(one is kept for one in gc.get_objects())
        assert len(gc.get_objects(generation=2)) < 100
    assert any(one is kept for one in gc.get_objects())
    assert gc.get_freeze_count() == 0


def test_already_the_first_full_collection_is_short() -> None:
    """Python puts one off until a quarter as much has come as was there: that is to be what is not frozen."""
    stats = gc.get_stats()[2]["collections"]
    with short_collections():
        assert gc.get_stats()[2]["collections"] == stats + 1
        assert len(gc.get_objects(generation=2)) < 100
        assert gc.get_freeze_count() > 10_000


def test_full_collections_come_often_meanwhile_and_no_more_afterwards() -> None:
    """Between two of them little has come that is new: ten thousand objects, and not a hundred thousand."""
    before = gc.get_threshold()
    with short_collections():
        counted = gc.get_stats()[2]["collections"]
        kept = [[number] for number in range(4 * 3 * before[0] * before[1])]
        assert gc.get_stats()[2]["collections"] >= counted + 3
    assert gc.get_threshold() == before
    assert kept


def test_new_garbage_is_found_as_ever() -> None:
    """And what is frozen goes when nobody refers to it, as long as it is in no cycle."""
    with short_collections():
        found = weakref.ref(Ring())
        gc.collect()
        assert found() is None
        plain = {1: Ring()}
        gone = weakref.ref(plain[1])
        plain[1].me = plain[1]
        gc.collect()
        assert gone() is not None
        del plain[1].__dict__["me"]
        del plain[1]
        assert gone() is None


def test_cycles_of_what_was_frozen_are_found_when_much_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the latest when twice as much is in use: memory stays in proportion to what is needed."""
    in_use = [1_000]
    monkeypatch.setattr(sys, "getallocatedblocks", lambda: in_use[0])
    with short_collections():
        rings = [Ring() for _ in range(300)]
        last = weakref.ref(rings[-1])
        gc.collect()
        rings.clear()
        in_use[0] = 2_000
        gc.collect()
        assert last() is not None
        in_use[0] = 2_001
        gc.collect()  # all are looked at the next time
        gc.collect()
        assert last() is None
        in_use[0] = 4_002  # and that was not too much for what there is now
        kept = [Ring()]
        gc.collect()
        assert not any(one is kept for one in gc.get_objects())


@pytest.mark.parametrize("own", ["off", "frozen"])
def test_a_program_that_has_its_own_way_keeps_it(own: str) -> None:
    """Collections turned off stay off, and what the program has frozen stays frozen."""
    if own == "off":
        gc.disable()
    else:
        gc.freeze()
    try:
        before, frozen = list(gc.callbacks), gc.get_freeze_count()
        with short_collections():
            assert gc.callbacks == before
            assert (gc.get_freeze_count() > 0) == (frozen > 0)
        assert (gc.get_freeze_count() > 0) == (frozen > 0)
    finally:
        gc.unfreeze()
        gc.enable()


LONG = [
    (run, "read_pool"), (run.Store, "create"), (run.Store, "close"),
    (choice, "ranking"), (choice, "row_of"), (result_writer, "lineage_of"), (result_writer, "view_of"),
    (result_writer, "write_report"), (result_writer, "write_result"),
]  # fmt: skip
"""What takes as long as there are templates, or some thirty settings of a database."""


def test_what_takes_long_holds_no_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Choosing among, and writing down, what a thousand restarts have found takes seconds."""
    threads: dict[str, set[threading.Thread]] = {name: set() for _, name in LONG}

    def noting(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*given: Any, **more: Any) -> Any:
            threads[name].add(threading.current_thread())
            return work(*given, **more)

        return noted

    for module, name in LONG:
        monkeypatch.setattr(module, name, noting(name, getattr(module, name)))
    config = SearchConfig(
        data="fake", llm="fake", method="pn", restarts=2, conversations=1, rounds=1, proposals=2, initial=4,
        top_k=2, run_dir=tmp_path / "run",
    )  # fmt: skip
    assert run_virtual(search(config, custom_scorer=FakeEvaluator(), chat=ChatByHash())).status == "finished"
    assert all(threads.values())
    assert threading.main_thread() not in set().union(*threads.values())


def test_no_point_of_a_curve_is_looked_for_without_a_request() -> None:
    """Not even the order of what was scored."""

    class Untouched(list[Any]):
        """A list that nobody goes through."""

        def __iter__(self) -> Any:
            raise AssertionError

    assert choice.first_templates(Untouched(), ()) == {}


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
