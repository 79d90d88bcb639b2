"""Replies that send a request on to another address: the key stays with the endpoint that it is for."""

from __future__ import annotations

import httpx2


async def keep_key(request: httpx2.Request) -> None:
    """Let no key of Azure's form go where the HTTP client lets no bearer token go; a hook of that client."""
    if "Authorization" not in request.headers:
        request.headers.pop("api-key", None)


def sent_on(response: httpx2.Response) -> str:
    """Return in words where a request was sent on to; empty where it was not."""
    if not response.history:
        return ""
    there = str(response.url.copy_with(query=None)).removesuffix("/chat/completions")
    return f"; the address sends requests on to {there}: give that with --base-url"
