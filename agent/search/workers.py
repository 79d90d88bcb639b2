"""The workers of a session: each takes the next restart, and none of them ever fails.

What ends a restart early is either a limit, and the search ends when all that were begun have come to it, or
an error or a signal, and the ``Stop`` ends the others without losing what is paid for.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Iterable

from ..errors import BudgetSpentError, GaveUpError, InterruptedRunError, RestartCancelledError
from ..events import Listener, SearchStopped
from ..stop import Stop
from .failures import explained, single
from .restart import Restart
from .turns import Turns

CANCELLED = 0
"""The signal of an interruption that came from the program around the search and not from a signal."""


class Workers:
    """Run restarts, several at a time.

    Args:
        restarts: What is to be done, in this order; none is kept that has ended, as all that a result needs
        of
            it is its record.
        stop: Ends the work early.
        emit: Hears of a stop.
        turns: Keeps the restarts from going on all at once.

    Attributes:
        records: What each restart has done so far.
    """

    def __init__(
        self, restarts: Iterable[Restart], *, stop: Stop, emit: Listener, turns: Turns | None = None
    ) -> None:
        self._waiting = deque(restarts)
        self.records = tuple(restart.record for restart in self._waiting)
        self._stop = stop
        self._turns = turns or Turns()
        self._emit = emit
        self._limits: list[BudgetSpentError | GaveUpError] = []

    async def run(self, at_once: int) -> SearchStopped | None:
        """Run the restarts to their ends.

        Args:
            at_once: How many restarts are worked on at once.

        Returns:
            What stopped the search, as it was told; None if every restart went through.

        Raises:
            PromptclimbError: A signal, or an error of one restart.
            asyncio.CancelledError: The program around the search cancelled it; what was paid for is on disk.
        """
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._work()) for _ in range(min(at_once, len(self._waiting)))]
            try:
                await asyncio.wait(tasks)
            except asyncio.CancelledError:
                self._stop.ask(InterruptedRunError(CANCELLED))
                await asyncio.wait(tasks)
                raise
        if self._stop.cause is not None:
            raise explained(self._stop.cause, self.records)
        # Nothing that is not through may pass for a search that is: its test split would be opened.
        if not self._limits and not all(record.done for record in self.records):
            raise RestartCancelledError()
        if (stopped := self._stopped()) is not None:
            self._emit(stopped)
        return stopped

    async def _work(self) -> None:
        while self._waiting:
            restart = self._waiting.popleft()
            try:
                with self._stop.watching():
                    await self._turns.mine()
                    if self._limits and not restart.begun:
                        continue
                    await restart.run()
            except (BudgetSpentError, GaveUpError) as limit:
                # Restarts that an earlier session began are gone through all the same: what is on disk costs
                # nothing, and without it the result would be poorer than the one that was there.
                self._limits.append(limit)
            except InterruptedRunError:
                return
            except asyncio.CancelledError:
                # Neither the stop's nor, by way of it, the caller's: those have come as an interruption.
                self._stop.ask(RestartCancelledError())
                return
            except Exception as error:  # noqa: BLE001 - handed on by the stop, once the others are safe
                self._stop.ask(single(error))
                return

    def _stopped(self) -> SearchStopped | None:
        """Return what stopped the search: the first restart's reason, and every limit that any reached."""
        if not self._limits:
            reason = self._unanswered()
            return None if reason is None else SearchStopped(reason=reason)
        first = self._limits[0]
        if isinstance(first, GaveUpError):
            return SearchStopped(reason=str(first))
        reached = [each.limits for each in self._limits if isinstance(each, BudgetSpentError)]
        limits = tuple(dict.fromkeys(itertools.chain.from_iterable(reached)))
        return SearchStopped(reason=str(first), limit=first.limit, limits=limits)

    def _unanswered(self) -> str | None:
        """Return why an outage at the very end is no end: the last rounds are asked again by a resume."""
        records = [record for record in self.records if record.unanswered]
        if not records:
            return None
        count = sum(record.unanswered for record in records)
        last = "the last round" if count == 1 else f"the last {count:,} rounds"
        return f"no answer in {last} ({records[-1].last_skip}); resume asks again"
