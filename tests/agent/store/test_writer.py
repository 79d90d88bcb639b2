"""The one thread that writes: in order, in groups, and whoever waits is told the truth."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from promptclimb.agent.llm.chat import ChatAnswer
from promptclimb.agent.position import Position
from promptclimb.agent.prices import NOTHING, Bill, Spent
from promptclimb.agent.store.records import reader
from promptclimb.agent.store.run import Store
from promptclimb.evaluator.errors import StoreError, StoreFullError
from tests.fakes.stored import answers

ANSWER = ChatAnswer(text="- a {}")
ONE = Bill(Spent(calls=1, prompt_tokens=12))
COMMIT_S = 0.2
"""Seconds in which another thread would have begun its commit, if there were one."""


class Disk:
    """The store's way to the disk, on which the first commit takes until it is let go."""

    def __init__(self, store: Store) -> None:
        self.commits: list[list[str]] = []
        self.begun, self.second, self.go = threading.Event(), threading.Event(), threading.Event()
        self.errors: dict[int, BaseException] = {}
        self._write: Callable[[Mapping[str, str]], None] = store._writer._texts.write
        store._writer._texts.write = self  # type: ignore[method-assign,assignment]

    def __call__(self, texts: Mapping[str, str]) -> None:
        number = len(self.commits)
        self.commits.append(sorted(key for key in texts if key.startswith("answer:")))
        if number:
            self.second.set()
        else:
            self.begun.set()
            assert self.go.wait(60)
        if number in self.errors:
            raise self.errors[number]
        self._write(texts)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A run on disk."""
    with Store.create(tmp_path / "run", {"identity": {}}) as created:
        yield created


async def answered_together(store: Store, disk: Disk, count: int = 5) -> list[Any]:
    """What becomes of one answer, and of more that come while it is being written."""

    def put(number: int) -> asyncio.Task[None]:
        return asyncio.ensure_future(store.put_answer(Position(1, 1, number), "h", ANSWER, ONE))

    first = put(1)
    await asyncio.to_thread(disk.begun.wait, 60)
    others = [put(number) for number in range(2, count + 1)]
    overlap = await asyncio.to_thread(disk.second.wait, COMMIT_S)
    disk.go.set()
    outcomes = await asyncio.gather(first, *others, return_exceptions=True)
    assert not overlap, "two commits at once"
    return outcomes


async def test_what_comes_during_a_commit_shares_the_next_one(store: Store) -> None:
    """Two commits for five answers, one after the other, and everything of them is on the disk."""
    disk = Disk(store)
    assert await answered_together(store, disk) == [None] * 5
    assert [len(keys) for keys in disk.commits] == [1, 4]
    assert [position.round for position in answers(store)] == [1, 2, 3, 4, 5]
    assert (store.usage.calls, store.usage.prompt_tokens) == (5, 60)


async def test_a_row_that_is_no_json_spoils_no_other_of_its_commit(store: Store) -> None:
    """Its caller gets the error; the others are written, and so is what comes later."""
    odd = [object(), float("nan")]
    outcomes = await asyncio.gather(
        *(store.put_value(f"{number}", value) for number, value in enumerate([1, *odd, 4])),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [type(None), TypeError, ValueError, type(None)]
    assert [store.value(f"{number}") for number in range(4)] == [1, None, None, 4]


async def test_who_still_waits_when_a_run_is_closed_gets_an_error(store: Store) -> None:
    """What was given before is written; what comes later is refused, and nobody waits for ever."""
    task = asyncio.ensure_future(store.put_value("x", 1))
    await asyncio.sleep(0)
    store.close()
    assert await task is None
    with pytest.raises(StoreError, match="let go"):
        await store.put_value("y", 1)
    with Store.open(store._folder.parent) as again:
        assert (again.value("x"), again.value("y")) == (1, None)


async def test_an_answer_that_is_there_already_spoils_no_other_of_its_commit(store: Store) -> None:
    """It alone is refused, and what it would have cost is not counted."""
    disk = Disk(store)
    first = asyncio.ensure_future(store.put_answer(Position(1, 1, 1), "h", ANSWER, ONE))
    await asyncio.to_thread(disk.begun.wait, 60)
    positions = [Position(1, 1, number) for number in (2, 1, 2, 3)]
    tasks = [
        asyncio.ensure_future(store.put_answer(position, "other", ANSWER, ONE)) for position in positions
    ]
    await asyncio.sleep(0)
    disk.go.set()
    outcomes = await asyncio.gather(first, *tasks, return_exceptions=True)
    assert [isinstance(outcome, StoreError) for outcome in outcomes] == [False, False, True, True, False]
    assert "answer:000000001.000000001.000000001.000000000 is in the store already" in str(outcomes[2])
    assert [(position.round, kept.request_hash) for position, kept in answers(store).items()] == [
        (1, "h"), (2, "other"), (3, "other"),
    ]  # fmt: skip
    assert store.usage.calls == 3
    await store.put_value("x", 1)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("odd"), OSError(5, "input/output error")])
async def test_nobody_is_told_that_something_is_written_that_is_not(store: Store, error: Exception) -> None:
    """Whatever a commit fails of, all who share it get the error, and no later one is tried over the hole."""
    disk = Disk(store)
    disk.errors[1] = error
    outcomes = await answered_together(store, disk)
    assert [isinstance(outcome, StoreError) for outcome in outcomes] == [False, True, True, True, True]
    assert "everything written before is kept" in str(outcomes[1]) or "cannot be used" in str(outcomes[1])
    assert type(error).__name__ in f"{outcomes[1]!r} {outcomes[1].__cause__!r}"
    with pytest.raises(StoreError):
        await store.put_value("later", 1)
    assert len(disk.commits) == 2
    assert [position.round for position in answers(store)] == [1]
    assert store.usage.calls == 1


async def test_the_time_up_to_now_counts_while_a_run_is_open(tmp_path: Path) -> None:
    """What earlier sessions took and what has passed since; with each write it is on the disk as well."""
    times = [100.0]
    Store.create(tmp_path / "run", {}).close()
    for _ in range(2):
        with Store(tmp_path / "run" / "store", clock=lambda: times[0]) as store:
            before = store.usage.active_s
            times[0] += 30.0
            assert store.usage.active_s == before + 30.0
            await store.put_usage(ONE)
            assert (store._row("usage", reader(Spent)) or NOTHING).active_s == before + 30.0
            times[0] += 5.0
    assert before == pytest.approx(35.0, abs=1)


async def test_a_run_that_could_not_be_written_can_be_closed(store: Store) -> None:
    """The lock is let go, so that a resume in the same process is not refused."""
    disk = Disk(store)
    disk.errors[0] = MemoryError()
    disk.go.set()
    with pytest.raises(StoreError):
        await store.put_value("x", 1)
    store.close()
    assert len(disk.commits) == 1
    with Store.open(store._folder.parent) as again:
        assert again.value("x") is None


@pytest.mark.usefixtures("no_old_garbage")
async def test_who_left_is_not_told_in_a_traceback(tmp_path: Path) -> None:
    """A commit fails after its waiter was cancelled: the error is that of the others, and of nobody else."""
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, what: reported.append(what))

    async def leave_one() -> None:
        with Store.create(tmp_path / "run", {"identity": {}}) as store:
            disk = Disk(store)
            disk.errors[0] = StoreFullError("no room")
            left = asyncio.ensure_future(store.put_answer(Position(1, 1, 1), "h", ANSWER, ONE))
            await asyncio.to_thread(disk.begun.wait, 60)
            left.cancel()
            with pytest.raises(asyncio.CancelledError):
                await left
            disk.go.set()
            with pytest.raises(StoreFullError):
                await store.put_answer(Position(1, 1, 2), "h", ANSWER, ONE)

    await leave_one()
    await asyncio.sleep(0)
    gc.collect()  # asyncio tells of an error when the future that nobody asked goes
    assert reported == []
