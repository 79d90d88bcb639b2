"""How much of a rate limit is used, and whether limits hold for long.

Limits (the proposer beside two usual ways): three minutes against a real HTTP endpoint on loopback that
allows 600 requests in any 60 seconds, asked by 32 restarts, each of which asks again as soon as it has its
answer. Answers take 0.3 to 1.2 s. Compared in one run:

- ours: the proposer, configured with the limit; ``learned``: without it, it reads the endpoint's headers
- serial: one request at a time
- semaphore: 32 at a time, exponential back-off with jitter after a refusal, ``Retry-After`` obeyed
- tpm: the proposer with a limit on tokens that binds
- fixed, bucket: the proposer against endpoints that count in other ways

``share`` is what was answered of what the limit allows, ``refused`` the part of all requests that got a 429.
Time is virtual (the loop's clock jumps when nothing is to be done), sockets are real; ``--real`` waits.

Soak (``soak``, by ``--soak TURNS``): 16 restarts ask an endpoint that changes between health and every
fault; limits on calls, tokens, requests a minute and in flight are checked from outside after each turn.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import argument_parser
from promptclimb.agent.errors import ChatError
from promptclimb.agent.llm.ask import Endpoint, EndpointAsker
from promptclimb.agent.llm.budget import Budget, Limits
from promptclimb.agent.llm.chat import ChatRequest
from promptclimb.agent.llm.client import OpenAIChat
from promptclimb.agent.llm.limiter import RateLimits
from tests.fakes.chat_server import ChatServer, ServerOptions
from tests.fakes.clock import run_virtual
from tests.fakes.soak import soak

MINUTES = 3
RESTARTS = 32
RPM = 600
LATENCY = (0.3, 1.2)
Ask = Callable[[ChatRequest], Awaitable[object]]
Way = Callable[[OpenAIChat], Ask]


def request(restart: int, turn: int) -> ChatRequest:
    """Return a request like a restart's: two lists of templates, and a few lines of rules."""
    lists = "\n".join(
        f"- a {word} of a {{}}, seen {turn} times by {restart}" for word in ("photo", "sketch") * 10
    )
    return ChatRequest(
        messages=({"role": "user", "content": lists},), model="fake", max_tokens=200, seed=turn
    )


def proposer(limits: RateLimits) -> Way:
    """Return the proposer of this program."""

    def way(chat: OpenAIChat) -> Ask:
        endpoint = Endpoint(name="fake", client=chat, limits=limits)
        return EndpointAsker(endpoint, budget=Budget(Limits())).ask

    return way


def serial(chat: OpenAIChat) -> Ask:
    """One at a time."""
    return semaphore_of(chat, 1)


def semaphore(chat: OpenAIChat) -> Ask:
    """All at once, and again after a while if refused."""
    return semaphore_of(chat, RESTARTS)


def semaphore_of(chat: OpenAIChat, size: int) -> Ask:
    """So many at once, with back-off."""
    slots = asyncio.Semaphore(size)
    rng = random.Random(0)

    async def ask(asked: ChatRequest) -> object:
        async with slots:
            for attempt in range(1000):
                try:
                    return await chat.chat(asked)
                except ChatError as error:
                    await asyncio.sleep(max(rng.uniform(0, min(2.0**attempt, 60)), error.retry_after or 0))
        raise AssertionError("a thousand refusals")

    return ask


async def measure(way: Way, options: ServerOptions) -> dict[str, float]:
    """Let the restarts ask for three minutes."""
    loop = asyncio.get_running_loop()
    async with ChatServer(options) as server, OpenAIChat(server.base_url, max_connections=RESTARTS) as chat:
        ask = way(chat)

        async def restart(number: int) -> None:
            turn = 0
            while True:
                await ask(request(number, turn))
                turn += 1

        tasks = [loop.create_task(restart(number)) for number in range(RESTARTS)]
        _, tasks_left = await asyncio.wait(tasks, timeout=60.0 * MINUTES)
        for task in tasks_left:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result
        stats = server.statistics
    used, allowed = (stats.tokens, options.tpm) if options.tpm else (stats.billed, options.rpm)
    assert allowed is not None
    return {
        "share": round(used / (allowed * MINUTES), 4),
        "refused": round(stats.refused / max(stats.requests, 1), 4),
        "requests": stats.requests,
        "most_in_flight": stats.most_in_flight,
    }


def main() -> None:
    """Measure each way and print the figures."""
    parser = argument_parser(__doc__)
    parser.add_argument("--real", action="store_true", help="in real time: three minutes for each way")
    parser.add_argument("--only", nargs="*", default=None, help="these ways alone")
    parser.add_argument("--soak", type=int, metavar="TURNS", help="soak for so many turns, and nothing else")
    options = parser.parse_args()
    if options.soak is not None:
        print(json.dumps({"soak": vars(soak(options.soak))}, indent=1))
        return
    sliding = ServerOptions(style="sliding", rpm=RPM, latency_s=LATENCY)
    set_rpm = proposer(RateLimits(rpm=RPM, concurrency=RESTARTS))
    tpm = 120_000
    ways: dict[str, tuple[Way, ServerOptions]] = {
        "ours": (set_rpm, sliding),
        "learned": (proposer(RateLimits(concurrency=RESTARTS)), sliding),
        "serial": (serial, sliding),
        "semaphore": (semaphore, sliding),
        "tpm": (
            proposer(RateLimits(tpm=tpm, concurrency=RESTARTS)),
            ServerOptions(style="sliding", tpm=tpm, latency_s=LATENCY),
        ),
        "fixed": (set_rpm, ServerOptions(style="fixed", rpm=RPM, latency_s=LATENCY)),
        "bucket": (set_rpm, ServerOptions(style="bucket", rpm=RPM, latency_s=LATENCY)),
    }
    run: Any = asyncio.run if options.real else run_virtual
    figures: dict[str, Any] = {
        name: run(measure(*how)) for name, how in ways.items() if options.only is None or name in options.only
    }
    print(
        json.dumps(
            figures if options.json else {**figures, "time": "real" if options.real else "virtual"}, indent=1
        )
    )


if __name__ == "__main__":
    main()
