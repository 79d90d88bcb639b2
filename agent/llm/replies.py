"""Read a reply's body: the answer, what was billed for it, or the error in its place.

How vendors count tokens, by their documentation and users' reports:

- OpenAI, Azure, OpenRouter, Mistral, vLLM: tokens read from the cache (``cached_tokens`` in
  ``prompt_tokens_details``) and written to it (``cache_write_tokens``) are part of ``prompt_tokens``,
  reasoning (``completion_tokens_details.reasoning_tokens``) is part of ``completion_tokens``.
- xAI, and Gemini's compatible endpoint: reasoning is not in ``completion_tokens``, but in ``total_tokens``
  (https://docs.x.ai/developers/rate-limits: it is billed at the price of the answer).
- DeepSeek: ``prompt_cache_hit_tokens``, a part of ``prompt_tokens``
  (https://api-docs.deepseek.com/guides/kv_cache). Moonshot: ``cached_tokens`` beside ``prompt_tokens``.
- Anthropic: ``cache_read_input_tokens`` and ``cache_creation_input_tokens`` are not part of ``input_tokens``
  (https://github.com/langchain-ai/langchain/issues/32818). LiteLLM sends the same two names as parts of its
  ``prompt_tokens`` (https://github.com/BerriAI/litellm/issues/11364), so there the total decides.
- OpenRouter reports its charge: ``cost``, in credits of one dollar, and the part that the user's own key paid
  the vendor in ``cost_details``, whole (``upstream_inference_cost``) or in two parts
  (https://openrouter.ai/docs/use-cases/usage-accounting). xAI reports it in ticks of 1e-10 dollars:
  ``cost_in_usd_ticks`` (https://docs.x.ai/developers/cost-tracking). The higher report counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import ROUND_CEILING, Decimal, DecimalException
from typing import Any

import httpx2

from ...evaluator.remote.asking import ApiRequest
from ...prompts.replies import without_thinking
from ..errors import ChatError, UnusableAnswerError
from ..prices import PICODOLLARS, TokenUsage
from ..secrets import Scrubber
from ..text import CHARACTERS_PER_TOKEN, tokens_in, whole_characters
from .chat import ChatAnswer, JsonAnswer, tokens_at_most
from .refusals import failure_of, status_in

MAX_BODY = 4 * 2**20
"""Bytes of a reply that are read; completions are far smaller."""
MAX_JSON = 32 * 2**20
"""The same for any JSON: a hundred vectors of three thousand numbers as text take seven."""

_AT_ITS_BOUND = frozenset({"length", "max_tokens", "max_output_tokens", "max_completion_tokens"})
"""Finish reasons that more answer tokens would prevent, in lower case: Gemini's are upper case."""
_CUT = _AT_ITS_BOUND | {
    "model_length",  # Mistral: the context is full
    "model_context_window_exceeded",  # Anthropic
    "insufficient_system_resource",  # DeepSeek
    "incomplete",
}
"""Finish reasons of an answer that ends in the middle of a line."""
_THINKING = frozenset({"thinking", "reasoning", "redacted_thinking", "reasoning_content", "summary"})
"""Kinds of content parts that hold reasoning."""
_SHOWN_THOUGHTS = ("reasoning_content", "reasoning", "reasoning_details", "thinking")
"""Members of a message that hold reasoning."""
_INSTEAD = ("detail", "message", "msg", "error_msg", "error_message")
"""Members in which a reply without an answer says why."""

