"""Run restarts, several at a time, to their ends or to what ends them early."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from ...evaluator.errors import PromptclimbError
from ..errors import (
    AskingEndedError,
    BudgetSpentError,
    EndpointError,
    FatalChatError,
    GaveUpError,
    InterruptedRunError,
    KeyRejectedError,
    ModelNotFoundError,
    RestartCancelledError,
    why_ended,
)
from ..events.types import SearchStopped
from ..stop import Stop
from .event_loop import FairScheduler
from .naming import NameSearch
from .restart import Restart

CANCELLED = 0
"""The signal number of an interruption by the surrounding program."""


class Workers:
    """Work on restarts, several at a time; a worker never fails, it asks the stop to end the others.

    After a limit, restarts already begun continue until they reach it too. An error or a signal ends the
    others without losing what is paid for. Only the record of an ended restart is kept.
    """

    def __init__(
        self, restarts: Iterable[Restart | NameSearch], scheduler: FairScheduler, *, stop: Stop
    ) -> None:
        self._waiting = deque(restarts)
        self.records = tuple(restart.record for restart in self._waiting)
        self._scheduler = scheduler
        self._stop = stop
        self._limits: list[BudgetSpentError | GaveUpError] = []

    async def run(self, at_once: int) -> SearchStopped | None:
        """Run the restarts, ``at_once`` at a time; return what stopped the search, if anything.

        Raises:
            PromptclimbError: A signal, or an error of one restart.
            asyncio.CancelledError: The surrounding program cancelled it; what was paid for is on disk.
        """
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._work()) for _ in range(min(at_once, len(self._waiting)))]
            try:
                await asyncio.wait(tasks)
            except asyncio.CancelledError:
                self._stop.request(InterruptedRunError(CANCELLED))
                await asyncio.wait(tasks)
                raise
        if self._stop.cause is not None:
            raise self._explained(self._stop.cause)
        # An unfinished search must not pass for a finished one: its test split would be opened.
        if not self._limits and not all(record.done for record in self.records):
            raise RestartCancelledError()
        return self._stopped()

    async def _work(self) -> None:
        while self._waiting:
            restart = self._waiting.popleft()
            try:
                with self._stop.watching():
                    await self._scheduler.turn()
                    if self._limits and not restart.begun:
                        continue
                    await _run(restart)
            except (BudgetSpentError, GaveUpError) as limit:
                # Restarts of an earlier session are still replayed: answers on disk cost nothing, and without
                # them the result would be poorer than the earlier one.
                self._limits.append(limit)
            except InterruptedRunError:
                return
            except asyncio.CancelledError:
                # Not from the stop or the caller: those arrive as an interruption.
                self._stop.request(RestartCancelledError())
                return
            except Exception as error:  # noqa: BLE001 - handed on by the stop, once the others are safe
                self._stop.request(single(error))
                return

    def _stopped(self) -> SearchStopped | None:
        """Return what stopped the search: the first restart's reason, and every limit that any reached."""
        if self._limits:
            return stop_event(*self._limits)
        # An outage at the very end does not finish the search: a resume asks for the last rounds again.
        records = [record for record in self.records if record.unanswered]
        if not records:
            return None
        count = sum(record.unanswered for record in records)
        last = "the last round" if count == 1 else f"the last {count:,} rounds"
        return SearchStopped(reason=f"no answer in {last} ({records[-1].last_skip}); resume asks again")

    def _explained(self, cause: Exception) -> Exception:
        """Return the cause, as the user's to fix if an endpoint refused before any answer was paid for."""
        answered = any(record.answers or record.unusable for record in self.records)
        if not isinstance(cause, FatalChatError) or answered:
            return cause
        remedy = ""
        if isinstance(cause, KeyRejectedError):
            remedy = (
                "; check the key in OPENAI_API_KEY, or in the variable that `key_env` names "
                "in the --config file"
            )
        elif isinstance(cause, ModelNotFoundError):
            remedy = (
                "; check the model's name in --llm, and --base-url: is the address right? "
                "It usually ends in /v1"
            )
        error = EndpointError(f"{cause}{remedy}")
        error.__cause__ = cause
        return error


async def _run(restart: Restart | NameSearch) -> None:
    try:
        await restart.run()
    except AskingEndedError as error:
        raise why_ended(error) from error


def stop_event(first: BudgetSpentError | GaveUpError, *more: BudgetSpentError | GaveUpError) -> SearchStopped:
    """Return what stopped a search: the first reason, and every limit that was reached."""
    if isinstance(first, GaveUpError):
        return SearchStopped(reason=str(first))
    reached = [name for each in (first, *more) if isinstance(each, BudgetSpentError) for name in each.limits]
    return SearchStopped(reason=str(first), limit=first.limit, limits=tuple(dict.fromkeys(reached)))


def single(error: BaseException) -> Exception:
    """Return the main error of a group, ours before foreign ones; a lone error is itself."""
    found = error
    if isinstance(error, BaseExceptionGroup):
        found = error.subgroup(PromptclimbError) or error
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found if isinstance(found, Exception) else RuntimeError(repr(found))
