"""Intervals for differences of accuracies, and what several of them allow to claim."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.agent.results.gain import Z, _score, paired, significant, unpaired, wilson


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, int, int]:
    """Images that only one or only the other classifies correctly, and all images."""
    images = draw(st.integers(1, 2000))
    better = draw(st.integers(0, images))
    return better, draw(st.integers(0, images - better)), images


@given(counts())
def test_a_paired_interval_holds_what_was_seen_and_is_the_mirror_of_the_other_way_round(
    counted: tuple[int, int, int],
) -> None:
    """And it never leaves the differences that there can be."""
    better, worse, images = counted
    low, high = paired(better, worse, images)
    assert -1.0 <= low <= (better - worse) / images <= high <= 1.0
    assert paired(worse, better, images) == pytest.approx((-high, -low), abs=1e-9)


@given(counts())
def test_the_edges_of_a_paired_interval_are_where_the_score_is_the_quantile(
    counted: tuple[int, int, int],
) -> None:
    """That is Tango's definition; an edge at the end of the scale is further in."""
    low, high = paired(*counted)
    for edge, level in ((low, Z), (high, -Z)):
        if abs(edge) < 0.999:
            assert _score(*counted, edge) == pytest.approx(level, abs=1e-3)


def test_an_unpaired_interval_is_the_published_one() -> None:
    """Newcombe 1998, table II, method 10, for 9 and 3 of 10."""
    assert unpaired(0.9, 0.3, 10) == pytest.approx((0.1705, 0.8090), abs=1e-3)


def test_an_interval_of_an_accuracy_stays_within_all_and_none() -> None:
    """Rounding must not make an edge -0.0."""
    for images in range(1, 200):
        assert f"{wilson(0.0, images)[0]:.1f}" == "0.0"
        assert wilson(0.0, images)[0] >= 0.0
        assert wilson(1.0, images)[1] <= 1.0


@pytest.mark.parametrize("wrong", [(1, 0, 0), (-1, 0, 5), (3, 3, 5)])
def test_counts_that_do_not_fit_are_refused(wrong: tuple[int, int, int]) -> None:
    """They are a mistake of the caller's."""
    with pytest.raises(ValueError, match="not the counts"):
        paired(*wrong)


def test_one_comparison_is_claimed_when_its_interval_leaves_zero() -> None:
    """In either direction."""
    assert significant({"a": 2.0}) == {"a"}
    assert significant({"a": -2.0}) == {"a"}
    assert significant({"a": 1.9}) == set()


def test_the_best_of_many_comparisons_needs_more_than_one_alone() -> None:
    """Otherwise one in so many would be claimed where nothing is; with it stands what follows."""
    alone = dict.fromkeys("bcd", 0.0)
    assert significant({"a": 2.1, **alone}) == set()
    assert significant({"a": 2.3, **alone}) == {"a"}
    assert significant({"a": 2.3, "b": 2.2, "c": 1.97, "d": -math.inf}) == {"a", "b", "c", "d"}