_READ = (
    ("prompt_tokens_details", "cached_tokens"),
    ("input_tokens_details", "cached_tokens"),
    ("prompt_cache_hit_tokens",),
    ("cache_read_input_tokens",),
    ("cached_tokens",),
)
_WRITTEN = (
    ("prompt_tokens_details", "cache_write_tokens"),
    ("prompt_tokens_details", "cache_creation_tokens"),
    ("input_tokens_details", "cache_write_tokens"),
    ("cache_creation_input_tokens",),
)
_CACHE_1H = (
    ("cache_creation", "ephemeral_1h_input_tokens"),
    ("prompt_tokens_details", "cache_creation_token_details", "ephemeral_1h_input_tokens"),
)
_REASONING = (
    ("completion_tokens_details", "reasoning_tokens"),
    ("output_tokens_details", "reasoning_tokens"),
    ("output_tokens_details", "thinking_tokens"),
    ("reasoning_tokens",),
)
_TICK = Decimal("1e-10")
_UPSTREAM_PARTS = ("upstream_inference_prompt_cost", "upstream_inference_completions_cost")
_MOST = 10**15
"""A larger number is the endpoint's mistake."""
_LONGEST_TIER = 40
_MOST_WRITTEN = 8
"""Tokens of a text, by their upper bound, for each that is reported: some 25 characters."""

_STREAM_BEGINS = (b"data:", b"event:")
_END = b"[DONE]"
_LONGER = "; raise `answer_tokens`"
_STREAMED_TEXTS = ("reasoning_content", "reasoning", "thinking", "refusal")
"""Members of a message, beside its content, that are streamed too."""


def read_answer(reply: httpx2.Response, scrubber: Scrubber) -> ChatAnswer:
    """Return the first choice of a chat completion, without the last line of a cut answer.

    Raises:
        UnusableAnswerError: It holds no text; with the tokens that the reply says were billed.
        ChatError: The body is an error object, which some vendors send with a 200, alone or in a choice.
    """
    completion = _json_value(reply, MAX_BODY)
    if not isinstance(completion, dict):
        raise UnusableAnswerError("the endpoint's answer is not a JSON object", reason="bad_json")
    usage, choice = billed(completion), _choice(completion)
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    written = _written(message)
    if doubtful := usage is not None and _is_doubtful(completion, usage, written):
        usage = replace(usage, is_part=True)
    reason = scrubber.scrub(str(choice.get("finish_reason") or "stop"))
    try:
        if (error_body := _error_in(completion, choice)) is not None:
            failure = failure_of(status_in(error_body), error_body, reply.headers, scrubber)
            # What was written before the answer broke off was paid for, and perhaps thoughts not shown.
            failure.perhaps_billed |= bool(choice) or doubtful
            raise failure
        if not choice:
            raise UnusableAnswerError("the endpoint's answer has no choices", reason="no_choices")
        content = without_thinking(_content(message.get("content")))
        text = _text(content.lstrip("\n"), message, reason.lower())
    except ChatError as error:
        error.usage, error.written = usage, written
        raise
    return ChatAnswer(
        text=scrubber.scrub(whole_characters(text)),
        finish_reason=reason,
        model=scrubber.scrub(str(completion.get("model") or "")),
        written=written,
        **_bill(usage),
    )


def read_json(reply: httpx2.Response, request: ApiRequest, scrubber: Scrubber) -> JsonAnswer:
    """Return the JSON value of a reply, and what it bills.

    If no tokens are billed for the request, a reply without usage is complete. All tokens of a reply belong
    to the prompt if the request has no answer: some servers report nothing but a total.

    Raises:
        UnusableAnswerError: It is not JSON, or too long.
        ChatError: The body is an error object, which some vendors send with a 200.
    """
    body = _json_value(reply, MAX_JSON)
    document = body if isinstance(body, dict) else {}
    usage = billed(document)
    if usage is not None and not request.max_tokens:
        usage = replace(usage, prompt_tokens=usage.total, completion_tokens=0, reasoning_tokens=0)
    answered = "choices" in document
    error_body = _error_in(document, _choice(document)) if answered else document.get("error")
    if error_body is not None and error_body != "":
        raise failure_of(status_in(error_body), error_body, reply.headers, scrubber, usage=usage)
    try:
        answer = JsonAnswer(body=scrubber.scrub_value(body), **_bill(usage))
    except RecursionError as error:
        deep = "the endpoint's answer is nested too deeply"
        raise UnusableAnswerError(deep, reason="bad_json", usage=usage) from error
    return answer if tokens_at_most(request).total else replace(answer, usage_known=True)


