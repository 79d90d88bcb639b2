"""The one place where errors of the SDK and of the transports under it become ours."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import TypeVar

import aiohttp
import httpx2
import openai

from ...prompts.requests import one_line
from ..errors import (
    BadRequestError,
    ChatError,
    ContextTooLongError,
    FlaggedRequestError,
    KeyRejectedError,
    ModelNotFoundError,
    QuotaSpentError,
    RateLimitedError,
    TransientChatError,
    UselessAnswerError,
)
from .dialects.refusals import overlong, read_refusal
from .dialects.waits import wait_in
from .pacing.headers import kept_headers, retry_after
from .preflight import why_unconnected
from .redirects import sent_on

E = TypeVar("E", bound=BaseException)

QUOTA_CODES = frozenset(
    {
        *("insufficient_quota", "billing_hard_limit_reached", "billing_not_active"),
        "exceeded_current_quota_error",  # Moonshot's, with status 429
    }
)
TRANSIENT_STATUS = frozenset({408, 409, 425})
GATEWAY_TIMEOUTS = frozenset({504, 524})
"""A gateway has left a server that was at work, and may well be billed for it."""
MAX_MESSAGE = 300
_NO_CREDIT = re.compile(
    # Anthropic's (400), DeepSeek's and Zhipu's, xAI's (403), Fireworks' and MiniMax' (500). Not Google's
    # "exceeded your current quota", which is said of a limit a minute as well.
    r"credit balance is too low|insufficient (?:\w+ )?(?:balance|credits?|funds)|used all available credits"
    r"|(?:run|are) out of credits?|spending limit|account\b.{0,60}\bsuspended",
    re.IGNORECASE,
)
_FLAGGED = re.compile(
    r"moderation|flagged|content[ _-]?(?:policy|filter|management)|safety|inappropriate|data_inspection"
    r"|content exists risk|(?:unsafe|sensitive) content",
    re.IGNORECASE,
)
_BAD_KEY = re.compile(
    # LiteLLM's proxy looks for a key that is not its own in a data base, and may have none.
    r"(?:incorrect|invalid) api key|api key (?:is )?(?:not valid|invalid|expired)|no connected db",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(
    r"not a valid model|model_not_found|model \S+ (?:does not exist|not found)", re.IGNORECASE
)
_A_FAILURE = re.compile(r"[45]\d\d", re.ASCII)
_BY_STATUS: Mapping[int, type[ChatError]] = {
    401: KeyRejectedError,
    402: QuotaSpentError,
    403: KeyRejectedError,
    404: ModelNotFoundError,
    429: RateLimitedError,
}

_STATUS_WORDS = (
    (402, _NO_CREDIT),
    (401, re.compile(r"invalid.?api.?key|authentication|login fail", re.IGNORECASE)),
    (429, re.compile(r"rate.?limit|too many requests|resource_exhausted", re.IGNORECASE)),
    (
        400,
        re.compile(
            r"invalid_request|invalid_argument|invalid params|bad.?request|context_length", re.IGNORECASE
        ),
    ),
)

FOREIGN_ERRORS = (
    openai.OpenAIError,
    httpx2.HTTPError,
    httpx2.InvalidURL,
    httpx2.StreamError,
    aiohttp.ClientError,
    OSError,
    ValueError,
)
"""Everything that an attempt may raise; ValueError for bodies that are not what their headers say."""


def translate(error: Exception, scrub: Callable[[str], str]) -> ChatError:
    """Return what an error of the SDK, httpx or aiohttp means.

    Args:
        error: One of ``FOREIGN_ERRORS``.
        scrub: Takes secrets out of a message.

    Returns:
        One of the kinds of ChatError; an error that nobody foresaw is transient, and says its class.
    """
    if isinstance(error, openai.APIStatusError):
        body = error.body or error.message
        return from_reply(
            error.status_code, body, error.response.headers, scrub, advice=sent_on(error.response)
        )
    if isinstance(error, openai.APIResponseValidationError | json.JSONDecodeError | UnicodeDecodeError):
        return UselessAnswerError("the endpoint's answer is not the JSON it should be", reason="bad_json")
    if (refused := _in_chain(error, aiohttp.ClientConnectorError)) is not None:
        return TransientChatError(one_line(scrub(_no_connection(refused)), MAX_MESSAGE), perhaps_billed=False)
    cause = error.__cause__
    said = f"{error} ({type(cause).__name__}: {cause})" if cause else f"{type(error).__name__}: {error}"
    return TransientChatError(one_line(scrub(said), MAX_MESSAGE), perhaps_billed=not _never_sent(error))


def from_reply(
    status: int, body: object, headers: Mapping[str, str], scrub: Callable[[str], str], *, advice: str = ""
) -> ChatError:
    """Return what a reply of 4xx or 5xx means.

    Args:
        status: The HTTP status.
        body: The reply's ``error`` object, or its text.
        headers: All of the reply's headers.
        scrub: Takes secrets out of a message.
        advice: What the message says beside it.
    """
    kept = kept_headers(headers)
    message = one_line(scrub(f"the endpoint answers {status}: {_said(body)}"), MAX_MESSAGE)
    message += one_line(scrub(advice), MAX_MESSAGE)
    asked = retry_after(kept)
    if asked is None and (status == 429 or status >= 500):
        asked = wait_in(body)
    return _kind(status, body)(
        message, status=status, headers=kept, retry_after=asked, perhaps_billed=status in GATEWAY_TIMEOUTS
    )


def _kind(status: int, body: object) -> type[ChatError]:
    refusal = read_refusal(body)
    # What a gateway says with 502 or 503 may be of one of many servers behind it.
    if _is_quota(body) or (status <= 500 and _NO_CREDIT.search(refusal.text)):
        return QuotaSpentError
    if overlong(refusal) is not None:
        return ContextTooLongError
    if status == 403 and _FLAGGED.search(refusal.text):
        return FlaggedRequestError  # of what was asked, not of who asks
    if status == 400 and _BAD_KEY.search(refusal.text):
        return KeyRejectedError
    if status == 400 and _NO_MODEL.search(refusal.text):
        return ModelNotFoundError
    if status in TRANSIENT_STATUS or status >= 500:
        return TransientChatError
    refused = FlaggedRequestError if _FLAGGED.search(refusal.text) else BadRequestError
    return _BY_STATUS.get(status, refused)


def _is_quota(body: object) -> bool:
    fields = body if isinstance(body, Mapping) else {}
    return bool({str(fields.get("code")), str(fields.get("type"))} & QUOTA_CODES)


def flagged(body: object) -> bool:
    """Whether a refusal judges what was asked (a content filter), so that nothing else about it can help."""
    return bool(_FLAGGED.search(read_refusal(body).text))


def status_in(told: object) -> int:
    """Return the HTTP status that an error object in a reply of 200 stands for; 502 where it does not say."""
    code = told.get("code", told.get("status")) if isinstance(told, Mapping) else None
    if isinstance(code, int | str) and _A_FAILURE.fullmatch(str(code)):
        return int(code)
    said = read_refusal(told).text
    return next((status for status, words in _STATUS_WORDS if words.search(said)), 502)


def _said(body: object) -> str:
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, Mapping):
        body = body.get("error") or body
    if isinstance(body, Mapping):
        inner = body.get("metadata")
        raw = inner.get("raw") if isinstance(inner, Mapping) else None
        body = raw or body.get("message", body.get("detail", body))
    text = body if isinstance(body, str) else "" if body is None else json.dumps(body, default=str)
    return "an HTML page" if text.lstrip()[:1] == "<" else text


def _never_sent(error: BaseException) -> bool:
    """Whether the request cannot have reached the endpoint."""
    return any(_in_chain(error, kind) for kind in (httpx2.UnsupportedProtocol, httpx2.InvalidURL))


def _in_chain(error: BaseException, kind: type[E]) -> E | None:
    """Return the first error of a kind among an error and what led to it."""
    seen: BaseException | None = error
    for _ in range(8):
        if seen is None or isinstance(seen, kind):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def _no_connection(error: aiohttp.ClientConnectorError) -> str:
    # The SDK calls it a timeout, whatever kept the connection from being made.
    host = f"[{error.host}]" if ":" in error.host else error.host
    return f"no connection to {host}:{error.port} ({why_unconnected(error)})"
