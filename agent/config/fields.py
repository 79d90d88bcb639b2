"""What a search's config is made of: prices, addresses, endpoints, and defaults that other rooms share."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, field_validator

DEFAULT_BASE_URL = "https://api.openai.com/v1"


CONCURRENCY = 4
"""Climbs, and requests in flight, at once."""
RETRY_ATTEMPTS = 8
"""Attempts a request."""
RETRY_S = 600.0
"""Seconds that a request may take in all, waits included."""
REQUEST_TIMEOUT_S = 120.0
"""Seconds that one attempt may take."""


class Price(BaseModel):
    """What an endpoint charges, in US dollars for a million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: FiniteFloat = Field(ge=0)
    completion: FiniteFloat = Field(ge=0)

    def __str__(self) -> str:
        return f"{self.prompt:g}/{self.completion:g}"


def parse_price(value: Any) -> Any:
    """Return ``"0.15/0.60"`` as a Price; anything else as it is, for pydantic to judge."""
    if not isinstance(value, str):
        return value
    parts = value.split("/")
    if len(parts) != 2:
        raise ValueError("write it as IN/OUT, dollars for a million tokens, such as 0.15/0.60")
    return {"prompt": parts[0].strip(), "completion": parts[1].strip()}


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
    """Return a URL with neither user, password nor query: what may be written down."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def parse_initial(value: Any) -> int | Path:
    """Return a number of templates, or a file of them.

    Raises:
        ValueError: It is neither, or too few.
    """
    text = str(value).strip()
    if text.lstrip("+-").isdigit():
        if int(text) < 2:
            raise ValueError(
                "a climb needs at least 2 initial templates: one to call best and one to call worst"
            )
        return int(text)
    if not text:
        raise ValueError("give a number, or a file of templates")
    return Path(text)


class EndpointConfig(BaseModel):
    """One endpoint of several: an ``[[endpoints]]`` table in the file given by ``--config``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str = Field(repr=False)
    model: str | None = None
    key_env: str = "OPENAI_API_KEY"
    rpm: float | None = Field(default=None, gt=0)
    tpm: float | None = Field(default=None, gt=0)
    price: Price | None = None

    _price = field_validator("price", mode="before")(parse_price)
    _url = field_validator("base_url")(check_url)
