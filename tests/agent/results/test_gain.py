"""What a search gained: differences, intervals, and the sentence."""

from __future__ import annotations

import itertools
import json

import pytest

from promptclimb.agent.results.gain import Examined, Gain, gain_of
from promptclimb.agent.results.plain_json import plain


def on_test(template: str, right: int, *, first: int = 0, told: bool = True) -> Examined:
    """A template that classifies ``right`` of 1000 images correctly, from the ``first`` on."""
    bits = [first <= image < first + right for image in range(1000)]
    return Examined(templates=(template,), test=right / 1000, hits=bits if told else None)


BEST = on_test("a {}", 600)


def test_each_difference_has_its_counts_and_a_paired_interval() -> None:
    """In percentage points; the images on which two agree count in the interval alone."""
    gain = gain_of(
        BEST, on_test("two {}", 630), {"default template": on_test("the {}", 550, first=10)}, images=1000
    )
    assert gain is not None
    one = gain.over["default template"]
    assert (one.points, one.better, one.worse, one.paired, one.images) == (5.0, 50, 0, True, 1000)
    assert 0.0 < one.interval[0] < 5.0 < one.interval[1]
    assert gain.ensemble is not None
    assert gain.ensemble.points == 3.0
    assert gain.verdict == (
        "5.0 points better than the default template (3.8 to 6.5); "
        "the ensemble 3.0 points better than the best alone (2.1 to 4.3)"
    )


def test_the_sentence_says_what_is_worse_what_is_the_same_and_what_cannot_be_told_apart() -> None:
    """In that order, and only what is certain is called better or worse."""
    baselines = {
        "best starting template": BEST,
        "best hand-made": on_test("one {}", 700),
        "default template": on_test("the {}", 590, first=20),
    }
    gain = gain_of(BEST, BEST, baselines, images=1000)
    assert gain is not None
    assert list(gain.over) == ["default template", "best hand-made", "best starting template"]
    assert gain.verdict == (
        "10.0 points worse than the best hand-made (8.3 to 12.0); 1.0 points above the default "
        "template, but that may be "
        "chance (-0.1 to +2.2); the rounds brought nothing: the template is the best starting template"
    )
    assert gain.told == f"on test (1,000 images): {gain.verdict}"


def test_a_difference_that_may_be_chance_is_told_with_its_size_and_its_interval() -> None:
    """Below as above; of none at all it is said that there is none. None of it is called better or worse."""
    below = gain_of(BEST, BEST, {"default template": on_test("the {}", 610, first=20)}, images=1000)
    level = gain_of(BEST, BEST, {"default template": on_test("the {}", 600, first=20)}, images=1000)
    assert below is not None
    assert level is not None
    assert below.verdict.startswith("1.0 points below the default template, but that may be chance (-2.")
    assert level.verdict.startswith("level with the default template (-1.")


def test_a_best_hand_made_that_is_the_plain_template_is_called_so() -> None:
    """One template is told of once, by both its names, and its figures stand under both."""
    plain_one = on_test("the {}", 550, first=10)
    gain = gain_of(BEST, BEST, {"default template": plain_one, "best hand-made": plain_one}, images=1000)
    itself = gain_of(
        plain_one, BEST, {"default template": plain_one, "best hand-made": plain_one}, images=1000
    )
    assert gain is not None
    assert itself is not None
    assert list(gain.over) == ["default template", "best hand-made"]
    assert (
        gain.verdict
        == "5.0 points better than the default template, which is the best hand-made too (3.8 to 6.5)"
    )
    assert "the same template as the default template, which is the best hand-made too" in itself.verdict


def test_a_single_hand_made_template_is_the_best_of_its_list() -> None:
    """Several averaged are not compared with one template."""
    several = Examined(templates=("a {}", "b {}"), test=0.5, hits=None)
    one = gain_of(BEST, BEST, {"hand-made": on_test("the {}", 500)}, images=1000)
    none = gain_of(BEST, BEST, {"hand-made": several}, images=1000)
    assert one is not None
    assert list(one.over) == ["best hand-made"]
    assert none is None


def test_accuracies_alone_give_wider_intervals_and_say_so() -> None:
    """A black box need not tell image by image; the interval takes the two for independent."""
    plain_one = on_test("the {}", 550)
    told = gain_of(BEST, BEST, {"default template": plain_one}, images=1000)
    untold = gain_of(BEST, BEST, {"default template": on_test("the {}", 550, told=False)}, images=1000)
    assert told is not None
    assert untold is not None
    narrow, wide = told.over["default template"], untold.over["default template"]
    assert not wide.paired
    assert (wide.better, wide.worse) == (None, None)
    assert wide.interval[0] < narrow.interval[0] < narrow.interval[1] < wide.interval[1]
    assert "intervals are not paired" in untold.verdict


@pytest.mark.parametrize("images", [10, 20, 40])
def test_nothing_is_claimed_whose_own_interval_holds_none(images: int) -> None:
    """Newcombe's interval is not symmetric: its edge towards 0 decides, whichever accuracies they are."""
    for right in itertools.product(range(images + 1), repeat=2):
        first, second = (
            Examined(templates=(f"{place} {{}}",), test=one / images) for place, one in enumerate(right)
        )
        gain = gain_of(first, first, {"default template": second}, images=images)
        assert gain is not None
        low, high = gain.over["default template"].interval
        unsure = "may be chance" in gain.verdict or "level with the default template" in gain.verdict
        assert unsure == (low <= 0.0 <= high)


def test_scores_that_are_no_shares_have_no_intervals() -> None:
    """A black box may score with any number; of a sealed test split nothing is known."""
    for test in (None, 17.0):
        other = Examined(templates=("the {}",), test=test)
        assert gain_of(BEST, BEST, {"default template": other}, images=1000) is None
    assert gain_of(BEST, BEST, {"default template": on_test("the {}", 5)}, images=0) is None


def test_a_gain_survives_json() -> None:
    """As it is in ``result.json``."""
    gain = gain_of(BEST, on_test("two {}", 630), {"default template": on_test("the {}", 550)}, images=1000)
    assert gain is not None
    assert Gain.from_json(json.loads(json.dumps(plain(gain)))) == gain
