"""Read what a refusal says, whatever its form: the error that it means, the wait, the parameters it names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ...prompts.kinds import one_line
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
from ..prices import TokenUsage
from ..secrets import Scrubber
from .limiter import parse_moment, rate_limit_headers, retry_after

MAX_READ = 10_000
"""Characters of one text that are read."""
MAX_MESSAGE = 300
_DEEPEST, _MOST = 8, 500
_LARGEST = 1e12
"""A larger number is the endpoint's mistake."""
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

TOO_LONG = re.compile(
    r"context[ _](?:length|window|size|limit)\b|(?:prompt|input|conversation) is too long"
    r"|Request (?:body )?too large|too large for model with|maximum prompt length"
    r"|input token count.{0,30}exceeds"  # Google
    r"|max_tokens must be at least 1, got -"  # vLLM
    r"|inputs`? (?:tokens \+|must have less than)",  # TGI
    re.IGNORECASE | re.DOTALL,
)
"""Words for a request that is longer than the model's context."""
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
QUOTA_CODES = frozenset(
    {
        *("insufficient_quota", "billing_hard_limit_reached", "billing_not_active"),
        "exceeded_current_quota_error",  # Moonshot's, with status 429
    }
)
GATEWAY_TIMEOUTS = frozenset({504, 524})
"""A gateway stopped waiting for a server that was at work, and may well be billed for it."""


class _Meaning(NamedTuple):
    """What words mean with the statuses of a range, whatever else these statuses mean."""

    words: re.Pattern[str]
    error: type[ChatError]
    lowest: int = 0
    highest: int = 999


_BY_WORDS = (
    # With 502 or 503 a gateway may speak of only one of many servers behind it.
    _Meaning(_NO_CREDIT, QuotaSpentError, highest=500),
    _Meaning(TOO_LONG, ContextTooLongError),
    _Meaning(_FLAGGED, FlaggedRequestError, lowest=403, highest=403),  # the request, not the key
    _Meaning(_BAD_KEY, KeyRejectedError, lowest=400, highest=400),
    _Meaning(_NO_MODEL, ModelNotFoundError, lowest=400, highest=400),
)
_BY_STATUS: Mapping[int, type[ChatError]] = {
    401: KeyRejectedError,
    402: QuotaSpentError,
    403: KeyRejectedError,
    404: ModelNotFoundError,
    429: RateLimitedError,
    **dict.fromkeys((408, 409, 425, *range(500, 600)), TransientChatError),
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
_A_FAILURE = re.compile(r"[45]\d\d", re.ASCII)

_SPAN = r"(?:\d+(?:\.\d+)?\s*(?:ms|milliseconds?|s|sec|seconds?|m|min|minutes?|h|hours?)(?![a-z])\s*)+"
_ASKED = re.compile(
    rf"(?:try again|re(?:try|sets?)|wait|available)(?: \w+)?(?: in| after| for)?:? ({_SPAN})|\A({_SPAN})\Z",
    re.ASCII | re.IGNORECASE,
)
_WAITS = ("retry_after", "retry_after_seconds", "retryafter", "retry_after_s")


@dataclass(frozen=True, slots=True)
class RefusalBody:
    """The content of a refusal, whatever its form.

    Attributes:
        texts: Every text in it, except those that repeat the request.
        fields: Parameters that it names in a member of their own (``param``, ``loc`` and the like).
        members: Texts and numbers, as texts, by the name of their member in lower case.
    """

    texts: tuple[str, ...]
    fields: tuple[str, ...]
    members: Mapping[str, str]

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
        return "le" in self.members or bool(_EXCEEDS.search(self.text))


def read_refusal(body: object) -> RefusalBody:
    """Read the body of a refusal: an object, a list, a text, or JSON inside a text. Never raises."""
    texts: list[str] = []
    fields: list[str] = []
    members: dict[str, str] = {}
    for count, (name, value) in enumerate(_leaves("", body, _DEEPEST)):
        if count >= _MOST:
            break
        if isinstance(value, str):
            (fields if name in _NAMES_FIELD else texts).append(value[:MAX_READ])
            members.setdefault(name.lower(), value)
        elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST:
            members.setdefault(name.lower(), str(value))
    return RefusalBody(tuple(texts), tuple(fields), members)


def failure_of(
    status: int,
    body: object,
    headers: Mapping[str, str],
    scrubber: Scrubber,
    *,
    usage: TokenUsage | None = None,
) -> ChatError:
    """Return the error that a reply of 4xx or 5xx means, from its ``error`` object or its text."""
    limits = rate_limit_headers(headers)
    message = one_line(scrubber.scrub_quoted(f"the endpoint answers {status}: {_message(body)}"), MAX_MESSAGE)
    wait = retry_after(limits)
    if wait is None and (status == 429 or status >= 500):
        wait = wait_in(body)
    error = _error_type(status, body)(
        message,
        status=status,
        headers=limits,
        usage=usage,
        retry_after=wait,
        perhaps_billed=status in GATEWAY_TIMEOUTS,
    )
    try:
        error.body = scrubber.scrub_value(body, quoted=True)
    except RecursionError:  # nested deeper than it can be scrubbed: nothing is kept of it
        error.body = None
    return error


def _error_type(status: int, body: object) -> type[ChatError]:
    text = read_refusal(body).text
    fields = body if isinstance(body, Mapping) else {}
    if {str(fields.get("code")), str(fields.get("type"))} & QUOTA_CODES:
        return QuotaSpentError
    for meaning in _BY_WORDS:
        if meaning.lowest <= status <= meaning.highest and meaning.words.search(text):
            return meaning.error
    return _BY_STATUS.get(status, FlaggedRequestError if _FLAGGED.search(text) else BadRequestError)


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
    refusal = read_refusal(body)
    if (wait := retry_after(refusal.members)) is not None:
        return wait
    for name in _WAITS:
        if (wait := parse_moment(refusal.members.get(name, ""))) is not None:
            return wait
    for text in refusal.texts:
        if match := _ASKED.search(text):
            span = re.sub(r"\s", "", match[1] or match[2]).lower().replace("milli", "m")
            return parse_moment(re.sub("(ms|[smh])[a-z]*", r"\1", span))  # units as letters
    return None


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


def _leaves(name: str, value: object, deepest: int) -> Iterator[tuple[str, object]]:
    """Yield the texts and numbers in a value, each with the name of its member."""
    if deepest <= 0 or name in _ECHOES:
        return
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "[") and (inner := _parsed(value)) is not None:
        yield from _leaves(name, inner, deepest - 1)
    elif isinstance(value, Mapping):
        for key, member in value.items():
            yield from _leaves(str(key), member, deepest - 1)
    elif isinstance(value, list | tuple) and name in _NAMES_FIELD:
        yield name, ".".join(str(step) for step in value)
    elif isinstance(value, list | tuple):
        for member in value:
            yield from _leaves(name, member, deepest - 1)
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