def _bill(usage: TokenUsage | None) -> dict[str, Any]:
    """Return the members of an answer that say what it is billed for."""
    known = usage or TokenUsage(is_part=True)
    return {
        "prompt_tokens": known.prompt_tokens,
        "completion_tokens": known.completion_tokens,
        "usage_known": not known.is_part,
        "billed": usage,
    }


def _json_value(reply: httpx2.Response, most: int) -> Any:
    if len(reply.content) > most:
        raise UnusableAnswerError(
            f"the endpoint's answer has more than {most // 2**20} MiB",
            reason="too_big",
            written=int(len(reply.content) / CHARACTERS_PER_TOKEN),
        )
    streams = reply.headers.get("content-type", "").startswith("text/event-stream")
    try:
        if not streams and not reply.content.lstrip().startswith(_STREAM_BEGINS):
            return json.loads(reply.content)
        if (completion := joined_stream(reply.content)) is not None:
            return completion
        raise ValueError("the stream has no end")
    except (ValueError, RecursionError) as error:
        page = reply.content.lstrip()[:1] == b"<"
        what = "an HTML page: is the address right?" if page else "no JSON, or JSON cut short"
        reason = "not_json" if page else "bad_json"
        raise UnusableAnswerError(f"the endpoint's answer is {what}", reason=reason) from error


def _choice(completion: Mapping[str, Any]) -> dict[str, Any]:
    choices = completion.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else {}


def _error_in(completion: Mapping[str, Any], choice: Mapping[str, Any]) -> object:
    """Return an error in place of the answer: on top, in the choice, as its finish reason, or alone."""
    message = choice.get("message")
    answered = isinstance(message, dict) and bool(message.get("content"))
    if (error := completion.get("error")) and not answered:
        return error
    if (error := choice.get("error")) or choice.get("finish_reason") == "error":
        return error or {"message": "the answer ended in an error"}
    if completion.get("choices"):
        return None
    if isinstance(error := completion.get("base_resp"), dict) and error.get("status_code"):
        return {"message": f"{error.get('status_msg') or 'no reason given'} ({error['status_code']})"}
    return (
        completion
        if any(isinstance(completion.get(name), str) and completion[name] for name in _INSTEAD)
        else None
    )


def _content(content: object) -> str:
    if isinstance(content, list):
        pieces = (piece if isinstance(piece, dict) else {"text": piece} for piece in content)
        content = "".join(
            str(piece.get("text") or "") for piece in pieces if piece.get("type") not in _THINKING
        )
    return content if isinstance(content, str) else ""


def _written(message: Mapping[str, Any]) -> int:
    """Return an upper bound of the tokens of what was written; servers repeat reasoning under two names."""
    content, *thoughts = (
        tokens_in(text if isinstance(text, str) else json.dumps(text)) if text else 0
        for text in map(message.get, ("content", *_SHOWN_THOUGHTS))
    )
    return content + max(thoughts)


def _text(text: str, message: Mapping[str, Any], reason: str) -> str:
    """Return the whole lines of an answer; raise UnusableAnswerError if there is none."""
    if reason == "content_filter":
        raise UnusableAnswerError("the endpoint's content filter cut the answer", reason=reason)
    if not text.strip():
        if message.get("refusal"):
            raise UnusableAnswerError("the model refuses to answer", reason="refusal")
        if reason not in _AT_ITS_BOUND:
            raise UnusableAnswerError("the endpoint's answer has no text", reason="no_content")
        cut = f"the endpoint's answer was cut before its text began{_LONGER}"
        raise UnusableAnswerError(cut, reason="length")
    if reason in _CUT:
        text = text.rpartition("\n")[0]
        if not text.strip():
            cut = f"the answer was cut before its first line ended{_LONGER}"
            raise UnusableAnswerError(cut, reason="length")
    return text


