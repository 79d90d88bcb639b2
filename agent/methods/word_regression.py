"""Predict scores from words by kernel ridge regression over all that a restart has scored.

The features of a candidate are its words and its pairs of neighbours, slots included, so that "of {}" and
"{} of" differ.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from .memory import Entry, Memory

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MOST_TEMPLATES = 800
"""Maximum candidates to learn from: half are the best, the others are spread over the rest."""
RIDGE = 2.0
"""Shrinkage towards the mean, in features: an effect seen with this many shared words counts half."""
_LARGE = 1e100
_ARTICLES = frozenset({"a", "an", "the"})


@lru_cache(maxsize=4096)
def features(text: str) -> frozenset[str]:
    """Return the words of a candidate and its pairs of neighbours, without articles and punctuation."""
    words = [word for part in text.casefold().split() if (word := part.strip(".,;:!?\"'")) not in _ARTICLES]
    return frozenset(words) | {f"{one} {other}" for one, other in itertools.pairwise(words)}


class Prediction(NamedTuple):
    """A predicted score and its standard deviation; large for words untried or only tried together."""

    value: float
    doubt: float


def predict(memory: Memory, texts: Sequence[str]) -> list[Prediction]:
    """Predict each text's score from a memory that is not empty.

    Values are rounded, so that no order depends on floating-point differences between machines.
    """
    if not texts:
        return []
    import numpy as np  # takes longer to import than everything else that ``--help`` needs

    learnt = _spread(list(memory), MOST_TEMPLATES)
    rows = [features(entry.text) for entry in learnt]
    places = {name: place for place, name in enumerate(sorted(frozenset().union(*rows)))}
    values = np.array([entry.value for entry in learnt])
    # Squares of larger numbers would overflow.
    largest = float(np.abs(values).max())
    unit = largest if largest > _LARGE else 1.0
    values = values / unit
    mean = float(values.mean())
    seen = _matrix(rows, places)  # [learnt, features]
    inverse = np.linalg.inv(seen @ seen.T + RIDGE * np.eye(len(rows)))
    weights = seen.T @ inverse @ (values - mean)  # [features]
    # The spread of one word's effect: that of all scores, shared among the words of a candidate.
    word_spread = float(values.std()) / max(float(seen.sum(axis=1).mean()), 1.0) ** 0.5
    asked = [features(text) for text in texts]
    new = _matrix(asked, places)
    shared = new @ seen.T  # [texts, learnt]: features in common
    known = np.einsum("tn,nm,tm->t", shared, inverse, shared)
    unknown = np.maximum([len(row) for row in asked] - known, 0.0)
    return [
        Prediction(round((mean + float(value)) * unit, 6), round(float(doubt) * unit, 6))
        for value, doubt in zip(new @ weights, word_spread * np.sqrt(unknown), strict=True)
    ]


def _matrix(rows: Sequence[Iterable[str]], places: Mapping[str, int]) -> npt.NDArray[np.float64]:
    import numpy as np

    matrix = np.zeros((len(rows), len(places)))
    for place, row in enumerate(rows):
        matrix[place, [places[name] for name in row if name in places]] = 1.0
    return matrix


def _spread(ranked: Sequence[Entry], most: int) -> Sequence[Entry]:
    if len(ranked) <= most:
        return ranked
    best, rest = ranked[: most // 2], ranked[most // 2 :]
    wanted = most - len(best)
    return [*best, *(rest[step * len(rest) // wanted] for step in range(wanted))]
