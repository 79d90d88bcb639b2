"""Speak each vendor's dialect: the parameters that an endpoint takes, and its words of refusals.

An endpoint gets every parameter at first, and less with each refusal. To add a vendor: an entry in
``FAMILIES``, and its recorded replies in ``tests/data/dialects``. Each entry's words apply to all endpoints,
because gateways pass on what the server behind them says.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

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
)
from .chat import size
from .limiter import parse_moment, rate_limit_headers, retry_after

if TYPE_CHECKING:
    from ...prompts.requests import ChatMessage
    from .chat import ChatRequest

KEPT_SHARE = 1 / 3
"""Of a conversation that is too long for the endpoint's context."""
WINDOWS = frozenset(2**power for power in range(11, 18))
"""Default contexts of servers."""
_MOST_BYTES_A_TOKEN = 8
_ENOUGH = 2_000
_STREAMED: Mapping[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The words of one kind of endpoint.

    Attributes:
        instead: Parameters that have another name there.
        renames: Words of a refusal for which that name holds; empty for any that no other family matches.
        models: Names of the models that it holds for; empty for all.
        no_system: How it refuses system messages, or two messages of one role in a row.
        too_long: How it says that a request is longer than the context.
    """

    name: str
    instead: Mapping[str, str] = field(default_factory=dict)
    renames: str = ""
    models: str = ""
    no_system: str = ""
    streams: str = ""
    too_long: tuple[str, ...] = ()


FAMILIES = (
    Family(
        name="OpenAI",
        instead={"max_tokens": "max_completion_tokens"},
        no_system=r"role'? does not support 'system'",
        too_long=(
            r"maximum context length is [\d,]+ tokens|context_length_exceeded",
            r"Request too large for .{0,200}Limit:? [\d,]+, Requested:? [\d,]+",
        ),
    ),
    Family(
        name="Anthropic",
        too_long=(r"prompt is too long", r"exceed context limit: [\d,]+ \+ [\d,]+ > [\d,]+"),
    ),
    Family(
        name="Google",
        no_system=r"(?:Developer|System) instruction is not enabled",
        too_long=(
            r"input token count(?: is)? \(?[\d,]+\)?.{0,20}exceeds the maximum number of tokens "
            r"allowed \(?[\d,]+",
        ),
    ),
    Family(
        name="Mistral",
        instead={"seed": "random_seed"},
        renames=r"extra_forbidden",
        models=r"(?:mini|mi|magi|code|dev|pix)stral|mixtral",
        too_long=(r"contains [\d,]+ tokens.{0,60}too large for model with [\d,]+",),
    ),
    Family(name="Qwen", streams=r"only supports? stream|enable the stream parameter"),
    Family(
        name="xAI",
        too_long=(r"maximum prompt length is [\d,]+ but the request contains [\d,]+",),
    ),
    Family(name="MiniMax", no_system=r"invalid message role: system"),
    Family(
        name="vLLM",
        no_system=r"System role (?:is )?not supported|roles must alternate",
        too_long=(
            r"max_tokens must be at least 1, got -[\d,]+",
            r"passed [\d,]+ input tokens.{0,80}?context length is only [\d,]+",
        ),
    ),
    Family(
        name="SGLang",
        too_long=(r"\([\d,]+ tokens\) is longer than the model's context length \([\d,]+",),
    ),
    Family(
        name="TGI",
        too_long=(
            r"`?inputs`? tokens \+ `?max_new_tokens`? must be <= [\d,]+\. Given: [\d,]+",
            r"`?inputs`? must have less than [\d,]+ tokens\. Given: [\d,]+",
        ),
    ),
    Family(
        name="llama.cpp",
        too_long=(
            r"exceeds? the available context size|exceed_context_size_error",
            r"Requested tokens \([\d,]+\) exceed context window of [\d,]+",
        ),
    ),
    Family(
        name="LM Studio",
        too_long=(r"keep the first [\d,]+ tokens when .{0,100}length of only [\d,]+",),
    ),
    Family(
        name="GitHub Models",
        too_long=(r"Request body too large.{0,80}Max size: [\d,]+ tokens",),
    ),
    Family(
        name="any",
        too_long=(
            r"context (?:length|window|size)\b.{0,60}\bexceed",
            r"\bexceed\w*\b.{0,60}\bcontext (?:length|window|size)",
            r"(?:prompt|input|conversation) is too long",
        ),
    ),
)


def answer_bounds() -> frozenset[str]:
    """Return the names of the answer's bound, left out last: it holds the cost within the reservation."""
    return frozenset({"max_tokens", *(family.instead.get("max_tokens", "max_tokens") for family in FAMILIES)})


NO_SYSTEM = re.compile("|".join(family.no_system for family in FAMILIES if family.no_system), re.IGNORECASE)
STREAMS = re.compile("|".join(family.streams for family in FAMILIES if family.streams), re.IGNORECASE)
TOO_LONG = re.compile(
    "|".join(words for family in FAMILIES for words in family.too_long), re.IGNORECASE | re.DOTALL
)

MAX_READ = 10_000
"""Characters of one text that are read."""
_DEEPEST, _MOST = 8, 500
_NAMES_FIELD = frozenset({"param", "parameter", "field", "loc", "property", "path"})
_ECHOES = frozenset({"input", "input_value", "request", "request_body", "prompt", "url"})
"""Members that repeat the request."""
_REFUSES = re.compile(
    r"not (?:\w+ )?(?:support|permit|allow|enabled|accept|valid|recogni[sz]ed)|n't support|cannot|unsupported"
    r"|unrecogni[sz]ed|unknown|unexpected|invalid|deprecated|extra|only|must|should|out of|exceed"
    r"|too (?:large|high|long|big)|range|maximum|at most|less (?:than|or)|removed|illegal"
    # Not legal, not supported, not valid, range, exceeds: gateways pass on what Chinese vendors say.
    r"|非法|不合法|不支持|无效|范围|超过|超出",
    re.IGNORECASE,
)
_EXCEEDS = re.compile(
    r"<=|≤|at most|less than|no (?:more|greater|larger) than|too (?:large|high|long|big)|exceed|maximum"
    r"|between|range|\[\d+ ?,|范围|超过|超出",
    re.IGNORECASE,
)
"""Words that refuse a parameter for its value, not for its name."""
_LARGEST = 1e12
"""A larger number is the endpoint's mistake."""

QUOTA_CODES = frozenset(
    {
        *("insufficient_quota", "billing_hard_limit_reached", "billing_not_active"),
        "exceeded_current_quota_error",  # Moonshot's, with status 429
    }
)
TRANSIENT_STATUS = frozenset({408, 409, 425})
GATEWAY_TIMEOUTS = frozenset({504, 524})
"""A gateway stopped waiting for a server that was at work, and may well be billed for it."""
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
    # LiteLLM's proxy looks up a foreign key in a database, and may have none.
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

_SPAN = r"(?:\d+(?:\.\d+)?\s*(?:ms|milliseconds?|s|sec|seconds?|m|min|minutes?|h|hours?)(?![a-z])\s*)+"
_ASKED = re.compile(
    rf"(?:try again|re(?:try|sets?)|wait|available)(?: \w+)?(?: in| after| for)?:? ({_SPAN})|\A({_SPAN})\Z",
    re.ASCII | re.IGNORECASE,
)
_UNIT = re.compile(
    r"\s*(m)(?:illi)(s)econds?\s*|\s*(s|m|h)(?:ec(?:onds?)?|in(?:utes?)?|ours?)\s*|\s+",
    re.ASCII | re.IGNORECASE,
)
_WAITS = ("retry_after", "retry_after_seconds", "retryAfter", "retry_after_s")


class Sent(NamedTuple):
    """One request as it is sent, with its optional parameters by name."""

    model: str
    messages: tuple[ChatMessage, ...]
    options: Mapping[str, Any]

    @property
    def max_tokens(self) -> int:
        """The longest answer asked for, 0 for no bound."""
        return next((int(self.options[name]) for name in answer_bounds() if name in self.options), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """The requests that one endpoint takes, as far as its refusals have shown.

    Attributes:
        left_out: Refused parameters.
        instead: Other names of parameters.
        merged: It takes no system messages, or no two messages of one role in a row.
        streams: It only streams.
        most_bytes: The longest conversation that is sent; None if no bound is known.
    """

    left_out: frozenset[str] = frozenset()
    instead: Mapping[str, str] = field(default_factory=dict)
    merged: bool = False
    streams: bool = False
    most_bytes: int | None = None

    def render(self, request: ChatRequest, options: Mapping[str, Any]) -> Sent:
        """Return a request as this endpoint takes it; ``options`` override the request's own parameters."""
        messages = request.messages
        if self.most_bytes is not None:
            messages = shortened(messages, self.most_bytes)
        parameters: dict[str, Any] = {"max_tokens": request.max_tokens, "temperature": request.temperature}
        if request.seed is not None:
            parameters["seed"] = request.seed
        if request.reasoning_effort is not None:
            parameters["reasoning_effort"] = request.reasoning_effort
        parameters |= json.loads(request.extra_body or "{}") | options
        if self.streams:
            parameters |= _STREAMED
        renamed = {
            self.instead.get(name, name): value
            for name, value in parameters.items()
            if name not in self.left_out
        }
        return Sent(request.model, _merged(messages) if self.merged else messages, renamed)

    def learn_from(self, body: object, sent: Sent, *, bare: bool, sure: bool = False) -> Dialect | None:
        """Return the dialect that a refusal teaches, None if it teaches nothing.

        ``bare`` leaves out everything optional if the refusal names no parameter. ``sure`` heeds only the
        vendors' own words, not parameters merely named, for failures that may be the server's own.
        """
        refusal = read_refusal(body)
        if TOO_LONG.search(refusal.text):
            most_bytes = int(size(sent.messages) * KEPT_SHARE)
            shorter = size(shortened(sent.messages, most_bytes)) < size(sent.messages)
            return replace(self, most_bytes=most_bytes) if shorter else None
        if NO_SYSTEM.search(refusal.text):
            return None if self.merged else replace(self, merged=True)
        if STREAMS.search(refusal.text) and not self.streams:
            return replace(self, streams=True)
        if sure and "support" not in refusal.text:
            return None
        if named := refusal.names(sent.options):
            # Without its bound an answer could cost more than was reserved: the user is to lower it.
            if answer_bounds().issuperset(named) and refusal.for_value:
                return None
            learned = self
            # "temperature and top_p cannot both be specified": the first of them stays.
            for name in named[1:] if len(named) > 1 and " both " in refusal.text else named:
                learned = learned._without(name, refusal.text, sent.model)
            return learned
        if not bare or not sent.options:
            return None
        bounds = answer_bounds()
        return self._leaving_out([name for name in sent.options if name not in bounds] or sent.options)

    def joined(self, other: Dialect) -> Dialect:
        """Return what two concurrent requests have shown together."""
        bounds = [bound for bound in (self.most_bytes, other.most_bytes) if bound is not None]
        return Dialect(
            left_out=self.left_out | other.left_out,
            instead={**self.instead, **other.instead},
            merged=self.merged or other.merged,
            streams=self.streams or other.streams,
            most_bytes=min(bounds, default=None),
        )

    def changes_since(self, earlier: Dialect) -> str:
        """Describe what is new since an earlier dialect; empty for nothing."""
        changes = [
            f"it refuses {name}, which is left out" for name in sorted(self.left_out - earlier.left_out)
        ]
        changes += [
            f"{name} is sent as {new_name}"
            for name, new_name in self.instead.items()
            if name not in earlier.instead
        ]
        if self.merged and not earlier.merged:
            changes.append("it takes no system messages; they are sent with the first user message")
        if self.streams and not earlier.streams:
            changes.append("it only streams, so answers are requested as streams")
        if self.most_bytes is not None and earlier.most_bytes is None:
            changes.append("its context is small, so the oldest messages of a conversation are left out")
        return "; ".join(changes)

    def _without(self, name: str, refusal: str, model: str) -> Dialect:
        known_as = self.instead.values()
        if name not in known_as and (new_name := other_name(name, refusal, model)) is not None:
            return replace(self, instead={**self.instead, name: new_name})
        return self._leaving_out([name])

    def _leaving_out(self, names: Iterable[str]) -> Dialect:
        ours = {theirs: own for own, theirs in self.instead.items()}
        return replace(self, left_out=self.left_out | {ours.get(name, name) for name in names})


def _merged(messages: tuple[ChatMessage, ...]) -> tuple[ChatMessage, ...]:
    """Return a conversation without system messages, with adjacent messages of one role joined."""
    merged: list[ChatMessage] = []
    for message in messages:
        role, text = message["role"], message["content"]
        role = "user" if role == "system" else role
        if merged and merged[-1]["role"] == role:
            text = f"{merged.pop()['content']}\n\n{text}"
        merged.append({"role": role, "content": text})
    return tuple(merged)


def shortened(messages: tuple[ChatMessage, ...], most_bytes: int) -> tuple[ChatMessage, ...]:
    """Drop the oldest messages after the opening (up to the first user message) to fit; the newest stays."""
    first_user = next((index for index, message in enumerate(messages) if message["role"] == "user"), None)
    opening = messages if first_user is None else messages[: first_user + 1]
    later = list(messages[len(opening) :])
    while len(later) > 1 and size((*opening, *later)) > most_bytes:
        # An answer goes with its reply, unless that is the newest message.
        del later[: 2 if len(later) > 2 else 1]
    return (*opening, *later)


def silently_cut(
    messages: Sequence[ChatMessage], max_tokens: int, *, prompt: int, completion: int, reason: str
) -> bool:
    """Return whether an answer's usage shows that the endpoint cut the conversation or had no room.

    Ollama drops the oldest part of what exceeds its context (``num_ctx``), and stops an answer at its end:
    then messages and answer fill the window exactly, or the messages have impossibly few tokens.
    """
    if prompt <= 0:
        return False
    full = prompt + completion in WINDOWS and reason == "length" and completion < max_tokens
    letters = sum(len(str(message["content"])) for message in messages)
    return full or (letters > _ENOUGH and letters > _MOST_BYTES_A_TOKEN * prompt)


def other_name(parameter: str, refusal: str, model: str) -> str | None:
    """Return the name of a refused parameter in the family that refuses it; None if it has none.

    A family whose words or models match comes before one that takes any refusal.
    """
    for family in sorted(FAMILIES, key=lambda family: not (family.renames or family.models)):
        if (
            (name := family.instead.get(parameter)) is not None
            and re.search(family.renames, refusal, re.IGNORECASE)
            and re.search(family.models, model, re.IGNORECASE)
        ):
            return name
    return None


@dataclass(frozen=True, slots=True)
class RefusalBody:
    """The content of a refusal, whatever its form.

    Attributes:
        texts: Every text in it, except those that repeat the request.
        fields: Parameters that it names in a member of their own (``param``, ``loc`` and the like).
        numbers: Numbers by the name of their member.
    """

    texts: tuple[str, ...]
    fields: tuple[str, ...]
    numbers: Mapping[str, float]

    @property
    def text(self) -> str:
        return "\n".join(self.texts)

    def names(self, parameters: Iterable[str]) -> list[str]:
        """Return which parameters it is about: those in its fields, else those in its texts."""
        known = {name: _spelled(name) for name in parameters}
        if in_fields := [name for name in known if any(known[name].search(field) for field in self.fields)]:
            return in_fields
        refusing = [text for text in self.texts if _REFUSES.search(text)]
        return [name for name in known if any(known[name].search(text) for text in refusing)]

    @property
    def for_value(self) -> bool:
        """True if a parameter is refused for its value, so that it would be taken with another one."""
        return "le" in self.numbers or bool(_EXCEEDS.search(self.text))


def read_refusal(body: object) -> RefusalBody:
    """Read the body of a refusal: an object, a list, a text, or JSON inside a text. Never raises."""
    texts: list[str] = []
    fields: list[str] = []
    numbers: dict[str, float] = {}
    for count, (name, value) in enumerate(_leaves("", body, _DEEPEST)):
        if count >= _MOST:
            break
        if isinstance(value, str):
            (fields if name in _NAMES_FIELD else texts).append(value[:MAX_READ])
        elif (number := _amount(value)) is not None:
            numbers.setdefault(name, number)
    return RefusalBody(tuple(texts), tuple(fields), numbers)


def failure_of(
    status: int,
    body: object,
    headers: Mapping[str, str],
    scrub: Callable[[str], str],
    *,
    advice: str | str = "",
) -> ChatError:
    """Return the error that a reply of 4xx or 5xx means, from its ``error`` object or its text."""
    limits = rate_limit_headers(headers)
    message = one_line(scrub(f"the endpoint answers {status}: {_message(body)}"), MAX_MESSAGE)
    wait = retry_after(limits)
    if wait is None and (status == 429 or status >= 500):
        wait = wait_in(body)
    return _kind(status, body)(
        f"{message}{advice}",
        status=status,
        headers=limits,
        retry_after=wait,
        perhaps_billed=status in GATEWAY_TIMEOUTS,
    )


def _kind(status: int, body: object) -> type[ChatError]:
    refusal = read_refusal(body)
    fields = body if isinstance(body, Mapping) else {}
    quota = {str(fields.get("code")), str(fields.get("type"))} & QUOTA_CODES
    # With 502 or 503 a gateway may speak of only one of many servers behind it.
    if quota or (status <= 500 and _NO_CREDIT.search(refusal.text)):
        return QuotaSpentError
    if TOO_LONG.search(refusal.text):
        return ContextTooLongError
    if status == 403 and _FLAGGED.search(refusal.text):
        return FlaggedRequestError  # of the request, not of the key
    if status == 400 and _BAD_KEY.search(refusal.text):
        return KeyRejectedError
    if status == 400 and lacks_model(body):
        return ModelNotFoundError
    if status in TRANSIENT_STATUS or status >= 500:
        return TransientChatError
    refused = FlaggedRequestError if _FLAGGED.search(refusal.text) else BadRequestError
    return _BY_STATUS.get(status, refused)


def flagged(body: object) -> bool:
    """Return whether a content filter refuses the request, so that no other parameters can help."""
    return bool(_FLAGGED.search(read_refusal(body).text))


def lacks_model(body: object) -> bool:
    """Return whether a refusal says in so many words that there is no such model."""
    return bool(_NO_MODEL.search(read_refusal(body).text))


def status_in(error: object) -> int:
    """Return the HTTP status that an error object in a reply of 200 stands for; 502 if it says none."""
    code = error.get("code", error.get("status")) if isinstance(error, Mapping) else None
    if isinstance(code, int | str) and _A_FAILURE.fullmatch(str(code)):
        return int(code)
    text = read_refusal(error).text
    return next((status for status, words in _STATUS_WORDS if words.search(text)), 502)


def wait_in(body: object) -> float | None:
    """Return the seconds that a reply's body asks to wait; None if it asks for no wait.

    Read are headers in the body (OpenRouter's ``metadata.headers``), members (``retryDelay``,
    ``retry_after``), and texts: "try again in 1m2s", "Please retry in 33.3s", "retry after 20 seconds".
    """
    if (wait := retry_after(_headers_in(body, 5))) is not None:
        return wait
    refusal = read_refusal(body)
    for name in _WAITS:
        if name in refusal.numbers:
            return parse_moment(f"{refusal.numbers[name]:f}")
    for text in refusal.texts:
        if match := _ASKED.search(text):
            return parse_moment(_short(match[1] or match[2]))
    return None


def _short(duration: str) -> str:
    return _UNIT.sub(lambda unit: (f"{unit[1]}{unit[2]}" if unit[1] else unit[3] or "").lower(), duration)


def _headers_in(body: object, deepest: int) -> dict[str, str]:
    if isinstance(body, list | tuple) and deepest:
        body = body[0] if body else None
    if not isinstance(body, Mapping) or not deepest:
        return {}
    if isinstance(headers := body.get("headers"), Mapping):
        return {str(name).lower(): str(value) for name, value in headers.items()}
    inner = (_headers_in(body[name], deepest - 1) for name in ("error", "metadata") if name in body)
    return next((each for each in inner if each), {})


def _message(body: object) -> str:
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


def _amount(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    number = float(value) if isinstance(value, str) or abs(value) <= _LARGEST else math.inf
    return number if abs(number) <= _LARGEST else None


def _leaves(name: str, value: object, deepest: int) -> Iterator[tuple[str, object]]:
    """Yield the texts and numbers in a value, each with the name of its member."""
    if deepest <= 0 or name in _ECHOES:
        return
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "[") and (inner := _parsed(value)) is not None:
        yield from _leaves(name, inner, deepest - 1)
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _leaves(str(key), each, deepest - 1)
    elif isinstance(value, list | tuple) and name in _NAMES_FIELD:
        yield name, ".".join(str(step) for step in value)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _leaves(name, each, deepest - 1)
    else:
        yield name, value


def _parsed(text: str) -> object:
    try:
        value = json.loads(text[:MAX_READ])
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


def _spelled(name: str) -> re.Pattern[str]:
    """Match a parameter as vendors write it: ``max_tokens``, ``maxTokens``, ``max tokens``."""
    # ASCII: in a Chinese sentence nothing stands between a name and the next word.
    spelled = re.escape(name).replace("_", "[_. -]?")
    return re.compile(rf"(?<![\w-]){spelled}(?![\w-])", re.IGNORECASE | re.ASCII)
