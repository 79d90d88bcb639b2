"""What guessing gives, and whether a template is more than that."""

from __future__ import annotations

from typing import Any

import pytest

from promptclimb.agent.results.gain import Difference, Gain
from promptclimb.agent.results.gain_rows import about_scores
from promptclimb.agent.results.guessing import (
    about_guessing,
    by_guessing,
    by_most_frequent,
    no_better_than_guessing,
    verdict_on,
)
from promptclimb.agent.results.result import Best, Dataset, Inspected, SearchResult, Sizes
from promptclimb.evaluator.scoring import ClassAccuracy
from tests.fakes.small_result import small_result


def result(test: float | None, *, classes: int = 5, images: int = 49, **more: Any) -> SearchResult:
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
    """The same accuracy on more images is more than guessing."""
    assert bool(no_better_than_guessing(result(test, images=images))) is no_better


def test_it_is_said_with_its_figures() -> None:
    """The accuracy, its interval, and what guessing gives; the page names the last of every result."""
    assert no_better_than_guessing(result(0.265)) == (
        "26.5 % on test (16.2 to 40.2) may be no better than guessing among 5 classes, which comes to 20.0 %"
    )
    assert "Guessing among 5 classes comes to 20.0. " in about_scores(result(0.9))


def looked(*images: int, split: str = "test") -> Inspected:
    """A look at classes of so many images."""
    classes = tuple(ClassAccuracy(f"c{place}", images=of, correct=0) for place, of in enumerate(images))
    return Inspected(split=split, classes=classes, confusions=())


def test_uneven_classes_are_held_against_the_most_frequent_one() -> None:
    """Which is no feat either: 60 % where 30 of 49 images are of one class."""
    uneven = result(0.6, inspection=looked(30, 9, 5, 5, 0))
    said = "no better than guessing, as always naming the most frequent of 5 classes comes to 61.2 %"
    assert about_guessing(uneven) == said
    assert no_better_than_guessing(uneven) == f"60.0 % on test (46.0 to 72.5) may be {said}"
    assert "Guessing among 5 classes comes to 20.0, always naming the most frequent one to 61.2. " in (
        about_scores(uneven)
    )
    assert not no_better_than_guessing(result(0.9, inspection=looked(30, 9, 5, 5, 0)))
    assert not no_better_than_guessing(result(0.6))


@pytest.mark.parametrize(
    "inspection", [None, looked(), looked(0, 0), looked(9, 9, 9, 9, 9), looked(30, 1, split="train")]
)
def test_where_classes_are_even_or_unknown_a_class_at_random_is_the_guess(
    inspection: Inspected | None,
) -> None:
    """So says a black box that does not tell its images class by class."""
    assert by_most_frequent(result(0.265, inspection=inspection)) is None
    assert "among 5 classes, which comes to 20.0 %" in no_better_than_guessing(
        result(0.265, inspection=inspection)
    )


@pytest.mark.parametrize("changes", [{"test": None}, {"classes": 0}, {"objective": "margin"}, {"images": 0}])
def test_nothing_is_said_where_nobody_knows(changes: dict[str, Any]) -> None:
    """A sealed test split, a black box that names no classes, scores that are no shares of images."""
    assert not no_better_than_guessing(result(**({"test": 0.1} | changes)))


def test_scores_of_another_kind_have_no_guess() -> None:
    """A mean probability lies between 0 and 1 too."""
    assert by_guessing(result(0.5, objective="margin")) is None


def test_the_verdict_says_it_where_it_is_so_and_nowhere_else() -> None:
    """After the gain, in one sentence; alone where there is no gain to tell."""
    over = {"default template": Difference(points=5.0, interval=(1.0, 9.0), paired=True, images=49)}
    gain = Gain(over=over, ensemble=None, verdict="5.0 points better than the default template (1.0 to 9.0)")
    said = no_better_than_guessing(result(0.265))
    assert verdict_on(result(0.265, gain=gain)) == f"{gain.told}; {said}"
    assert verdict_on(result(0.265)) == said
    assert verdict_on(result(0.9, gain=gain)) == gain.told
    assert verdict_on(result(None)) == ""
