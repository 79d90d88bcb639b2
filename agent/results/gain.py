"""Measure the gain on the test images: differences with intervals, and the chance level."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from statistics import NormalDist
from typing import Any, TypeVar

from ...evaluator.counts import counted
from ...evaluator.datasets.values import FEW_TEST_IMAGES
from ...evaluator.pico.models import TOY_MODEL
from ...prompts.kinds import CandidateNoun
from ..text import printable
from .accuracies import (
    BEST,
    NEW_NAMES,
    ORIGINAL_NAMES,
    TEXTS,
    WITH_IMAGES,
    WITHOUT_SEARCH,
    Difference,
    Interval,
    baseline_name,
    score_text,
    way_name,
)
from .result import (
    AVERAGED,
    NO_NEW_NAME,
    WITH_ORIGINAL_NAMES,
    GroupAccuracies,
    Recommended,
    SearchResult,
    WithoutSearch,
    are_shares,
    keeps_original_names,
    texts_in_words,
    with_article,
)

Z = 1.959963984540054
"""The normal quantile of 97.5 %."""
FAMILY = 0.05
"""Probability of a false "better" in a verdict, and of a false "worse"."""
MOST_LOSING = 3
"""Most classes named in a sentence on those that lose."""
_HALVINGS = 50
ONLY_TEXTS = "If you can only use texts"
"""Begins the part of a verdict on the texts without images."""
Key = TypeVar("Key")


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


def significant(statistics: Mapping[Key, float]) -> set[Key]:
    """Return which of several differences are significant together, given their score statistics.

    Holm's step-down rule keeps the probability of a false claim in one direction, "better" or "worse", within
    ``FAMILY``. No difference is claimed whose own interval contains 0.
    """
    claimed: set[Key] = set()
    for direction in (1.0, -1.0):
        ordered = sorted(statistics, key=lambda name: -direction * statistics[name])
        for rank, name in enumerate(ordered):
            needed = NormalDist().inv_cdf(1 - FAMILY / (len(ordered) - rank))
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


_OF_IMAGES = ("accuracy", "class_mean")
"""Objectives that are shares of images; others may lie between 0 and 1 too."""


def differences(
    name: str,
    groups: Mapping[str, GroupAccuracies],
    hits: Mapping[str, Sequence[bool]],
    *,
    images: int,
    renamed: bool = False,
) -> dict[str, Difference]:
    """Return the difference on test of one group to each other, if both are shares of the images.

    Args:
        name: The group that is compared.
        groups: By name: forms of the result, and baselines.
        hits: Whether each test image is classified correctly, of the groups for which that is known.
        images: Number of test images.
        renamed: New class names were accepted.
    """

    def identity(group: str) -> tuple[tuple[str, ...], bool, bool]:
        learned = group == WITH_IMAGES or getattr(groups[group], "images", 0) > 0
        form = group in (BEST, TEXTS, WITH_IMAGES) and not keeps_original_names(groups[group])
        return groups[group].templates, learned, renamed and (form or group.startswith(NEW_NAMES))

    ours, over = groups[name].test, dict[str, Difference]()
    for other in groups:
        theirs = groups[other].test
        if other == name or ours is None or theirs is None or images < 1 or not are_shares((ours, theirs)):
            continue
        if identity(other) == identity(name):
            over[other] = _difference(0.0, (0.0, 0.0), images=images, paired=name in hits)
        elif name in hits and other in hits:
            over[other] = difference_of(hits[name], hits[other])
        else:
            over[other] = independent_difference(ours, theirs, images)
    return with_verdicts(over)


def independent_difference(ours: float, theirs: float, images: int) -> Difference:
    """Return the difference of two accuracies over so many images, of which no decisions are known."""
    return _difference(ours - theirs, unpaired(ours, theirs, images), paired=False, images=images)


def difference_of(ours: Sequence[bool], theirs: Sequence[bool]) -> Difference:
    """Return the difference of two accuracies on the same images: of whether each image is correct."""
    pairs = list(zip(ours, theirs, strict=True))
    better, worse = pairs.count((True, False)), pairs.count((False, True))
    interval, share = paired(better, worse, len(pairs)), (better - worse) / len(pairs)
    return _difference(share, interval, images=len(pairs), better=better, worse=worse)


def with_verdicts(differences: Mapping[Key, Difference]) -> dict[Key, Difference]:
    """Return several differences with the verdict on each, corrected for their number."""
    statistics = {key: _statistic(gap) for key, gap in differences.items() if not gap.same_template}
    certain = significant(statistics)

    def verdict(key: Key, gap: Difference) -> str:
        if gap.is_none:
            return "the same"
        # A claim must agree with the interval beside it.
        return ("better" if gap.sign > 0 else "worse") if key in certain and gap.sign else "may be chance"

    return {key: replace(gap, verdict=verdict(key, gap)) for key, gap in differences.items()}


def verdict_of(
    recommended: Recommended,
    groups: Mapping[str, GroupAccuracies],
    remark: str,
    words: CandidateNoun,
    *,
    unchecked: bool = False,
    unsupported: int = 0,
    losing: str = "",
) -> str:
    """Return in sentences what to use, with its gain on test, and what the search brought.

    The gain is over the better of the plain texts. If images are learned from, the texts alone have a
    sentence with theirs. ``remark`` is what the texts need beside their templates, such as new class names;
    so many of these are ``unsupported``. ``unchecked``: they are all that was asked for, without a labelled
    image. ``losing`` is a sentence on the classes that lose, if any.
    """
    rival, reference = groups.get(WITHOUT_SEARCH), recommended.reference
    assert rival is None or isinstance(rival, WithoutSearch)
    in_words = partial(texts_in_words, groups=groups, words=words, rival=rival, unchecked=unchecked)
    group, learnt = groups[recommended.name], recommended.form == WITH_IMAGES
    renamed = bool(remark) and not keeps_original_names(group)
    texts, beside = in_words(group.templates, renamed=renamed), remark
    if keeps_original_names(group):
        beside = WITH_ORIGINAL_NAMES
    # A gain over the best without a search is said once.
    is_rival = rival is not None and not rival.images and rival.name == reference
    gain = _gain_on_test(group, {} if is_rival else recommended.over, reference, words)
    used = (
        f"the classifier ({texts}{beside}{',' if beside else ''} and labelled images)"
        if learnt
        else f"{with_article(texts)}{beside}"
    )
    sentences = [f"Use {used}: {gain}.", *filter(None, [losing])]
    if not learnt and texts not in (AVERAGED, f"best {words.noun}", words.noun):
        why = NO_NEW_NAME if unchecked else "nothing beat it on the labelled images"
        sentences.append(f"{why[0].upper()}{why[1:]}.")
    if rival is not None and WITHOUT_SEARCH in recommended.over:
        title = rival.title(words) + (", original names" if renamed else "")
        if recommended.over[WITHOUT_SEARCH].verdict not in ("", "the same"):
            title += f": {score_text(rival.test, percent=True, unit=' %')}"
        sentences.append(_against_rival(recommended.over[WITHOUT_SEARCH], title))
    original = (recommended.over.get(name) for name in (ORIGINAL_NAMES, reference or ""))
    if unchecked and remark and any(gap is not None and gap.verdict == "worse" for gap in original):
        sentences.append("On test the original names were better: check the new names before you use any.")
    if learnt and groups[TEXTS].test is not None:
        alone = with_article(in_words(groups[TEXTS].templates, renamed=bool(remark)))
        gain = _gain_on_test(groups[TEXTS], recommended.texts_over, reference, words)
        sentences.append(f"{ONLY_TEXTS}, use {alone}{remark}: {gain}.")
        sentences += _better_texts(recommended, words)
    if unsupported:
        them = f"{unsupported} of them {'is' if unsupported == 1 else 'are'} unsupported"
        why = "the texts get every labelled image of the class wrong"
        sentences.append(f"Read the new names: {them} ({why}).")
    return " ".join(sentences)


def losing_classes(classes: Sequence[str], ours: Sequence[bool], theirs: Sequence[bool], other: str) -> str:
    """Return a sentence on the classes that do worse with ours, beyond chance; empty if there are none.

    Args:
        classes: The true class of each image.
        ours: Whether each is classified correctly.
        theirs: Whether the other one classifies it correctly.
        other: What the other one is called.
    """
    images_by_class = defaultdict[str, list[int]](list)
    for image, name in enumerate(classes):
        images_by_class[name].append(image)
    by_class = with_verdicts(
        {
            name: difference_of([ours[image] for image in images], [theirs[image] for image in images])
            for name, images in images_by_class.items()
        }
    )
    worse = {name: gap.points for name, gap in by_class.items() if gap.verdict == "worse"}
    if not worse:
        return ""
    most = sorted(worse, key=lambda name: worse[name])[:MOST_LOSING]
    named = ", ".join(f"{printable(name)} {worse[name]:+.1f}" for name in most)
    among = "most of all " if len(most) < len(worse) else ""
    share = f"{len(worse):,} of {counted(len(by_class), 'class', 'classes')}"
    verb = "does" if len(worse) == 1 else "do"
    return f"But {share} {verb} worse than with the {other}: {among}{named} points."


def _better_texts(recommended: Recommended, words: CandidateNoun) -> list[str]:
    """Return a sentence if the texts alone are behind others on test: on those that are furthest ahead."""
    over, reference = recommended.texts_over, recommended.reference
    ahead = [
        name for name, gap in over.items() if gap.verdict == "worse" or (name == reference and gap.sign < 0)
    ]
    if not ahead:
        return []
    name = min(ahead, key=lambda name: over[name].points)
    if name == reference:
        return ["Rather use that."]
    return [f"On test they are {over[name]} against {with_article(way_name(name, words))}: rather use those."]


def _gain_on_test(
    group: GroupAccuracies, over: Mapping[str, Difference], reference: str | None, words: CandidateNoun
) -> str:
    """Return the accuracy on test, with the gain over a plain text, if there is one, and its verdict."""
    accuracy = f"{score_text(group.test, percent=are_shares((group.test,)), unit=' %')} on test"
    if reference is None or reference not in over or over[reference].same_template:
        return accuracy
    gap = over[reference]
    return f"{accuracy}, {gap} over the {baseline_name(reference, words)} ({gap.verdict})"


def _against_rival(gap: Difference, title: str) -> str:
    """Return in sentences what the search brought over the best without one, and which to use."""
    if gap.same_template:
        return "That is also the best without a search."
    if gap.verdict == "the same":
        return f"The best without a search ({title}) is right on the same test images: use either."
    if gap.verdict == "worse":
        return f"The search is behind the best without one ({title}): {gap}. Use that instead."
    if gap.sign < 0:  # so it is not certain among many comparisons only
        return f"The search may be behind the best without one ({title}): {gap}. Rather use that."
    if gap.points < 0:
        return (
            f"The search is at {gap} against the best without one ({title}). This may be chance: use either."
        )
    outcome = "This is beyond chance." if gap.verdict == "better" else "This may be chance: use either."
    return f"The search brought {gap} over the best without one ({title}). {outcome}"


def _difference(share: float, interval: Interval, *, paired: bool = True, **more: Any) -> Difference:
    low, high = (round(100 * edge, 4) for edge in interval)
    return Difference(points=round(100 * share, 4), interval=(low, high), paired=paired, **more)


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
    if chance is None or inspection is None:
        return None
    images = [by_class.images for by_class in inspection.classes]
    most = max(images, default=0) / (sum(images) or 1)
    return most if most > chance else None


def accuracy_without_images(result: SearchResult) -> float | None:
    """Return the higher of the chance level and the share of the most frequent class; None if unknown."""
    return most_frequent_share(result) or chance_level(result)


def may_be_chance(result: SearchResult, test: float | None) -> bool:
    """Return whether a test accuracy of this result may be no better than chance."""
    return bool(result_beside_chance(result, test))


def is_no_better(test: float, images: int, share: float) -> bool:
    """Return whether an accuracy over so many images may be no better than a share."""
    return images > 0 and 0.0 <= test <= 1.0 and wilson(test, images)[0] <= share


def beside_chance(tests: Iterable[tuple[float, int, float]]) -> str:
    """Return how accuracies that may be no better than chance compare with it; empty if there are none.

    Args:
        tests: Each accuracy, its number of images and the share that chance gets.
    """
    are_worse = {
        wilson(test, images)[1] < share for test, images, share in tests if is_no_better(test, images, share)
    }
    if len(are_worse) > 1:
        return "may be no better than chance, or is worse"
    return "is worse than chance" if True in are_worse else "may be no better than chance" * bool(are_worse)


def result_beside_chance(result: SearchResult, test: float | None) -> str:
    """Return how a test accuracy of this result compares with chance; empty if it is better or unknown."""
    share = accuracy_without_images(result)
    return "" if test is None or share is None else beside_chance([(test, result.dataset.sizes.test, share)])


def chance_in_words(classes: int, share: float, *, by_frequency: bool) -> str:
    """Describe what is chance: a random class, or ``by_frequency`` always the most frequent one."""
    guess = f"naming one of {classes} classes at random"
    if by_frequency:
        guess = f"always naming the most frequent of {classes} classes"
    return f"{guess} gets {100 * share:.1f} %"


def chance_warning(result: SearchResult) -> str:
    """Return a warning if the recommended form, or the texts alone, may be no better on test than chance."""
    test = result.recommended.test
    if result.recommended.form == WITH_IMAGES and not may_be_chance(result, test):
        test = result.texts.test
    compared = result_beside_chance(result, test)
    if test is None or not compared:
        return ""
    low, high = wilson(test, result.dataset.sizes.test)
    by_frequency = most_frequent_share(result) is not None
    share = accuracy_without_images(result) or 0.0
    chance = chance_in_words(result.dataset.classes, share, by_frequency=by_frequency)
    return f"{100 * test:.1f} % on test ({100 * low:.1f} to {100 * high:.1f}) {compared}: {chance}"


def with_warnings(result: SearchResult) -> SearchResult:
    """Return a result whose verdict, if any, warns of chance level, few test images and a toy model."""
    recommended, images = result.recommended, result.dataset.sizes.test
    if not recommended.verdict:
        return result
    sentences = [recommended.verdict]
    if warning := chance_warning(result):
        sentences.append(f"{warning}.")
    if images < FEW_TEST_IMAGES:
        sentences.append(f"There are only {counted(images, 'test image')}: go by the intervals.")
    if TOY_MODEL in result.notes:
        sentences.append("It was measured by a toy model, so it says nothing about a real one.")
    return replace(result, recommended=replace(recommended, verdict=" ".join(sentences)))
