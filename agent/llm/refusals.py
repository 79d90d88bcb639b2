"""The vendors' words of refusals, and the errors that replies of 4xx and 5xx mean.

To add a vendor: an entry in ``FAMILIES``, and its recorded replies in ``tests/data/dialects``. Each entry's
words apply to all endpoints, because gateways pass on what the server behind them says.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

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
from .headers import parse_moment, rate_limit_headers, retry_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The words of one kind of endpoint.

    Attributes:
        instead: Parameters that have another name there.
        renames: Words of a refusal for which that name holds; empty for any.
        models: Names of the models that it holds for; empty for all.
        no_system: How it refuses system messages, or two messages of one role in a row.
        overlong: How it says that a request is too long. Groups, in tokens: ``window``, all that fits;
            ``prompt``, the messages; ``both``, messages and answer.
    """

    name: str
    instead: Mapping[str, str] = field(default_factory=dict)
    renames: str = ""
    models: str = ""
    no_system: str = ""
    streams: str = ""
    overlong: tuple[str, ...] = ()


FAMILIES = (
    Family(
        name="OpenAI",
        instead={"max_tokens": "max_completion_tokens"},
        no_system=r"role'? does not support 'system'",
        overlong=(
            r"maximum context length is (?P<window>\d+) tokens.{0,60}?requested (?P<both>\d+) tokens"
            r"(?: \((?P<prompt>\d+) in)?",
            r"maximum context length is (?P<window>\d+) tokens.{0,60}?resulted in (?P<prompt>\d+)",
            r"context_length_exceeded",
            r"Request too large for .{0,200}Limit:? (?P<window>\d+), Requested:? (?P<both>\d+)",
        ),
    ),
    Family(
        name="Anthropic",
        overlong=(
            r"prompt is too long: (?P<prompt>\d+) tokens > (?P<window>\d+)",
            r"exceed context limit: (?P<prompt>\d+) \+ \d+ > (?P<window>\d+)",
            r"prompt is too long",
        ),
    ),
    Family(
        name="Google",
        no_system=r"(?:Developer|System) instruction is not enabled",
        overlong=(
            r"input token count(?: is)? \(?(?P<prompt>\d+)\)?.{0,20}exceeds the maximum number of tokens "
            r"allowed \(?(?P<window>\d+)",
        ),
    ),
    Family(
        name="Mistral",
        instead={"seed": "random_seed"},
        renames=r"extra_forbidden",
        models=r"(?:mini|mi|magi|code|dev|pix)stral|mixtral",
        overlong=(r"contains (?P<prompt>\d+) tokens.{0,60}too large for model with (?P<window>\d+)",),
    ),
    Family(name="Qwen", streams=r"only supports? stream|enable the stream parameter"),
    Family(
        name="xAI",
        overlong=(r"maximum prompt length is (?P<window>\d+) but the request contains (?P<prompt>\d+)",),
    ),
    Family(name="MiniMax", no_system=r"invalid message role: system"),
    Family(
        name="vLLM",
        no_system=r"System role (?:is )?not supported|roles must alternate",
        overlong=(
            r"maximum context length is (?P<window>\d+) tokens and your request has (?P<prompt>\d+) input",
            r"maximum context length is (?P<window>\d+) tokens.{0,80}?at least (?P<prompt>\d+) input",
            r"max_tokens must be at least 1, got -\d+",
            r"passed (?P<prompt>\d+) input tokens.{0,80}?context length is only (?P<window>\d+)",
        ),
    ),
    Family(
        name="SGLang",
        overlong=(r"\((?P<prompt>\d+) tokens\) is longer than the model's context length \((?P<window>\d+)",),
    ),
    Family(
        name="TGI",
        overlong=(
            r"`?inputs`? tokens \+ `?max_new_tokens`? must be <= (?P<window>\d+)\. Given: (?P<prompt>\d+)",
            r"`?inputs`? must have less than (?P<window>\d+) tokens\. Given: (?P<prompt>\d+)",
        ),
    ),
    Family(
        name="llama.cpp",
        overlong=(
            r"exceeds? the available context size|exceed_context_size_error",
            r"Requested tokens \((?P<prompt>\d+)\) exceed context window of (?P<window>\d+)",
        ),
    ),
    Family(
        name="LM Studio",
        overlong=(r"keep the first (?P<prompt>\d+) tokens when .{0,100}length of only (?P<window>\d+)",),
    ),
    Family(
        name="GitHub Models",
        overlong=(r"Request body too large.{0,80}Max size: (?P<window>\d+) tokens",),
    ),
    Family(
        name="any",
        overlong=(
            r"context (?:length|window|size)\b.{0,60}\bexceed",
            r"\bexceed\w*\b.{0,60}\bcontext (?:length|window|size)",
            r"(?:prompt|input|conversation) is too long",
        ),
    ),
)
"""More specific families come first: the first match is believed."""

