"""The gain on the test images: differences with intervals, the verdict, and the chance level."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from ...evaluator.counts import enumerated
from ...evaluator.pico.models import TOY_MODEL
from ...evaluator.scoring import BASELINE_DEFAULT, HAND_MADE
from ...prompts.kinds import TEMPLATE
from .details import BEST, Decisions, Details, agrees
from .figures import has_accuracies
from .result import Difference, Gain, Interval, SearchResult, words_of

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
    seen = (better - worse) / images

    def score(difference: float) -> float:
        return _score(better, worse, images, difference)

    return _crossing(score, -1.0, seen, z), _crossing(score, seen, 1.0, -z)


def unpaired(first: float, second: float, images: int, others: int | None = None) -> Interval:
    """Return Newcombe's interval (method 10, 1998) for the difference of two accuracies, as shares of 1.

    It assumes independence, so it is wider than necessary on the same images. ``others`` counts
    the second's images; None for as many.
    """
    low_1, high_1 = wilson(first, images)
    low_2, high_2 = wilson(second, images if others is None else others)
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
    return middle - half, middle + half


def certain(scores: Mapping[str, float], *, family: float = FAMILY) -> set[str]:
    """Return which of several differences are significant together, given their score statistics.

    Holm's step-down rule keeps the probability of a false claim in one direction, "better" or "worse", within
    ``family``. No difference is claimed whose own interval contains 0.
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


BEST_HAND_MADE = "best hand-made"
BEST_STARTING = "best starting template"
ORIGINAL_NAMES = "original names"
ENSEMBLE = "ensemble"
_COMPARED = {
    name: f"the {name}" for name in (ORIGINAL_NAMES, BASELINE_DEFAULT, BEST_HAND_MADE, BEST_STARTING)
}
"""The baselines that ``best`` is compared with, and their names in a sentence."""
CHANCE_MARK = "†"
"""Marks an accuracy in tables that may be no better than the chance level."""
_OF_IMAGES = ("accuracy", "class_mean")
"""Objectives that are shares of images; others may lie between 0 and 1 too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupOnTest:
    """One or several templates together on the test images; None for what is not known.

    Attributes:
        names: New class names in use, sorted by class.
        test: Share of the test images classified correctly.
        hits: Whether each image is classified correctly.
        predicted: Predicted label of each image.
    """

    templates: tuple[str, ...]
    test: float | None
    hits: Sequence[bool] | None = None
    predicted: Sequence[int] | None = None
    labels: Sequence[int] | None = None
    names: tuple[tuple[str, str], ...] = ()


def gain_of(
    best: GroupOnTest,
    ensemble: GroupOnTest | None,
    baselines: Mapping[str, GroupOnTest],
    *,
    images: int,
    prompts: str = TEMPLATE,
    preferred: bool = False,
) -> Gain | None:
    """Return the gain over baselines chosen without test; None if scores are unknown or not shares.

    ``ensemble`` is None if it is not comparable with ``best``; ``prompts`` is the kind of all of them.
    ``preferred``: a new template scored higher than ``best`` on the few-shot images.
    """
    over = {
        name: found
        for name, one in _compared(baselines).items()
        if (found := _between(best, one, images)) is not None
    }
    if not over:
        return None
    together = None if ensemble is None else _between(ensemble, best, images)
    verdict = words_of(prompts).worded(_verdict(_named(over, baselines), together, preferred=preferred))
    return Gain(over=over, ensemble=together, verdict=verdict)


def _compared(baselines: Mapping[str, GroupOnTest]) -> dict[str, GroupOnTest]:
    found = {name: baselines[name] for name in _COMPARED if name in baselines}
    hand_made = baselines.get(HAND_MADE)
    # A single hand-made template is the best of its list.
    if BEST_HAND_MADE not in found and hand_made is not None and len(hand_made.templates) == 1:
        found[BEST_HAND_MADE] = hand_made
    return {name: found[name] for name in _COMPARED if name in found}


def _between(
    first: GroupOnTest, second: GroupOnTest, images: int, others: int | None = None
) -> Difference | None:
    """Return the difference of two; ``others`` is the second's number of images if it differs."""
    fewest = images if others is None else min(images, others)
    if first.test is None or second.test is None or fewest < 1:
        return None
    if not all(0.0 <= share <= 1.0 for share in (first.test, second.test)):
        return None
    same = (first.templates, first.names) == (second.templates, second.names) and others is None
    if first.hits and second.hits is not None:
        pairs = list(zip(first.hits, second.hits, strict=True))
        better, worse = sum(one > other for one, other in pairs), sum(one < other for one, other in pairs)
        interval = (0.0, 0.0) if same else paired(better, worse, len(pairs))
        points = (better - worse) / len(pairs)
        return _difference(points, interval, paired=True, images=len(pairs), better=better, worse=worse)
    if same:
        return _difference(0.0, (0.0, 0.0), paired=True, images=images)
    interval = unpaired(first.test, second.test, images, others)
    return _difference(first.test - second.test, interval, paired=False, images=fewest)


