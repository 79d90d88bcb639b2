"""Keep the event loop responsive: fair scheduling, short garbage collections, blocking work in threads."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager
from typing import TypeVar

from ...evaluator.errors import AskingEndedError, PromptclimbError, ScoringEndedError
from ...evaluator.scoring import MaybeAwaitable
from ...evaluator.threads import in_thread, in_thread_or_loop, outliving_its_waiter
from ..errors import EvaluationFailedError

T = TypeVar("T")


class FairScheduler:
    """Let one task through in each pass of the event loop, first come, first served.

    Between two waits a restart works for up to some ten milliseconds. When the scores of a batch arrive, many
    restarts could continue in one pass, which would keep the loop from its timers and sockets for seconds.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def turn(self) -> None:
        """Wait for this task's pass."""
        async with self._lock:
            await asyncio.sleep(0)


@contextmanager
def without_old_objects() -> Iterator[None]:
    """Keep what is loaded out of garbage collections: with torch, a full one blocks a quarter of a second.

    Does nothing in a program that turned collections off or froze objects itself.
    """
    if not gc.isenabled() or gc.get_freeze_count():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def call_evaluator(work: Callable[[], MaybeAwaitable[T]], *, scrub: Callable[[str], str] = str) -> T:
    """Run the evaluator's work; any failure is a PromptclimbError, scrubbed of secrets.

    Raises:
        AskingEndedError: A scorer behind an API cannot be asked any more.
    """
    try:
        return await in_thread_or_loop(work)
    except AskingEndedError:
        raise
    except ScoringEndedError as error:
        raise EvaluationFailedError(scrub(f"scoring failed: {error}")) from error
    except PromptclimbError:
        raise
    except Exception as error:
        raise EvaluationFailedError(scrub(f"scoring failed: {error!r}")) from error


async def to_the_end(work: Callable[[], T]) -> T:
    """Run blocking work in a thread, and wait for its end even if the caller is cancelled meanwhile."""
    working = asyncio.ensure_future(in_thread(work))
    try:
        return await outliving_its_waiter(working)
    except asyncio.CancelledError:
        await asyncio.wait({working})
        raise


@asynccontextmanager
async def entered(context: Callable[[], AbstractContextManager[T]]) -> AsyncIterator[T]:
    """Enter and leave a context in a thread, as both wait for the disk."""
    stack = ExitStack()
    try:
        yield await to_the_end(lambda: stack.enter_context(context()))
    finally:
        await to_the_end(stack.close)
