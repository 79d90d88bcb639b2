"""``--live``: a local page that shows the running search to whoever has its address."""

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
from ..events.types import Event, RunOpened
from ..present.page import TEMPLATES, render
from ..present.terminal import LiveProgress
from ..results.history import view_of

HOST = "127.0.0.1"
MOST_READERS = 16
PAUSE_S, HEARTBEAT_S, PATIENCE_S = 1.0, 15.0, 10.0
"""Seconds: least and most between two messages, and most for reading one."""
GOODBYE_S = 5.0
"""Most seconds at the end of a session for readers to get the last page."""
SHARE = 0.05
"""Most of the time spent on making pages: the log of a long search is long."""
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
_SILENT = logging.Logger("promptclimb.live")  # noqa: LOG001 - not in the tree: its output goes nowhere
_SILENT.addHandler(logging.NullHandler())
PageHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class LivePage:
    """The server's pages; a listener that never waits and keeps only the latest state.

    ``token`` is the secret part of the address.
    """

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(16)
        self.port = 0
        self._progress = LiveProgress()
        self._run_dir: Path | None = None
        self._readers: set[asyncio.Event] = set()
        self._left = asyncio.Event()
        self._ended = False
        self._making = asyncio.Lock()
        self._page: str | None = None
        self._next = 0.0

    def __call__(self, event: Event) -> None:
        """Wake the readers; each reads the state itself."""
        self._progress.add(event)
        if isinstance(event, RunOpened):
            self._run_dir = Path(event.run_dir)
        self._wake()

    def end(self) -> None:
        self._ended = True
        self._next = 0.0
        self._wake()

    async def wait_for_readers(self) -> None:
        """Wait until every reader has the last page or stopped reading."""
        with suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                while self._readers:
                    self._left.clear()
                    await self._left.wait()

    def _wake(self) -> None:
        for reader in self._readers:
            reader.set()

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}/{self.token}/"

    def application(self) -> web.Application:
        pages = web.Application(middlewares=[self._guard])
        pages.router.add_get("/{token}/", self._shell)
        pages.router.add_get("/{token}/report", self._report)
        pages.router.add_get("/{token}/events", self._events)
        return pages

    @web.middleware
    async def _guard(self, request: web.Request, handler: PageHandler) -> web.StreamResponse:
        """Admit only requests with the token, and none that another site makes through a browser."""
        hosts = {f"{HOST}:{self.port}", f"localhost:{self.port}"}
        origin = request.headers.get("Origin")
        if request.host not in hosts or (origin is not None and origin.removeprefix("http://") not in hosts):
            raise web.HTTPForbidden(text="this page is for this machine\n")
        token = request.match_info.get("token", "")
        if not hmac.compare_digest(token.encode("utf-8", "replace"), self.token.encode()):
            raise web.HTTPNotFound
        return await handler(request)

    async def _shell(self, _request: web.Request) -> web.Response:
        nonce = secrets.token_urlsafe(16)
        headers = {**_HEADERS, "Content-Security-Policy": _POLICY.format(nonce=nonce)}
        text = (TEMPLATES / "live.html").read_text("utf-8").replace("{nonce}", nonce)
        return web.Response(text=text, content_type="text/html", headers=headers)

    async def _report(self, _request: web.Request) -> web.Response:
        headers = {**_HEADERS, "Content-Security-Policy": "default-src 'none'; sandbox"}
        return web.Response(text=await self._latest(), content_type="text/html", headers=headers)

    async def _latest(self) -> str:
        async with self._making:  # one thread makes pages, however many readers ask
            if self._run_dir is None:
                return NOT_YET
            now = asyncio.get_running_loop().time
            began, ended = now(), self._ended
            if self._page is None or began >= self._next:
                self._page = await asyncio.to_thread(page_so_far, self._run_dir)
                took = now() - began
                # A page begun before the end is not the last one.
                self._next = now() + max(PAUSE_S, took / SHARE) if ended == self._ended else 0.0
            return self._page

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if len(self._readers) >= MOST_READERS:
            raise web.HTTPServiceUnavailable(text="too many readers\n")
        response = web.StreamResponse(headers={**_HEADERS, "Content-Type": "text/event-stream"})
        woken = asyncio.Event()
        self._readers.add(woken)
        try:
            await response.prepare(request)
            while not self._ended:
                woken.clear()
                await _written(response, f"data: {json.dumps(self._progress.line)}\n\n")
                await asyncio.sleep(0 if self._ended else PAUSE_S)
                with suppress(TimeoutError):
                    await asyncio.wait_for(woken.wait(), HEARTBEAT_S)
            # The server is gone when this is read, so include the last page.
            last = json.dumps({"line": ENDED, "page": await self._latest()})
            await _written(response, f"event: end\ndata: {last}\n\n")
        except (TimeoutError, ConnectionError):
            pass  # the reader is gone or does not read
        finally:
            self._readers.discard(woken)
            self._left.set()
        return response


def page_so_far(run_dir: Path) -> str:
    """Return the present report of a run, without test decisions from an earlier end."""
    view = view_of(run_dir, pictures=False)
    return render(view if view.result is not None else replace(view, details=None))


async def _written(response: web.StreamResponse, text: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await response.write(text.encode())


@asynccontextmanager
async def live_page(port: int) -> AsyncIterator[LivePage]:
    """Serve the page while the context is open; port 0 picks any free one."""
    page = LivePage()
    runner = web.AppRunner(page.application(), access_log=None, logger=_SILENT, shutdown_timeout=PAUSE_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port)
        try:
            await site.start()
        except OSError as error:
            raise UsageError(
                f"--live {port}: cannot listen on {HOST}:{port} ({os.strerror(error.errno or 0)})"
            ) from error
        page.port = runner.addresses[0][1]
        yield page
    finally:
        page.end()
        await page.wait_for_readers()
        await runner.cleanup()
