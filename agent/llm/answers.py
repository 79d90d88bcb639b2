"""From the body of a reply to an answer, or to the reason why it holds none."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

from ..errors import UselessAnswerError
from ..secrets import Scrubber
from ..text import whole_characters
from .billed import billed
from .pacing.headers import kept_headers
from .translate import from_reply
from .types import ChatAnswer

MAX_BODY = 4 * 2**20
"""Bytes of a reply that are read; no completion is near it."""


class Reply(NamedTuple):
    """A reply with a status below 400."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def read_answer(reply: Reply, scrubber: Scrubber) -> ChatAnswer:
    """Return the first choice of a chat completion.

    An answer cut at ``max_tokens`` loses its last line, which may be half a template.

    Args:
        reply: What came.
        scrubber: Takes secrets out of texts: known ones out of the answer, more out of an error.

    Raises:
        UselessAnswerError: Nothing to use, with the tokens that the reply says were billed.
        ChatError: The body is an error object, as some vendors send with a 200.
    """
    kept = kept_headers(reply.headers)
    found = _completion(reply, kept, scrubber)
    usage = billed(found)

    def useless(reason: str, message: str) -> NoReturn:
        raise UselessAnswerError(message, reason=reason, status=reply.status, headers=kept, usage=usage)

    choices = found.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        useless("no_choices", "the endpoint's answer has no choices")
    message = choices[0].get("message")
    reason = scrubber.scrub(str(choices[0].get("finish_reason") or "stop"))
    text = _text(message if isinstance(message, dict) else {}, reason, useless)
    return ChatAnswer(
        text=scrubber.scrub(whole_characters(text)),
        finish_reason=reason,
        model=scrubber.scrub(str(found.get("model") or "")),
        prompt_tokens=usage.prompt_tokens if usage else 0,
        completion_tokens=usage.completion_tokens if usage else 0,
        usage_told=usage is not None,
        billed=usage,
        headers=kept,
    )


def _completion(reply: Reply, kept: Mapping[str, str], scrubber: Scrubber) -> dict[str, Any]:
    if len(reply.body) > MAX_BODY:
        raise UselessAnswerError(
            f"the endpoint's answer has more than {MAX_BODY // 2**20} MiB", reason="too_big", headers=kept
        )
    try:
        found = json.loads(reply.body)
    except (ValueError, RecursionError) as error:
        page = reply.body.lstrip()[:1] == b"<"
        reason = "not_json" if page else "bad_json"
        what = "an HTML page: is --base-url right?" if page else "no JSON, or JSON cut short"
        raise UselessAnswerError(f"the endpoint's answer is {what}", reason=reason, headers=kept) from error
    if not isinstance(found, dict):
        raise UselessAnswerError("the endpoint's answer is no JSON object", reason="bad_json", headers=kept)
    if (told := found.get("error")) and not found.get("choices"):
        code = told.get("code") if isinstance(told, dict) else None
        status = code if isinstance(code, int) and 400 <= code < 600 else 502
        failed = from_reply(status, told, reply.headers, scrubber.scrub_quoted)
        failed.usage = billed(found)
        raise failed
    return found


def _text(message: dict[str, Any], reason: str, useless: Callable[[str, str], NoReturn]) -> str:
    text = message.get("content")
    if isinstance(text, list):
        text = "".join(str(part.get("text") or "") for part in text if isinstance(part, dict))
    if reason == "content_filter":
        useless("content_filter", "the endpoint's content filter cut the answer")
    if not isinstance(text, str) or not text.strip():
        if message.get("refusal"):
            useless("refusal", "the model refuses to answer")
        useless("length" if reason == "length" else "no_content", "the endpoint's answer has no text")
    if reason == "length":
        text = text.rpartition("\n")[0]
        if not text.strip():
            useless("length", "the answer was cut before its first line ended; raise max_tokens")
    return text
