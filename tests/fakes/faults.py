"""What goes wrong at an endpoint, by probability and yet the same in every run."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import sys
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from tests.fakes.vendors import RetryAfter, retry_after_headers

KINDS = (
    "500", "503", "429", "429_bare", "cut_off", "hang", "drip", "html", "truncated", "no_choices", "null",
    "garbage", "length", "filter", "refusal", "quota", "wrong_key", "no_model", "bad_request", "echo_key",
)  # fmt: skip
BILLED = frozenset({"no_choices", "null", "garbage", "length", "filter", "refusal", "truncated", "drip"})
HANG_S = 3600.0


def choose(faults: Mapping[str, float], request_hash: str, attempt: int, seed: int = 0) -> str | None:
    """The fault of one attempt at one request, by its hash: None for most."""
    digest = hashlib.sha256(f"{seed}:{request_hash}:{attempt}".encode()).digest()
    draw = int.from_bytes(digest[:8], "big") / 2**64
    for kind, probability in faults.items():
        if kind not in KINDS:
            raise ValueError(f"unknown fault {kind!r}")
        if draw < probability:
            return kind
        draw -= probability
    return None


async def answer(
    kind: str, request: web.Request, completion: dict[str, Any], form: RetryAfter = "seconds"
) -> web.StreamResponse:
    if kind in _STATUS:
        status, error = _STATUS[kind]
        message = error["message"]
        if kind == "echo_key":
            message += request.headers.get("Authorization", "")
        headers = retry_after_headers(form, 0.2) if kind in ("429", "503") else {}
        return web.json_response({"error": {**error, "message": message}}, status=status, headers=headers)
    if kind == "cut_off":
        _hang_up(request)
        return web.Response()
    if kind == "hang":
        print("hangs", file=sys.stderr, flush=True)  # noqa: T201  # whoever started a process reads it
        await asyncio.sleep(HANG_S)
    if kind in ("drip", "truncated"):
        return await _cut_short(request, completion, drip=kind == "drip")
    if kind == "html":
        return web.Response(text="<html><body>Bad gateway</body></html>", content_type="text/html")
    if kind == "garbage":
        return web.Response(text="}{ not json", content_type="application/json")
    return web.json_response(_unusable(kind, completion))


def _unusable(kind: str, completion: dict[str, Any]) -> dict[str, Any]:
    choice = dict(completion["choices"][0])
    message = dict(choice["message"])
    if kind == "no_choices":
        return {**completion, "choices": []}
    if kind in ("null", "refusal"):
        message["content"] = None
        message["refusal"] = "I cannot help with that." if kind == "refusal" else None
    elif kind == "length":
        message["content"], choice["finish_reason"] = "- a photo of", "length"
    elif kind == "filter":
        message["content"], choice["finish_reason"] = "", "content_filter"
    return {**completion, "choices": [{**choice, "message": message}]}


async def _cut_short(request: web.Request, completion: dict[str, Any], *, drip: bool) -> web.StreamResponse:
    body = json.dumps(completion).encode()
    response = web.StreamResponse(
        headers={"Content-Type": "application/json", "Content-Length": str(len(body))}
    )
    half = body[: len(body) // 2]
    step = 20 if drip else len(half)
    # The client may have gone meanwhile; it was billed all the same.
    with contextlib.suppress(ConnectionError):
        await response.prepare(request)
        for start in range(0, len(half), step):
            await response.write(half[start : start + step])
            if drip:
                await asyncio.sleep(0.02)
    _hang_up(request)
    return response


def _hang_up(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


_STATUS: dict[str, tuple[int, dict[str, str]]] = {
    "500": (500, {"message": "internal error", "type": "server_error"}),
    "503": (503, {"message": "overloaded", "type": "server_error"}),
    "429": (429, {"message": "rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}),
    "429_bare": (429, {"message": "slow down", "type": "requests"}),
    "quota": (429, {"message": "no quota left", "type": "insufficient_quota", "code": "insufficient_quota"}),
    "wrong_key": (401, {"message": "wrong API key", "code": "invalid_api_key"}),
    "echo_key": (401, {"message": "wrong API key: ", "code": "invalid_api_key"}),
    "no_model": (404, {"message": "no such model", "code": "model_not_found"}),
    "bad_request": (400, {"message": "bad request", "code": "invalid_request"}),
}