def _difference(share: float, interval: Interval, **more: Any) -> Difference:
    low, high = (round(100 * edge, 4) for edge in interval)
    return Difference(points=round(100 * share, 4), interval=(low, high), **more)


def _named(over: Mapping[str, Difference], baselines: Mapping[str, GroupOnTest]) -> dict[str, Difference]:
    """Return differences by the baseline's name in a sentence; one template gets one name."""
    compared = _compared(baselines)
    # Without its new names, the best template may be a baseline itself.
    original = compared[ORIGINAL_NAMES].templates if ORIGINAL_NAMES in over else None
    kept = [name for name in over if name == ORIGINAL_NAMES or compared[name].templates != original]
    found = {_COMPARED[name]: over[name] for name in kept}
    both_known = {BASELINE_DEFAULT, BEST_HAND_MADE} <= set(kept)
    if both_known and compared[BASELINE_DEFAULT].templates == compared[BEST_HAND_MADE].templates:
        del found[_COMPARED[BEST_HAND_MADE]]
        both = f"{_COMPARED[BASELINE_DEFAULT]}, which is {_COMPARED[BEST_HAND_MADE]} too"
        found = {both if name == _COMPARED[BASELINE_DEFAULT] else name: one for name, one in found.items()}
    return found


def _verdict(named: Mapping[str, Difference], ensemble: Difference | None, *, preferred: bool) -> str:
    """Return one sentence that says "better" and "worse" only of significant differences."""
    alone = "the best alone"
    everything = dict(named) if ensemble is None else {**named, alone: ensemble}
    same = [name for name, one in named.items() if one.same_template]
    claimed = _claimed(everything)
    parts = [_claim(one, name) for name, one in named.items() if name in claimed]
    parts += [_unsure(one, name) for name, one in named.items() if name not in claimed and name not in same]
    start = _COMPARED[BEST_STARTING]
    if others := [name for name in same if name != start or preferred]:
        parts.append(f"the same template as {enumerated(others)}")
    if start in same and not preferred:
        parts.append(f"no new template beat {start}")
    if ensemble is not None and alone in claimed:
        parts.append(f"the ensemble {_claim(ensemble, alone)}")
    if not all(one.paired for one in named.values()):
        parts.append("intervals are not paired, as the scorer does not give decisions image by image")
    return "; ".join(parts)


def surely_better(gain: Gain, name: str) -> bool:
    """Return whether the best template is better than a baseline, as surely as the verdict says it."""
    one = gain.over.get(name)
    everything = dict(gain.over) if gain.ensemble is None else {**gain.over, "": gain.ensemble}
    return one is not None and one.sign > 0 and name in _claimed(everything)


def _claimed(everything: Mapping[str, Difference]) -> set[str]:
    """Return the differences that are certain, corrected for their number."""
    found = certain({name: _statistic(one) for name, one in everything.items() if not one.same_template})
    # A claim must agree with the interval beside it.
    return {name for name in found if everything[name].sign}


def _statistic(one: Difference) -> float:
    """Return a difference in standard errors under the assumption of no difference."""
    if one.better is not None and one.worse is not None:
        return (one.better - one.worse) / math.sqrt(one.better + one.worse or 1)
    # Newcombe's interval is not symmetric, so use the edge nearer to 0.
    low, high = one.interval
    reach = one.points - low if one.points > 0.0 else high - one.points
    return Z * one.points / reach if reach > 0.0 else 0.0


def _claim(one: Difference, name: str) -> str:
    low, high = one.interval
    size, word = abs(one.points), "better"
    if one.points < 0.0:
        low, high, word = -high, -low, "worse"
    return f"{size:.1f} points {word} than {name} ({low:.1f} to {high:.1f})"


def _unsure(one: Difference, name: str) -> str:
    low, high = one.interval
    if f"{one.points:.1f}".strip("-") == "0.0":
        return f"level with {name} ({low:+z.1f} to {high:+z.1f})"
    found = f"{abs(one.points):.1f} points {'above' if one.points > 0.0 else 'below'} {name}"
    return f"{found}, but that may be chance ({low:+z.1f} to {high:+z.1f})"


def chance_level(result: SearchResult) -> float | None:
    """Return the expected accuracy of a random class; None if it is not known."""
    classes = result.dataset.classes
    if classes < 1 or result.objective not in _OF_IMAGES or not has_accuracies(result):
        return None
    return 1 / classes


