"""Scores, tokens and orders in words; accuracies in percent, a custom scorer's numbers as they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from ...evaluator.counts import counted, enumerated
from ..events.types import UsageEvent
from ..methods.registry import METHODS
from ..position import INITIAL, LLM
from ..results.result import ApiUsage, Row, SearchResult, Usage

REJECTED: Mapping[str, str] = MappingProxyType(
    {
        "answer_too_long": "answers too long to be read to their ends",
        "control_character": "with a control character",
        "duplicate": "proposed twice in one answer",
        "empty": "empty",
        "scorer_failed": "that make the evaluator fail",
        "known": "known already",
        "markup": "names with markup",
        "name_of_another_class": "names of another class",
        "no_slot": "without the slot",
        "own_name": "names that a class has already",
        "proposed_for_another_class": "names proposed for another class before",
        "several_slots": "with more than one slot {classes}",
        "slot": "names with a slot or a brace",
        "not_a_number": "scored with something that is not a number",
        "stray_brace": "with a brace outside a slot",
        "too_long": "with too many characters",
        "too_many_lines": "answers with too many lines to be read to their ends",
        "too_many_proposals": "beyond the number asked for",
        "too_many_tokens": "too long for the model's text encoder",
        "too_many_words": "with too many words",
        "unknown_class": "names for a class that there is not",
    }
)
"""Reasons of a rejection in words, after the number of lines; another evaluator may have more."""


def score_text(value: float | None, *, percent: bool, digits: int = 1, unit: str = "") -> str:
    """Return ``62.5`` for 0.625 in percent, else the number itself; a dash for None."""
    if value is None:
        return "-"
    return f"{100 * value:.{digits}f}{unit}" if percent else f"{value:.4g}"


def weighted(templates: Sequence[str]) -> list[str]:
    """Return the different templates of an ensemble, in order, and how often each is in it: its weight."""
    times = {1: "", 2: " (twice)"}
    return [f"{one}{times.get(n, f' ({n} times)')}" for one, n in Counter(templates).items()]


def difference_text(difference: float, *, percent: bool) -> str:
    """Return a difference of scores: ``+3.1 points`` for 0.031 in percent."""
    return f"{100 * difference:+z.1f} points" if percent else f"{difference:+.4g}"


def made_by_llm(result: SearchResult) -> tuple[int, int] | None:
    """Return how many of the new templates the LLM made, and of how many; None for no LLM or no new ones."""
    sources = [row.source for row in result.leaderboard]
    new = len(sources) - sources.count(INITIAL)
    if llm_of_templates(result) is None or None in sources or not new:
        return None
    return sources.count(LLM), new


def llm_of_templates(result: SearchResult) -> str | None:
    """Return the LLM that was asked for templates; None if it was asked for class names alone, or not."""
    method = METHODS.get(result.method)
    return result.llm.model if method is None or method.asks_llm else None


def kinds_of_tokens(usage: Usage) -> str:
    """Return the cached and reasoning tokens in words; empty if none are reported."""
    kinds = {
        "from a cache": usage.cached_tokens,
        "written to a cache": usage.cache_written_tokens,
        "of reasoning": usage.reasoning_tokens,
    }
    return ", ".join(f"{count:,} {kind}" for kind, count in kinds.items() if count)


def unreported(tokens: int, dollars: float | None, before: str = "") -> str:
    """Return in words the upper bound on unreported usage, after ``before``; empty for none."""
    money = f"${dollars:.4f}" if dollars else ""
    if tokens:
        what = f"{tokens:,} more tokens{money and f' ({money})'}"
    elif money:
        what = f"{money} more"
    else:
        return ""
    return f"{before}at most {what} that the endpoint did not report"


def chosen_by_more(rows: Iterable[Row]) -> bool:
    """Return whether the final choice uses more than the training images."""
    return any(row.val is not None or row.views is not None for row in rows)


def about_order(rows: Sequence[Row], *, chosen: bool) -> str:
    """Describe the order of rows in words; ``chosen`` if they are the final leaderboard."""
    whole = [row for row in rows if row.images is None]
    dropped = (
        " Those that a race dropped come last, by an estimate; their accuracy is that on the few images that "
        "they were asked on."
    )
    return _about_order(whole, chosen=chosen) + (dropped if len(whole) < len(rows) else "")


def _about_order(rows: Sequence[Row], *, chosen: bool) -> str:
    if not chosen:
        return "Best first by training score so far; validation images and augmented copies count at the end."
    if not chosen_by_more(rows):
        return "Best first, in the order of the final choice: by training score."
    val, views = (any(getattr(row, name) is not None for row in rows) for name in ("val", "views"))
    others = [name for name, there in (("validation images", val), ("augmented copies", views)) if there]
    return (
        f"Best first, in the order of the final choice, which counts {enumerated(others)} too: "
        "another template may have the best training score."
    )


def cost_text(dollars: float | None) -> str:
    """Return a cost in words; None for an unknown one."""
    if dollars is None:
        return "unknown (no price given)"
    return f"${dollars:.4f}" if dollars else "nothing"


def left_of(limit: str, value: float) -> str:
    """Return what is left of a limit, by its name in a result: ``$0.0150``, ``1,200 tokens``."""
    if limit.startswith("cost"):
        return f"${value:.4f}"
    return f"{value:,.1f} minutes" if limit == "minutes" else f"{value:,.0f} {limit.replace('_', ' ')}"


def left_of_both(llm: Mapping[str, float], scorer: Mapping[str, float]) -> dict[str, float]:
    """Return what is left of each limit of LLM and scorer; of money that they share, what was said last.

    Money is only spent, so that is the least.
    """
    return {name: min(one[name] for one in (llm, scorer) if name in one) for name in {**llm, **scorer}}


def scorer_spent(used: UsageEvent | ApiUsage) -> str:
    """Return in words what a scorer behind an API was asked and cost."""
    parts = [counted(used.calls, "call")]
    parts += [f"{used.tokens:,} tokens"] if used.tokens else []
    parts += [f"${used.cost_usd:.4f}"] if used.cost_usd else []
    more = unreported(used.estimated_tokens, used.estimated_usd, ", and ")
    return f"scorer: {', '.join(parts)}{more}"
