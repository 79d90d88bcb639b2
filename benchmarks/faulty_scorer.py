"""Plant faults around the server of ``examples/clip_server.py``, and count them.

``python -m benchmarks.faulty_scorer --faults JSON`` runs it as a process of its own: it prints its address,
and ``GET /stats`` shows its counts. Beside the CLIP stands a chat model whose answers depend on a hash only.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import re
from collections import Counter as Tally
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from aiohttp import web

from examples.clip_server import ClipServer
from tests.fakes.limits import Counter, Style, counter
from tests.fakes.vendors import limit_headers, retry_after_headers

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_PASSING, _LASTING = ("limited", "cut_off", "slow"), ("noise", "synonyms", "filtered")
"""Faults of an attempt, and those of a request however often it is sent."""
REFUSAL = "I'm sorry, but I can't help with that."


@dataclass(frozen=True, kw_only=True)
class Faults:
    """What goes wrong, as shares of the requests.

    Attributes:
        noise: Another option than the model's, as sampling gives it.
        synonyms: The right option in other words, in chat.
        filtered: Refused for what it holds, in chat: with a status in half of the cases, else in the answer.
        limited: 429 with Retry-After, although there is room.
        cut_off: The connection ends before the answer; nothing is billed.
        slow: The answer takes ``slow_s``.
        slow_s: Seconds.
        latency_s: Seconds that every answer takes.
        rpm: Requests a minute that are answered; None for any number.
        style: How they are counted.
        seed: Another seed, other faults.
    """

    noise: float = 0.0
    synonyms: float = 0.0
    filtered: float = 0.0
    limited: float = 0.0
    cut_off: float = 0.0
    slow: float = 0.0
    slow_s: float = 0.2
    latency_s: float = 0.0
    rpm: float | None = None
    style: Style = "sliding"
    seed: int = 0


@dataclass
class ScorerStatistics:
    """What the server has seen.

    Attributes:
        requests: All of them.
        answered: Good answers by request.
        faults: How often each fault was made.
        refused: Requests over the limit.
        in_flight: Requests under way.
        most_in_flight: The most at once.
        prompt_tokens: Of the good answers.
        completion_tokens: Of the good answers.
        first_s: When the first good answer left, in seconds of the loop's clock; 0 before.
        last_s: When the last one left.
    """

    requests: int = 0
    answered: Tally[str] = field(default_factory=Tally)
    faults: Tally[str] = field(default_factory=Tally)
    refused: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    first_s: float = 0.0
    last_s: float = 0.0

    def summary(self) -> dict[str, Any]:
        """Return the counts alone, without those of each request."""
        more_than_once = sum(count - 1 for count in self.answered.values())
        return {
            **{name: value for name, value in vars(self).items() if name != "answered"},
            "answers": self.answered.total(),
            "different": len(self.answered),
            "twice": more_than_once,
        }


class FaultyScorer:
    """A middleware that makes faults; ``statistics`` says which."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.statistics = ScorerStatistics()
        self._attempts: Tally[str] = Tally()
        self._limit: Counter | None = None if faults.rpm is None else counter(faults.style, faults.rpm)

    def middleware(self) -> Any:
        """Return the middleware of the server."""

        @web.middleware
        async def handle(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path == "/stats":
                return web.json_response(self.statistics.summary())
            return await (self._faulty(request, handler) if request.method == "POST" else handler(request))

        return handle

    async def _faulty(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        stats, faults = self.statistics, self.faults
        content = await request.read()
        name = hashlib.sha256(request.path.encode() + content).hexdigest()
        self._attempts[name] += 1
        # What a request holds decides its answer, so that a request that is sent again is answered the same.
        lasting = Random(f"{faults.seed}/{name}")
        passing = Random(f"{faults.seed}/{name}/{self._attempts[name]}")
        stats.requests += 1
        stats.in_flight += 1
        stats.most_in_flight = max(stats.most_in_flight, stats.in_flight)
        try:
            if (wait := self._wait()) > 0:
                stats.refused += 1
                return self._too_fast(wait)
            chat = request.path.endswith("/chat/completions")
            kind = self._kind(passing, _PASSING) or self._kind(lasting, _LASTING if chat else _LASTING[:1])
            if kind:
                stats.faults[kind] += 1
            await asyncio.sleep(faults.latency_s + (faults.slow_s if kind == "slow" else 0.0))
            if kind == "limited":
                return self._too_fast(0.05)
            if kind == "cut_off":
                if request.transport is not None:
                    request.transport.abort()
                return web.Response()
            if kind == "filtered" and lasting.random() < 0.5:
                error = {"message": "the content filter was triggered", "code": "content_filter"}
                return web.json_response({"error": {**error, "type": "invalid_request_error"}}, status=400)
            reply = await handler(request)
            if reply.status != 200 or not isinstance(reply, web.Response):
                return reply
            return self._answered(name, json.loads(reply.text or ""), content, kind, lasting)
        finally:
            stats.in_flight -= 1

    def _answered(self, name: str, reply: Any, content: bytes, kind: str | None, rng: Random) -> web.Response:
        stats, now = self.statistics, asyncio.get_running_loop().time()
        stats.answered[name] += 1
        stats.first_s = stats.first_s or now
        stats.last_s = now
        if isinstance(reply, dict) and isinstance(usage := reply.get("usage"), dict):
            stats.prompt_tokens += usage.get("prompt_tokens", 0)
            stats.completion_tokens += usage.get("completion_tokens", 0)
        if kind in ("noise", "synonyms", "filtered"):
            reply = _changed(kind, reply, json.loads(content), rng)
        states = {"requests": self._limit.state(now)} if self._limit else {}
        return web.json_response(reply, headers=limit_headers("openai", states))

    def _kind(self, rng: Random, kinds: Sequence[str]) -> str | None:
        draw = rng.random()
        for kind in kinds:
            if draw < (share := getattr(self.faults, kind)):
                return kind
            draw -= share
        return None

    def _wait(self) -> float:
        if self._limit is None:
            return 0.0
        now = asyncio.get_running_loop().time()
        if (wait := self._limit.wait(now, 1)) <= 0:
            self._limit.use(now, 1)
        return wait

    def _too_fast(self, wait: float) -> web.Response:
        now = asyncio.get_running_loop().time()
        states = {"requests": self._limit.state(now)} if self._limit else {}
        headers = limit_headers("openai", states) | retry_after_headers("seconds", wait)
        error = {"message": "rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}
        return web.json_response({"error": error}, status=429, headers=headers)


def _changed(kind: str, reply: Any, body: Any, rng: Random) -> Any:
    """Return a reply with another answer; embeddings stay as they are."""
    if isinstance(reply, list) and len(reply) > 1:
        return reply if kind != "noise" else _other_first(reply, rng)
    if not (isinstance(reply, dict) and reply.get("object") == "chat.completion"):
        return reply
    message = reply["choices"][0]["message"]
    if kind == "filtered":
        message["content"], message["refusal"] = None, REFUSAL
        reply["choices"][0]["finish_reason"] = "content_filter"
    elif kind == "synonyms":
        forms = ["a {}", "The {}.", "**{}**", "{}s", "a kind of {}"]
        message["content"] = rng.choice(forms).format(message["content"])
    else:
        message["content"] = rng.choice(listed_classes(body["messages"][0]["content"][0]["text"]))
    return reply


def _other_first(labels: list[dict[str, Any]], rng: Random) -> list[dict[str, Any]]:
    scores = [row["score"] for row in labels]
    names = [row["label"] for row in labels]
    names.insert(0, names.pop(rng.randrange(1, len(labels))))
    return [{"label": name, "score": score} for name, score in zip(names, scores, strict=True)]


def listed_classes(text: str) -> list[str]:
    """Return the classes in an instruction: numbered lines, or the longest row without its ends."""
    if lines := re.findall(r"^\d+\. (.+)$", text, re.MULTILINE):
        return lines
    rows = re.findall(r"[^.:?!,\n]+(?:, [^.:?!,\n]+)+", text) or ["nothing"]
    names = max(rows, key=lambda row: row.count(",")).split(", ")
    return names[1:-1] or names


async def _chat(request: web.Request) -> web.Response:
    """Give an image one of the listed classes, by a hash, as a chat model would."""
    body = await request.json()
    text, image = (part for part in body["messages"][0]["content"])
    classes = listed_classes(text["text"])
    digest = hashlib.sha256(image["image_url"]["url"].encode()).digest()
    message = {"role": "assistant", "content": classes[digest[0] % len(classes)], "refusal": None}
    prompt, completion = 765 + len(text["text"]) // 4, max(1, len(message["content"] or "") // 4)
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    return web.json_response({"object": "chat.completion", "choices": [choice], "usage": usage})


@asynccontextmanager
async def serving(scorer: FaultyScorer, port: int = 0) -> AsyncIterator[str]:
    """Serve RN-pico and the chat model with faults; yields the address below which they answer."""
    server = await asyncio.to_thread(ClipServer, "RN-pico")
    application = server.application(scorer.middleware())
    application.router.add_post("/v1/chat/completions", _chat)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


async def _serve(faults: Faults, port: int) -> None:
    async with serving(FaultyScorer(faults), port) as url:
        print(url, flush=True)  # whoever started it reads it
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=json.loads, default={}, help="Faults as JSON")
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    asyncio.run(_serve(Faults(**given.faults), given.port))
