"""Keep the event loop responsive: blocking work in threads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from typing import TypeVar

from ...evaluator.errors import AskingEndedError, PromptclimbError, ScoringEndedError
from ...evaluator.scoring import MaybeAwaitable
from ...evaluator.threads import in_thread, in_thread_or_loop, outliving_its_waiter
from ..errors import EvaluationFailedError

T = TypeVar("T")


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
