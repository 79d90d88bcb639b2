"""One limit of so much a minute, to the second."""

from __future__ import annotations

import pytest

from promptclimb.agent.llm.limiter import BURST_S, FIRST_MARGIN_S, LONGEST_MARGIN_S, PERIOD_S, Window

FREED_S = PERIOD_S + FIRST_MARGIN_S
"""Seconds after which a use does not count any more."""


def test_uses_are_spread_over_the_minute() -> None:
    """Sixty a minute are one a second, and a pause saves up nothing."""
    window = Window(60)
    assert window.delay(0.0, 1) == 0.0
    window.take(0.0, 1)
    assert [window.delay(now, 1) for now in (0.0, 0.25, 1.0)] == [1.0, 0.75, 0.0]
    window.take(50.0, 2)
    assert [window.delay(now, 1) for now in (50.0, 51.5, 52.0)] == [2.0, 0.5, 0.0]


def test_a_shorter_time_may_take_the_minutes_place() -> None:
    """One a second is no sixty at once."""
    window = Window(1, 1.0)
    assert (window.a_minute, window.delay(0.0, 1)) == (60, 0.0)
    window.take(0.0, 1)
    assert window.delay(0.0, 1) == (1.0 + FIRST_MARGIN_S)


def test_what_is_earned_within_the_burst_may_go_at_once() -> None:
    """A limit of which one use takes longer to earn has no burst."""
    large, small = Window(100), Window(99)
    for window in (large, small):
        window.take(0.0, 1)
    assert (large.delay(0.0, 1), small.delay(0.0, 1)) == (0.0, pytest.approx(PERIOD_S / 99))
    large.take(0.0, 1)
    assert large.delay(0.0, 1) == pytest.approx(BURST_S)


def test_a_whole_minutes_worth_is_free_again_after_a_minute_and_the_margin() -> None:
    """All of the limit may be used at once where it is asked for at once."""
    window = Window(10)
    assert window.delay(0.0, 10) == 0.0
    window.take(0.0, 10)
    assert window.delay(0.0, 10) == FREED_S
    assert window.delay(60.0, 10) == pytest.approx(0.5)
    assert window.delay(FREED_S, 10) == 0.0


def test_only_as_much_is_waited_for_as_is_needed() -> None:
    """Uses leave the log one by one, the oldest first."""
    window = Window(10)
    window.take(0.0, 4)
    window.take(24.0, 4)
    delays = {weight: window.delay(48.0, weight) for weight in (2, 4, 6, 7, 10)}
    assert delays == {2: 0.0, 4: FREED_S - 48, 6: FREED_S - 48, 7: FREED_S - 24, 10: FREED_S - 24}


def test_a_use_that_was_smaller_than_feared_is_given_back() -> None:
    """To the minute and to the rate; a larger one is taken up."""
    window = Window(60)
    taken = window.take(0.0, 30)
    window.settle(taken, 4)
    assert window.delay(0.0, 1) == 4.0
    assert window.delay(0.0, 56) == 4.0
    window.settle(taken, 50)
    assert window.delay(0.0, 1) == 50.0
    assert window.delay(0.0, 11) == FREED_S


def test_a_corrected_use_leaves_with_what_it_was() -> None:
    """And not with what it was taken for."""
    window = Window(10)
    window.settle(window.take(0.0, 6), 2)
    window.take(36.0, 4)
    assert window.delay(61.0, 6) == 0.0
    assert window.delay(61.0, 7) == 36.0 + FREED_S - 61


def test_what_is_corrected_after_its_minute_changes_the_minute_no_more() -> None:
    """An answer may take longer than a minute; what it was counts against the rate alone."""
    window = Window(10)
    taken = window.take(0.0, 10)
    assert window.delay(100.0, 1) == 0.0
    window.settle(taken, 2)
    window.take(100.0, 10)
    assert window.delay(100.0, 1) == FREED_S


def test_what_others_have_used_is_left_to_them_until_it_is_full_again() -> None:
    """What a server says is left, where that is less than is known here."""
    window = Window(60)
    window.correct(0.0, 50, 20.0)
    assert (window.delay(0.0, 50), window.delay(0.0, 51), window.delay(19.0, 51)) == (0.0, 20.0, 1.0)
    assert window.delay(20.0, 51) == 0.0


def test_own_uses_and_those_of_others_count_together() -> None:
    """Where both stand in the way the later of their ends is waited for."""
    window = Window(60)
    window.take(0.0, 20)
    window.correct(0.0, 30, 10.0)
    assert window.delay(0.0, 30) == 20.0
    assert window.delay(0.0, 45) == FREED_S
    window.correct(0.0, 35, 70.0)
    assert window.delay(0.0, 35) == 20.0


@pytest.mark.parametrize("full_in_s", [None, 500.0])
def test_others_are_believed_for_a_minute_at_most(full_in_s: float | None) -> None:
    """If no time is stated, or one that is further away than a minute can be."""
    window = Window(60)
    window.correct(5.0, 0, full_in_s)
    assert window.delay(5.0, 1) == PERIOD_S


def test_news_that_others_used_less_is_older_news() -> None:
    """Replies overtake each other: only what says that more is gone counts."""
    window = Window(60)
    window.correct(0.0, 0, 30.0)
    window.correct(1.0, 50, 5.0)
    window.correct(1.0, 0, 50.0)
    assert window.delay(1.0, 1) == 29.0


def test_what_has_left_the_minute_is_not_taken_for_the_servers_count() -> None:
    """Own uses of long ago explain nothing of what a server says is gone now."""
    window = Window(60)
    window.take(0.0, 60)
    window.correct(100.0, 0, 10.0)
    assert window.delay(100.0, 1) == 10.0


def test_the_margin_doubles_with_each_refusal_up_to_a_bound() -> None:
    """And holds for what is in the log already."""
    window, margins = Window(10), []
    window.take(0.0, 10)
    for _ in range(6):
        window.refused()
        margins.append(window.margin)
    assert margins == [1.0, 2.0, 4.0, LONGEST_MARGIN_S, LONGEST_MARGIN_S, LONGEST_MARGIN_S]
    assert window.delay(0.0, 1) == PERIOD_S + LONGEST_MARGIN_S
    assert window.delay(67.0, 1) == 1.0
