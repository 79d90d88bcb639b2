"""One call of a chat client, with its deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..errors import ChatError, TransientChatError
from .types import ChatAnswer, ChatClient, ChatRequest

LOOK_AGAIN_S = 1.0
"""Seconds after which it is asked again how long an attempt is worth waiting for."""
SOONEST_S = 0.01


async def attempt(
    client: ChatClient,
    request: ChatRequest,
    *,
    deadline_s: float,
    clock: Callable[[], float],
    patience_s: Callable[[], float] | None = None,
) -> ChatAnswer:
    """Ask once; an error knows how long it took.

    Args:
        client: Whom to ask.
        request: What.
        deadline_s: Seconds that it may take.
        clock: Seconds.
        patience_s: Seconds after which, as things stand, it is better asked elsewhere; looked at again and
            again while the attempt lasts. None where there is no other place.

    Raises:
        ChatError: As the client says; a TransientChatError at the deadline, when the patience is over, and
            where the client lets out a cancellation that is none of this task.
    """
    started = clock()
    try:
        try:
            async with asyncio.timeout(deadline_s) as deadline:
                with _watched(deadline, patience_s, clock):
                    return await client.chat(request)
        except TimeoutError as error:
            took = clock() - started
            late = f"no answer within {min(took, deadline_s):.3g} s"
            if took < deadline_s:
                late += ", and other endpoints are quicker"
            raise TransientChatError(late, perhaps_billed=True) from error
        except asyncio.CancelledError as error:
            if _is_cancelled():
                raise
            raise TransientChatError("the call was cancelled from within", perhaps_billed=True) from error
    except ChatError as error:
        error.took_s = clock() - started
        raise


@contextmanager
def _watched(
    deadline: asyncio.Timeout, patience_s: Callable[[], float] | None, clock: Callable[[], float]
) -> Iterator[None]:
    """Move the deadline here and now once the patience is over."""
    if patience_s is None:
        yield
        return
    loop, started = asyncio.get_running_loop(), clock()
    timer = loop.call_later(LOOK_AGAIN_S, lambda: look())

    def look() -> None:
        nonlocal timer
        left = patience_s() - (clock() - started)
        if left <= 0:
            deadline.reschedule(loop.time())
        else:
            timer = loop.call_later(min(max(left, SOONEST_S), LOOK_AGAIN_S), look)

    try:
        yield
    finally:
        timer.cancel()


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
