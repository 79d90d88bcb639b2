"""Measure the gain on the test images: differences with intervals, and the chance level."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist
from typing import Any

from ...evaluator.counts import enumerated
from ...evaluator.scoring import BARE_NAME, BASELINE_DEFAULT, HAND_MADE
from ...prompts.kinds import CandidateNoun
from .accuracies import (
    BEST_HAND_MADE,
    BEST_STARTING,
    ORIGINAL_NAMES,
    Difference,
    Interval,
    baseline_name,
)
from .details import BEST, ENSEMBLE
from .result import Gain, GroupAccuracies, SearchResult, are_shares, with_best_hand_made

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
        z: The normal quantile of the confidence.
    """
    if images < 1 or min(better, worse) < 0 or better + worse > images:
        raise ValueError(f"{better} and {worse} of {images} images are not the counts of a comparison")
    observed = (better - worse) / images

    def score(difference: float) -> float:
        return _score(better, worse, images, difference)

    return _crossing(score, -1.0, observed, z), _crossing(score, observed, 1.0, -z)


def unpaired(first: float, second: float, images: int) -> Interval:
    """Return Newcombe's interval (method 10, 1998) for the difference of two accuracies, as shares of 1.

    It assumes independence, so it is wider than necessary on the same images.
    """
    low_1, high_1 = wilson(first, images)
    low_2, high_2 = wilson(second, images)
    difference = first - second
    return (
        difference - math.hypot(first - low_1, high_2 - second),
        difference + math.hypot(high_1 - first, second - low_2),
    )


def wilson(share: float, images: int) -> Interval:
    """Return Wilson's interval for an accuracy over at least one image, as shares of 1."""
    square = Z * Z / images
    middle = (share + square / 2) / (1 + square)
    half = Z * math.sqrt(share * (1 - share) / images + square / (4 * images)) / (1 + square)
    return max(middle - half, 0.0), min(middle + half, 1.0)  # rounding may lead out, as in "-0.0"


def significant(statistics: Mapping[str, float], *, family: float = FAMILY) -> set[str]:
    """Return which of several differences are significant together, given their score statistics.

    Holm's step-down rule keeps the probability of a false claim in one direction, "better" or "worse", within
    ``family``. No difference is claimed whose own interval contains 0.
    """
    claimed: set[str] = set()
    for direction in (1.0, -1.0):
        ordered = sorted(statistics, key=lambda name: -direction * statistics[name])
        for rank, name in enumerate(ordered):
            needed = NormalDist().inv_cdf(1 - family / (len(ordered) - rank))
            if direction * statistics[name] <= max(needed, Z):
                break
            claimed.add(name)
    return claimed


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


COMPARED = (ORIGINAL_NAMES, BASELINE_DEFAULT, BARE_NAME, BEST_HAND_MADE, BEST_STARTING)
"""The baselines that ``best`` is compared with."""
_OF_IMAGES = ("accuracy", "class_mean")
"""Objectives that are shares of images; others may lie between 0 and 1 too."""


def gain_of(
    groups: Mapping[str, GroupAccuracies],
    hits: Mapping[str, Sequence[bool]],
    *,
    images: int,
    words: CandidateNoun,
    renamed: bool = False,
) -> Gain | None:
    """Return the gain over baselines chosen without test; None if scores are unknown or not shares.

    Args:
        groups: ``best``, baselines, and ``ensemble`` if it is comparable with ``best``, by name.
        hits: Whether each test image is classified correctly, of the groups for which that is known.
        images: Number of test images.
        words: Name the candidates.
        renamed: ``best`` is measured with new class names, so that it is no baseline itself.
    """
    compared = with_best_hand_made(groups)
    if BEST_HAND_MADE not in groups and HAND_MADE in hits:
        hits = {**hits, BEST_HAND_MADE: hits[HAND_MADE]}

    def difference(first: str, second: str) -> Difference | None:
        share, other = compared[first].test, compared[second].test
        if share is None or other is None or images < 1 or not are_shares((share, other)):
            return None
        same = compared[first].templates == compared[second].templates and not renamed
        if first in hits and second in hits:
            pairs = list(zip(hits[first], hits[second], strict=True))
            better, worse = pairs.count((True, False)), pairs.count((False, True))
            interval = (0.0, 0.0) if same else paired(better, worse, len(pairs))
            share = (better - worse) / len(pairs)
            return _difference(share, interval, images=len(pairs), better=better, worse=worse)
        if same:
            return _difference(0.0, (0.0, 0.0), images=images)
        return _difference(share - other, unpaired(share, other, images), paired=False, images=images)

    over = {
        name: gap for name in COMPARED if name in compared and (gap := difference(BEST, name)) is not None
    }
    if not over:
        return None
    of_ensemble = difference(ENSEMBLE, BEST) if ENSEMBLE in groups else None
    templates = {name: compared[name].templates for name in COMPARED if name in compared}
    verdict = _verdict(over, templates, of_ensemble, words)
    return Gain(over=over, ensemble=of_ensemble, verdict=verdict)


def _difference(share: float, interval: Interval, *, paired: bool = True, **more: Any) -> Difference:
    low, high = (round(100 * edge, 4) for edge in interval)
    return Difference(points=round(100 * share, 4), interval=(low, high), paired=paired, **more)


