"""One call of a chat client, with its deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..errors import ChatError, TransientChatError
from .types import ChatAnswer, ChatClient, ChatRequest


async def attempt(
    client: ChatClient, request: ChatRequest, *, deadline_s: float, clock: Callable[[], float]
) -> ChatAnswer:
    """Ask once; an error knows how long it took.

    Args:
        client: Whom to ask.
        request: What.
        deadline_s: Seconds that it may take.
        clock: Seconds.

    Raises:
        ChatError: As the client says; a TransientChatError at the deadline, and where the client lets out a
            cancellation that is none of this task.
    """
    started = clock()
    try:
        try:
            async with asyncio.timeout(deadline_s):
                return await client.chat(request)
        except TimeoutError as error:
            late = f"no answer within {deadline_s:g} s"
            raise TransientChatError(late, perhaps_billed=True) from error
        except asyncio.CancelledError as error:
            if _is_cancelled():
                raise
            raise TransientChatError("the call was cancelled from within", perhaps_billed=True) from error
    except ChatError as error:
        error.took_s = clock() - started
        raise


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
