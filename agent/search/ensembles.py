"""Which templates to average: greedy forward selection, with replacement, by what a search may see.

It begins with the first few of the ranking, and as long as another template makes the average better on the
training and validation images, the best such one joins; a template may join again and weighs more then. The
start keeps it from what few images would make of a single pick; docs/method.md has figures. Where labels are
voted on, templates join in pairs: one vote more seldom turns a decision.

The method is that of *Ensemble Selection from Libraries of Models* (Caruana et al., ICML 2004).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import combinations_with_replacement

from ...evaluator.scoring import Score, SplitScores
from .selection import pooled

CANDIDATES = 20
"""The best of the ranking, of which one may join; each costs one averaged classifier a round."""
VOTERS = 10
"""The same where two join: each pair of them is counted."""
MOST = 8
"""The most templates of an ensemble, unless more are asked for."""

Measure = Callable[[Sequence[tuple[str, ...]]], Awaitable[Sequence[SplitScores | None]]]
"""Scores ensembles on train and val; None for what cannot be measured."""
_Key = tuple[float, float]


async def grown(
    ranked: Sequence[str], measure: Measure, *, start: int, sizes: Mapping[str, int], in_pairs: bool = False
) -> tuple[str, ...] | None:
    """Return the templates of an ensemble, the best of the ranking first; None where none can be measured.

    Args:
        ranked: Templates, best first.
        measure: What scores ensembles.
        start: How many it begins with; one of a single template is not grown.
        sizes: Images in ``train`` and ``val``.
        in_pairs: Whether two templates join at a time.
    """
    joining = _pairs(ranked[:VOTERS]) if in_pairs else [(one,) for one in ranked[:CANDIDATES]]
    chosen = tuple(ranked[:start])
    if len(chosen) < 2:
        return chosen
    (now,) = _keys(await measure([chosen]), sizes)
    if now is None:
        return None
    while len(chosen) + len(joining[0]) <= MOST:
        larger = [(*chosen, *more) for more in joining]
        keys = _keys(await measure(larger), sizes)
        found = [(key, -place) for place, key in enumerate(keys) if key is not None]
        if not found or max(found)[0] <= now:
            break
        now, place = max(found)
        chosen = larger[-place]
    return chosen


def _pairs(candidates: Sequence[str]) -> list[tuple[str, ...]]:
    return list(combinations_with_replacement(candidates, 2))


def _keys(found: Sequence[SplitScores | None], sizes: Mapping[str, int]) -> list[_Key | None]:
    return [None if one is None else _key(one, sizes) for one in found]


def _key(one: SplitScores, sizes: Mapping[str, int]) -> _Key | None:
    """Return what an ensemble is compared by: its pooled share, then that on train."""
    if one.train is None:
        return None
    return pooled(Score(train=one.train, val=one.val), sizes), one.train
