"""The circuit breaker: its states, its pauses, and what probes cost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.agent.llm.pool import (
    FIRST_PAUSE_S,
    HOLD_SHARE,
    LAST_ONE_FAILURES,
    LONGEST_ALONE_S,
    LONGEST_PAUSE_S,
    Breaker,
)


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock at 0."""
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    """A new one."""
    return Breaker(clock)


def closed(breaker: Breaker) -> Breaker:
    """It, after a probe that was answered."""
    assert breaker.admit()
    breaker.answered(probe=True)
    breaker.leave(probe=True)
    return breaker


def test_a_new_endpoint_is_asked_by_one_probe_at_a_time(breaker: Breaker) -> None:
    """Until one is answered; then there is no bound."""
    assert (breaker.closed, breaker.due) == (False, True)
    assert breaker.admit()
    assert not breaker.due
    assert breaker.wait_s() == float("inf")
    breaker.leave(probe=True)
    assert breaker.due
    assert breaker.admit()
    assert breaker.answered(probe=True)
    assert (breaker.closed, breaker.wait_s()) == (True, 0)
    assert not breaker.admit()
    assert not breaker.answered(probe=False)


def test_a_failure_opens_it_and_a_probe_decides(breaker: Breaker, clock: Clock) -> None:
    """After the pause one request may go; if it fails the pause is longer, if it is answered it is over."""
    closed(breaker)
    assert breaker.failed(0.0, probe=False) == FIRST_PAUSE_S
    assert (breaker.closed, breaker.wait_s()) == (False, FIRST_PAUSE_S)
    clock.now += FIRST_PAUSE_S
    assert breaker.due
    breaker.admit()
    assert breaker.failed(0.0, probe=True) == 2 * FIRST_PAUSE_S
    breaker.leave(probe=True)
    clock.now += 2 * FIRST_PAUSE_S
    breaker.admit()
    assert breaker.answered(probe=True)
    assert breaker.closed


def test_what_was_under_way_when_it_opened_says_nothing_new(breaker: Breaker) -> None:
    """Ten requests that fail together are one failure, and a late answer does not close it."""
    closed(breaker)
    breaker.failed(0.0, probe=False)
    assert breaker.failed(0.0, probe=False) is None
    assert not breaker.answered(probe=False)
    assert breaker.wait_s() == FIRST_PAUSE_S


def test_the_last_closed_one_has_three_strikes(breaker: Breaker) -> None:
    """No other could be asked; an answer between two failures begins the count again."""
    closed(breaker)
    for _ in range(LAST_ONE_FAILURES - 1):
        assert breaker.failed(1.0, probe=False, last=True) is None
    breaker.answered(probe=False)
    for _ in range(LAST_ONE_FAILURES - 1):
        assert breaker.failed(1.0, probe=False, last=True) is None
    assert breaker.failed(1.0, probe=False, last=True) == FIRST_PAUSE_S


def test_good_and_bad_in_turn_is_asked_ever_more_seldom(breaker: Breaker, clock: Clock) -> None:
    """An answer does not make a failure undone."""
    pauses = []
    for _ in range(8):
        closed(breaker)
        pauses.append(breaker.failed(0.0, probe=False) or 0.0)
        clock.now += pauses[-1]
    assert pauses == sorted(pauses)
    assert pauses[-1] > 50 * FIRST_PAUSE_S


def test_many_answers_make_it_good_again(breaker: Breaker) -> None:
    """A stray failure in a hundred answers costs the first pause, each time."""
    closed(breaker)
    for _ in range(5):
        for _ in range(100):
            breaker.answered(probe=False)
        assert breaker.failed(0.0, probe=False) == FIRST_PAUSE_S
        closed(breaker)


def test_while_all_are_open_pauses_are_short(breaker: Breaker, clock: Clock) -> None:
    """The first to come back is to be found soon."""
    for _ in range(20):
        breaker.admit()
        breaker.failed(60.0, probe=True)
        breaker.leave(probe=True)
    assert breaker.wait_s() == 60 * HOLD_SHARE
    assert breaker.wait_s(alone=True) == LONGEST_ALONE_S
    clock.now += LONGEST_ALONE_S
    assert breaker.wait_s(alone=True) == 0


@given(st.lists(st.floats(0, 120), min_size=1, max_size=40))
def test_probes_hold_requests_for_a_small_share_of_the_time(holds: list[float]) -> None:
    """However long they take, all but the last together at most one part in twenty; no pause is for ever."""
    clock = Clock()
    breaker, held = Breaker(clock), 0.0
    for hold in holds:
        clock.now += breaker.wait_s()
        assert held <= clock.now / HOLD_SHARE + 1e-6
        assert breaker.admit()
        clock.now += hold
        held += hold
        pause = breaker.failed(hold, probe=True)
        breaker.leave(probe=True)
        assert pause is not None
        assert pause <= max(LONGEST_PAUSE_S, hold * HOLD_SHARE)


@given(st.lists(st.sampled_from(["answer", "fail", "cancel", "wait"]), max_size=60), st.booleans())
def test_it_never_keeps_everybody_out(steps: list[str], last: bool) -> None:
    """After whatever has happened, a request may go in a bounded time, and a good endpoint ends up closed."""
    clock = Clock()
    breaker = Breaker(clock)
    for step in steps:
        if step == "wait":
            clock.now += 10.0
        elif breaker.wait_s() <= 0:
            probe = breaker.admit()
            if step == "answer":
                breaker.answered(probe=probe)
            elif step == "fail":
                breaker.failed(1.0, probe=probe, last=last)
            breaker.leave(probe=probe)
    assert breaker.wait_s() <= max(LONGEST_PAUSE_S, HOLD_SHARE)
    clock.now += breaker.wait_s()
    breaker.answered(probe=breaker.admit())
    assert breaker.closed


def test_failures_in_a_row_are_counted_until_an_answer(breaker: Breaker) -> None:
    """None at first; what was under way when the circuit opened says nothing."""
    assert breaker.failures == 0
    assert breaker.admit()
    assert breaker.failed(1.0, probe=True) is not None
    breaker.leave(probe=True)
    assert breaker.failures == 1
    assert breaker.answered(probe=False) is False
    assert breaker.failures == 1
    assert closed(breaker).failures == 0
