"""All restarts of a session: what is shared, and what is kept of one that has ended."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from promptclimb import SearchConfig
from promptclimb.agent.llm.chat import BilledAnswer, ChatAnswer, ChatRequest
from promptclimb.agent.prices import NO_BILL
from promptclimb.agent.search.event_loop import FairScheduler
from promptclimb.agent.search.journal import RestartRecord
from promptclimb.agent.search.opening import with_shared_cache
from promptclimb.agent.search.restart import Restart
from promptclimb.agent.search.restart_workers import Workers
from promptclimb.agent.stop import Stop
from promptclimb.evaluator.fakes import FakeEvaluator
from tests.fakes.run_session import session_of

URL = "http://127.0.0.1:9/v1"
REQUEST = ChatRequest(messages=({"role": "user", "content": "hello"},), model="m")


class Counting:
    """An asker that counts."""

    def __init__(self) -> None:
        self.asked = 0

    async def ask(self, request: ChatRequest) -> BilledAnswer:
        self.asked += 1
        return BilledAnswer(ChatAnswer(text=f"- a {{}} {self.asked}"), NO_BILL, "fake")


@pytest.mark.parametrize(
    "other", [{"model": "x"}, {"reasoning_effort": "high"}, {"extra_body": {"top_p": 0.1}}]
)
async def test_an_endpoint_that_is_asked_otherwise_shares_no_answers(
    other: dict[str, Any], tmp_path: Path
) -> None:
    """One address, two ways: each has answers of its own; a pool of one plain endpoint is that endpoint."""
    plain: dict[str, Any] = {"base_url": URL}
    ways = [{"base_url": URL}, {"endpoints": (plain,)}, {"endpoints": ({**plain, **other},)}]
    asker, evaluator = Counting(), FakeEvaluator()
    for way in (*ways, *ways):
        config = SearchConfig(llm="m", shared_cache=tmp_path / "c", cache_answers=True, **way)
        with with_shared_cache(session_of(config, evaluator), evaluator, asker) as (_, sharing):
            await sharing.ask(REQUEST)
    assert asker.asked == 2


async def test_what_a_restart_that_has_ended_remembered_is_let_go() -> None:
    """And not by all thousand of them at once, when the last has ended."""
    ended: list[weakref.ref[Remembering]] = []

    class Remembering:
        """A restart that looks for those before it."""

        begun = False

        def __init__(self, number: int) -> None:
            self.record = RestartRecord(number)

        async def run(self) -> None:
            """Ends at once."""
            assert [one() for one in ended] == [None] * (self.record.number - 1)
            self.record.done = True
            ended.append(weakref.ref(self))

    def restarts() -> Iterator[Restart]:
        return (cast("Restart", Remembering(number)) for number in (1, 2, 3))

    workers = Workers(restarts(), FairScheduler(), stop=Stop())
    assert await workers.run(at_once=1) is None
    assert [record.number for record in workers.records if record.done] == [1, 2, 3]
    assert [one() for one in ended] == [None] * 3
