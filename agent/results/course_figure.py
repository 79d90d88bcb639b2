"""The figure of a run's course: the drawing for a desk and that for a telephone, with one legend in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ...evaluator.counts import counted
from .chart import DASHES, NARROW, WIDE, Drawing, course_chart, named, shown_curves
from .figures import score_text
from .gain import BEST_HAND_MADE, DEFAULT_TEMPLATE, HAND_MADE
from .leaderboard import chosen_by_more
from .run_view import RunView

_LEVELS = (DEFAULT_TEMPLATE, BEST_HAND_MADE, HAND_MADE)


class Key(NamedTuple):
    """A line of the legend."""

    name: str
    figure: str
    colour: str
    dashes: str = "none"


class CourseFigure(NamedTuple):
    """What a page shows of a run's course; the drawings are markup, empty where there is nothing to draw."""

    wide: Any
    narrow: Any
    key: Sequence[Key]
    about: str
    skipped: Sequence[str]


def course_figure(view: RunView) -> CourseFigure:
    """Return the figure of a run."""
    from markupsafe import Markup

    levels = _levels(view)
    drawing = Drawing(curves=view.course.curves, levels=levels, percent=view.percent)
    shown = shown_curves(view.course.curves)
    key = [
        Key(named(restarts), _text(curve[-1][1], view), f"line-{place}")
        for place, (restarts, curve) in enumerate(shown.items(), start=1)
    ]
    key += [
        Key(name, _text(value, view), f"level-{place}", dashes)
        for place, (dashes, (name, value)) in enumerate(zip(DASHES, levels.items(), strict=False), start=1)
    ]
    return CourseFigure(
        wide=Markup(course_chart(drawing, WIDE, "course-wide")),
        narrow=Markup(course_chart(drawing, NARROW, "course-narrow")),
        key=key,
        about=_about(view, sum(map(len, shown))),
        skipped=[f"{counted(count, 'round')} skipped: {why}" for why, count in view.course.skipped.items()],
    )


def _levels(view: RunView) -> dict[str, float]:
    """Return what the curves are compared with: names that this program gives, and training scores."""
    if view.result is None:
        return {} if view.state.plain is None else {DEFAULT_TEMPLATE: view.state.plain}
    found = {name: view.result.baselines.get(name) for name in _LEVELS}
    known = {name: one.train for name, one in found.items() if one is not None and one.train is not None}
    if BEST_HAND_MADE in known:
        known.pop(HAND_MADE, None)
    return known


def _text(value: float, view: RunView) -> str:
    return score_text(value, percent=view.percent) + (" %" if view.percent else "")


def _about(view: RunView, shown: int) -> str:
    told = "The best training score of each restart after each round; at 0, of its initial templates."
    if view.result is None or chosen_by_more(view.rows):
        told += (
            " The choice at the end counts validation images and altered views too, where there are any, and "
            "may fall on another template."
        )
    if shown < len(view.course.curves):
        told += f" The {shown} of {len(view.course.curves)} restarts that ended highest are drawn."
    if view.course.estimated:
        told += (
            " Read from the leaderboard, as the log is not whole: a template that several restarts came upon "
            "stands with the first of them alone."
        )
    return told
