"""What configs are made of: settings and their flags, prices, addresses, endpoints."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, field_validator

Group = Literal["task", "llm", "search", "pace", "limits", "run"]

DEFAULT_BASE_URL = "https://api.openai.com/v1"


def setting(
    default: Any,
    description: str,
    group: Group,
    *,
    decides: bool = False,
    flag: str | None = None,
    show: str = "",
    **rules: Any,
) -> Any:
    """A field with what the command line needs to know of it.

    Args:
        default: Its value when nothing is said; ``...`` where something must be.
        description: One line for ``--help``.
        group: The heading that it stands under.
        decides: Whether it decides the result.
        flag: The option's name where it is not the field's; empty for none.
        show: How the value is written in ``--help``.
        rules: pydantic's own (``ge``, ``gt``, ``repr`` …).
    """
    extra: dict[str, Any] = {"group": group, "decides": decides, "flag": flag, "show": show}
    return Field(default, description=description, json_schema_extra=extra, **rules)


class Price(BaseModel):
    """What an endpoint charges, in US dollars for a million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: FiniteFloat = Field(ge=0)
    completion: FiniteFloat = Field(ge=0)

    def __str__(self) -> str:
        return f"{self.prompt:g}/{self.completion:g}"


def parse_price(value: Any) -> Any:
    """``"0.15/0.60"`` as a Price; anything else as it is, for pydantic to judge."""
    if not isinstance(value, str):
        return value
    parts = value.split("/")
    if len(parts) != 2:
        raise ValueError("write it as IN/OUT, dollars for a million tokens, such as 0.15/0.60")
    return {"prompt": parts[0].strip(), "completion": parts[1].strip()}


def check_url(url: str | None) -> str | None:
    """A base URL without its final slash.

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
    """A URL with neither user, password nor query: what may be written down."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def parse_initial(value: Any) -> int | Path:
    """A number of templates, or a file of them.

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


def known_method(name: str) -> str:
    """A method's name.

    Raises:
        ValueError: There is no such method.
    """
    from ..climb.methods import METHODS

    return _known("method", name, METHODS)


def known_objective(name: str) -> str:
    """An objective's name.

    Raises:
        ValueError: There is no such objective.
    """
    from ...evaluator.scoring import OBJECTIVES

    return _known("objective", name, OBJECTIVES)


def _known(what: str, name: str, names: Iterable[str]) -> str:
    if name not in names:
        raise ValueError(f"unknown {what}; known are {', '.join(names)}")
    return name


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


def about(field: Any) -> dict[str, Any]:
    """What ``setting`` noted of a field."""
    extra = field.json_schema_extra
    return extra if isinstance(extra, dict) else {}
