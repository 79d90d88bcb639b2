"""The gain on test: differences, the verdict, the chance level, and runs side by side."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from promptclimb.agent.present.sections import about_scores
from promptclimb.agent.present.sentences import about_chance, chance_warning
from promptclimb.agent.results import gain as results_gain
from promptclimb.agent.results.gain import chance_level, most_frequent_share
from promptclimb.agent.results.result import (
    Best,
    Dataset,
    Gain,
    GroupAccuracies,
    SearchResult,
    Sizes,
    SplitInspection,
)
from promptclimb.evaluator.scoring import ClassAccuracy
from promptclimb.prompts.kinds import TEMPLATE, kind_named
from tests.fakes.small_result import small_result


class Measured(NamedTuple):
    """Templates with their accuracy on test, and whether each image is right, if that is known."""

    group: GroupAccuracies
    hits: list[bool] | None = None


def share(test: float | None, *templates: str, hits: list[bool] | None = None) -> Measured:
    """Templates of so much on test."""
    return Measured(GroupAccuracies(templates=templates, train=None, test=test), hits)


def on_test(template: str, right: int, *, first: int = 0, decided: bool = True) -> Measured:
    """A template that classifies ``right`` of 1000 images correctly, from the ``first`` on."""
    hits = [first <= image < first + right for image in range(1000)]
    return share(right / 1000, template, hits=hits if decided else None)


def gain_of(
    best: Measured,
    ensemble: Measured | None,
    baselines: Mapping[str, Measured],
    *,
    images: int = 1000,
    renamed: bool = False,
) -> Gain | None:
    """The gain of a best template over baselines."""
    together = {} if ensemble is None else {"ensemble": ensemble}
    measured = {"best": best, **together, **baselines}
    return results_gain.gain_of(
        {name: group for name, (group, _) in measured.items()},
        {name: hits for name, (_, hits) in measured.items() if hits is not None},
        images=images, words=kind_named(TEMPLATE).words, renamed=renamed,
    )  # fmt: skip


BEST = on_test("a {}", 600)


def test_one_gain_is_said_once_if_the_original_names_are_in_a_baseline() -> None:
    """The best template without its new names is the best starting template; another baseline stays."""
    baselines = {
        "original names": on_test("a {}", 550),
        "default template": on_test("the {}", 540),
        "best starting template": on_test("a {}", 550),
    }
    gain = gain_of(BEST, None, baselines, renamed=True)
    assert gain is not None
    assert "best starting template" in gain.over
    assert gain.verdict == (
        "5.0 points better than the original names (3.8 to 6.5); "
        "6.0 points better than the default template (4.7 to 7.6)"
    )


def test_each_difference_has_its_counts_and_a_paired_interval() -> None:
    """In percentage points; the images on which two agree count in the interval alone."""
    gain = gain_of(
        BEST, on_test("two {}", 630), {"default template": on_test("the {}", 550, first=10)}, images=1000
    )
    assert gain is not None
    difference = gain.over["default template"]
    assert (difference.points, difference.better, difference.worse, difference.paired, difference.images) == (
        5.0,
        50,
        0,
        True,
        1000,
    )
    assert 0.0 < difference.interval[0] < 5.0 < difference.interval[1]
    assert gain.ensemble is not None
    assert gain.ensemble.points == 3.0
    assert gain.verdict == (
        "5.0 points better than the default template (3.8 to 6.5); "
        "the ensemble 3.0 points better than the best alone (2.1 to 4.3)"
    )


def test_the_sentence_says_what_is_worse_what_is_the_same_and_what_is_not_certain() -> None:
    """In that order, and only what is certain is called better or worse."""
    baselines = {
        "best starting template": BEST,
        "best hand-made": on_test("one {}", 700),
        "default template": on_test("the {}", 590, first=20),
    }
    gain = gain_of(BEST, BEST, baselines)
    assert gain is not None
    assert list(gain.over) == ["default template", "best hand-made", "best starting template"]
    assert gain.verdict == (
        "10.0 points worse than the best hand-made (8.3 to 12.0); 1.0 points above the default "
        "template, but that may be "
        "chance (-0.1 to +2.2); no new template beat the best starting template"
    )


def test_a_difference_that_may_be_chance_has_its_size_and_its_interval() -> None:
    """Below as above; a difference of 0 is called level. Neither is called better or worse."""
    below = gain_of(BEST, BEST, {"default template": on_test("the {}", 610, first=20)})
    level = gain_of(BEST, BEST, {"default template": on_test("the {}", 600, first=20)})
    assert below is not None
    assert level is not None
    assert below.verdict.startswith("1.0 points below the default template, but that may be chance (-2.")
    assert level.verdict.startswith("level with the default template (-1.")


def test_a_best_hand_made_that_is_the_default_template_is_called_so() -> None:
    """One template is named once, by both its names, and its figures stand under both."""
    default = on_test("the {}", 550, first=10)
    gain = gain_of(BEST, BEST, {"default template": default, "best hand-made": default})
    itself = gain_of(default, BEST, {"default template": default, "best hand-made": default})
    assert gain is not None
    assert itself is not None
    assert list(gain.over) == ["default template", "best hand-made"]
    assert (
        gain.verdict
        == "5.0 points better than the default template, which is the best hand-made (3.8 to 6.5)"
    )
    assert "the same template as the default template, which is the best hand-made" in itself.verdict


def test_a_best_starting_template_that_is_the_bare_class_name_is_called_so() -> None:
    """The sentence on the best starting template names what it is."""
    bare = on_test("{}", 550, first=10)
    baselines = {"bare class name": bare, "best starting template": bare}
    gain = gain_of(BEST, BEST, baselines)
    itself = gain_of(bare, BEST, baselines)
    assert gain is not None
    assert itself is not None
    name = "the best starting template, which is the bare class name"
    assert gain.verdict == f"5.0 points better than {name} (3.8 to 6.5)"
    assert f"no new template beat {name}" in itself.verdict


def test_a_single_hand_made_template_is_the_best_of_its_list() -> None:
    """Several averaged are not compared with one template."""
    several = share(0.5, "a {}", "b {}")
    single = gain_of(BEST, BEST, {"hand-made": on_test("the {}", 500)})
    nothing = gain_of(BEST, BEST, {"hand-made": several})
    assert single is not None
    assert list(single.over) == ["best hand-made"]
    assert nothing is None


def test_accuracies_alone_give_wider_intervals_and_say_so() -> None:
    """A custom scorer need not give decisions image by image; the interval takes the two for independent."""
    default = on_test("the {}", 550)
    known = gain_of(BEST, BEST, {"default template": default})
    unknown = gain_of(BEST, BEST, {"default template": on_test("the {}", 550, decided=False)})
    assert known is not None
    assert unknown is not None
    narrow, wide = known.over["default template"], unknown.over["default template"]
    assert not wide.paired
    assert (wide.better, wide.worse) == (None, None)
    assert wide.interval[0] < narrow.interval[0] < narrow.interval[1] < wide.interval[1]
    assert "intervals are not paired" in unknown.verdict


@pytest.mark.parametrize("images", [10, 20, 40])
def test_nothing_is_claimed_whose_own_interval_holds_none(images: int) -> None:
    """Newcombe's interval is not symmetric: its edge towards 0 decides, whichever accuracies they are."""
    for right in itertools.product(range(images + 1), repeat=2):
        first, second = (
            share(count / images, f"{name} {{}}") for name, count in zip(("a", "the"), right, strict=True)
        )
        gain = gain_of(first, first, {"default template": second}, images=images)
        assert gain is not None
        low, high = gain.over["default template"].interval
        unsure = "may be chance" in gain.verdict or "level with the default template" in gain.verdict
        assert unsure == (low <= 0.0 <= high)


