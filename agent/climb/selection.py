"""Choosing from what was scored: by a stated rule, never by the test split.

The rule, in order:

1. the objective. For accuracy this is the share of training and validation images told right, both splits
   pooled: few-shot accuracy is coarse, and the validation images are evidence that the climb has not used up;
2. training accuracy (or the objective on train), which decides where the pooled share is equal;
3. fewer words: of two templates that do equally well, the plainer one;
4. a hash of the seed and the text: as good as a coin, and the same coin every time.

Spellings of one template (equal ``Template.key``) are one entry, the best of them by this rule.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ...evaluator.scoring import Objective, Score


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A template with its score, and where it first came up.

    Attributes:
        template: Its text.
        key: Its normal form.
        score: What the evaluator said.
        climb: Number of the climb, from 1.
        reset: Number of the conversation, from 1; 0 for the initial templates.
        iteration: Number of the turn, from 1; 0 for the initial templates.
    """

    template: str
    key: str
    score: Score
    climb: int
    reset: int
    iteration: int

    @property
    def initial(self) -> bool:
        """Whether it is one of the initial templates."""
        return self.reset == 0

    @property
    def position(self) -> tuple[int, int, int]:
        """Where it came up, for ordering."""
        return (self.climb, self.reset, self.iteration)


def pooled(score: Score, sizes: Mapping[str, int]) -> float:
    """Share of the images of train and val, taken together, that were told right."""
    n_val = sizes.get("val", 0) if score.val is not None else 0
    n_train = sizes.get("train", 0)
    if not n_val or not n_train or score.val is None:
        return score.train
    # Rounded, so that equal counts are equal numbers whichever way they were divided.
    return round((score.train * n_train + score.val * n_val) / (n_train + n_val), 9)


def as_fraction(value: float, objective: Objective) -> float:
    """What the LLM is told of a value: accuracies as they are, others in [0, 1] and in the same order."""
    if objective == "logprob":
        return math.exp(min(value, 0.0))
    if objective == "margin":
        return 0.5 * (1 + math.tanh(value / 2))
    return value


def select(
    found: Iterable[Scored], *, sizes: Mapping[str, int], objective: Objective = "accuracy", seed: int = 0
) -> list[Scored]:
    """All templates in the order of the rule, best first, one entry a template.

    Args:
        found: In any order; the answer does not depend on it.
        sizes: Images in ``train`` and ``val``.
        objective: What the search climbs.
        seed: Decides what the rule leaves open.
    """

    def rank(entry: Scored) -> tuple[float, float, int, str]:
        value = entry.score.value(objective)
        first = pooled(entry.score, sizes) if objective == "accuracy" else value
        coin = hashlib.sha256(f"{seed}\0{entry.template}".encode()).hexdigest()
        return (-first, -value, len(entry.template.split()), coin)

    best: dict[str, Scored] = {}
    ordered = sorted(found, key=lambda entry: (*rank(entry), entry.position))
    for entry in ordered:
        best.setdefault(entry.key, entry)
    return list(best.values())
