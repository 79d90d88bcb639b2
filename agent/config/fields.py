"""Types and checks of single settings; checks raise ValueError, which pydantic turns into a field error."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Annotated, Any, Final, Literal, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pydantic import BeforeValidator

from ...evaluator.errors import UsageError
from ...evaluator.files import MOST_SETTINGS_BYTES, checked_path, read_text, user_path
from ...evaluator.messages import shown
from ...evaluator.settings import BY_CONTENT
from ..prices import A_CALL, CallPrice, Price
from ..secrets import secret_member

DEFAULT_BASE_URL = "https://api.openai.com/v1"
CONCURRENCY = 4
SCORER_CONCURRENCY = 8
RETRY_ATTEMPTS, REQUEST_TIMEOUT_S = 8, 120.0
"""Attempts per request; seconds per attempt."""
MOST_ATTEMPTS = 100
"""Of a request, also if the endpoint asks for a wait after each of them."""
MOST_A_MINUTE, LONGEST_S, LONGEST_MINUTES = 1e9, 1e9, 1e7
"""Upper bounds of settings; the times are decades."""
LONGEST_NUMBER, LONGEST_BODY, LONGEST_DESCRIPTION = 18, 10_000, 2_000
"""Characters of a number of templates, of ``extra_body`` and of a description."""
WORD = r"^[a-z][a-z0-9_-]{0,31}$"
_SENT_AS_TAKEN = "; it is sent by the name that the endpoint takes"
RESERVED_MEMBERS: Mapping[str, str] = {
    "messages": "it is what the search asks",
    "model": "give it with `llm`",
    "max_tokens": "give it with `answer_tokens`",
    "max_completion_tokens": f"give `answer_tokens`{_SENT_AS_TAKEN}",
    "temperature": "give it with `temperature`",
    "seed": "give it with `seed`",
    "random_seed": f"give `seed`{_SENT_AS_TAKEN}",
    "reasoning_effort": "give it with `reasoning_effort`",
    "stream": "answers are read whole",
    "stream_options": "answers are read whole",
    "n": "one answer per request is read",
    "tools": "answers are texts",
}
"""Members that ``extra_body`` may not set, with the reason or the right way; vendors' other names too."""
_LOOKS_LIKE_A_FILE = re.compile(r"(?:\.{0,2}[/\\]|~)\S*|\S+\.(?:txt|md|rst|json|toml)", re.IGNORECASE)


AUTO: Final = "auto"
"""The price that a table of prices knows."""


def parse_price(value: Any) -> Price | Literal["auto"] | None:
    """Parse ``"0.15/0.60"`` or ``"0.15/0.075/0.60"``; ``"auto"`` is left."""
    if value is None:
        return None
    text = value if isinstance(value, str) else ""
    if text.strip().lower() == AUTO:
        return AUTO
    if (price := _token_price(value)) is not None:
        return price
    raise ValueError(
        "write it as IN/OUT or IN/CACHED/OUT, numbers of dollars per million tokens, "
        "such as 0.15/0.60, or auto"
    )


def parse_scorer_price(value: Any) -> Price | CallPrice | None:
    """Parse a price for tokens, as ``parse_price`` does, or for requests: ``"0.002/call"``."""
    if value is None:
        return None
    if isinstance(value, CallPrice) or (isinstance(value, Mapping) and "call" in value):
        return CallPrice.model_validate(value)
    text = value.strip() if isinstance(value, str) else ""
    if text.endswith(A_CALL) and len(dollars := _numbers(text.removesuffix(A_CALL))) == 1:
        return CallPrice(call=dollars[0])
    if (price := _token_price(value)) is not None:
        return price
    raise ValueError(
        "write it as IN/OUT, numbers of dollars per million tokens, such as 0.15/0.60, or as dollars per "
        "request, such as 0.002/call"
    )


def _token_price(value: Any) -> Price | None:
    """Return a price given as a table or as two or three numbers; None for anything else."""
    if isinstance(value, Mapping | Price):
        return Price.model_validate(value)
    names = {2: ("prompt", "completion"), 3: ("prompt", "cached", "completion")}
    numbers = _numbers(value) if isinstance(value, str) else []
    if len(numbers) not in names:
        return None
    return Price.model_validate(dict(zip(names[len(numbers)], numbers, strict=True)))


def _numbers(text: str) -> list[float]:
    """Return the numbers between slashes; none if one of them is no number."""
    try:
        return [float(number) for number in text.split("/")]
    except ValueError:
        return []


def without_credentials(url: str) -> str:
    """Return a URL that may be stored or shown: no user, password or query, except Azure's version."""
    parts = urlsplit(url)
    public = [(name, value) for name, value in parse_qsl(parts.query) if name == "api-version"]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, urlencode(public), ""))


def parse_initial(value: Any) -> int | Path | None:
    """Return a number of starting templates, or a file of them; None is left."""
    if value is None:
        return None
    text = str(value).strip()
    if not text:
        raise ValueError("give a number, or a file of templates")
    if not text.lstrip("+-").isdecimal():
        return Path(checked_path(text))
    if len(text) > LONGEST_NUMBER:
        raise ValueError("there are not so many templates; give a smaller number, or a file of templates")
    if int(text) < 2:
        raise ValueError("a restart needs at least 2 starting templates: a best one and a worst one")
    return int(text)


