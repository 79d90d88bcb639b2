"""What guessing gives, and whether a template is more than that."""

from __future__ import annotations

from typing import Any

import pytest

from promptclimb.agent.results.gain import Difference, Gain
from promptclimb.agent.results.gain_rows import about_scores
from promptclimb.agent.results.guessing import by_guessing, no_better_than_guessing, verdict_on
from promptclimb.agent.results.result import Best, Dataset, SearchResult, Sizes
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


@pytest.mark.parametrize("changes", [{"test": None}, {"classes": 0}, {"objective": "margin"}, {"images": 0}])
def test_nothing_is_said_where_nobody_knows(changes: dict[str, Any]) -> None:
    """A sealed test split, a black box that names no classes, scores that are no shares of images."""
    assert not no_better_than_guessing(result(**({"test": 0.1} | changes)))


def test_scores_of_another_kind_have_no_guess() -> None:
    """A mean probability lies between 0 and 1 too."""
    assert by_guessing(result(0.5, objective="margin")) is None


def test_the_verdict_says_it_where_it_is_so_and_nowhere_else() -> None:
    """After the gain, in one sentence; alone where there is no gain to tell."""
    over = {"plain": Difference(points=5.0, interval=(1.0, 9.0), paired=True, images=49)}
    gain = Gain(over=over, ensemble=None, verdict="5.0 points better than plain (1.0 to 9.0)")
    said = no_better_than_guessing(result(0.265))
    assert verdict_on(result(0.265, gain=gain)) == f"{gain.told}; {said}"
    assert verdict_on(result(0.265)) == said
    assert verdict_on(result(0.9, gain=gain)) == gain.told
    assert verdict_on(result(None)) == ""
