"""Keywords of ``SearchConfig``, for type checkers: with the types that its fields are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from ...evaluator.spec import EvaluatorKeywords
from ..prices import CallPrice, Price


class SearchKeywords(EvaluatorKeywords, total=False):
    """Each setting of a search; a path, a price or a share may be a text."""

    scorer_concurrency: int
    scorer_rpm: float | None
    scorer_price: Price | CallPrice | str | None
    max_scorer_calls: int | None
    max_cost: float | None
    shared_cache: Path | str | None
    llm: str | None
    base_url: str | None
    price: Price | str | None
    temperature: float
    answer_tokens: int
    reasoning_effort: str | None
    extra_body: Mapping[str, Any] | str | None
    llm_fallback: str | None
    method: str
    search_for: str
    name_rounds: int
    describe: Path | str | None
    blind: bool
    restarts: int
    conversations: int
    rounds: int
    proposals: int
    starting_pool: Literal["general", "captions", "grammar"] | None
    initial: int | Path | str | None
    racing: Literal["auto", "off"]
    concurrency: int
    rpm: float | None
    tpm: float | None
    request_timeout: float
    retry_attempts: int
    retry_seconds: float
    max_calls: int | None
    max_tokens: int | None
    max_minutes: float | None
    give_up_after: float
    run_dir: Path | str | None
    track: Sequence[str] | str | None
