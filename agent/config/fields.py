"""What a search's config is made of: prices, addresses, endpoints, and defaults that other rooms share."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ...evaluator.user_paths import checked_path
from ..rates import Rates, per_token
from ..token_usage import TokenUsage
from .extra_body import parse_extra_body

DEFAULT_BASE_URL = "https://api.openai.com/v1"
LONGEST_NUMBER = 18
"""Characters of a number of templates."""

CONCURRENCY = 4
"""Restarts, and requests in flight, at once."""
RETRY_ATTEMPTS = 8
"""Attempts a request."""
RETRY_S = 600.0
"""Seconds that a request may take in all, waits included."""
REQUEST_TIMEOUT_S = 120.0
"""Seconds that one attempt may take."""


LONGEST_S, LONGEST_MINUTES = 1e9, 1e7
"""The longest times that a setting may say, decades: what waits so long waits for ever."""
WORD = r"^[a-z][a-z0-9_-]{0,31}$"
"""A word of an endpoint's own, such as the name of a tier."""
FEW_INITIAL, MANY_INITIAL = 80, 250
"""Initial templates a restart where nobody says how many: the paper's, and what pays where scores are
cheap."""
MOST_FROM_FILE = 100
"""Initial templates a restart out of a user's file."""
INITIAL = (
    f"initial templates a restart: how many, or a file of yours ({MOST_FROM_FILE} of it are drawn; default: "
    f"{FEW_INITIAL} to {MANY_INITIAL}, by the number of classes)"
)
MOST_A_MINUTE = 1e9
"""The highest rate that a setting may say."""
MOST_DOLLARS = 1e9
"""The highest sum that a setting may say."""


class _Part(BaseModel):
    """A frozen value inside a config."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


class Price(_Part):
    """What an endpoint charges, in US dollars for a million tokens.

    Attributes:
        prompt: Of the messages.
        completion: Of the answer, thinking included.
        cached: Of the messages, read from the vendor's cache; None for the price of the others. What is
            written to a cache counts as ``prompt``.
    """

    prompt: float = Field(ge=0, le=MOST_DOLLARS)
    completion: float = Field(ge=0, le=MOST_DOLLARS)
    cached: float | None = Field(default=None, ge=0, le=MOST_DOLLARS)

    def __str__(self) -> str:
        parts = (self.prompt, self.cached, self.completion)
        return "/".join(f"{part:g}" for part in parts if part is not None)

    def charge(self, usage: TokenUsage) -> int:
        """Return what these tokens cost, in picodollars."""
        return self._rates.charge(usage)

    def most(self, usage: TokenUsage) -> int:
        """Return what so many tokens cost at most, whichever of them are cached, in picodollars."""
        return self._rates.most(usage)

    @property
    def _rates(self) -> Rates:
        prompt = per_token(self.prompt)
        return Rates(
            prompt=prompt,
            cached=prompt if self.cached is None else per_token(self.cached),
            written=prompt,
            kept=prompt,
            completion=per_token(self.completion),
        )


AUTO: Final = "auto"
"""The price that a table of prices knows."""
FREE = Price(prompt=0, completion=0)
"""What a model on this machine charges."""


def parse_price(value: Any) -> Price | Literal["auto"] | None:
    """Return ``"0.15/0.60"`` or ``"0.15/0.075/0.60"`` as a Price, and ``"auto"`` as it is.

    Raises:
        ValueError: It is neither.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        return Price.model_validate(value)
    if value.strip().lower() == AUTO:
        return AUTO
    names = {2: ("prompt", "completion"), 3: ("prompt", "cached", "completion")}
    try:
        parts = [float(part) for part in value.split("/")]
        named = zip(names[len(parts)], parts, strict=True)
    except (KeyError, ValueError):
        comma = "; numbers have a point and no comma" if "," in value else ""
        raise ValueError(
            "write it as IN/OUT or IN/CACHED/OUT, numbers of dollars for a million tokens, such as "
            f"0.15/0.60, or auto{comma}"
        ) from None
    return Price.model_validate(dict(named))


def parse_share(value: Any) -> Any:
    """Return ``"95%"`` as 0.95; other numbers as they are, for pydantic to judge.

    Raises:
        ValueError: It is no number, with or without the sign.
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    try:
        return float(text.removesuffix("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        comma = ", with a point and no comma" if "," in text else ""
        raise ValueError(f"write a share such as 0.95, or 95%{comma}") from None


def percentage_meant(share: float | None) -> str | None:
    """Return what stands for a share where a percentage was written without its sign; None for a share."""
    return f"{share:g}%" if share is not None and 1 < share <= 100 else None


def check_url(url: str | None) -> str | None:
    """Return a base URL without its final slash.

    Raises:
        ValueError: It is not an http(s) address.
    """
    if url is None:
        return None
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("write http:// or https:// and a host, such as http://127.0.0.1:8000/v1")
    return url.strip().rstrip("/")


def without_credentials(url: str) -> str:
    """Return a URL with neither user, password nor query, but for Azure's version: fit to be written down."""
    parts = urlsplit(url)
    plain = [(name, value) for name, value in parse_qsl(parts.query) if name == "api-version"]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, urlencode(plain), ""))


def parse_initial(value: Any) -> int | Path | None:
    """Return a number of templates, or a file of them; None is left.

    Raises:
        ValueError: It is neither, or too few or too many.
    """
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
        raise ValueError(
            "a restart needs at least 2 initial templates: one to call best and one to call worst"
        )
    return int(text)


class EndpointConfig(_Part):
    """One endpoint of several: an ``[[endpoints]]`` table in the file given by ``--config``."""

    base_url: str = Field(repr=False)
    model: str | None = None
    key_env: str = "OPENAI_API_KEY"
    rpm: float | None = Field(default=None, gt=0, le=MOST_A_MINUTE)
    tpm: float | None = Field(default=None, gt=0, le=MOST_A_MINUTE)
    price: Price | Literal["auto"] | None = None
    reasoning_effort: str | None = Field(default=None, pattern=WORD)
    service_tier: str | None = Field(default=None, pattern=WORD)
    extra_body: str | None = Field(default=None, repr=False)

    _extra = field_validator("extra_body", mode="before")(parse_extra_body)
    _price = field_validator("price", mode="before")(parse_price)
    _url = field_validator("base_url")(check_url)
