"""A scorer behind an API on loopback, over HTTP: it sees mean colours, with limits, faults and a key.

`python -m tests.fakes.scorer_server --options JSON` runs it as a process of its own and prints its address.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from aiohttp import web

from promptclimb.evaluator.remote.asking import ApiRequest
from tests.fakes import faults
from tests.fakes.served import LARGE, Loopback, run_as_process
from tests.fakes.visual_api import VisualApi


@dataclass(frozen=True, kw_only=True)
class ScorerOptions:
    """How it behaves.

    Attributes:
        script: Faults (or "ok") of the first requests, in the order of arrival.
        always: A fault of every request after those.
        faults: Fault of each request whose body holds a text.
        latency_s: Time that an answer takes.
        key: The key that is asked for, None for none.
        usage: The usage that its replies report, None for none.
        blur: How much templates differ.
        enforces: Whether it answers by the schema of a chat request.
        says: What a chat answer is otherwise; ``{}`` stands for the class.
    """

    script: tuple[str, ...] = ()
    always: str | None = None
    faults: Mapping[str, str] = field(default_factory=dict)
    latency_s: float = 0.0
    key: str | None = None
    usage: Mapping[str, int] | None = None
    blur: float = 0.6
    enforces: bool = False
    says: str = "{}"


class ScorerServer(Loopback):
    """The endpoint; an async context manager. `url` is where it listens, for every path.

    Attributes:
        requests: All of them.
        asked: How often each question was answered, by a hash of path and body.
        most_in_flight: The most requests at once.
        keys: The authorization of each request.
        on_answer: Called with the number of answers before each one is sent.
    """

    def __init__(self, options: ScorerOptions = ScorerOptions(), port: int = 0) -> None:  # frozen
        self.options = options
        self.requests = self.answered = self.most_in_flight = self._in_flight = 0
        self.asked: Counter[str] = Counter()
        self.keys: list[str] = []
        self.on_answer: Callable[[int], None] = lambda _number: None
        self._news = asyncio.Event()
        self.port = port
        self._api = VisualApi(blur=options.blur, enforces=options.enforces, says=options.says)

    def routes(self) -> Sequence[web.RouteDef]:
        return web.get("/stats", self._stats), web.post("/{path:.*}", self._post)

    @property
    def url(self) -> str:
        return self.base_url

    async def until(self, come: Callable[[], bool]) -> None:
        """Wait until something holds; looked at with each request and each answer."""
        while not come():
            self._news.clear()
            await self._news.wait()

    async def _post(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        number, text = self.requests, await request.text()
        self.keys.append(request.headers.get("Authorization", ""))
        self._in_flight += 1
        self._news.set()
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            await asyncio.sleep(self.options.latency_s)
            if self.options.key is not None and self.keys[-1] != f"Bearer {self.options.key}":
                return await self._fault("wrong_key", request)
            if (kind := self._kind(number, text)) is not None:
                return await self._fault(kind, request)
            path = request.match_info["path"].removeprefix("v1").strip("/")
            self.asked[hashlib.sha256(f"{path}\0{text}".encode()).hexdigest()] += 1
            self.answered += 1
            self.on_answer(self.answered)
            self._news.set()
            body = self._api.body(ApiRequest(path=path, body=json.loads(text)))
            if self.options.usage is not None:
                body = {**body, "usage": dict(self.options.usage)}
            return web.json_response(body)
        finally:
            self._in_flight -= 1

    def _kind(self, number: int, text: str) -> str | None:
        if number <= len(self.options.script):
            scripted = self.options.script[number - 1]
            return None if scripted == "ok" else scripted
        kinds = (kind for fragment, kind in self.options.faults.items() if fragment in text)
        return next(kinds, self.options.always)

    async def _fault(self, kind: str, request: web.Request) -> web.StreamResponse:
        if kind == "deep":
            return web.Response(text="[" * 900 + "{}" + "]" * 900, content_type="application/json")
        if kind == "huge":
            headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
            return web.Response(body=gzip.compress(b'["' + b"x" * LARGE + b'"]', 1), headers=headers)
        if kind == "mumble":
            choice = {"message": {"role": "assistant", "content": "I cannot say."}, "finish_reason": "stop"}
            return web.json_response({"choices": [choice]})
        if kind == "error_in_200":
            return web.json_response({"error": {"message": "overloaded", "code": 503}})
        if kind == "echo_key":
            return web.json_response({"error": {"message": f"bad key {self.keys[-1]}"}}, status=500)
        if kind in _REFUSALS:
            status, error = _REFUSALS[kind]
            return web.json_response({"error": error}, status=status)
        return await faults.answer(kind, request, {})

    async def _stats(self, _request: web.Request) -> web.Response:
        return web.json_response({"requests": self.requests, "asked": self.asked})


_REFUSALS: Mapping[str, tuple[int, Mapping[str, str]]] = {
    "filter": (400, {"message": "content management policy", "code": "content_filter"}),
    "too_large": (413, {"message": "the image is too large"}),
    "context": (400, {"message": "context length exceeded", "code": "context_length_exceeded"}),
    "no_format": (400, {"message": "response_format is not supported"}),
    "no_max_tokens": (400, {"message": "'max_tokens' is not supported, use 'max_completion_tokens'"}),
}


if __name__ == "__main__":
    run_as_process(lambda options, port: ScorerServer(ScorerOptions(**options), port))