NO_SYSTEM = re.compile("|".join(family.no_system for family in FAMILIES if family.no_system), re.IGNORECASE)
STREAMS = re.compile("|".join(family.streams for family in FAMILIES if family.streams), re.IGNORECASE)
OVERLONG = tuple(
    re.compile(words, re.IGNORECASE | re.DOTALL) for family in FAMILIES for words in family.overlong
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
_CEILING = re.compile(
    r"<= ?|(?<=\s)< ?|≤ ?|at most |less (?:than )?(?:or equal to )?|no (?:more|greater|larger) than "
    r"|maximum(?: \w+){0,3} is |maximum of |between [-\d.]+ and |(?:\[|\(|: )[-\d.]+(?:\.\.| ?, ?| to | ?- ?)"
    r"|or 0\.\.|> (?=\d+, which is the maximum)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"`?(\d+(?:\.\d+)?)", re.ASCII)
_GROUPED = re.compile(
    # Not after a bracket: "[1,512]" and "(1,512)" are ranges.
    r"(?<![\d.,(\[])[1-9]\d{0,2}(?:[,_'\u00a0\u202f]\d{3})+(?![\d,])"
    r"|(?<=\()[1-9]\d{0,2}(?:,\d{3})+(?![\d,)])",
    re.ASCII,
)
"""A number with separated thousands: "4,096"."""
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


def other_name(parameter: str, said: str, model: str) -> str | None:
    """Return the name of a refused parameter in the family that refuses it; None if it has none."""
    for family in FAMILIES:
        if (
            (name := family.instead.get(parameter)) is not None
            and re.search(family.renames, said, re.IGNORECASE)
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
        if found := [name for name in known if any(known[name].search(field) for field in self.fields)]:
            return found
        refusing = [text for text in self.texts if _REFUSES.search(text)]
        return [name for name in known if any(known[name].search(text) for text in refusing)]

    def ceiling(self, parameter: str) -> float | None:
        """Return the highest allowed value of a parameter, None if the refusal states none."""
        if (most := self.numbers.get("le")) is not None:
            return most
        spelled = _spelled(parameter)
        named = any(spelled.search(one) for one in self.fields)
        for text in self.texts:
            if named or spelled.search(text):
                ends = (_NUMBER.match(text, found.end()) for found in _CEILING.finditer(text))
                said = (_amount(end[1]) for end in ends if end)
                if tops := [top for top in said if top is not None]:
                    return tops[0]
        return None


@dataclass(frozen=True, slots=True)
class Overlong:
    """A request longer than the context: tokens of the window, the messages, and both with answer."""

    window: int | None = None
    prompt: int | None = None
    both: int | None = None


def read_refusal(body: object) -> RefusalBody:
    """Read the body of a refusal: an object, a list, a text, or JSON inside a text. Never raises."""
    texts: list[str] = []
    fields: list[str] = []
    numbers: dict[str, float] = {}
    for count, (name, value) in enumerate(_leaves("", body, _DEEPEST)):
        if count >= _MOST:
            break
        if isinstance(value, str):
            (fields if name in _NAMES_FIELD else texts).append(_ungrouped(value[:MAX_READ]))
        elif (number := _amount(value)) is not None:
            numbers.setdefault(name, number)
    return RefusalBody(tuple(texts), tuple(fields), numbers)


def overlong(refusal: RefusalBody) -> Overlong | None:
    """Return the sizes in a refusal of a request that is too long; None for any other refusal."""
    for words in OVERLONG:
        if found := words.search(refusal.text):
            read = {name: _amount(value) for name, value in found.groupdict().items()}
            sizes = {name: int(value) for name, value in read.items() if value is not None}
            for name, member in (("window", "n_ctx"), ("prompt", "n_prompt_tokens")):
                if member in refusal.numbers:
                    sizes.setdefault(name, int(refusal.numbers[member]))
            return Overlong(**sizes)
    return None


def failure_of(
    status: int, body: object, headers: Mapping[str, str], scrub: Callable[[str], str], *, advice: str = ""
) -> ChatError:
    """Return the error that a reply of 4xx or 5xx means, from its ``error`` object or its text."""
    limits = rate_limit_headers(headers)
    message = one_line(scrub(f"the endpoint answers {status}: {_message(body)}"), MAX_MESSAGE)
    message += one_line(scrub(advice), MAX_MESSAGE)
    wait = retry_after(limits)
    if wait is None and (status == 429 or status >= 500):
        wait = wait_in(body)
    return _kind(status, body)(
        message, status=status, headers=limits, retry_after=wait, perhaps_billed=status in GATEWAY_TIMEOUTS
    )


def _kind(status: int, body: object) -> type[ChatError]:
    refusal = read_refusal(body)
    fields = body if isinstance(body, Mapping) else {}
    quota = {str(fields.get("code")), str(fields.get("type"))} & QUOTA_CODES
    # With 502 or 503 a gateway may speak of only one of many servers behind it.
    if quota or (status <= 500 and _NO_CREDIT.search(refusal.text)):
        return QuotaSpentError
    if overlong(refusal) is not None:
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
    said = read_refusal(error).text
    return next((status for status, words in _STATUS_WORDS if words.search(said)), 502)


def wait_in(body: object) -> float | None:
    """Return the seconds that a reply's body asks to wait; None if it asks for no wait.

    Read are headers in the body (OpenRouter's ``metadata.headers``), members (``retryDelay``,
    ``retry_after``), and texts: "try again in 1m2s", "Please retry in 33.3s", "retry after 20 seconds".
    """
    if (wait := retry_after(_headers_in(body, 5))) is not None:
        return wait
    said = read_refusal(body)
    for name in _WAITS:
        if name in said.numbers:
            return parse_moment(f"{said.numbers[name]:f}")
    for text in said.texts:
        if found := _ASKED.search(text):
            return parse_moment(_short(found[1] or found[2]))
    return None


def _short(duration: str) -> str:
    return _UNIT.sub(lambda unit: (f"{unit[1]}{unit[2]}" if unit[1] else unit[3] or "").lower(), duration)


def _headers_in(body: object, deepest: int) -> dict[str, str]:
    if isinstance(body, list | tuple) and deepest:
        body = body[0] if body else None
    if not isinstance(body, Mapping) or not deepest:
        return {}
    if isinstance(found := body.get("headers"), Mapping):
        return {str(name).lower(): str(value) for name, value in found.items()}
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


def _ungrouped(text: str) -> str:
    return _GROUPED.sub(lambda number: re.sub(r"\D", "", number[0]), text)


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
        yield name, ".".join(str(part) for part in value)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _leaves(name, each, deepest - 1)
    else:
        yield name, value


def _parsed(text: str) -> object:
    try:
        found = json.loads(text[:MAX_READ])
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict | list) else None


def _spelled(name: str) -> re.Pattern[str]:
    """Match a parameter as vendors write it: ``max_tokens``, ``maxTokens``, ``max tokens``."""
    # ASCII: in a Chinese sentence nothing stands between a name and the next word.
    spelled = re.escape(name).replace("_", "[_. -]?")
    return re.compile(rf"(?<![\w-]){spelled}(?![\w-])", re.IGNORECASE | re.ASCII)
