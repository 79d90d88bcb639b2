"""The workers of a search: each takes the next climb, and none of them ever fails.

What ends a climb early is either a limit, and the search ends when all have come to it, or an error or a
signal, and the ``Halt`` ends the others without losing what is paid for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from ..climb.climb import Climb
from ..errors import BudgetSpentError, GaveUpError, InterruptedRunError
from ..events.kinds import Listener, SearchStopped
from ..llm.budget import Budget
from ..stop import Halt
from ..text import counted
from .failures import explained, single


class Crew:
    """Runs climbs.

    Args:
        climbs: What is to be done, in this order.
        halt: Ends the work early.
        tell: Hears of a stop.
    """

    def __init__(self, climbs: Sequence[Climb], *, halt: Halt, tell: Listener) -> None:
        self._climbs = climbs
        self._halt = halt
        self._tell = tell
        self._reasons: list[str] = []

    async def run(self, group: asyncio.TaskGroup, *, workers: int) -> str | None:
        """Runs the climbs to their ends.

        Args:
            group: Owns the workers.
            workers: How many climbs are worked on at once.

        Returns:
            What stopped the search; None if every climb went through.

        Raises:
            PromptclimbError: A signal, or an error of one climb.
        """
        main = asyncio.current_task()
        assert main is not None
        waiting = iter(self._climbs)
        tasks = [group.create_task(self._work(waiting)) for _ in range(min(workers, len(self._climbs)))]
        # From here on the halt ends the workers, each in its time, and no longer the task that waits for
        # them.
        self._halt.release(main)
        for task in tasks:
            self._halt.watch(task)
        await asyncio.wait(tasks)
        if self._halt.cause is not None:
            raise explained(self._halt.cause, [climb.record for climb in self._climbs])
        self._halt.watch(main)
        if not self._reasons:
            return None
        self._tell(SearchStopped(reason=self._reasons[0]))
        return self._reasons[0]

    async def _work(self, waiting: Iterator[Climb]) -> None:
        for climb in waiting:
            try:
                self._halt.check()
                await climb.run()
            except (BudgetSpentError, GaveUpError) as stop:
                self._reasons.append(str(stop))
                return
            except InterruptedRunError:
                return
            except Exception as error:  # noqa: BLE001 - handed on by the halt, once the others are safe
                self._halt.ask(single(error))
                return


def unanswered(climbs: Sequence[Climb]) -> str | None:
    """An outage at the very end is no end: the last turns are asked again when the run is resumed."""
    count = sum(climb.record.unanswered for climb in climbs)
    return f"no answer to {counted(count, 'last turn')}; resume asks again" if count else None


def left_of(budget: Budget) -> dict[str, float]:
    """What is left of each limit that was set."""
    return {name: value for name, value in asdict(budget.left()).items() if value is not None}