def _verdict(
    over: Mapping[str, Difference],
    templates: Mapping[str, tuple[str, ...]],
    ensemble: Difference | None,
    words: CandidateNoun,
) -> str:
    """Return one sentence that says "better" and "worse" only of significant differences."""
    alone, named = "the best alone", _by_name(over, templates, words)
    start = next(
        (title for title in named if title.startswith(f"the {baseline_name(BEST_STARTING, words)}")), ""
    )
    claimed = significant_of(named if ensemble is None else {**named, alone: ensemble})
    same = [name for name, difference in named.items() if difference.same_template]
    clauses = [_claim(difference, name) for name, difference in named.items() if name in claimed]
    unsure = [name for name in named if name not in claimed and name not in same]
    clauses += [_unsure(named[name], name) for name in unsure]
    if baselines := [name for name in same if name != start]:
        clauses.append(f"the same {words.noun} as {enumerated(baselines)}")
    if start in same:
        clauses.append(f"no new {words.noun} beat {start}")
    if ensemble is not None and alone in claimed:
        clauses.append(f"the ensemble {_claim(ensemble, alone)}")
    if not all(difference.paired for difference in named.values()):
        clauses.append("intervals are not paired, as the scorer does not give decisions image by image")
    return "; ".join(clauses)


def _by_name(
    over: Mapping[str, Difference], templates: Mapping[str, tuple[str, ...]], words: CandidateNoun
) -> dict[str, Difference]:
    """Return differences by the baseline's name in a sentence; one template gets one name."""
    # Without its new names, the best template may be a baseline itself.
    original = templates[ORIGINAL_NAMES] if ORIGINAL_NAMES in over else None
    shown = [name for name in over if name == ORIGINAL_NAMES or templates[name] != original]
    names_by_templates: dict[tuple[str, ...], list[str]] = {}
    for name in sorted(shown, key=lambda name: name == BEST_STARTING):
        names_by_templates.setdefault(templates[name], []).append(name)
    named = {}
    for names in names_by_templates.values():
        # "No new template beat the best starting template" says more than the same of a baseline.
        first, *others = sorted(names, key=lambda name: name != BEST_STARTING)
        titles = [f"the {baseline_name(other, words)}" for other in others]
        also = f", which is {enumerated(titles)}" if others else ""
        named[f"the {baseline_name(first, words)}{also}"] = over[first]
    return named


def _claim(difference: Difference, name: str) -> str:
    low, high = difference.interval
    better = difference.points >= 0.0
    low, high = (low, high) if better else (-high, -low)
    size = f"{abs(difference.points):.1f} points {'better' if better else 'worse'}"
    return f"{size} than {name} ({low:.1f} to {high:.1f})"


def _unsure(difference: Difference, name: str) -> str:
    low, high = difference.interval
    interval, size = f"({low:+z.1f} to {high:+z.1f})", f"{abs(difference.points):.1f}"
    if size == "0.0":
        return f"level with {name} {interval}"
    above = "above" if difference.points > 0.0 else "below"
    return f"{size} points {above} {name}, but that may be chance {interval}"


def significant_of(differences: Mapping[str, Difference]) -> set[str]:
    """Return the names of the differences that are significant, corrected for their number."""
    claimed = significant(
        {name: _statistic(gap) for name, gap in differences.items() if not gap.same_template}
    )
    # A claim must agree with the interval beside it.
    return {name for name in claimed if differences[name].sign}


def _statistic(difference: Difference) -> float:
    """Return a difference in standard errors under the assumption of no difference."""
    if difference.better is not None and difference.worse is not None:
        changed = difference.better + difference.worse
        return (difference.better - difference.worse) / math.sqrt(changed or 1)
    # Newcombe's interval is not symmetric, so use the edge nearer to 0.
    low, high = difference.interval
    reach = difference.points - low if difference.points > 0.0 else high - difference.points
    return Z * difference.points / reach if reach > 0.0 else 0.0


def chance_level(result: SearchResult) -> float | None:
    """Return the expected accuracy of a random class; None if it is not known."""
    classes = result.dataset.classes
    if classes < 1 or result.objective not in _OF_IMAGES or not result.has_accuracies:
        return None
    return 1 / classes


def most_frequent_share(result: SearchResult) -> float | None:
    """Return the test accuracy of always naming the most frequent class.

    None if it does not exceed the chance level, or the images per class are not known.
    """
    chance, inspection = chance_level(result), result.inspection
    if chance is None or inspection is None or inspection.split != "test":
        return None
    images = [by_class.images for by_class in inspection.classes]
    most = max(images, default=0) / (sum(images) or 1)
    return most if most > chance else None


def accuracy_without_images(result: SearchResult) -> float | None:
    """Return the higher of the chance level and the share of the most frequent class; None if unknown."""
    return most_frequent_share(result) or chance_level(result)


def may_be_chance(result: SearchResult, test: float | None) -> bool:
    """Return whether a test accuracy of this result may be no better than chance."""
    share = accuracy_without_images(result)
    return test is not None and share is not None and is_no_better(test, result.dataset.sizes.test, share)


def is_no_better(test: float, images: int, share: float) -> bool:
    """Return whether an accuracy over so many images may be no better than a share."""
    return images > 0 and 0.0 <= test <= 1.0 and wilson(test, images)[0] <= share
