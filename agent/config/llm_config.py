"""Whom a search asks, and how fast: the part of its config that the LLM concerns."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import field_validator

from ...evaluator.settings import setting
from ...evaluator.spec import EvaluatorSpec
from .extra_body import parse_extra_body
from .fields import (
    CONCURRENCY,
    LONGEST_S,
    MOST_A_MINUTE,
    REQUEST_TIMEOUT_S,
    RETRY_ATTEMPTS,
    RETRY_S,
    WORD,
    EndpointConfig,
    Price,
    check_url,
    parse_price,
)
from .local_llm import check_llm, is_local, placeless_llm


class LLMConfig(EvaluatorSpec):
    """The black box, and the chat LLM that proposes for it.

    Raises:
        ConfigError: A value is wrong; the message names the field.
    """

    # Who proposes
    llm: str | None = setting(
        None,
        "model that the endpoint knows; or one that runs here, with the extra [local]: `local`, "
        "`local:1.5b`, or a file of yours, `local:FILE.gguf`",
        "llm",
        decides=True,
        show="MODEL|local",
        min_length=1,
    )
    base_url: str | None = setting(
        None,
        "OpenAI-compatible endpoint (default: $OPENAI_BASE_URL, then OpenAI)",
        "llm",
        show="URL",
        repr=False,
    )
    endpoints: tuple[EndpointConfig, ...] = setting(
        (), "several endpoints as one pool (only in --config)", "llm", flag=""
    )
    price: Price | Literal["auto"] | None = setting(
        None,
        "dollars for a million tokens in and out, such as 0.15/0.60, or in, cached and out: 0.15/0.075/0.60; "
        "auto: as a table of vendors' prices says",
        "llm",
        show="IN/OUT|auto",
    )
    temperature: float = setting(1.0, "the LLM's temperature", "llm", decides=True, show="T", ge=0, le=2)
    answer_tokens: int = setting(
        512, "the longest answer asked for, in tokens", "llm", show="N", ge=16, le=1_000_000
    )
    reasoning_effort: str | None = setting(
        None,
        "how much a reasoning model thinks, in the endpoint's words: none, minimal, low, medium, high …",
        "llm",
        decides=True,
        show="LEVEL",
        pattern=WORD,
    )
    service_tier: str | None = setting(
        None,
        "the endpoint's tier, such as flex: the same answers, slower, for half the price at OpenAI",
        "llm",
        show="TIER",
        pattern=WORD,
    )
    extra_body: str | None = setting(
        None,
        "more members of each request, such as '{\"top_p\": 0.9}'; never a key",
        "llm",
        decides=True,
        show="JSON",
    )
    llm_fallback: Literal["combine", "words", "mutate", "random"] | None = setting(
        None,
        "method without an LLM to use, and say so, where --llm local cannot be had",
        "llm",
        decides=True,
        show="NAME",
    )

    # How fast
    llm_slots: int = setting(1, "requests that --llm local works on at once", "pace", show="N", ge=1, le=64)
    concurrency: int = setting(
        CONCURRENCY, "restarts, and requests in flight, at once", "pace", show="N", ge=1, le=100_000
    )
    rpm: float | None = setting(None, "requests a minute at most", "pace", show="N", gt=0, le=MOST_A_MINUTE)
    tpm: float | None = setting(None, "tokens a minute at most", "pace", show="N", gt=0, le=MOST_A_MINUTE)
    request_timeout: float = setting(
        REQUEST_TIMEOUT_S,
        "seconds that one attempt of a request may take",
        "pace",
        show="SECONDS",
        gt=0,
        le=LONGEST_S,
    )
    retry_attempts: int = setting(RETRY_ATTEMPTS, "attempts a request", "pace", show="N", ge=1, le=1000)
    retry_seconds: float = setting(
        RETRY_S,
        "seconds a request may take in all, waits included",
        "pace",
        show="SECONDS",
        gt=0,
        le=LONGEST_S,
    )

    _llm = field_validator("llm")(check_llm)
    _price = field_validator("price", mode="before")(parse_price)
    _url = field_validator("base_url")(check_url)
    _extra = field_validator("extra_body", mode="before")(parse_extra_body)

    @property
    def placeless_llm(self) -> str | None:
        """The LLM's name, the same wherever the file of one's own lies."""
        return placeless_llm(self.llm)

    def identity(self) -> dict[str, Any]:
        """Return the fields that decide the result; see ``Settings.identity``."""
        return {**super().identity(), "llm": self.placeless_llm}

    @property
    def is_local(self) -> bool:
        """Whether the LLM runs on this machine, started by the search."""
        return is_local(self.llm)

    @property
    def priced(self) -> bool:
        """Whether every endpoint's price is known."""
        if self.price is not None or self.is_local:
            return True
        return bool(self.endpoints) and all(endpoint.price is not None for endpoint in self.endpoints)
