"""What a page shows of a run, part by part, as plain values for its templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ...evaluator.counts import counted
from ..position import LLM
from .class_changes import Classes, classes_of
from .course import Refused
from .course_figure import CourseFigure, course_figure
from .details import Ancestor
from .figures import REJECTED
from .gain_rows import Compared, about_scores, compared_rows
from .headline import Card, cards, verdict, warnings, what
from .leaderboard import about_order
from .lineage import Word, marked
from .next_steps import next_steps
from .open_clip_lines import Use, use_of
from .result import Row
from .run_view import RunView
from .word_counts import WordEffect, word_effects

MAX_ROWS = 100
_HEADINGS = {
    "found": "What was gained",
    "course": "How the search went",
    "classes": "Which classes changed",
    "lineage": "Where the best template came from",
    "words": "Which words helped",
    "refused": "What was refused, and why",
    "board": "Leaderboard",
    "use": "How to use it",
    "next": "What to do next",
    "facts": "What it took, and notes",
}


class Line(NamedTuple):
    """An ancestor, its words marked against the next one."""

    words: Sequence[Word]
    origin: str
    one: Ancestor
    told: str


class Reason(NamedTuple):
    """What was refused for one reason."""

    why: str
    number: str
    examples: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """All that the templates show, but for the facts at the foot."""

    title: str
    what: str
    verdict: str
    warnings: Sequence[str]
    best: str
    best_is: str
    cards: Sequence[Card]
    contents: Sequence[tuple[str, str]]
    compared: Sequence[Compared]
    about_scores: str
    course: CourseFigure
    classes: Classes | None
    words: Sequence[tuple[str, Sequence[WordEffect]]]
    lines: Sequence[Line]
    refused: Sequence[Reason]
    board: Sequence[Row]
    board_rest: int
    board_order: str
    use: Use | None
    next: Sequence[str]
    percent: bool
    finished: bool
    config: str

    @property
    def gains(self) -> bool:
        """Whether there is any difference to tell."""
        return any(row.gain is not None for row in self.compared)

    @property
    def views(self) -> bool:
        """Whether altered views were scored."""
        return any(row.views is not None for row in self.board)


def page_of(view: RunView) -> Page:
    """Return what a page shows of a run."""
    result, rows = view.result, view.rows
    dataset = result.dataset.name if result else str(view.state.started.get("dataset", "a run"))
    better, worse = word_effects(rows)
    words = [(heading, found) for heading, found in (("better with", better), ("worse with", worse)) if found]
    classes = classes_of(view)
    shown = {
        "found": result is not None,
        "classes": classes is not None,
        "lineage": bool(rows),
        "words": bool(words),
        "board": bool(rows),
        "use": result is not None,
    }
    return Page(
        title=f"Templates for {dataset}",
        what=what(view),
        verdict=verdict(view),
        warnings=warnings(view),
        best=result.best.template if result else rows[0].template if rows else "",
        best_is="The best template" if result else "The best template so far, by training score",
        cards=cards(view),
        contents=[(name, heading) for name, heading in _HEADINGS.items() if shown.get(name, True)],
        compared=compared_rows(result) if result else (),
        about_scores=about_scores(result) if result else "",
        course=course_figure(view),
        classes=classes,
        words=words,
        lines=_lines(view.lineage),
        refused=_refused(view.course.refused, result.rejected if result else None),
        board=rows[:MAX_ROWS],
        board_rest=max(0, len(rows) - MAX_ROWS),
        board_order=about_order(rows, chosen=result is not None),
        use=use_of(view) if result else None,
        next=next_steps(view),
        percent=view.percent,
        finished=result is not None,
        config=view.config,
    )


def origin(row: Row | Ancestor) -> str:
    """Return where a template came up, and who made it."""
    where = f"conversation {row.conversation}, round {row.round}" if row.conversation else "initial"
    by = f", {'the LLM' if row.source == LLM else row.source}" if row.conversation and row.source else ""
    return f"restart {row.restart}, {where}{by}"


def _lines(lineage: Sequence[Ancestor]) -> list[Line]:
    found = []
    for place, one in enumerate(lineage, start=1):
        parent = lineage[place].template if place < len(lineage) else None
        more = "" if one.all_shown == len(one.shown) else f", of which the best {len(one.shown)} are"
        told = f"{counted(one.all_shown, 'known template')} stood in this request{more}:"
        found.append(Line(marked(one.template, parent), origin(one), one, told))
    return found


def _refused(course: Mapping[str, Refused], counts: Mapping[str, int] | None) -> list[Reason]:
    """Return reasons, the most frequent first; a result counts, and the log has examples."""
    number = counts if counts is not None else {reason: one.count for reason, one in course.items()}
    ordered = sorted(number.items(), key=lambda item: (-item[1], item[0]))
    return [
        Reason(
            REJECTED.get(reason, reason.replace("_", " ")),
            f"{count:,}",
            course[reason].examples if reason in course else (),
        )
        for reason, count in ordered
    ]
