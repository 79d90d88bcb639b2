"""The course of a run, read from its log."""

from __future__ import annotations

from typing import Any

from promptclimb.agent.results.course import course_of, course_of_rows
from tests.fakes.small_result import row


def event(name: str, restart: int = 1, conversation: int = 0, round: int = 0, **more: Any) -> dict[str, Any]:
    """A line of the log."""
    return {"event": name, "restart": restart, "conversation": conversation, "round": round, **more}


SESSION = [
    {"event": "search.started"},
    event("restart.template_scored", template="a {}", train=0.5, val=None, source="initial"),
    event("restart.starting_templates_scored", best="a {}", train=0.5),
    event("restart.template_refused", 1, 1, 1, line="no slot", reason="no_slot"),
    event("restart.template_refused", 1, 1, 1, line="no slot", reason="no_slot"),
    event("restart.template_scored", 1, 1, 1, template="one {}", train=0.75, val=0.5, source="llm"),
    event("round.finished", 1, 1, 1, best="one {}", train=0.75),
    event("round.skipped", 1, 2, 1, reason="no answer"),
    event("round.finished", 1, 2, 2, best="one {}", train=0.75),
]


def test_the_course_is_that_of_the_events() -> None:
    """A step a round, conversations one after the other; a skipped one counts and has no score."""
    course = course_of(SESSION)
    assert course.curves == {1: ((0, 0.5), (1, 0.75), (3, 0.75))}
    assert [(one.template, one.val, one.source) for one in course.rows] == [
        ("a {}", None, "initial"),
        ("one {}", 0.5, "llm"),
    ]
    assert course.skipped == {"no answer": 1}
    assert not course.estimated


def test_what_a_resumed_run_tells_again_counts_once() -> None:
    """Refusals too, though the first session died in the middle of an round."""
    twice = course_of([*SESSION[:4], *SESSION])
    assert twice == course_of(SESSION)
    assert twice.refused["no_slot"].count == 2
    assert twice.refused["no_slot"].examples == ("no slot",)


def test_an_round_that_was_asked_again_is_skipped_no_more() -> None:
    """A resumed run asks again for what it had no answer to."""
    answered = event("round.finished", 1, 2, 1, best="b {}", train=0.8)
    course = course_of([*SESSION, {"event": "search.started"}, answered])
    assert course.skipped == {}
    assert (2, 0.8) in course.curves[1]


def test_a_log_that_was_changed_is_no_reason_to_fail() -> None:
    """What is of another shape is passed over."""
    odd = [
        event("restart.starting_templates_scored", train="high"),
        event("restart.template_scored", template=3, train=0.5),
        event("restart.template_scored", template="a {}", train=float("nan")),
        event("round.finished", 1, -1, 1, train=0.5),
        {"event": "round.finished", "restart": "one", "train": 0.5},
        {},
    ]
    assert course_of(odd).curves == {}
    assert course_of(odd).rows == ()


def test_without_a_log_the_leaderboard_tells_what_it_can() -> None:
    """Best so far, over the rounds of all conversations, and said to be read from there."""
    rows = [
        row(restart=1, train=0.5),
        row(restart=1, train=0.4, conversation=1, round=1),
        row(restart=1, train=0.7, conversation=1, round=2),
        row(restart=1, train=0.6, conversation=2, round=1),
        row(restart=2, train=0.3, conversation=1, round=1),
    ]
    course = course_of_rows(rows)
    assert course.estimated
    assert course.curves[1] == ((0, 0.5), (1, 0.5), (2, 0.7), (3, 0.7))
    assert course.curves[2] == ((1, 0.3), (2, 0.3), (3, 0.3))
