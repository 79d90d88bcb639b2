"""What words are worth, learnt from all that a restart has scored: ridge regression.

The features of a template are its words and its pairs of neighbours, slots included, so that "of {}" and
"{} of" are told apart. The kernel form is solved, whose size is the number of templates and not of words.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..memory import Memory
from ..scored import Scored

MOST_TEMPLATES = 800
"""Templates that are learnt from: the better half of them the best, the others spread over the rest."""
RIDGE = 2.0
"""Pull towards the mean, in features: of this many words in common half is believed."""
_LARGE = 1e100
_ARTICLES = frozenset({"a", "an", "the"})


def features(text: str) -> frozenset[str]:
    """Return the words of a template and its pairs of neighbours, without articles and marks."""
    words = [word for part in text.casefold().split() if (word := part.strip(".,;:!?\"'")) not in _ARTICLES]
    return frozenset(words) | {f"{one} {other}" for one, other in itertools.pairwise(words)}


class Prediction(NamedTuple):
    """What a template would score.

    Attributes:
        value: The best guess.
        doubt: Its standard deviation: large where the words were not tried, or only together with others.
    """

    value: float
    doubt: float


class WordEffects:
    """Predicts what templates score.

    Args:
        memory: What is learnt from; not empty.
    """

    def __init__(self, memory: Memory) -> None:
        learnt = _spread(list(memory), MOST_TEMPLATES)
        rows = [features(entry.text) for entry in learnt]
        self._places = {name: place for place, name in enumerate(sorted(frozenset().union(*rows)))}
        values = np.array([entry.value for entry in learnt])
        # Squares of numbers beyond this are beyond all numbers.
        largest = float(np.abs(values).max())
        self._unit = largest if largest > _LARGE else 1.0
        values = values / self._unit
        self._mean = float(values.mean())
        self._given = self._matrix(rows)  # [templates, features]
        self._inverse = np.linalg.inv(self._given @ self._given.T + RIDGE * np.eye(len(rows)))
        self._weights = self._given.T @ self._inverse @ (values - self._mean)  # [features]
        # What one word is worth, as a spread: that of all scores, dealt out to the words of a template.
        self._a_word = float(values.std()) / max(float(self._given.sum(axis=1).mean()), 1.0) ** 0.5

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """Return what each would score; rounded, so that no order hangs on a machine's last digits."""
        if not texts:
            return []
        rows = [features(text) for text in texts]
        new = self._matrix(rows)
        shared = new @ self._given.T  # [texts, templates]: features in common
        known = np.einsum("tn,nm,tm->t", shared, self._inverse, shared)
        unknown = np.maximum([len(row) for row in rows] - known, 0.0)
        spread = self._a_word * np.sqrt(unknown)
        return [
            Prediction(
                round((self._mean + float(value)) * self._unit, 6), round(float(doubt) * self._unit, 6)
            )
            for value, doubt in zip(new @ self._weights, spread, strict=True)
        ]

    def _matrix(self, rows: Sequence[Iterable[str]]) -> npt.NDArray[np.float64]:
        matrix = np.zeros((len(rows), len(self._places)))
        for place, row in enumerate(rows):
            known = [self._places[name] for name in row if name in self._places]
            matrix[place, known] = 1.0
        return matrix


def _spread(ranked: Sequence[Scored], most: int) -> Sequence[Scored]:
    if len(ranked) <= most:
        return ranked
    best, rest = ranked[: most // 2], ranked[most // 2 :]
    wanted = most - len(best)
    return [*best, *(rest[step * len(rest) // wanted] for step in range(wanted))]
