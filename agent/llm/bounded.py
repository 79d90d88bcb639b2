"""Bodies of failures, which the SDK reads whole: cut, whatever an endpoint sends."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2

MAX_FAILURE = 2**18
"""Bytes of a failure's body, as they are sent, that are read; what a refusal says stands well before."""


async def cut_failures(response: httpx2.Response) -> None:
    """Let no more than the beginning be read of a reply that is no answer; a hook of the HTTP client."""
    if response.status_code >= 300 and isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Beginning(response.stream)


class _Beginning(httpx2.AsyncByteStream):
    """The first ``MAX_FAILURE`` bytes of a stream."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = MAX_FAILURE
        async for part in self._stream:
            yield part[:left]
            if (left := left - len(part)) <= 0:
                return

    async def aclose(self) -> None:
        await self._stream.aclose()
