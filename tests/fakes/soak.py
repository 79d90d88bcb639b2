"""Ten thousand turns against an endpoint that goes wrong in every way, with its limits checked from outside.

It has moods that change every minute or so of virtual time: well, or one of the faults most of the
time. All else is drawn at random for each attempt.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from promptclimb.agent.errors import (
    BadRequestError,
    ChatError,
    KeyRejectedError,
    RateLimitedError,
    RequestFailedError,
    TransientChatError,
    UnusableAnswerError,
)
from promptclimb.agent.events.types import Event
from promptclimb.agent.llm.ask import Endpoint, EndpointAsker
from promptclimb.agent.llm.budget import Budget, Limits
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest, Client
from promptclimb.agent.llm.limiter import RateLimits
from promptclimb.agent.prices import NOTHING, Bill, TokenUsage
from tests.fakes.clock import run_virtual

FAULTS: Mapping[str, Callable[[], ChatError]] = {
    "refuses": lambda: TransientChatError("no connection"),
    "500": lambda: TransientChatError("500", status=500),
    "503": lambda: TransientChatError("503", status=503, retry_after=1.0),
    "cut": lambda: TransientChatError("cut", perhaps_billed=True),
    "429": lambda: RateLimitedError("429", status=429),
    "429 short": lambda: RateLimitedError("429", status=429, retry_after=1.0),
    "429 long": lambda: RateLimitedError("429", status=429, retry_after=3600.0),
    "garbage": lambda: UnusableAnswerError("no JSON", reason="bad_json"),
    "empty": lambda: UnusableAnswerError("empty", reason="no_content", usage=TokenUsage(20, 0)),
    "refusal": lambda: UnusableAnswerError("no", reason="refusal", usage=TokenUsage(20, 10)),
    "filter": lambda: BadRequestError("flagged", status=403),
}
HANGS, SLOW, STRAY = "hangs", "slow", "stray 401"
MOODS = ("well", "well", "well", *(fault for fault in FAULTS if fault != "filter"), HANGS, SLOW)
MOOD_S = (20.0, 120.0)
NOISE = 0.03
"""Part of the attempts that fail whatever the mood."""


@dataclass
class MoodyChat(Client):
    """An endpoint with moods; it refuses nothing because of its limits, but counts what breaks them."""

    rpm: int
    concurrency: int
    rng: random.Random
    in_flight: int = 0
    most_in_flight: int = 0
    most_in_a_minute: int = 0
    calls: int = 0
    tokens: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    _mood: str = "well"
    _until: float = 0.0
    _starts: deque[float] = field(default_factory=deque)
    _strays: int = 0

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        self._arrive()
        try:
            return await self._answer(request)
        finally:
            self.in_flight -= 1

    def _arrive(self) -> None:
        now = asyncio.get_running_loop().time()
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        while self._starts and self._starts[0] <= now - 60.0:
            self._starts.popleft()
        self._starts.append(now)
        self.most_in_a_minute = max(self.most_in_a_minute, len(self._starts))
        if now >= self._until:
            self._mood, self._until = self.rng.choice(MOODS), now + self.rng.uniform(*MOOD_S)

    def _fault(self) -> str | None:
        if self.rng.random() < NOISE:
            return self.rng.choice([*FAULTS, HANGS, SLOW, STRAY])
        return self._mood if self._mood != "well" and self.rng.random() < 0.9 else None

    async def _answer(self, request: ChatRequest) -> ChatAnswer:
        kind = self._fault()
        # Three in a row are a key that is revoked, before an answer even one: no stray one.
        if kind == STRAY and self._strays != 0:
            kind = None
        if kind is not None:
            self.faults[kind] += 1
        if kind == HANGS:
            self._bill(request.max_tokens)
            await asyncio.Event().wait()
        await asyncio.sleep(self.rng.uniform(30, 90) if kind == SLOW else self.rng.uniform(0.5, 4))
        if kind == STRAY:
            self._strays = 1
            raise KeyRejectedError("401", status=401)
        if kind in FAULTS:
            error = FAULTS[kind]()
            if error.usage is not None or error.perhaps_billed:
                self._bill(error.usage.total if error.usage else 20)
            raise error
        if request.max_tokens < 200 and self.rng.random() < 0.05:
            self._bill(20 + request.max_tokens)
            usage = TokenUsage(20, request.max_tokens)
            raise UnusableAnswerError("all thinking", reason="length", usage=usage)
        self._strays = 0
        known = self.rng.random() < 0.95
        completion = self.rng.randint(5, request.max_tokens)
        self._bill(20 + completion)
        return ChatAnswer(
            text="- a {}",
            prompt_tokens=20 if known else 0,
            completion_tokens=completion if known else 0,
            usage_known=known,
            headers={"x-ratelimit-limit-requests": str(self.rpm), "retry-after": "soon"},
        )

    def _bill(self, tokens: int) -> None:
        self.calls += 1
        self.tokens += tokens


class SumLedger:
    def __init__(self) -> None:
        self.usage = self.reserved = NOTHING

    async def __call__(self, bill: Bill) -> None:
        self.usage = self.usage.plus(bill.usage)
        self.reserved = self.reserved.minus(bill.reserved)


@dataclass(frozen=True)
class Soaked:
    """What came of it.

    Attributes:
        turns: Turns asked for.
        lost: Those without an answer.
        hours: Virtual hours.
        calls: Calls and tokens billed by the endpoint, which the budget was never below.
        tokens: Likewise.
        faults: How often each fault was made.
        events: How often each event was emitted.
        grew: How many more blocks of memory were held at the end than after a fifth of the turns.
    """

    turns: int
    lost: int
    hours: float
    calls: int
    tokens: int
    faults: Mapping[str, int]
    events: Mapping[str, int]
    grew: int


async def _soak(turns: int, seed: int, restarts: int) -> Soaked:
    chat = MoodyChat(rpm=60, concurrency=6, rng=random.Random(seed))
    limits = RateLimits(rpm=chat.rpm, tpm=200_000, concurrency=chat.concurrency)
    endpoint = Endpoint(name="moody", client=chat, limits=limits)
    budget = Budget(Limits(calls=turns * 3, tokens=turns * 1000))
    ledger, events = SumLedger(), Counter[str]()

    def emit(event: Event) -> None:
        events[type(event).__name__] += 1

    # Four of five moods are bad, so some hours have no success: a patience that ends has its own tests.
    asker = EndpointAsker(endpoint, budget=budget, give_up_after_s=24 * 3600.0, ledger=ledger, emit=emit)
    left, lost, done, first = iter(range(turns)), 0, 0, 0

    async def restart() -> None:
        nonlocal lost, done, first
        for turn in left:
            message = {"role": "user", "content": f"turn {turn}"}
            try:
                reply = await asker.ask(ChatRequest(messages=(message,), model="m", max_tokens=100))
            except RequestFailedError:
                lost += 1
            else:
                await ledger(reply.bill)
            done += 1
            if done == turns // 5:
                first = _held()
            _check(chat, budget)

    await asyncio.gather(*(restart() for _ in range(restarts)))
    assert budget.reserved == NOTHING
    assert ledger.reserved == NOTHING
    assert (ledger.usage.calls, ledger.usage.tokens_at_most) == (
        budget.spent.calls,
        budget.spent.tokens_at_most,
    )
    grew = _held() - first
    hours = asyncio.get_running_loop().time() / 3600
    return Soaked(turns, lost, round(hours, 1), chat.calls, chat.tokens, chat.faults, events, grew)


def _held() -> int:
    """Return the blocks of memory in use, without the cycles that the garbage collector has yet to free.

    Tracing how large they are would take five times as long as everything else.
    """
    gc.collect()
    return sys.getallocatedblocks()


def _check(chat: MoodyChat, budget: Budget) -> None:
    """Hold what the endpoint has seen against what was set."""
    spent, limits = budget.spent, budget.limits
    assert limits.calls is not None
    assert limits.tokens is not None
    counted = spent.plus(budget.reserved)
    assert counted.calls <= limits.calls
    assert counted.tokens_at_most <= limits.tokens
    assert chat.calls <= counted.calls
    assert chat.tokens <= counted.tokens_at_most
    assert chat.most_in_flight <= chat.concurrency
    assert chat.most_in_a_minute <= chat.rpm


def soak(turns: int, *, seed: int = 0, restarts: int = 16) -> Soaked:
    """Ask for so many turns, through the proposer, in virtual time.

    Raises:
        AssertionError: A limit was overrun, or something was left reserved.
    """
    return run_virtual(_soak(turns, seed, restarts))
