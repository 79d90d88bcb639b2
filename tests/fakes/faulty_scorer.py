"""Faults around the server of ``promptclimb serve``: what a model behind an API does wrong, counted.

``python -m tests.fakes.faulty_scorer --model RN-pico --faults JSON`` runs it as a process of its own: it
prints its address, and ``GET /stats`` shows what it has seen.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import sys
from collections import Counter as Tally
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from aiohttp import web

from promptclimb.evaluator.serving.server import ServerSettings, serving
from promptclimb.evaluator.serving.simulated_chat import find_options
from promptclimb.evaluator.spec import EvaluatorSpec
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
        """Counts alone, without each request's."""
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
        """The middleware for ``serving``."""

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
    """A reply with another answer; embeddings stay as they are."""
    if isinstance(reply, list) and len(reply) > 1:
        return reply if kind != "noise" else _other_first(reply, rng)
    if not (isinstance(reply, dict) and reply.get("object") == "chat.completion"):
        return reply
    for choice in reply["choices"]:
        said = choice["message"]["content"]
        if kind == "filtered":
            choice["message"]["content"], choice["finish_reason"] = None, "content_filter"
            choice["message"]["refusal"] = REFUSAL
        elif kind == "synonyms":
            choice["message"]["content"] = rng.choice(
                ["a {}", "The {}.", "**{}**", "{}s", "a kind of {}"]
            ).format(said)
        else:
            choice["message"]["content"] = _other_named(said, _text_of(body), rng)
    return reply


def _other_first(labels: list[dict[str, Any]], rng: Random) -> list[dict[str, Any]]:
    place = rng.randrange(1, len(labels))
    scores = [one["score"] for one in labels]
    names = [one["label"] for one in labels]
    names.insert(0, names.pop(place))
    return [{"label": name, "score": score} for name, score in zip(names, scores, strict=True)]


def _other_named(said: str, text: str, rng: Random) -> str:
    options = find_options(text)
    if options is None:
        return said
    numbers = options.marks or tuple(str(place) for place in range(1, len(options.names) + 1))
    if said in numbers:
        return rng.choice([number for number in numbers if number != said])
    inside = [name for name in options.names if name in said]
    if not inside:
        return said
    named = max(inside, key=len)
    return said.replace(named, rng.choice([name for name in options.names if name != named]))


def _text_of(body: Any) -> str:
    parts = [part for message in body["messages"] for part in _parts(message["content"])]
    return "\n".join(part["text"] for part in parts if part.get("type") == "text")


def _parts(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


async def _serve(model: str, pretrained: str, faults: Faults, port: int, *, scores: bool) -> None:
    scorer = FaultyScorer(faults)
    settings = ServerSettings(
        spec=EvaluatorSpec(model=model, pretrained=pretrained), port=port, scores=scores, max_body=2**26
    )
    async with serving(settings, lambda line: print(line, file=sys.stderr), scorer.middleware()) as url:  # noqa: T201
        print(url, flush=True)  # noqa: T201  # whoever started it reads it
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="RN-pico")
    parser.add_argument("--pretrained", default="pico")
    parser.add_argument("--faults", type=json.loads, default={}, help="Faults as JSON")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--scores", action="store_true")
    given = parser.parse_args()
    asyncio.run(
        _serve(given.model, given.pretrained, Faults(**given.faults), given.port, scores=given.scores)
    )
