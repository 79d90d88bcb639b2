"""What is maximised, in words for the LLM: one entry an objective, and its values as they are written.

An accuracy is written in percent; a log-probability and a margin are no shares of anything, and stay the
numbers that they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from .template import SLOT

_MOST_FURTHER_DIGITS = 3
_SORTS = (
    "A vision model sorts pictures by comparing each of them with captions. Every caption comes from one "
    f"template, in which the slot {SLOT} is replaced by the name of a class. "
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """An objective as the LLM is told of it.

    Attributes:
        goal: What is looked for.
        outcomes: Stands above what became of proposals.
        factor: What a value is multiplied by before it is written.
        digits: Digits after the point, where no more are needed to set two values apart.
        unit: Stands after the number.
    """

    goal: str
    outcomes: str
    factor: float = 1.0
    digits: int = 3
    unit: str = ""

    @property
    def task(self) -> str:
        """What the black box does, and what is looked for."""
        return _SORTS + self.goal

    def written(self, value: float, apart_from: float | None = None) -> str:
        """Write a value, with as many digits (at most three more) as set it apart from another one."""
        digits = self.digits
        while apart_from is not None and apart_from != value and digits < self.digits + _MOST_FURTHER_DIGITS:
            if self._number(value, digits) != self._number(apart_from, digits):
                break
            digits += 1
        return self._number(value, digits) + self.unit

    def _number(self, value: float, digits: int) -> str:
        return f"{self.factor * value:.{digits}f}"


MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        "accuracy": Measure(
            goal="How many pictures are sorted correctly depends on the words around the slot, and we are "
            "looking for the words that sort most of them correctly.",
            outcomes="This is what your templates did to the share sorted correctly:",
            factor=100,
            digits=1,
            unit=" %",
        ),
        "class_mean": Measure(
            goal="How many pictures of a class are sorted correctly depends on the words around the slot, "
            "and we are looking for the words that sort most of them correctly, in the mean over classes.",
            outcomes="This is what your templates did to the mean over classes of what is sorted correctly:",
            factor=100,
            digits=1,
            unit=" %",
        ),
        "logprob": Measure(
            goal="How probable the model finds a picture's own class depends on the words around the slot, "
            "and we are looking for the words with the highest mean log-probability of it: the nearer to 0, "
            "the better.",
            outcomes="This is what your templates did to the mean log-probability of a picture's own class:",
        ),
        "margin": Measure(
            goal="How far a picture's own class is ahead of the best other one depends on the words around "
            "the slot, and we are looking for the words with the highest mean margin: below 0 the other one "
            "is ahead.",
            outcomes="This is what your templates did to the mean margin of a picture's own class:",
        ),
    }
)
"""By the objective's name."""
