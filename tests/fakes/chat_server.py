"""A chat endpoint on loopback: OpenAI's `/v1/chat/completions`, with limits, headers and faults.

The same request gets the same answer. `python -m tests.fakes.chat_server --options JSON` runs it as a process
of its own: it prints its address, and `GET /stats` shows what it has seen.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.fakes import faults
from tests.fakes.limits import Counter, State, Style, counter
from tests.fakes.served import Loopback, run_as_process
from tests.fakes.vendors import RetryAfter, Vendor, limit_headers, retry_after_headers
from tests.fakes.words import reply_text


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """How the endpoint behaves.

    Attributes:
        style: How limits are counted.
        rpm: Requests a minute, None for no limit.
        tpm: Tokens a minute, None for no limit.
        vendor: Style of the rate-limit headers.
        retry_after: Form of `Retry-After` on a 429.
        latency_s: Shortest and longest time that an answer takes.
        faults: Probability of each fault, see `tests.fakes.faults`.
        fault_seed: Another seed, other faults.
        key: The key that is asked for, None for none.
        model: The only model known, None for any.
        reports_usage: Whether its replies say what they cost.
        script: Faults (or "ok") of the first requests, in the order of arrival, before probability decides.
    """

    style: Style = "sliding"
    rpm: float | None = None
    tpm: float | None = None
    vendor: Vendor = "openai"
    retry_after: RetryAfter = "seconds"
    latency_s: tuple[float, float] = (0.0, 0.0)
    faults: Mapping[str, float] = field(default_factory=dict)
    fault_seed: int = 0
    key: str | None = None
    model: str | None = None
    reports_usage: bool = True
    script: tuple[str, ...] = ()


@dataclass
class Statistics:
    """What the endpoint has seen.

    Attributes:
        requests: All of them.
        refused: Those over a limit.
        answered: Good answers by request hash.
        billed: Answers, usable or not, that carried usage.
        tokens: What they were billed for.
        in_flight: Requests under way now.
        most_in_flight: The most at once.
        faults: How often each fault was made.
    """

    requests: int = 0
    refused: int = 0
    answered: Tally[str] = field(default_factory=Tally)
    billed: int = 0
    tokens: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    faults: Tally[str] = field(default_factory=Tally)


class ChatServer(Loopback):
    """The endpoint; an async context manager. `base_url` is where it listens."""

    def __init__(self, options: ServerOptions = ServerOptions(), port: int = 0) -> None:  # frozen
        self.options = options
        self.statistics = Statistics()
        self.seen: list[dict[str, Any]] = []
        self.port = port
        self._attempts: Tally[str] = Tally()
        self._counters: dict[str, Counter] = {}
        for kind, limit in (("requests", options.rpm), ("tokens", options.tpm)):
            if limit is not None:
                self._counters[kind] = counter(options.style, limit)

    def routes(self) -> Sequence[web.RouteDef]:
        return (
            web.post("/v1/chat/completions", self._chat),
            web.get("/v1/models", self._models),
            web.get("/stats", self._stats),
        )

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        now = asyncio.get_running_loop().time()
        body = await request.json()
        stats, options = self.statistics, self.options
        stats.requests += 1
        stats.in_flight += 1
        stats.most_in_flight = max(stats.most_in_flight, stats.in_flight)
        try:
            self.seen.append(
                {"body": body, "headers": dict(request.headers), "at": now, "query": request.query_string}
            )
            if options.key is not None and request.headers.get("Authorization") != f"Bearer {options.key}":
                return await faults.answer("wrong_key", request, {})
            if options.model is not None and body["model"] != options.model:
                return await faults.answer("no_model", request, {})
            completion = _completion(body)
            used = {"requests": 1, "tokens": completion["usage"]["total_tokens"]}
            wait = max((self._counters[kind].wait(now, used[kind]) for kind in self._counters), default=0.0)
            if wait > 0:
                stats.refused += 1
                return self._refuse(wait, now)
            for kind, each in self._counters.items():
                each.use(now, used[kind])
            return await self._reply(request, body, completion)
        finally:
            stats.in_flight -= 1

    async def _reply(
        self, request: web.Request, body: dict[str, Any], completion: dict[str, Any]
    ) -> web.StreamResponse:
        stats, options = self.statistics, self.options
        name = _hash(body)
        self._attempts[name] += 1
        kind = faults.choose(options.faults, name, self._attempts[name], options.fault_seed)
        if stats.requests <= len(options.script):
            scripted = options.script[stats.requests - 1]
            kind = None if scripted == "ok" else scripted
        await asyncio.sleep(_latency(name, *options.latency_s))
        if kind is None or kind in faults.BILLED:
            stats.billed += 1
            stats.tokens += completion["usage"]["total_tokens"]
        if kind is not None:
            stats.faults[kind] += 1
            return await faults.answer(kind, request, completion, options.retry_after)
        stats.answered[name] += 1
        if not options.reports_usage:
            completion = {name: value for name, value in completion.items() if name != "usage"}
        return web.json_response(completion, headers=self._limit_headers())

    def _refuse(self, wait: float, now: float) -> web.Response:
        headers = self._limit_headers() | retry_after_headers(self.options.retry_after, wait)
        error = {"message": "rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}
        return web.json_response({"error": error}, status=429, headers=headers)

    def _limit_headers(self) -> dict[str, str]:
        now = asyncio.get_running_loop().time()
        states: dict[str, State] = {kind: each.state(now) for kind, each in self._counters.items()}
        return limit_headers(self.options.vendor, states)

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": self.options.model or "fake"}]})

    async def _stats(self, request: web.Request) -> web.Response:
        stats = self.statistics
        return web.json_response({**vars(stats), "answered": stats.answered, "faults": stats.faults})


def _completion(body: dict[str, Any]) -> dict[str, Any]:
    name = _hash(body)
    text = reply_text(name)
    prompt = sum(len(str(message["content"])) for message in body["messages"]) // 4 + 3
    completion = min(len(text) // 4, int(body.get("max_tokens") or 10**6))
    return {
        "id": f"chatcmpl-{name[:12]}",
        "object": "chat.completion",
        "model": body["model"],
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        },
    }


def _hash(body: dict[str, Any]) -> str:
    asked = [body["messages"], body["model"], body.get("seed")]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def _latency(name: str, shortest: float, longest: float) -> float:
    return shortest + (longest - shortest) * int(name[:8], 16) / 2**32


if __name__ == "__main__":
    run_as_process(lambda options, port: ChatServer(ServerOptions(**options), port))
