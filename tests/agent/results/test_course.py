"""The course of a run, read from its log."""

from __future__ import annotations

from typing import Any

from promptclimb.agent.results.course import course_of, course_of_rows
from tests.fakes.small_result import row


def event(name: str, climb: int = 1, reset: int = 0, iteration: int = 0, **more: Any) -> dict[str, Any]:
    """A line of the log."""
    return {"event": name, "climb": climb, "reset": reset, "iteration": iteration, **more}


SESSION = [
    {"event": "search.started"},
    event("climb.template_scored", template="a {}", train=0.5, val=None, source="initial"),
    event("climb.pool_scored", best="a {}", train=0.5),
    event("climb.template_refused", 1, 1, 1, line="no slot", reason="no_slot"),
    event("climb.template_refused", 1, 1, 1, line="no slot", reason="no_slot"),
    event("climb.template_scored", 1, 1, 1, template="one {}", train=0.75, val=0.5, source="llm"),
    event("climb.iteration_finished", 1, 1, 1, best="one {}", train=0.75),
    event("climb.iteration_skipped", 1, 2, 1, reason="no answer"),
    event("climb.iteration_finished", 1, 2, 2, best="one {}", train=0.75),
]


def test_the_course_is_that_of_the_events() -> None:
    """A step an iteration, resets one after the other; a skipped one counts and has no score of its own."""
    course = course_of(SESSION)
    assert course.curves == {1: ((0, 0.5), (1, 0.75), (3, 0.75))}
    assert [(one.template, one.val, one.source) for one in course.rows] == [
        ("a {}", None, "initial"),
        ("one {}", 0.5, "llm"),
    ]
    assert course.skipped == {"no answer": 1}
    assert not course.estimated


def test_what_a_resumed_run_tells_again_counts_once() -> None:
    """Refusals too, though the first session died in the middle of an iteration."""
    twice = course_of([*SESSION[:4], *SESSION])
    assert twice == course_of(SESSION)
    assert twice.refused["no_slot"].count == 2
    assert twice.refused["no_slot"].examples == ("no slot",)


def test_an_iteration_that_was_asked_again_is_skipped_no_more() -> None:
    """A resumed run asks again for what it had no answer to."""
    answered = event("climb.iteration_finished", 1, 2, 1, best="b {}", train=0.8)
    course = course_of([*SESSION, {"event": "search.started"}, answered])
    assert course.skipped == {}
    assert (2, 0.8) in course.curves[1]


def test_a_log_that_was_changed_is_no_reason_to_fail() -> None:
    """What is of another shape is passed over."""
    odd = [
        event("climb.pool_scored", train="high"),
        event("climb.template_scored", template=3, train=0.5),
        event("climb.template_scored", template="a {}", train=float("nan")),
        event("climb.iteration_finished", 1, -1, 1, train=0.5),
        {"event": "climb.iteration_finished", "climb": "one", "train": 0.5},
        {},
    ]
    assert course_of(odd).curves == {}
    assert course_of(odd).rows == ()


def test_without_a_log_the_leaderboard_tells_what_it_can() -> None:
    """Best so far, over the iterations of all resets, and said to be read from there."""
    rows = [
        row(climb=1, train=0.5),
        row(climb=1, train=0.4, reset=1, iteration=1),
        row(climb=1, train=0.7, reset=1, iteration=2),
        row(climb=1, train=0.6, reset=2, iteration=1),
        row(climb=2, train=0.3, reset=1, iteration=1),
    ]
    course = course_of_rows(rows)
    assert course.estimated
    assert course.curves[1] == ((0, 0.5), (1, 0.5), (2, 0.7), (3, 0.7))
    assert course.curves[2] == ((1, 0.3), (2, 0.3), (3, 0.3))
