"""The one endpoint of the comparison, on loopback: passes requests on, and counts for each cell what it gets.

Behind it stands the LLM, with its key if it has one, or answers that it has given before; whoever asks here
needs no key. A cell can be given trouble: a 429 for one request or for a while, or an answer that is made,
counted and held back, so that who asked can be killed while it waits.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import NamedTuple, Self

import aiohttp
from aiohttp import web

from benchmarks.peers.answers import Answers, holds_answer

RETRY_AFTER_S = 2
WAITS = ("Retry-After", "Retry-After-Ms")
"""Headers that say how long to wait; those who ask at the door get them."""
EARLY_S = 0.05
"""How much sooner than it was asked for still is in time."""
CLOSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)
"""What an endpoint says whose key, address or model is wrong."""


class Reply(NamedTuple):
    """What an endpoint replies, with how long it asks to wait."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}


def _error(status: int, message: str) -> Reply:
    return Reply(status, json.dumps({"error": {"message": message}}).encode())


def _is_answer(body: bytes) -> bool:
    try:
        return holds_answer(json.loads(body))
    except (ValueError, RecursionError):
        return False


REFUSAL = Reply(
    HTTPStatus.TOO_MANY_REQUESTS,
    b'{"error": {"message": "rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}}',
    {"Retry-After": str(RETRY_AFTER_S)},
)


@dataclass
class Account:
    """What a cell asked for and got.

    Attributes:
        requests: All of them.
        answered: Those that got an answer, or would have.
        refused: Those that got a 429.
        failed: All others.
        failure: What the last request without an answer got.
        early: Those that were refused again since they came sooner than they had been asked to.
        prompt_tokens, completion_tokens: As the endpoint reports.
    """

    requests: int = 0
    answered: int = 0
    refused: int = 0
    failed: int = 0
    failure: str = ""
    early: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, status: int, body: bytes) -> None:
        """Count a reply."""
        if status != HTTPStatus.OK or not _is_answer(body):
            self.refused += status == HTTPStatus.TOO_MANY_REQUESTS
            self.failed += status != HTTPStatus.TOO_MANY_REQUESTS
            self.failure = f"HTTP {status}{' with something else than an answer' * (status == HTTPStatus.OK)}"
            return
        self.answered += 1
        with suppress(ValueError, TypeError, AttributeError):
            usage = json.loads(body).get("usage") or {}
            self.prompt_tokens += int(usage.get("prompt_tokens") or 0)
            self.completion_tokens += int(usage.get("completion_tokens") or 0)


@dataclass
class Trouble:
    """What happens to one request of a cell, or from it on for a while.

    Attributes:
        at: Which request, from 1.
        kind: ``hold`` or ``refuse``.
        seconds: How long requests are refused; 0 for one of them.
        reached: Set when it has happened.
        until: When requests are answered again.
        waits: When each request that was refused may come again.
    """

    at: int
    kind: str
    seconds: float = 0.0
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    until: float | None = None
    waits: dict[bytes, float] = field(default_factory=dict)


class Door:
    """The endpoint; an async context manager.

    Args:
        upstream: The address behind it, with ``/v1``; empty where all answers are there.
        key: What that one asks for; empty for nothing.
        answers: What it has answered before, which is not asked again; new answers are added.

    Attributes:
        accounts: By cell.
        troubles: By cell.
        spoilt: By cell; done when what the cell comes to is not to be believed, and says why: an answer is
            missing, or was not kept, or ``closed``.
        closed: Why nobody need ask on; empty as long as that may help. The LLM has not answered anybody yet,
            and nobody listens there, or it refuses the key, the address or the model.
    """

    def __init__(self, upstream: str, key: str = "", answers: Answers | None = None) -> None:
        self.accounts: defaultdict[str, Account] = defaultdict(Account)
        self.troubles: dict[str, Trouble] = {}
        self.spoilt: defaultdict[str, asyncio.Future[str]] = defaultdict(asyncio.Future)
        self._upstream, self._answers = upstream.rstrip("/"), answers
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._port = 0
        self.closed, self._answered = "", False

    def base_url(self, cell: str) -> str:
        """Return the address that a cell asks."""
        return f"http://127.0.0.1:{self._port}/{cell}/v1"

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
        app = web.Application(client_max_size=64 * 1024**2)
        app.router.add_post("/{cell}/v1/chat/completions", self._chat)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        cell = request.match_info["cell"]
        account, trouble = self.accounts[cell], self.troubles.get(cell)
        account.requests += 1
        number, body = account.requests, await request.read()
        if trouble is not None and trouble.kind == "refuse" and self._refuses(account, trouble, body):
            reply = REFUSAL
        else:
            reply = await self._answer(cell, body)
        account.add(reply.status, reply.body)
        if trouble is not None and trouble.kind == "hold" and number == trouble.at:
            trouble.reached.set()
            await asyncio.Event().wait()
        return web.Response(
            status=reply.status, body=reply.body, headers=reply.headers, content_type="application/json"
        )

    async def _answer(self, cell: str, body: bytes) -> Reply:
        if self._answers is None:
            return await self._ask(cell, body)
        if (known := self._answers.take(cell, body)) is not None:
            return Reply(HTTPStatus.OK, known)
        if not self._upstream:
            self._spoil(cell, "a request has no recorded answer")
            return _error(HTTPStatus.NOT_FOUND, "no answer to this request is recorded")
        reply = await self._ask(cell, body)
        if reply.status == HTTPStatus.OK:
            try:
                self._answers.add(cell, body, reply.body)
            except OSError as error:
                self._spoil(cell, f"an answer cannot be kept: {error.strerror}")
        return reply

    def _spoil(self, cell: str, reason: str) -> None:
        if not self.spoilt[cell].done():
            self.spoilt[cell].set_result(reason)

    async def _ask(self, cell: str, body: bytes) -> Reply:
        headers = self._headers | {"Content-Type": "application/json"}
        url = f"{self._upstream}/chat/completions"
        try:
            async with self._session.post(url, data=body, headers=headers) as reply:
                waits = {name: reply.headers[name] for name in WAITS if name in reply.headers}
                answer = await reply.read()
                self._answered |= reply.status == HTTPStatus.OK and _is_answer(answer)
                if reply.status in CLOSED:
                    self._close(cell, f"{self._upstream} says {reply.status} {reply.reason}")
                return Reply(reply.status, answer, waits)
        except aiohttp.ClientError as error:
            if isinstance(error, aiohttp.ClientConnectorSSLError | aiohttp.ClientConnectorCertificateError):
                self._close(cell, f"{self._upstream}: no secure connection can be made")
            elif isinstance(error, aiohttp.ClientConnectorError):
                self._close(cell, f"nobody listens at {self._upstream}")
            elif isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
                self._close(cell, f"{self._upstream} is no address; it begins with http:// or https://")
            return _error(HTTPStatus.BAD_GATEWAY, f"no answer from the LLM: {type(error).__name__}")

    def _close(self, cell: str, reason: str) -> None:
        if not self._answered:
            self.closed = reason
            self._spoil(cell, reason)

    @staticmethod
    def _refuses(account: Account, trouble: Trouble, body: bytes) -> bool:
        now = time.monotonic()
        if trouble.until is None:
            if account.requests < trouble.at:
                return False
            trouble.until = now + trouble.seconds
            trouble.reached.set()
        elif now >= trouble.until:
            return False
        account.early += now < trouble.waits.get(body, now) - EARLY_S
        trouble.waits[body] = now + RETRY_AFTER_S
        return True