def text_or_file(value: Any) -> Any:
    """Return a path if a text from outside names an existing file; else the value itself.

    In Python a ``Path`` is a file and a ``str`` a text, and a run's own config has the text.
    """
    if not isinstance(value, str) or not value.strip() or len(value) > LONGEST_DESCRIPTION:
        return value
    try:
        path = Path(value).expanduser()
        return path if path.is_file() or path.is_fifo() else value
    except (OSError, RuntimeError, ValueError):  # too long for a path, or no such user: a text
        return value


def parse_description(value: Any) -> Any:
    """Return a description as one line with single spaces."""
    if value is None:
        return None
    if isinstance(value, Path):
        subject = f"the file {value}"
        try:
            text = read_text(user_path(value, "the file"), what="file", most=MOST_SETTINGS_BYTES)
        except UsageError as error:
            raise ValueError(error) from error
    elif isinstance(value, str):
        subject, text = "it", value
    else:
        raise ValueError("say in words what the images show, or name a text file that does")
    tidy = " ".join(text.split())
    if not tidy:
        raise ValueError(f"{subject} is empty; say in a sentence what the images show")
    if len(tidy) > LONGEST_DESCRIPTION:
        raise ValueError(
            f"{subject} has more than {LONGEST_DESCRIPTION:,} characters; say it in a sentence or two"
        )
    for character in tidy:
        if unicodedata.category(character) in ("Cc", "Cs"):
            raise ValueError(f"{subject} has the character U+{ord(character):04X}, which no sentence has")
    if _LOOKS_LIKE_A_FILE.fullmatch(tidy):
        if isinstance(value, Path):
            raise ValueError(
                f"{subject} holds only the name of a file; say in a sentence what the images show"
            )
        raise ValueError(
            f"there is no file {shown(tidy)}; say what the images show, or name a file that does"
        )
    return tidy


def parse_extra_body(value: Any) -> Any:
    """Return a JSON object, given as text or table, as canonical JSON; None is left."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = ()
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValueError("write a JSON object, such as '{\"top_p\": 0.9}'")
    for name, reason in RESERVED_MEMBERS.items():
        if name in value:
            raise ValueError(f"{name!r} has no place in it: {reason}")
    if (member := secret_member(value, os.environ)) is not None:
        raise ValueError(
            f"its member {shown(member)} seems to hold a secret, and would be written to the run's files; "
            "keys are read from the environment alone (OPENAI_API_KEY for the LLM)"
        )
    try:
        body = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        body.encode()  # half a surrogate pair cannot be sent
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError("it holds a value that JSON does not know") from error
    if len(body) > LONGEST_BODY:
        raise ValueError(f"it is longer than {LONGEST_BODY:,} characters")
    return body if value else None


TokenPrice = Annotated[Price | Literal["auto"] | None, BeforeValidator(parse_price)]
ExtraBody = Annotated[str | None, BeforeValidator(parse_extra_body)]


LOCAL_LLM = "local"
LOCAL_MODELS = ("0.5b", "1.5b")
"""Models that can be fetched; ``local`` alone means the first."""
_NAMED = f"{LOCAL_LLM}:"
_FILE = ".gguf"

Style: TypeAlias = Literal["rich", "short"]
"""``rich``: a conversation with lists and scores; ``short``: independent requests."""
SMALL = 4e9
"""Most parameters of a model for short requests: at 1.5 billion, lists cost more than they bring."""
_SIZE = re.compile(r"(?<![\w.])(?:\d+x)?(\d+(?:\.\d+)?) ?([bm])(?![a-z0-9])", re.IGNORECASE)


def is_local(llm: str | None) -> bool:
    """Return whether the search itself runs the model on this machine."""
    return llm is not None and (llm == LOCAL_LLM or llm.startswith(_NAMED))


def local_model(llm: str) -> str | Path:
    """Return the name of a local model that can be fetched, or the user's own file."""
    named = llm.removeprefix(LOCAL_LLM).removeprefix(":") or LOCAL_MODELS[0]
    # A link may lack the ending, as in Hugging Face's cache.
    return user_path(named, "`llm`", follow_links=False) if _is_file(named) else named


def absolute_llm(llm: str) -> str:
    """Return ``llm`` with the absolute path of a model's file, if it names one."""
    model = local_model(llm) if is_local(llm) else None
    return f"{_NAMED}{model}" if isinstance(model, Path) else llm


def placeless_llm(llm: str | None) -> str | None:
    """Return ``llm`` with a placeholder for a model's file, which its content identifies."""
    if llm is None or not is_local(llm):
        return llm
    return f"{_NAMED}{BY_CONTENT}" if _is_file(llm) else llm


def check_llm(llm: str | None) -> str | None:
    """Return ``llm``; raise ValueError if it is a local model that does not exist."""
    if llm is None or not is_local(llm) or llm == LOCAL_LLM:
        return llm
    named = llm.removeprefix(_NAMED)
    if named not in LOCAL_MODELS and not _is_file(named):
        names = ", ".join(f"{_NAMED}{name}" for name in LOCAL_MODELS)
        raise ValueError(
            f"{shown(named)} is not a local model: write {names}, or {_NAMED}FILE{_FILE} for your own file"
        )
    return llm


def style_of(llm: str | None) -> Style | None:
    """Return the request style for a model, small if local; None if its name gives no size."""
    local = is_local(llm)
    # Only a file's name counts: its folders say nothing about the model, and may change.
    named = PurePath(llm or "").name if local else llm or ""
    sizes = [float(number) * (1e9 if unit in "bB" else 1e6) for number, unit in _SIZE.findall(named)]
    if sizes:
        return "short" if max(sizes) <= SMALL else None
    return "short" if local else None


def _is_file(named: str) -> bool:
    return named.lower().endswith(_FILE)
