"""Choosing from what was scored: by a stated rule, never by the test split.

The rule, in order:

1. the objective, on the training and validation images pooled: few-shot accuracy is coarse, and the
   validation images are evidence not yet used up. Where altered views of these images were scored too
   (``accuracy`` and ``class_mean`` alone), the mean of that and of the objective on the views: what is right
   about an image in another cut and light as well is less by chance so. Each split counts with the number of
   its images. For accuracy, logprob and margin, which are means over images, this is the mean over all of
   them. For class_mean it is the mean over the classes of all of them where every class has equally many
   images in a split, as in few-shot ones; where it has not, the splits still count by their sizes, and the
   classes alike within each;
2. the objective on train, which decides where the pooled value is equal;
3. fewer words: of two templates that do equally well, the plainer one;
4. a hash of the seed and the text: as good as a coin, and the same coin every time.

Where the objective was not computed on val for one of the templates, val counts for none, and so it is with
views: values on different images are not compared. Spellings of one template (equal ``Template.key``) are one
entry, the best of them by this rule.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from operator import itemgetter

from ...evaluator.scoring import COUNTED, Objective, Score
from ..position import Position
from .scored import Scored


def pooled(score: Score, sizes: Mapping[str, int], objective: Objective = "accuracy") -> float:
    """Return the objective on the images of train and val taken together; on train where it has no val."""
    train, val = score.value(objective), score.val_value(objective)
    n_train, n_val = sizes.get("train", 0), sizes.get("val", 0)
    if not n_val or not n_train or val is None:
        return train
    # Rounded, so that equal counts are equal numbers whichever way they were divided.
    return round((train * n_train + val * n_val) / (n_train + n_val), 9)


def select(
    found: Iterable[Scored], *, sizes: Mapping[str, int], objective: Objective = "accuracy", seed: int = 0
) -> list[Scored]:
    """Return all templates in the order of the rule, best first, one entry a template.

    Args:
        found: In any order; the answer does not depend on it.
        sizes: Images in ``train`` and ``val``.
        objective: What the search restarts.
        seed: Decides what the rule leaves open.
    """
    entries = list(found)
    pools = all(entry.score.val_value(objective) is not None for entry in entries)
    views = objective in COUNTED and all(entry.score.views is not None for entry in entries)

    def rank(entry: Scored) -> tuple[float, float, int, str]:
        first = pooled(entry.score, sizes, objective) if pools else entry.value
        if views:
            first = _with_views(first, entry.score)
        coin = hashlib.sha256(f"{seed}\0{entry.text}".encode()).hexdigest()
        return (-first, -entry.value, len(entry.text.split()), coin)

    # A crowd finds most templates many times. Sorting holds the interpreter, so it is left those that stay.
    best: dict[str, tuple[tuple[float, float, int, str, Position], Scored]] = {}
    for entry in entries:
        place = (*rank(entry), entry.position)
        held = best.get(entry.key)
        if held is None or place < held[0]:
            best[entry.key] = place, entry
    return [entry for _, entry in sorted(best.values(), key=itemgetter(0))]


def _with_views(first: float, score: Score) -> float:
    """Return the mean of a share of images and that of their views, rounded as in ``pooled``."""
    return first if score.views is None else round((first + score.views) / 2, 9)
