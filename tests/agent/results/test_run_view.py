"""What is known of a run, from its folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from promptclimb.agent.results.details import write_details
from promptclimb.agent.results.run_dir import write_result
from promptclimb.agent.results.run_view import view_of
from tests.agent.results.test_course import SESSION
from tests.agent.results.test_details import DETAILS
from tests.fakes.small_result import row, small_result

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


def test_a_finished_run_is_known_whole(run_dir: Path) -> None:
    """Result, course of the log, details; the leaderboard and the line are those that were kept."""
    view = view_of(run_dir)
    assert (view.result, view.details, view.state.state) == (RESULT, DETAILS, "finished")
    assert view.rows == RESULT.leaderboard
    assert view.lineage == DETAILS.lineage
    assert not view.course.estimated
    assert view.percent


def test_pictures_may_be_left_out(run_dir: Path) -> None:
    """The rest of the details stays."""
    assert view_of(run_dir, pictures=False).details == replace(DETAILS, pictures=())


@pytest.mark.parametrize("events", [[], SESSION[:3]])
def test_where_the_log_is_not_whole_the_leaderboard_tells(
    run_dir: Path, events: list[dict[str, Any]]
) -> None:
    """It was cut, or is of another: a course that lacks templates would be one that did not happen."""
    write_log(run_dir, events)
    course = view_of(run_dir).course
    assert course.estimated
    assert course.curves == {1: ((0, 0.5), (1, 0.5))}


@pytest.mark.parametrize("torn", ["", "{", "[]"])
def test_without_a_result_what_was_scored_is_known(run_dir: Path, torn: str) -> None:
    """Best first; details of an earlier end are not shown for it."""
    (run_dir / "result.json").write_text(torn)
    view = view_of(run_dir)
    assert view.result is None
    assert [one.template for one in view.rows] == ["one {}", "a {}"]
    assert [one.template for one in view.lineage] == ["one {}", "a {}"]
    assert view.lineage[0].messages == ()


def test_an_empty_folder_is_a_run_of_which_nothing_is_known(tmp_path: Path) -> None:
    """Nothing fails."""
    view = view_of(tmp_path)
    assert (view.result, view.details, list(view.rows), view.lineage) == (None, None, [], ())
    assert "config.toml cannot be read" in view.config
