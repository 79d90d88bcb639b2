"""All that is known of a run, from its folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from promptclimb.agent.events.types import event_of
from promptclimb.agent.results.details import write_details
from promptclimb.agent.results.history import Progress, view_of
from promptclimb.agent.results.run_dir import write_result
from tests.agent.results.test_details import DETAILS
from tests.fakes.small_result import row, small_result


def event(name: str, restart: int = 1, conversation: int = 0, round: int = 0, **more: Any) -> dict[str, Any]:
    """A line of the log."""
    place = {"event": name, "restart": restart, "conversation": conversation, "round": round}
    return place | {"improved": False, "templates": 1} | more


def course_of(lines: list[dict[str, Any]]) -> Progress:
    """The course of a log with those lines."""
    progress = Progress()
    for line in lines:
        if (event := event_of(line)) is not None:
            progress.add(event)
    return progress


STARTED = {
    "event": "search.started", "run_dir": "r", "dataset": "d", "classes": 2, "model": "m", "llm": None,
    "method": "random", "restarts": 1, "rounds": 3, "resumed": False,
}  # fmt: skip


SESSION = [
    STARTED,
    event("restart.template_scored", template="a {}", train=0.5, val=None, source="initial"),
    event("restart.starting_templates_scored", best="a {}", train=0.5),
    event("restart.template_refused", 1, 1, 1, line="no slot", reason="no_slot"),
    event("restart.template_refused", 1, 1, 1, line="no slot", reason="no_slot"),
    event("restart.template_scored", 1, 1, 1, template="one {}", train=0.75, val=0.5, source="llm"),
    event("round.finished", 1, 1, 1, best="one {}", train=0.75),
    event("round.skipped", 1, 2, 1, reason="no answer"),
    event("round.finished", 1, 2, 2, best="one {}", train=0.75),
]

RESULT = small_result(leaderboard=(row(1, "one {}", 0.5, conversation=1, round=1), row(2, "a {}")))


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A finished run of two templates."""
    write_result(tmp_path, RESULT)
    write_details(tmp_path, DETAILS)
    write_log(tmp_path, SESSION)
    return tmp_path


def write_log(run_dir: Path, events: list[dict[str, Any]]) -> None:
    """Write events as a run does."""
    (run_dir / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))


def test_dropped_templates_come_last(tmp_path: Path) -> None:
    """Before the result too; a template that another restart scored on all images counts by that."""
    few = {"val": None, "source": "initial", "images": 2, "estimate": 0.25}
    log = [
        event("restart.template_scored", template="few {}", train=1.0, **few),
        event("restart.template_scored", template="both {}", train=1.0, **few | {"estimate": 0.125}),
        event("restart.template_scored", 2, template="both {}", train=0.5, val=None, source="initial"),
        event("restart.template_scored", template="less {}", train=0.5, **few | {"estimate": 0.375}),
    ]
    write_log(tmp_path, log)
    rows = view_of(tmp_path).rows
    assert [(row.template, row.train, row.images) for row in rows] == [
        ("both {}", 0.5, None), ("less {}", 0.5, 2), ("few {}", 1.0, 2),
    ]  # fmt: skip


def test_what_decides_orders_templates_before_the_result_too(tmp_path: Path) -> None:
    """A mean over classes may prefer a template of which fewer images are right; those are shown."""
    scored, start = "restart.template_scored", "restart.starting_templates_scored"
    rare = {"template": "rare {}", "train": 0.5, "val": None, "source": "initial", "objective": 0.5}
    common = {"template": "common {}", "train": 0.75, "val": None, "source": "initial", "objective": 0.375}
    log = [
        STARTED | {"restarts": 2},
        event(scored, **common),
        event(start, best="common {}", train=0.75, objective=0.375),
        event(scored, 2, **rare),
        event(start, 2, best="rare {}", train=0.5, objective=0.5),
        event("round.finished", 1, 1, 1, best="common {}", train=0.75, objective=0.375),
    ]
    write_log(tmp_path, log)
    view = view_of(tmp_path)
    assert [row.template for row in view.rows] == ["rare {}", "common {}"]
    assert (view.best, view.train, view.gains) == ("rare {}", 0.5, {"best starting template": 0.0})


def test_a_finished_run_is_known_whole(run_dir: Path) -> None:
    """Result, course of the log, details; the leaderboard and the line are those that were kept."""
    view = view_of(run_dir)
    assert (view.result, view.details, view.state) == (RESULT, DETAILS, "finished")
    assert view.rows == RESULT.leaderboard
    assert view.percent


def test_pictures_may_be_left_out(run_dir: Path) -> None:
    """The rest of the details stays."""
    assert view_of(run_dir, pictures=False).details == replace(DETAILS, pictures=())


@pytest.mark.parametrize("events", [[], SESSION[:3]])
def test_a_log_that_is_not_whole_is_not_drawn(run_dir: Path, events: list[dict[str, Any]]) -> None:
    """It was cut, or is of another: a course that lacks templates would be one that did not happen."""
    write_log(run_dir, events)
    assert view_of(run_dir).course == Progress()


@pytest.mark.parametrize("torn", ["", "{", "[]"])
def test_without_a_result_what_was_scored_is_known(run_dir: Path, torn: str) -> None:
    """Best first; details of an earlier end are not shown for it."""
    (run_dir / "result.json").write_text(torn)
    view = view_of(run_dir)
    assert view.result is None
    assert [row.template for row in view.rows] == ["one {}", "a {}"]


def test_an_empty_folder_is_a_run_of_which_nothing_is_known(tmp_path: Path) -> None:
    """Nothing fails."""
    view = view_of(tmp_path)
    assert (view.result, view.details, list(view.rows)) == (None, None, [])
    assert "config.toml cannot be read" in view.config


def test_the_course_is_that_of_the_events() -> None:
    """A step a round, conversations one after the other; a skipped one counts and has no score."""
    course = course_of(SESSION)
    assert course.curves == {1: ((0, 0.5), (1, 0.75), (3, 0.75))}
    assert [(row.template, row.val, row.source) for row in course.rows] == [
        ("a {}", None, "initial"),
        ("one {}", 0.5, "llm"),
    ]
    assert course.skipped == {"no answer": 1}


def test_events_that_a_resumed_run_repeats_count_once() -> None:
    """Refusals too, though the first session died in the middle of a round."""
    twice = course_of([*SESSION[:4], *SESSION])
    once = course_of(SESSION)
    assert (twice.curves, twice.rows, twice.refused, twice.skipped) == (
        once.curves, once.rows, once.refused, once.skipped,
    )  # fmt: skip
    assert twice.refused["no_slot"].count == 2
    assert twice.refused["no_slot"].examples == ("no slot",)


def test_a_round_that_was_asked_again_is_skipped_no_more() -> None:
    """A resumed run asks again for what it had no answer to."""
    answered = event("round.finished", 1, 2, 1, best="b {}", train=0.8)
    course = course_of([*SESSION, STARTED, answered])
    assert course.skipped == {}
    assert (2, 0.8) in course.curves[1]