def test_scores_that_are_no_shares_have_no_intervals() -> None:
    """A custom scorer may give any number; nothing is known of a test split that was not evaluated."""
    for test in (None, 17.0):
        other = share(test, "the {}")
        assert gain_of(BEST, BEST, {"default template": other}) is None
    assert gain_of(BEST, BEST, {"default template": on_test("the {}", 5)}, images=0) is None


def test_a_gain_survives_json() -> None:
    """As it is in ``result.json``."""
    gain = gain_of(BEST, on_test("two {}", 630), {"default template": on_test("the {}", 550)})
    assert gain is not None
    result = small_result(gain=gain)
    assert SearchResult.from_json(json.loads(result.dumps())).gain == gain


def scored(test: float | None, *, classes: int = 5, images: int = 49, **more: Any) -> SearchResult:
    """A result with that accuracy on test."""
    return small_result(
        dataset=Dataset(name="d", classes=classes, shots=1, seed=1, sizes=Sizes(train=5, test=images)),
        best=Best(template="a {}", train=0.3, val=None, test=test),
        **more,
    )


@pytest.mark.parametrize(
    ("test", "images", "no_better"),
    [(0.265, 49, True), (0.265, 4900, False), (0.9, 49, False), (0.0, 49, True)],
)
def test_the_interval_decides(test: float, images: int, no_better: bool) -> None:
    """The same accuracy on more images is better than chance."""
    assert bool(chance_warning(scored(test, images=images))) is no_better


def looked(*images: int, split: str = "test") -> SplitInspection:
    """A look at classes of so many images."""
    classes = tuple(ClassAccuracy(f"c{label}", images=of, correct=0) for label, of in enumerate(images))
    return SplitInspection(split=split, classes=classes, confusions=())


def test_uneven_classes_are_held_against_the_most_frequent_one() -> None:
    """Which is no feat either: 60 % where 30 of 49 images are of one class."""
    uneven = scored(0.6, inspection=looked(30, 9, 5, 5, 0))
    no_better = "no better than chance: always naming the most frequent of 5 classes gets 61.2 %"
    assert about_chance(uneven) == no_better
    assert chance_warning(uneven) == f"60.0 % on test (46.0 to 72.5) may be {no_better}"
    assert "Naming one of 5 classes at random gets 20.0, always naming the most frequent one 61.2. " in (
        about_scores(uneven)
    )
    assert not chance_warning(scored(0.9, inspection=looked(30, 9, 5, 5, 0)))
    assert not chance_warning(scored(0.6))


@pytest.mark.parametrize(
    "inspection", [None, looked(), looked(0, 0), looked(9, 9, 9, 9, 9), looked(30, 1, split="train")]
)
def test_where_classes_are_even_or_unknown_a_class_at_random_is_the_guess(
    inspection: SplitInspection | None,
) -> None:
    """As with a scorer that does not give its images class by class."""
    assert most_frequent_share(scored(0.265, inspection=inspection)) is None
    warning = chance_warning(scored(0.265, inspection=inspection))
    assert "naming one of 5 classes at random gets 20.0 %" in warning


@pytest.mark.parametrize("changes", [{"test": None}, {"classes": 0}, {"objective": "margin"}, {"images": 0}])
def test_nothing_is_said_where_nobody_knows(changes: dict[str, Any]) -> None:
    """A test split not evaluated, a scorer that names no classes, scores that are no shares of images."""
    assert not chance_warning(scored(**({"test": 0.1} | changes)))


def test_scores_of_another_kind_have_no_guess() -> None:
    """A mean probability lies between 0 and 1 too."""
    assert chance_level(scored(0.5, objective="margin")) is None
