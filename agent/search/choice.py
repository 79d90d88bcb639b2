"""Choosing from what was scored: the order of candidates, and the ensemble; never by the test split.

The order, by rule:

1. the objective, on the training and validation images pooled: few-shot accuracy is coarse, and the
   validation images are evidence not yet used up. Where augmented copies of these images were scored too
   (``accuracy`` and ``class_mean`` only), the mean of that and of the objective on the copies: what is right
   about an image in another crop and light as well is less by chance. Each split counts with the number of
   its images. For accuracy, logprob and margin, which are means over images, this is the mean over all of
   them. For class_mean it is the mean over the classes of all of them where every class has equally many
   images in a split, as in few-shot ones; where it has not, the splits still count by their sizes, and the
   classes alike within each;
2. the objective on train, which decides where the pooled value is equal;
3. fewer words: of two candidates that do equally well, the plainer one;
4. a hash of the seed and the text: as good as a coin, and the same coin every time.

Where the objective was not computed on val for one of the candidates, val counts for none, and likewise the
copies: values on different images are not compared. Spellings of one candidate (equal keys) are one entry,
the best of them by this rule.

The ensemble is greedy forward selection with replacement (*Ensemble Selection from Libraries of Models*,
Caruana et al., ICML 2004). It begins with the first few of the order, and as long as another candidate makes
the average better on the training and validation images, the best such one joins; one may join again and
weighs more then. The start keeps it from overfitting a single pick to few images; docs/method.md has figures.
Where labels are voted on, candidates join in pairs: one vote more seldom turns a decision.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import combinations_with_replacement
from operator import itemgetter

from ...evaluator.scoring import COUNTED, Objective, Score, SplitScores
from ..methods.memory import Entry
from ..position import Position

CANDIDATES = 20
"""The best of the ranking, of which one may join; each costs one averaged classifier a round."""
VOTERS = 10
"""The same where two join: each pair of them is counted."""
MOST = 8
"""The most templates of an ensemble, unless more are asked for."""

Measure = Callable[[Sequence[tuple[str, ...]]], Awaitable[Sequence[SplitScores | None]]]
"""Scores ensembles on train and val; None for what cannot be measured."""


def pooled(score: Score, sizes: Mapping[str, int], objective: Objective = "accuracy") -> float:
    """Return the objective on the images of train and val taken together; on train where it has no val."""
    train, val = score.value(objective), score.val_value(objective)
    n_train, n_val = sizes.get("train", 0), sizes.get("val", 0)
    if not n_val or not n_train or val is None:
        return train
    # Rounded, so that equal counts are equal numbers whichever way they were divided.
    return round((train * n_train + val * n_val) / (n_train + n_val), 9)


def select(
    found: Iterable[Entry],
    *,
    sizes: Mapping[str, int],
    objective: Objective = "accuracy",
    seed: int = 0,
) -> list[Entry]:
    """Return all candidates in the order of the rule, best first, one entry a candidate.

    Args:
        found: In any order; the answer does not depend on it.
        sizes: Images in ``train`` and ``val``.
        objective: What is maximised.
        seed: Decides what the rule leaves open.
    """
    entries = list(found)
    pools = all(entry.score.val_value(objective) is not None for entry in entries)
    views = objective in COUNTED and all(entry.score.views is not None for entry in entries)

    def rank(entry: Entry) -> tuple[float, float, int, str]:
        first = pooled(entry.score, sizes, objective) if pools else entry.value
        if views:
            first = _with_views(first, entry.score)
        coin = hashlib.sha256(f"{seed}\0{entry.text}".encode()).hexdigest()
        return (-first, -entry.value, len(entry.text.split()), coin)

    # Many restarts find most candidates many times. Sorting holds the interpreter, so it gets few of them.
    best: dict[str, tuple[tuple[float, float, int, str, Position], Entry]] = {}
    for entry in entries:
        place = (*rank(entry), entry.position)
        held = best.get(entry.key)
        if held is None or place < held[0]:
            best[entry.key] = place, entry
    return [entry for _, entry in sorted(best.values(), key=itemgetter(0))]


def _with_views(first: float, score: Score) -> float:
    # Rounded as in ``pooled``.
    return first if score.views is None else round((first + score.views) / 2, 9)


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
    joining: list[tuple[str, ...]] = [(one,) for one in ranked[:CANDIDATES]]
    if in_pairs:
        joining = list(combinations_with_replacement(ranked[:VOTERS], 2))
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


def _keys(found: Sequence[SplitScores | None], sizes: Mapping[str, int]) -> list[tuple[float, float] | None]:
    """Return what ensembles are compared by: their pooled shares, then those on train."""
    return [
        None
        if one is None or one.train is None
        else (pooled(Score(train=one.train, val=one.val), sizes), one.train)
        for one in found
    ]
