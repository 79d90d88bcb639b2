"""The drawing of a run's course."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from promptclimb.agent.position import Position
from promptclimb.agent.present.chart import MOST_CURVES, NARROW, WIDE, course_chart
from promptclimb.agent.present.sections import course_of
from promptclimb.agent.results.history import Progress, RestartProgress, RunView
from tests.fakes.small_result import small_result


def drawn(**changes: object) -> str:
    """Two restarts and a level."""
    values = {
        "curves": {"restart 1": ((0, 0.5), (1, 0.5), (2, 0.7)), "restart 2": ((0, 0.4),)},
        "levels": {"default template": 0.45},
    }
    return course_chart(**{"size": WIDE, "name": "here", **values, **changes})  # type: ignore[arg-type]


def test_a_score_holds_until_it_is_bettered() -> None:
    """The line has a corner at the round that betters it, and goes a little beyond the last one."""
    path = re.findall(r'<path d="([^"]*)" class="line reactive', drawn())[0]
    points = [tuple(map(float, point.split())) for point in re.findall(r"[\d.]+ [\d.]+", path)]
    assert len(points) == 4
    assert points[0][1] == points[1][1] > points[2][1] == points[3][1]
    assert points[1][0] == points[2][0] < points[3][0]


def test_it_is_named_and_has_axes_in_words() -> None:
    """It has a description for those who cannot see it; no comment with a date or an address is left."""
    text = drawn()
    assert 'role="img" aria-label="Best training accuracy in percent of each restart' in text
    assert "rounds done" in text
    assert "train accuracy, %" in text
    assert "<!--" not in text
    assert "<script" not in text
    assert "train score" in drawn(percent=False)


def test_the_same_is_drawn_each_time() -> None:
    """Nothing in it is drawn by lot or by the clock, so a page can be compared with another."""
    assert drawn() == drawn()


def test_nothing_and_numbers_beyond_measure_are_not_drawn() -> None:
    """A black box may score with any number."""
    assert drawn(curves={}) == ""
    assert drawn(curves={"a": ((0, 1e300),)}, percent=False) == ""
    assert drawn(levels={"default template": 1e308}, percent=False) == ""


def test_numbers_of_any_kind_are_drawn() -> None:
    """One point, equal scores, negative ones, and the size for a telephone."""
    for curves in ({"a": ((0, -7000.5),)}, {"a": ((0, 0.0), (3, 0.0)), "b": ((0, 0.0),)}):
        text = drawn(curves=curves, levels={}, size=NARROW, percent=False)
        assert "nan" not in text
        assert 'class="line' in text


def test_of_many_restarts_the_best_are_drawn() -> None:
    """As many as there are colours."""
    restarts = {n: RestartProgress(heights={Position(n): n / 100}) for n in range(1, 20)}
    course = course_of(RunView(run_dir=Path("run"), progress=Progress(restarts=restarts)))
    drawn_restarts = [f"restart {n}" for n in range(20 - MOST_CURVES, 20)]
    assert [name for name, *_ in course["figure"].key] == drawn_restarts
    assert f"The {MOST_CURVES} of 19 restarts that ended highest are drawn." in course["figure"].about


def test_the_caption_says_that_new_names_came_after_the_rounds() -> None:
    """Otherwise the chart ends below the accuracy in the table, and nothing says why."""
    result = replace(small_result(), leaderboard=())
    renamed = replace(
        result, best=replace(result.best, class_names={"red": "crimson", "green": "lime", "blue": "navy"})
    )
    progress = Progress(restarts={1: RestartProgress(heights={Position(1): 0.5})})
    for of_run, is_said in ((result, False), (renamed, True)):
        course = course_of(RunView(run_dir=Path("run"), progress=progress, result=of_run))
        assert ("with the original class names" in course["figure"].about) is is_said