def most_frequent_share(result: SearchResult) -> float | None:
    """Return the test accuracy of always naming the most frequent class.

    None if it does not exceed the chance level, or the images per class are not known.
    """
    share, inspection = chance_level(result), result.inspection
    if share is None or inspection is None or inspection.split != "test":
        return None
    images = [one.images for one in inspection.classes]
    most = max(images, default=0) / (sum(images) or 1)
    return most if most > share else None


def not_above_chance(result: SearchResult) -> str:
    """Return a warning if the best template may be no better on test than chance, else nothing."""
    test = result.best.test
    if test is None or not may_be_chance(result, test):
        return ""
    low, high = wilson(test, result.dataset.sizes.test)
    return f"{100 * test:.1f} % on test ({100 * low:.1f} to {100 * high:.1f}) may be {about_chance(result)}"


def may_be_chance(result: SearchResult, test: float) -> bool:
    """Return whether a test accuracy of this result may be no better than chance."""
    share, images = _without_images(result), result.dataset.sizes.test
    return share is not None and is_no_better(test, images, share)


def is_no_better(test: float, images: int, share: float) -> bool:
    """Return whether an accuracy over so many images may be no better than a share."""
    return images > 0 and 0.0 <= test <= 1.0 and wilson(test, images)[0] <= share


def about_chance(result: SearchResult) -> str:
    """Describe the chance level of a result."""
    percent, classes = 100 * (_without_images(result) or 0.0), result.dataset.classes
    if most_frequent_share(result) is None:
        return f"no better than chance: naming one of {classes} classes at random gets {percent:.1f} %"
    return f"no better than chance: always naming the most frequent of {classes} classes gets {percent:.1f} %"


def _without_images(result: SearchResult) -> float | None:
    """Return the higher of both shares; None if neither is known."""
    return most_frequent_share(result) or chance_level(result)


def verdict_on(result: SearchResult) -> str:
    """Return the gain on test in one sentence, with warnings (toy model, chance level); empty if unknown."""
    toy = "measured by a toy model, so it says nothing about a real one" if TOY_MODEL in result.notes else ""
    parts = ["" if result.gain is None else result.gain.sentence, not_above_chance(result)]
    parts.append(toy if any(parts) else "")
    return "; ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A run in a comparison of runs; ``details`` is None if they were not kept."""

    run: str
    result: SearchResult
    details: Details | None = None

    @property
    def decisions(self) -> Decisions | None:
        """The decisions on the test images, if they match the result."""
        if self.details is None or self.details.decisions is None or self.result.best.test is None:
            return None
        hits = self.details.decisions.hits(BEST)
        return self.details.decisions if hits and agrees(hits, self.result.best.test) else None

    def on_test(self, *, paired: bool) -> GroupOnTest:
        """Return its best template on test; with its decisions if they are to be paired."""
        best, decisions = self.result.best, self.decisions
        hits = decisions.hits(BEST) if paired and decisions is not None else None
        names = tuple(sorted((best.class_names or {}).items()))
        return GroupOnTest(templates=(best.template,), test=best.test, hits=hits, names=names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Versus:
    """The test difference to the first run; ``why`` says why it is not known or not paired."""

    over: Difference | None
    why: str = ""


def versus(one: Contender, first: Contender) -> Versus:
    """Return the difference of two runs on test, paired if both kept decisions on the same images."""
    ours, theirs = one.result, first.result
    if ours.dataset.name != theirs.dataset.name:
        return Versus(over=None, why="another data set")
    if ours.best.test is None or theirs.best.test is None:
        return Versus(over=None, why="no test accuracy yet")
    if not all(0.0 <= value <= 1.0 for value in (ours.best.test, theirs.best.test)):
        return Versus(over=None, why="scores that are not accuracies")
    reason = _unpairable(one.decisions, first.decisions)
    sizes = ours.dataset.sizes.test, theirs.dataset.sizes.test
    found = _between(one.on_test(paired=not reason), first.on_test(paired=not reason), *sizes)
    if found is None:
        return Versus(over=None, why="the number of test images is not known")
    return Versus(over=found, why=f"not paired: {reason}" if reason else "")


def _unpairable(ours: Decisions | None, theirs: Decisions | None) -> str:
    """Return why decisions cannot be paired image by image; empty if they can."""
    if ours is None or theirs is None:
        return "no decisions were kept"
    if ours.image_set is None or theirs.image_set is None:
        return "the scorer does not say which images they are"
    if ours.image_set != theirs.image_set or ours.labels != theirs.labels:
        return "other test images"
    return ""
