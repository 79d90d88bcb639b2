"""Put the gain on the test images into sentences: the verdict, the chance level, and the test split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ...evaluator.counts import counted, enumerated
from ...evaluator.pico.models import TOY_MODEL
from ...evaluator.scoring import BASELINE_DEFAULT
from ...prompts.kinds import CandidateNoun
from ..results.gain import (
    BEST_HAND_MADE,
    BEST_STARTING,
    ORIGINAL_NAMES,
    GroupOnTest,
    accuracy_without_images,
    compare_on_test,
    compared_baselines,
    may_be_chance,
    most_frequent_share,
    significant_of,
    wilson,
)
from ..results.result import Best, Difference, Gain, SearchResult

CHANCE_MARK = "†"
"""Marks an accuracy in tables that may be no better than the chance level."""


def baseline_name(name: str, words: CandidateNoun) -> str:
    """Return a baseline's name in words: ``default instruction`` for the default of instructions."""
    named = {BASELINE_DEFAULT: f"default {words.noun}", BEST_STARTING: f"best starting {words.noun}"}
    return named.get(name, name)


def gain_of(
    best: GroupOnTest,
    ensemble: GroupOnTest | None,
    baselines: Mapping[str, GroupOnTest],
    *,
    images: int,
    words: CandidateNoun,
    preferred: bool = False,
) -> Gain | None:
    """Return the gain over baselines chosen without test; None if scores are unknown or not shares.

    ``ensemble`` is None if it is not comparable with ``best``; ``words`` name the candidates.
    ``preferred``: a new candidate scored higher than ``best`` on the few-shot images.
    """
    compared = compared_baselines(baselines)
    over = {
        name: difference
        for name, baseline in compared.items()
        if (difference := compare_on_test(best, baseline, images)) is not None
    }
    if not over:
        return None
    of_ensemble = None if ensemble is None else compare_on_test(ensemble, best, images)
    templates = {name: baseline.templates for name, baseline in compared.items()}
    verdict = _verdict(over, templates, of_ensemble, words, preferred=preferred)
    return Gain(over=over, ensemble=of_ensemble, verdict=verdict)


def _verdict(
    over: Mapping[str, Difference],
    templates: Mapping[str, tuple[str, ...]],
    ensemble: Difference | None,
    words: CandidateNoun,
    *,
    preferred: bool,
) -> str:
    """Return one sentence that says "better" and "worse" only of significant differences."""
    alone, start = "the best alone", f"the {baseline_name(BEST_STARTING, words)}"
    named = _by_name(over, templates, words)
    claimed = significant_of(named if ensemble is None else {**named, alone: ensemble})
    same = [name for name, difference in named.items() if difference.same_template]
    clauses = [_claim(difference, name) for name, difference in named.items() if name in claimed]
    unsure = [name for name in named if name not in claimed and name not in same]
    clauses += [_unsure(named[name], name) for name in unsure]
    if baselines := [name for name in same if name != start or preferred]:
        clauses.append(f"the same {words.noun} as {enumerated(baselines)}")
    if start in same and not preferred:
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
    merged = {BASELINE_DEFAULT, BEST_HAND_MADE} <= set(shown) and (
        templates[BASELINE_DEFAULT] == templates[BEST_HAND_MADE]
    )
    named = {}
    for name in shown:
        if merged and name == BEST_HAND_MADE:
            continue
        also = f", which is the {BEST_HAND_MADE} too" if merged and name == BASELINE_DEFAULT else ""
        named[f"the {baseline_name(name, words)}{also}"] = over[name]
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


def about_chance(result: SearchResult) -> str:
    """Describe the chance level of a result."""
    percent, classes = 100 * (accuracy_without_images(result) or 0.0), result.dataset.classes
    guess = f"naming one of {classes} classes at random"
    if most_frequent_share(result) is not None:
        guess = f"always naming the most frequent of {classes} classes"
    return f"no better than chance: {guess} gets {percent:.1f} %"


def chance_warning(result: SearchResult) -> str:
    """Return a warning if the best template may be no better on test than chance, else nothing."""
    test = result.best.test
    if test is None or not may_be_chance(result, test):
        return ""
    low, high = wilson(test, result.dataset.sizes.test)
    return f"{100 * test:.1f} % on test ({100 * low:.1f} to {100 * high:.1f}) may be {about_chance(result)}"


def verdict_on(result: SearchResult) -> str:
    """Return the gain on test in one sentence, with warnings (toy model, chance level); empty if unknown."""
    clauses = [chance_warning(result)]
    if result.gain is not None:
        images = max((difference.images for difference in result.gain.over.values()), default=0)
        clauses.insert(0, f"on test ({counted(images, 'image')}): {result.gain.verdict}")
    if any(clauses) and TOY_MODEL in result.notes:
        clauses.append("measured by a toy model, so it says nothing about a real one")
    return "; ".join(filter(None, clauses))


def about_test(result: SearchResult) -> str:
    """Describe the test split in a sentence."""
    if not result.dataset.sizes.test:
        return "There are no test images."
    if result.status == "stopped":
        return "The test images are held out until the search is finished."
    if result.why_not_evaluated is not None:
        return "The test images could not be used; resuming the run tries again."
    if result.test_opened is not None and result.test_opened > 1:
        return f"Test was evaluated {result.test_opened} times, each after the search had chosen."
    return "Test was evaluated once, after the search had chosen."


def with_names(best: Best) -> str:
    """Say how many new class names the accuracies need: ``, with 2 new class names``; empty if none."""
    return f", with {counted(len(best.class_names), 'new class name')}" if best.class_names else ""


def without_names(best: Best) -> str:
    """Say of another set of templates in the result that it does without the new names; empty if none."""
    return ", with the original class names" if best.class_names else ""


class GainCell(NamedTuple):
    """A difference in words: ``+6.4``, its interval, and the images that decide it."""

    points: str
    interval: str
    apart: str


def gain_cell(difference: Difference, words: CandidateNoun) -> GainCell:
    """Return a difference in words."""
    if difference.same_template:
        return GainCell(f"the same {words.noun}", "", "")
    low, high = difference.interval
    fixed, broken = difference.better, difference.worse
    apart = "" if fixed is None or broken is None else f"{fixed:,} fixed, {broken:,} broken"
    return GainCell(f"{difference.points:+z.1f}", f"{low:+z.1f} to {high:+z.1f}", apart)
