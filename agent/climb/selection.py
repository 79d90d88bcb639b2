"""Choosing from what was scored: by a stated rule, never by the test split.

The rule, in order:

1. the objective. For accuracy this is the share of training and validation images correctly classified, both
   splits pooled: few-shot accuracy is coarse, and the validation images are evidence not yet used up;
2. training accuracy (or the objective on train), which decides where the pooled share is equal;
3. fewer words: of two templates that do equally well, the plainer one;
4. a hash of the seed and the text: as good as a coin, and the same coin every time.

Spellings of one template (equal ``Template.key``) are one entry, the best of them by this rule.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping

from ...evaluator.scoring import Objective, Score
from .scored import Scored


def pooled(score: Score, sizes: Mapping[str, int]) -> float:
    """Return the share of the images of train and val, taken together, that were correctly classified."""
    n_val = sizes.get("val", 0) if score.val is not None else 0
    n_train = sizes.get("train", 0)
    if not n_val or not n_train or score.val is None:
        return score.train
    # Rounded, so that equal counts are equal numbers whichever way they were divided.
    return round((score.train * n_train + score.val * n_val) / (n_train + n_val), 9)


def as_fraction(value: float, objective: Objective) -> float:
    """Return what the LLM is told of a value: an accuracy as it is, others in [0, 1] in the same order."""
    if objective == "logprob":
        return math.exp(min(value, 0.0))
    if objective == "margin":
        return 0.5 * (1 + math.tanh(value / 2))
    return value


def select(
    found: Iterable[Scored], *, sizes: Mapping[str, int], objective: Objective = "accuracy", seed: int = 0
) -> list[Scored]:
    """Return all templates in the order of the rule, best first, one entry a template.

    Args:
        found: In any order; the answer does not depend on it.
        sizes: Images in ``train`` and ``val``.
        objective: What the search climbs.
        seed: Decides what the rule leaves open.
    """

    def rank(entry: Scored) -> tuple[float, float, int, str]:
        first = pooled(entry.score, sizes) if objective == "accuracy" else entry.value
        coin = hashlib.sha256(f"{seed}\0{entry.text}".encode()).hexdigest()
        return (-first, -entry.value, len(entry.text.split()), coin)

    best: dict[str, Scored] = {}
    ordered = sorted(found, key=lambda entry: (*rank(entry), entry.position))
    for entry in ordered:
        best.setdefault(entry.key, entry)
    return list(best.values())
