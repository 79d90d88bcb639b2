"""Endpoints in virtual time that are sick in one way each, and restarts that ask a pool of them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from promptclimb.agent.errors import (
    ChatError,
    KeyRejectedError,
    RateLimitedError,
    RequestFailedError,
    TransientChatError,
    UnusableAnswerError,
)
from promptclimb.agent.events.types import Listener, ignore_event
from promptclimb.agent.llm.ask import EndpointAsker
from promptclimb.agent.llm.budget import Budget, Limits
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest, Client
from promptclimb.agent.llm.limiter import RateLimits
from promptclimb.agent.llm.pool import Endpoint
from promptclimb.agent.prices import TokenUsage

HEALTHY_S = (1.0, 3.0)
"""Shortest and longest time of a healthy endpoint's answer."""
USAGE = TokenUsage(10, 5)


@dataclass(frozen=True)
class Sickness:
    """One way to be sick.

    Attributes:
        took_s: Seconds until the failure; None for a hanging endpoint.
        error: The failure; None for an answer that comes after that time.
        every: Only each so-manieth attempt fails, the others are answered like those of a healthy one.
    """

    took_s: float | None
    error: Callable[[], ChatError] | None
    every: int = 1


SICK: Mapping[str, Sickness] = {
    "refuses connections": Sickness(0.01, lambda: TransientChatError("no connection")),
    "500 at once": Sickness(0.2, lambda: TransientChatError("500", status=500)),
    "500 after 20 s": Sickness(20.0, lambda: TransientChatError("500", status=500)),
    "hangs": Sickness(None, None),
    "429, Retry-After 3600": Sickness(0.2, lambda: RateLimitedError("429", status=429, retry_after=3600.0)),
    "429": Sickness(0.2, lambda: RateLimitedError("429", status=429)),
    "401 now and then": Sickness(0.2, lambda: KeyRejectedError("401", status=401), every=10),
    "garbage with 200": Sickness(1.0, lambda: UnusableAnswerError("no JSON", reason="bad_json")),
    "empty answers": Sickness(2.0, lambda: UnusableAnswerError("empty", reason="no_content", usage=USAGE)),
    "good and bad in turn": Sickness(2.0, lambda: TransientChatError("502", status=502), every=2),
    "answers after 60 s": Sickness(60.0, None),
}


class SickChat(Client):
    """A client of an endpoint; None for a healthy one."""

    def __init__(self, sickness: Sickness | None, seed: int = 0) -> None:
        self.attempts = 0
        self._sickness = sickness
        self._rng = random.Random(seed)

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        self.attempts += 1
        sick, took = self._sickness, self._rng.uniform(*HEALTHY_S)
        if sick is not None and self.attempts % sick.every == 0:
            if sick.took_s is None:
                await asyncio.Event().wait()
            await asyncio.sleep(sick.took_s or 0.0)
            if sick.error is not None:
                raise sick.error()
            took = 0.0
        await asyncio.sleep(took)
        usage = {"prompt_tokens": USAGE.prompt_tokens, "completion_tokens": USAGE.completion_tokens}
        return ChatAnswer(text="- a {}", **usage)


@dataclass(frozen=True)
class Restarted:
    """Virtual seconds until all was done, turns without an answer, and attempts at each client."""

    seconds: float
    lost: int
    attempts: tuple[int, ...]


async def restart_pool(
    chats: Sequence[SickChat],
    *,
    restarts: int = 8,
    turns: int = 24,
    limits: Sequence[RateLimits] | None = None,
    emit: Listener = ignore_event,
) -> Restarted:
    """Let restarts ask a pool, each its next turn as soon as it has its answer.

    Args:
        chats: One for each endpoint.
        restarts: How many at once.
        turns: Requests of each.
        limits: Of each endpoint; as many in flight as there are restarts unless given.
        emit: Receives events.
    """
    limits = limits or [RateLimits(concurrency=restarts)] * len(chats)
    endpoints = [
        Endpoint(name=str(number), client=chat, limits=limit)
        for number, (chat, limit) in enumerate(zip(chats, limits, strict=True))
    ]
    asker = EndpointAsker(endpoints, budget=Budget(Limits()), rng=random.Random(0), emit=emit)
    lost = 0

    async def restart(number: int) -> None:
        nonlocal lost
        for turn in range(turns):
            message = {"role": "user", "content": f"turn {turn} of {number}"}
            try:
                await asker.ask(ChatRequest(messages=(message,), model="fake", max_tokens=100))
            except RequestFailedError:
                lost += 1

    started = asyncio.get_running_loop().time()
    await asyncio.gather(*(restart(number) for number in range(restarts)))
    seconds = asyncio.get_running_loop().time() - started
    return Restarted(seconds, lost, tuple(chat.attempts for chat in chats))
