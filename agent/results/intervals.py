"""95 % intervals for the difference between two shares of the same images.

Tango's score interval for paired proportions (Statistics in Medicine 17, 1998, 891-908) covers most evenly
what it should, with few images and where few decisions differ: ``benchmarks/coverage.py`` compares it with
others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from statistics import NormalDist

from .result import Interval

Z = 1.959963984540054
"""The normal quantile of 97.5 %."""
FAMILY = 0.05
"""Probability of a false "better" in a verdict, and of a false "worse"."""
_HALVINGS = 50


def paired(better: int, worse: int, images: int, *, z: float = Z) -> Interval:
    """Return Tango's interval for the difference of two accuracies on the same images, as shares of 1.

    Args:
        better: Images that only the first classifies correctly.
        worse: Images that only the second classifies correctly.
        images: All images, at least 1.
        z: The normal quantile of its confidence.

    Raises:
        ValueError: The counts do not fit together.
    """
    if images < 1 or min(better, worse) < 0 or better + worse > images:
        raise ValueError(f"{better} and {worse} of {images} images are not the counts of a comparison")
    seen = (better - worse) / images

    def score(difference: float) -> float:
        return _score(better, worse, images, difference)

    return _crossing(score, -1.0, seen, z), _crossing(score, seen, 1.0, -z)


def unpaired(first: float, second: float, images: int, others: int | None = None) -> Interval:
    """Return Newcombe's interval (method 10, 1998) for the difference of two accuracies.

    It takes the two for independent. On the same images they agree more than that, so it is wider than
    necessary: for custom scorers without decisions image by image.

    Args:
        first: One accuracy, as a share of 1.
        second: The other.
        images: Images that the first was measured on.
        others: Images that the second was measured on; None for as many.
    """
    low_1, high_1 = wilson(first, images)
    low_2, high_2 = wilson(second, images if others is None else others)
    difference = first - second
    return (
        difference - math.hypot(first - low_1, high_2 - second),
        difference + math.hypot(high_1 - first, second - low_2),
    )


def wilson(share: float, images: int) -> Interval:
    """Return Wilson's interval for one accuracy, as a share of 1.

    Args:
        share: The accuracy that was seen.
        images: Images that it was measured on, at least 1.
    """
    square = Z * Z / images
    middle = (share + square / 2) / (1 + square)
    half = Z * math.sqrt(share * (1 - share) / images + square / (4 * images)) / (1 + square)
    return middle - half, middle + half


def certain(scores: Mapping[str, float], *, family: float = FAMILY) -> set[str]:
    """Return which of several differences are significant together.

    Several comparisons are several chances to be wrong. Holm's step-down rule keeps the probability of a
    false claim in one direction, "better" or "worse", within ``family``; besides, no difference is claimed
    whose own interval contains 0.

    Args:
        scores: The score statistic of each difference, against 0.
        family: The probability.
    """
    found: set[str] = set()
    for direction in (1.0, -1.0):
        ordered = sorted(scores, key=lambda name: -direction * scores[name])
        for place, name in enumerate(ordered):
            needed = NormalDist().inv_cdf(1 - family / (len(ordered) - place))
            if direction * scores[name] <= max(needed, Z):
                break
            found.add(name)
    return found


def _score(better: int, worse: int, images: int, difference: float) -> float:
    """Return the score statistic of a supposed difference, its nuisance share fitted under it."""
    a = 2 * images
    b = (2 * images - better + worse) * difference - better - worse
    c = -worse * difference * (1 - difference)
    share = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = images * (2 * share + difference * (1 - difference))
    distance = better - worse - images * difference
    if variance <= 0.0:
        return math.copysign(math.inf, distance) if distance else 0.0
    return distance / math.sqrt(variance)


def _crossing(falling: Callable[[float], float], low: float, high: float, level: float) -> float:
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > level else (low, middle)
    return (low + high) / 2
