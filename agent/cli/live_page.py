"""``--live``: a page on this machine that grows with the search, for whoever has its address."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

from aiohttp import web

from ...evaluator.errors import UsageError
from ..events import Event, RunOpened
from ..results.page import render
from ..results.run_view import view_of
from .live_shell import SHELL
from .progress import State

HOST = "127.0.0.1"
MOST_READERS = 16
PAUSE_S, HEARTBEAT_S, PATIENCE_S = 1.0, 15.0, 10.0
"""Between two signs of life to a reader at least and at most, and how long one may take to read one."""
FAREWELL_S = 5.0
"""The longest time that the end of a session waits until its readers have the last page."""
SHARE = 0.05
"""The most of the time that goes into making pages: the log of a long search is long."""
NOT_YET = "<p>The run is being opened ...</p>"
ENDED = "the session has ended; what it found is in the run's folder"
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; img-src data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_UNHEARD = logging.Logger("promptclimb.live")  # noqa: LOG001 - a logger of our own, which nobody hears
_UNHEARD.addHandler(logging.NullHandler())
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class LivePage:
    """What the server answers; a listener that never waits and keeps nothing but the latest state.

    Attributes:
        token: The part of the address that nobody can guess.
        port: Where it listens.
    """

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(16)
        self.port = 0
        self._state = State()
        self._run_dir: Path | None = None
        self._readers: set[asyncio.Event] = set()
        self._deserted = asyncio.Event()
        self._ended = False
        self._making = asyncio.Lock()
        self._page: str | None = None
        self._next = 0.0

    def __call__(self, event: Event) -> None:
        """Take an event; readers are woken, and each looks for itself how things stand."""
        self._state.take(event)
        if isinstance(event, RunOpened):
            self._run_dir = Path(event.run_dir)
        self._wake()

    def end(self) -> None:
        """Say goodbye to every reader."""
        self._ended = True
        self._next = 0.0
        self._wake()

    async def farewell(self) -> None:
        """Wait until every reader has heard of the end, or does not listen."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                while self._readers:
                    self._deserted.clear()
                    await self._deserted.wait()

    def _wake(self) -> None:
        for reader in self._readers:
            reader.set()

    @property
    def address(self) -> str:
        """Where it can be read."""
        return f"http://{HOST}:{self.port}/{self.token}/"

    def application(self) -> web.Application:
        """Return what answers requests."""
        made = web.Application(middlewares=[self._guard])
        made.router.add_get("/{token}/", self._shell)
        made.router.add_get("/{token}/report", self._report)
        made.router.add_get("/{token}/events", self._events)
        return made

    @web.middleware
    async def _guard(self, request: web.Request, handler: Answer) -> web.StreamResponse:
        """Let those through who have the token, and no page of another site by way of their browser."""
        hosts = {f"{HOST}:{self.port}", f"localhost:{self.port}"}
        origin = request.headers.get("Origin")
        if request.host not in hosts or (origin is not None and origin.removeprefix("http://") not in hosts):
            raise web.HTTPForbidden(text="this page is for this machine\n")
        given = request.match_info.get("token", "")
        if not hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode()):
            raise web.HTTPNotFound
        return await handler(request)

    async def _shell(self, _request: web.Request) -> web.Response:
        nonce = secrets.token_urlsafe(16)
        headers = {**_HEADERS, "Content-Security-Policy": _POLICY.format(nonce=nonce)}
        return web.Response(text=SHELL.replace("{nonce}", nonce), content_type="text/html", headers=headers)

    async def _report(self, _request: web.Request) -> web.Response:
        headers = {**_HEADERS, "Content-Security-Policy": "default-src 'none'; sandbox"}
        return web.Response(text=await self._latest(), content_type="text/html", headers=headers)

    async def _latest(self) -> str:
        """Return the page, made anew where the latest one is old enough."""
        async with self._making:  # however many ask, one thread makes pages
            if self._run_dir is None:
                return NOT_YET
            now = asyncio.get_running_loop().time
            began, ended = now(), self._ended
            if self._page is None or began >= self._next:
                self._page = await asyncio.to_thread(page_so_far, self._run_dir)
                took = now() - began
                # One that was begun before the end is not the last one.
                self._next = now() + max(PAUSE_S, took / SHARE) if ended == self._ended else 0.0
            return self._page

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Tell a reader how things stand as often as it can take it; one that cannot is let go."""
        if len(self._readers) >= MOST_READERS:
            raise web.HTTPServiceUnavailable(text="too many readers\n")
        response = web.StreamResponse(headers={**_HEADERS, "Content-Type": "text/event-stream"})
        woken = asyncio.Event()
        self._readers.add(woken)
        try:
            await response.prepare(request)
            while not self._ended:
                woken.clear()
                await _written(response, f"data: {json.dumps(self._state.line)}\n\n")
                await asyncio.sleep(0 if self._ended else PAUSE_S)
                with suppress(TimeoutError):
                    await asyncio.wait_for(woken.wait(), HEARTBEAT_S)
            # Nobody listens for a request any more when this is read, so the last page comes with it.
            last = json.dumps({"line": ENDED, "page": await self._latest()})
            await _written(response, f"event: end\ndata: {last}\n\n")
        except (TimeoutError, ConnectionError):
            pass  # it has gone, or reads nothing
        finally:
            self._readers.discard(woken)
            self._deserted.set()
        return response


def page_so_far(run_dir: Path) -> str:
    """Return the report of a run as it stands, without what an earlier end found on the test split."""
    view = view_of(run_dir, pictures=False)
    return render(view if view.result is not None else replace(view, details=None))


async def _written(response: web.StreamResponse, text: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await response.write(text.encode())


@asynccontextmanager
async def live_page(port: int) -> AsyncIterator[LivePage]:
    """Serve the page for as long as the context is open.

    Args:
        port: Where on this machine; 0 for any that is free.

    Raises:
        UsageError: Another program listens there, or it is not allowed.
    """
    page = LivePage()
    runner = web.AppRunner(page.application(), access_log=None, logger=_UNHEARD, shutdown_timeout=PAUSE_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port)
        try:
            await site.start()
        except OSError as error:
            raise UsageError(
                f"--live {port}: {HOST}:{port} cannot be listened at ({os.strerror(error.errno or 0)})"
            ) from error
        page.port = runner.addresses[0][1]
        yield page
    finally:
        page.end()
        await page.farewell()
        await runner.cleanup()
