"""Scores as people read them: shares of images as percent, a black box's own numbers as they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from ..position import INITIAL, LLM
from .notes import UNOPENED
from .result import Best, Ensemble, Row, SearchResult, Usage

REJECTED: Mapping[str, str] = MappingProxyType(
    {
        "answer_too_long": "answers too long to be read to their ends",
        "control_character": "with a control character",
        "duplicate": "proposed twice in one answer",
        "empty": "empty",
        "scorer_failed": "that make the evaluator fail",
        "known": "known already",
        "no_slot": "without the slot {}",
        "not_a_number": "scored with something that is not a number",
        "stray_brace": "with a brace that is no slot",
        "too_long": "with too many characters",
        "too_many_lines": "answers with too many lines to be read to their ends",
        "too_many_proposals": "beyond the number asked for",
        "too_many_tokens": "too long for the model's text encoder",
        "too_many_words": "with too many words",
    }
)
"""Reasons of a rejection in words, after the number of lines; another evaluator may have more."""


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


def gains_so_far(best: float, *, plain: float | None, pool: float | None, percent: bool) -> list[str]:
    """Return in words what a score is better by than others on the same few shots.

    Args:
        best: The best training score so far.
        plain: That of the default template; None where it is not known.
        pool: That of the best starting template; None where that says nothing yet.
        percent: Whether they are shares of images, whose differences are percentage points.
    """
    others = {"the default template": plain, "the best starting template": pool}
    return [
        f"{difference_text(best - other, percent=percent)} over {name}"
        for name, other in others.items()
        if other is not None
    ]


def difference_text(difference: float, *, percent: bool) -> str:
    """Return the text of a difference between scores: ``+3.1 points`` for 0.031 in percent."""
    return f"{100 * difference:+.1f} points" if percent else f"{difference:+.4g}"


def about_test(result: SearchResult) -> str:
    """Return a sentence on what became of the test split."""
    if not result.dataset.sizes.test:
        return "There are no test images."
    if result.status == "stopped":
        return "The test images stay sealed until the search is finished."
    if UNOPENED in result.notes:
        return "The test images could not be used; resuming the run tries again."
    if result.test_opened is not None and result.test_opened > 1:
        return f"The test images were opened {result.test_opened} times, each after the search had chosen."
    return "The test images were opened once, after the search had chosen."
