"""Servers on loopback: one whose replies one function makes, and what the larger ones have in common."""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
LARGE = 40 * 2**20


@asynccontextmanager
async def listening(
    routes: Sequence[web.RouteDef], port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """Serve routes; yields the address."""
    app = web.Application(client_max_size=LARGE)
    app.add_routes(routes)
    # Handlers end with the server, not with their client: a request that was accepted is paid for.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls).start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def served(
    handler: Handler, path: str = "/v1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """Answer all requests by a function; the address ends in a path."""
    async with listening([web.route("*", "/{path:.*}", handler)], tls=tls) as address:
        yield f"{address}{path}"


class Loopback:
    """A server; an async context manager. `base_url` is where it listens."""

    base_url = ""
    port = 0

    def routes(self) -> Sequence[web.RouteDef]:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        self._open = listening(self.routes(), self.port)
        self.base_url = f"{await self._open.__aenter__()}/v1"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.__aexit__(kind, error, trace)


def run_as_process(make: Callable[[dict[str, Any], int], Loopback]) -> None:
    """Serve what is made of the options on the command line until killed, and print its address."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--options", type=json.loads, default={}, help="as JSON")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()

    async def serve() -> None:
        async with make(arguments.options, arguments.port) as server:
            print(server.base_url, flush=True)  # noqa: T201  # whoever started it reads it
            await asyncio.Event().wait()

    asyncio.run(serve())
