"""The loop's time is dealt out: however many restarts could go on at once, one does in a turn of the loop."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path

from promptclimb import SearchConfig, resume, search
from promptclimb.agent.events import Event
from promptclimb.agent.position import Position
from promptclimb.agent.search.event_loop import FairScheduler
from promptclimb.evaluator.fakes import FakeEvaluator
from tests.fakes.chat_by_hash import ChatByHash
from tests.fakes.clock import VirtualTimeLoop

RESTARTS = 24


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
        runner.run(search(config, evaluator=FakeEvaluator(), chat=ChatByHash(), on_event=fresh))
        more = {"rounds": 3}
        runner.run(
            resume(
                config.run_dir or "", changes=more, evaluator=FakeEvaluator(), chat=ChatByHash(),
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
