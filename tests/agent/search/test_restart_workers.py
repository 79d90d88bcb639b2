"""All restarts of a session: what is shared, and what is kept of one that has ended."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import cast

from promptclimb.agent.search.event_loop import FairScheduler
from promptclimb.agent.search.journal import RestartRecord
from promptclimb.agent.search.restart import Restart
from promptclimb.agent.search.restart_workers import Workers
from promptclimb.agent.stop import Stop


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
            assert [reference() for reference in ended] == [None] * (self.record.number - 1)
            self.record.done = True
            ended.append(weakref.ref(self))

    def restarts() -> Iterator[Restart]:
        return (cast("Restart", Remembering(number)) for number in (1, 2, 3))

    workers = Workers(restarts(), FairScheduler(), stop=Stop())
    assert await workers.run(at_once=1) is None
    assert [record.number for record in workers.records if record.done] == [1, 2, 3]
    assert [reference() for reference in ended] == [None] * 3