def joined_stream(body: bytes) -> dict[str, Any] | None:
    """Return the completion in a stream of server-sent events; None if its end is missing.

    Only endpoints that refuse anything else are asked to stream, but some servers always do.
    """
    completion: dict[str, Any] = {}
    choice: dict[str, Any] = {"message": {}}
    content: list[Any] = []
    ended = False
    for piece in _pieces(body):
        if piece is None:
            ended = True
            continue
        completion |= {
            name: _higher(completion.get(name), value) if name == "usage" else value
            for name, value in piece.items()
            if name != "choices" and value is not None
        }
        ended |= "error" in completion
        first = _choice(piece)
        first = {} if first.get("index") else first
        ended |= bool(first.get("finish_reason"))
        choice |= {name: first[name] for name in ("finish_reason", "error") if first.get(name)}
        delta = first.get("delta") or first.get("message")
        if isinstance(delta, dict):
            more = delta.get("content")
            content.extend(more if isinstance(more, list) else [more] if more else [])
            for name in _STREAMED_TEXTS:
                if isinstance(text := delta.get(name), str) and text:
                    choice["message"][name] = choice["message"].get(name, "") + text
    if not ended:
        return None
    if "error" in completion and content:
        choice["error"] = completion["error"]  # after half an answer
    texts = all(isinstance(text, str) for text in content)
    choice["message"]["content"] = "".join(content) if texts else content
    return completion if "error" in completion and not content else {**completion, "choices": [choice]}


def _pieces(body: bytes) -> Iterator[dict[str, Any] | None]:
    """Yield each event's object, and None for the end mark."""
    for line in body.split(b"\n"):  # not splitlines: JSON may hold other line ends
        name, _, value = line.strip().partition(b":")
        if name != b"data":
            continue
        if value.strip() == _END:
            yield None
            continue
        try:
            piece = json.loads(value)
        except (ValueError, RecursionError):
            continue
        if isinstance(piece, dict):
            yield piece


def _higher(before: Any, now: Any) -> Any:
    """Return the higher one of two counts, each for its own in an object; else what was said last.

    Anthropic counts the prompt in the first event, the answer in the last; some servers end with zeros, or
    with what is no object.
    """
    objects = [value for value in (before, now) if value and isinstance(value, dict)]
    if len(objects) == 2:
        return before | {name: _higher(before.get(name), value) for name, value in now.items()}
    if objects:
        return objects[0]
    amounts = [Decimal(1) if _flag(value) else _amount(value) for value in (before, now)]
    if amounts[0] is not None and amounts[0] >= (amounts[1] or 0):
        return before
    return before if now is None else now


def billed(reply: Mapping[str, Any]) -> TokenUsage | None:
    """Return the billed usage of a chat completion; None if it reports neither tokens nor a cost.

    What vendors leave open is read as its more expensive meaning.
    """
    usage = _usage(reply)
    reasoning = _highest(usage, _REASONING)
    prompt = _prompt_tokens(usage, reasoning)
    total = _count(usage.get("total_tokens"))
    completion = max(_completion_tokens(usage), total - prompt)
    if reasoning > completion:  # It cannot be part of what is smaller.
        completion += reasoning
    cost, is_fee = _vendor_cost(usage)
    if not prompt + completion and not cost:
        return None
    cached = min(_highest(usage, _READ), prompt)
    written = min(_highest(usage, _WRITTEN), prompt - cached)
    tier = reply.get("service_tier") or usage.get("service_tier")
    return TokenUsage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=cached,
        cache_written_tokens=written,
        cache_1h_tokens=min(_highest(usage, _CACHE_1H), written),
        reasoning_tokens=reasoning,
        vendor_picodollars=cost,
        is_fee=is_fee,
        is_part=not prompt + completion,
        service_tier=tier[:_LONGEST_TIER] if isinstance(tier, str) else None,
    )


