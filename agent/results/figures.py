"""Scores as people read them: shares of images as percent, a black box's own numbers as they are."""

from __future__ import annotations

from collections.abc import Iterable

from ..position import INITIAL, LLM
from .result import Best, Ensemble, Row, SearchResult, Usage


def are_shares(values: Iterable[float | None]) -> bool:
    """Return whether all values may be accuracies, which lie in [0, 1]."""
    return all(value is None or 0.0 <= value <= 1.0 for value in values)


def has_accuracies(result: SearchResult) -> bool:
    """Return whether a result's scores may be accuracies.

    A black box of the user's own may score with any number, higher meaning better; those are no percentages.
    """
    found: list[Best | Ensemble | Row] = [result.best, result.ensemble, *result.baselines.values()]
    found += result.leaderboard
    return are_shares(value for one in found for value in (one.train, one.val))


def made_by_llm(result: SearchResult) -> tuple[int, int] | None:
    """Return how many templates the LLM made, and of how many that are not initial ones.

    None where no LLM was asked, where there are none, or where an older program did not say who made them.
    """
    sources = [row.source for row in result.leaderboard]
    new = len(sources) - sources.count(INITIAL)
    if result.llm.model is None or None in sources or not new:
        return None
    return sources.count(LLM), new


def kinds_of_tokens(usage: Usage) -> str:
    """Return in words which tokens cost more or less than others; empty where an endpoint tells of none."""
    kinds = {
        "from a cache": usage.cached_tokens,
        "written to a cache": usage.cache_written_tokens,
        "of thinking": usage.reasoning_tokens,
    }
    return ", ".join(f"{count:,} {kind}" for kind, count in kinds.items() if count)


def untold(usage: Usage) -> str:
    """Return in words what calls may have cost beyond what was reported; empty where nothing is in doubt."""
    if not usage.doubtful_tokens:
        return ""
    dollars = f" (${usage.doubtful_usd:.4f})" if usage.doubtful_usd else ""
    return f"at most {usage.doubtful_tokens:,} more tokens{dollars} that the endpoint did not report"


def score_text(value: float | None, *, percent: bool, digits: int = 1) -> str:
    """Return the text of a score: ``62.5`` for 0.625 in percent, else the number itself; a dash for None.

    Args:
        value: The score.
        percent: Whether it is a share, to be shown in percent.
        digits: Digits after the point of a percentage.
    """
    if value is None:
        return "-"
    return f"{100 * value:.{digits}f}" if percent else f"{value:.6g}"
