"""From the body of a reply to an answer, or to the reason why it holds none."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

from ...prompts.thinking import without_thinking
from ..errors import ChatError, UselessAnswerError
from ..secrets import Scrubber
from ..text import whole_characters
from ..token_usage import TokenUsage
from .billed import billed, half_told
from .pacing.headers import kept_headers
from .streamed import is_streamed, whole
from .translate import from_reply, status_in
from .types import ChatAnswer

MAX_BODY = 4 * 2**20
"""Bytes of a reply that are read; no completion is near it."""

_AT_ITS_BOUND = frozenset({"length", "max_tokens", "max_output_tokens", "max_completion_tokens"})
"""Reasons of an end that more answer tokens put off, whatever the letters: Gemini's are large."""
_CUT = _AT_ITS_BOUND | {
    "model_length",  # Mistral: the context is full
    "model_context_window_exceeded",  # Anthropic
    "insufficient_system_resource",  # DeepSeek
    "incomplete",
}
"""Reasons of an end in the middle of a line."""
_THINKING = frozenset({"thinking", "reasoning", "redacted_thinking", "reasoning_content", "summary"})
"""Kinds of parts that hold what the model thought."""
_SHOWN_THOUGHTS = ("reasoning_content", "reasoning", "reasoning_details", "thinking")
"""Members of a message that hold it."""
_INSTEAD = ("detail", "message", "msg", "error_msg", "error_message")
"""Members in which a reply without an answer says why."""


class Reply(NamedTuple):
    """A reply with a status below 400."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def read_answer(reply: Reply, scrubber: Scrubber) -> ChatAnswer:
    """Return the first choice of a chat completion.

    An answer that is cut, by whatever name, loses its last line, which may be half a template.

    Args:
        reply: What came.
        scrubber: Takes secrets out of texts: known ones out of the answer, more out of an error.

    Raises:
        UselessAnswerError: Nothing to use, with the tokens that the reply says were billed.
        ChatError: The body is an error object, as some vendors send with a 200, alone or in a choice.
    """
    kept = kept_headers(reply.headers)
    found = _completion(reply, kept)
    usage = billed(found)
    if (told := _error_in(found)) is not None:
        raise _failure(told, reply, usage, scrubber)
    if half_told(found, answered=False):
        usage = None

    def useless(reason: str, message: str) -> NoReturn:
        raise UselessAnswerError(message, reason=reason, status=reply.status, headers=kept, usage=usage)

    choices = found.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        useless("no_choices", "the endpoint's answer has no choices")
    message = choices[0].get("message")
    message = message if isinstance(message, dict) else {}
    reason = scrubber.scrub(str(choices[0].get("finish_reason") or "stop"))
    said = _content(message.get("content"))
    answer = without_thinking(said)
    thought = _thought(message) or answer != said
    text = _text(answer.lstrip("\n"), message, reason.lower(), useless, thought=thought)
    if half_told(found, answered=True):
        usage = None
    return ChatAnswer(
        text=scrubber.scrub(whole_characters(text)),
        finish_reason=reason,
        model=scrubber.scrub(str(found.get("model") or "")),
        prompt_tokens=usage.prompt_tokens if usage else 0,
        completion_tokens=usage.completion_tokens if usage else 0,
        thought=thought,
        usage_told=usage is not None,
        billed=usage,
        headers=kept,
    )


def error_object(reply: Reply) -> object:
    """Return the error in the body of a reply that is no status of an error; None where there is none."""
    try:
        found = _parsed(reply)
    except (ValueError, RecursionError):
        return None
    return _error_in(found) if isinstance(found, dict) else None


def _parsed(reply: Reply) -> object:
    """Return what a reply holds, whether it came whole or in pieces.

    Raises:
        ValueError: It is neither.
    """
    if is_streamed(reply.headers.get("content-type", ""), reply.body):
        if (found := whole(reply.body[:MAX_BODY])) is None:
            raise ValueError("it was cut")
        return found
    return json.loads(reply.body[:MAX_BODY])


def _completion(reply: Reply, kept: Mapping[str, str]) -> dict[str, Any]:
    if len(reply.body) > MAX_BODY:
        raise UselessAnswerError(
            f"the endpoint's answer has more than {MAX_BODY // 2**20} MiB", reason="too_big", headers=kept
        )
    try:
        found = _parsed(reply)
    except (ValueError, RecursionError) as error:
        page = reply.body.lstrip()[:1] == b"<"
        reason = "not_json" if page else "bad_json"
        what = "an HTML page: is --base-url right?" if page else "no JSON, or JSON cut short"
        raise UselessAnswerError(f"the endpoint's answer is {what}", reason=reason, headers=kept) from error
    if not isinstance(found, dict):
        raise UselessAnswerError("the endpoint's answer is no JSON object", reason="bad_json", headers=kept)
    return found


def _error_in(found: Mapping[str, Any]) -> object:
    """Return an error in place of the answer: on top, in the choice, as the reason of its end, or alone."""
    choices = found.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    message = choice.get("message")
    answered = isinstance(message, dict) and bool(message.get("content"))
    if (told := found.get("error")) and not answered:
        return told
    if (told := choice.get("error")) or choice.get("finish_reason") == "error":
        return told or {"message": "the answer ended in an error"}
    return None if choices else _said_instead(found)


def _said_instead(found: Mapping[str, Any]) -> object:
    """Return what a reply without choices says in their place; None where it says nothing."""
    if isinstance(told := found.get("base_resp"), dict) and told.get("status_code"):
        return {"message": f"{told.get('status_msg') or 'no reason given'} ({told['status_code']})"}
    return found if any(isinstance(found.get(name), str) and found[name] for name in _INSTEAD) else None


def _failure(told: object, reply: Reply, usage: TokenUsage | None, scrubber: Scrubber) -> ChatError:
    error = from_reply(status_in(told), told, reply.headers, scrubber.scrub_quoted)
    error.usage = usage
    return error


def _content(content: object) -> str:
    """Return the text of a message, without the parts of it that are thoughts."""
    if isinstance(content, list):
        parts = (part if isinstance(part, dict) else {"text": part} for part in content)
        content = "".join(str(part.get("text") or "") for part in parts if part.get("type") not in _THINKING)
    return content if isinstance(content, str) else ""


def _thought(message: Mapping[str, Any]) -> bool:
    """Whether a message shows that the model thought, beside or in its content."""
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    return any(message.get(name) for name in _SHOWN_THOUGHTS) or any(
        isinstance(part, dict) and part.get("type") in _THINKING for part in parts
    )


def _text(
    text: str,
    message: Mapping[str, Any],
    reason: str,
    useless: Callable[[str, str], NoReturn],
    *,
    thought: bool,
) -> str:
    if reason == "content_filter":
        useless("content_filter", "the endpoint's content filter cut the answer")
    if not text.strip():
        if message.get("refusal"):
            useless("refusal", "the model refuses to answer")
        if thought:
            cut = reason in _AT_ITS_BOUND
            why = "was cut while the model thought; raise --answer-tokens" if cut else "is all thinking"
            useless("length" if cut else "no_content", f"the endpoint's answer {why}")
        useless("length" if reason in _AT_ITS_BOUND else "no_content", "the endpoint's answer has no text")
    if reason in _CUT:
        text = text.rpartition("\n")[0]
        if not text.strip():
            useless("length", "the answer was cut before its first line ended; raise --answer-tokens")
    return text