def _usage(reply: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the member with the counts; empty without one."""
    usage = reply.get("usage")
    return usage if isinstance(usage, dict) else {}


def _is_doubtful(reply: Mapping[str, Any], usage: TokenUsage, written: int) -> bool:
    """Return whether a completion reports too few tokens for what was ``written``.

    It reports one of its two counts and no total, or what a single event of its stream took.
    """
    counts = _usage(reply)
    none = not written and ("completion_tokens" in counts or "output_tokens" in counts)
    if not (usage.completion_tokens or none) or not (
        usage.prompt_tokens or _count(counts.get("total_tokens"))
    ):
        return True
    return written > _MOST_WRITTEN * usage.completion_tokens


def _prompt_tokens(usage: Mapping[str, Any], reasoning: int) -> int:
    """Return all tokens of the messages; Anthropic counts its two kinds of cached ones separately."""
    beside = sum(_count(usage.get(f"cache_{what}_input_tokens")) for what in ("read", "creation"))
    if not _count(usage.get("prompt_tokens")):
        return _count(usage.get("input_tokens")) + beside
    prompt, total = _count(usage.get("prompt_tokens")), _count(usage.get("total_tokens"))
    extra = total - prompt - _completion_tokens(usage)
    inside = beside <= prompt and total > 0 and (extra < beside or extra == reasoning)
    return prompt if inside else prompt + beside


def _completion_tokens(usage: Mapping[str, Any]) -> int:
    return max(_count(usage.get("completion_tokens")), _count(usage.get("output_tokens")))


def _vendor_cost(usage: Mapping[str, Any]) -> tuple[int | None, bool]:
    """Return the reported cost in picodollars, rounded up; None if nothing is reported.

    And whether it is a fee alone: the user's own key paid the vendor, nobody says how much.
    """
    dollars, ticks = _cost(usage.get("cost")), _amount(usage.get("cost_in_usd_ticks"))
    details = usage.get("cost_details")
    details = details if isinstance(details, dict) else {}
    whole, *parts = (
        _amount(details.get(name)) or Decimal() for name in ("upstream_inference_cost", *_UPSTREAM_PARTS)
    )
    upstream, own_key = max(whole, sum(parts, Decimal())), _flag(usage.get("is_byok"))
    # Without ``is_byok``, a fee below the vendor's charge shows that the user's own key paid.
    if upstream and (own_key or upstream > (dollars or 0)):
        dollars = upstream + (Decimal() if own_key is False else dollars or 0)
    reports = [amount for amount in (dollars, ticks and ticks * _TICK) if amount is not None]
    if not reports:
        return None, False
    picodollars = (max(reports) * PICODOLLARS).to_integral_value(ROUND_CEILING)
    return int(picodollars), bool(own_key) and not upstream and not ticks


def _cost(value: object) -> Decimal | None:
    """Return a sum of money; of an object, as Perplexity sends it, its total or else the sum of its parts."""
    if not isinstance(value, dict):
        return _amount(value)
    if (total := _amount(value.get("total_cost"))) is not None:
        return total
    parts = [part for part in map(_amount, value.values()) if part is not None]
    return sum(parts, Decimal()) if parts else None


def _flag(value: object) -> bool | None:
    """Return a flag, also if it is a text or a number; None for anything else."""
    text = str(value).strip().lower() if isinstance(value, bool | int | str) else ""
    return {"true": True, "1": True, "false": False, "0": False}.get(text)


def _highest(usage: Mapping[str, Any], paths: tuple[tuple[str, ...], ...]) -> int:
    counts = []
    for path in paths:
        value: object = usage
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        counts.append(_count(value))
    return max(counts)


def _count(value: object) -> int:
    return int(_amount(value) or 0)


def _amount(value: object) -> Decimal | None:
    """Return a count, or a sum of money, also if it is a text; None for anything else or less than zero."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        amount = Decimal(value if isinstance(value, int) else str(value))
    except DecimalException:
        return None
    return min(amount, Decimal(_MOST)) if amount.is_finite() and amount >= 0 else None
