"""The table of accuracies of a run, or of several: one value, which every display renders.

A row is one template, several averaged ones, or a method; a column is a split or a data set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt

from ...evaluator.scoring import BASELINE_DEFAULT, HAND_MADE, Unanswered
from ...prompts.kinds import CandidateNoun
from ..text import printable

Interval = tuple[float, float]
Points = Annotated[float, Field(ge=-100, le=100)]
BEST, TEXTS, WITH_IMAGES = "best", "texts", "with_images"
"""What a search found, among decisions and differences; others have the names of the baselines."""
RECOMMENDED = "recommended"
"""Stands for the recommended one of these where runs are compared."""
BEST_HAND_MADE = "best hand-made"
BEST_STARTING = "best starting template"
ORIGINAL_NAMES = "original names"
NEW_NAMES = "new names, "
"""Begins the name of a baseline that has the new class names."""
WITHOUT_SEARCH = "best without a search"
GAIN = "gain of the\nrecommended\nover it"
"""Heads the column with the gain of the recommended form over each row."""
CHANCE_MARK = "†"
"""Marks an accuracy that may be no better than the chance level."""
_MOST_TEMPLATES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The difference of two test accuracies, in percentage points.

    Attributes:
        interval: Its 95 % confidence interval.
        paired: Whether the interval uses pairs of decisions on the same images. Otherwise it assumes
            independence and is wider than necessary.
        images: Number of test images.
        better: Images that only the first classifies correctly; None if decisions are not known.
        worse: Images that only the second classifies correctly; None if decisions are not known.
        verdict: ``better`` or ``worse`` if that is certain among all differences, ``may be chance``, or
            ``the same``.
    """

    points: Points
    interval: tuple[Points, Points]
    paired: bool
    images: PositiveInt
    better: NonNegativeInt | None = None
    worse: NonNegativeInt | None = None
    verdict: str = ""

    def __post_init__(self) -> None:
        low, high = self.interval
        if not low <= self.points <= high:
            raise ValueError("the difference is outside its interval")
        if (self.better is None) != (self.worse is None):
            raise ValueError("`better` and `worse` belong together")
        if (self.better or 0) + (self.worse or 0) > self.images:
            raise ValueError("more images differ than there are")

    @property
    def same_template(self) -> bool:
        return self.interval == (0.0, 0.0)

    @property
    def is_none(self) -> bool:
        """Whether both are the same texts, or are right on the same images."""
        return self.same_template or self.better == self.worse == 0

    @property
    def sign(self) -> int:
        """1 if the first is better, -1 if it is worse, 0 if the interval contains 0."""
        low, high = self.interval
        return (low > 0.0) - (high < 0.0)

    def __str__(self) -> str:
        low, high = (_edge(edge, apart=self.sign != 0) for edge in self.interval)
        return f"{self.points:+z.1f} [{low}, {high}]"

    @property
    def in_words(self) -> str:
        """The difference, its interval, and the verdict on it, a line each."""
        if self.is_none:
            return self.verdict
        return "\n".join((*str(self).split(" ", 1), self.verdict))


def _edge(points: float, *, apart: bool) -> str:
    """Write an end of an interval; one that is ``apart`` from 0 is not written as 0.0."""
    digits = next((digits for digits in range(1, 4) if round(points, digits)), 4) if apart else 1
    return f"{points:z.{digits}f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """A cell of the table.

    Attributes:
        value: A fraction of 1, or a custom scorer's number; None if it was not measured.
        unanswered: The shares of images without a class; None if all have one.
        spread: Its standard deviation over seeds.
        interval: Its 95 % confidence interval.
        may_be_chance: Whether it may be no better than chance.
        gain: Its difference to what every cell is compared with.
        recommended: Whether its classifier is the one to use.
    """

    value: float | None
    unanswered: Unanswered | None = None
    spread: float | None = None
    interval: Interval | None = None
    may_be_chance: bool = False
    gain: Difference | None = None
    recommended: bool = False

    def lines(self, *, percent: bool) -> list[str]:
        """Return its text, then what stands beside it."""
        spread = f" ±{100 * self.spread:.1f}" if self.spread else ""
        mark, star = CHANCE_MARK if self.may_be_chance else "", " *" if self.recommended else ""
        low, high = self.interval or (0.0, 0.0)
        interval = f" ({100 * low:.1f} to {100 * high:.1f})" if self.interval else ""
        return [
            f"{score_text(self.value, percent=percent)}{mark}{spread}{interval}{star}",
            *([] if self.gain is None else [str(self.gain)]),
            *beside_accuracy(self.value, self.unanswered),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyRow:
    """A row of the table.

    Attributes:
        name: A baseline's or a form's name, such as ``best``; a method's label.
        title: The name in words.
        cells: By column.
        start: What is said before the templates, if it has learned from images; empty otherwise.
        gain: The difference of the recommended form to this row on test.
    """

    name: str
    title: str
    cells: Mapping[str, Accuracy]
    templates: tuple[str, ...] = ()
    start: str = ""
    gain: Difference | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyTable:
    """Rows of accuracies under columns; ``percent`` if all values may be accuracies."""

    columns: tuple[str, ...]
    rows: tuple[AccuracyRow, ...]
    percent: bool = True

    @property
    def cells(self) -> list[Accuracy]:
        return [cell for row in self.rows for cell in row.cells.values()]

    @property
    def unit(self) -> str:
        return "accuracy in %" if self.percent else "score, higher is better"

    def __str__(self) -> str:
        """Return a line a row, without templates, for ``print``."""
        lines = [[cell.replace("\n", " ") for cell in line] for line in self.lines()]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )

    def lines(self, noun: str | None = None) -> list[list[str]]:
        """Return texts to show, column names first; ``noun`` heads a column of the rows' templates."""
        lines = [["", *([] if noun is None else [noun]), *map(printable, self.columns)]]
        gains = any(row.gain is not None for row in self.rows)
        lines[0] += [GAIN] * gains
        for row in self.rows:
            cells = [row.cells[column].lines(percent=self.percent) for column in self.columns]
            texts = _templates_text(row.templates, are_examples_shown=row.name == TEXTS)
            templates = [] if noun is None else ["\n".join(filter(None, (row.start, texts)))]
            gain = [] if not gains else ["" if row.gain is None else row.gain.in_words]
            lines.append([printable(row.title), *templates, *map("\n".join, cells), *gain])
        return lines


def score_text(value: float | None, *, percent: bool, unit: str = "") -> str:
    """Return ``62.5`` for 0.625 in percent, else the number itself; a dash for None."""
    if value is None:
        return "-"
    return f"{100 * value:.1f}{unit}" if percent else f"{value:.4g}"


def beside_accuracy(accuracy: float | None, unanswered: Unanswered | None) -> list[str]:
    """Return the shares of images without a class, and the accuracy on all others; empty if all have one."""
    if accuracy is None or unanswered is None:
        return []
    shares = (("refused", unanswered.refused), ("unreadable", unanswered.unreadable))
    texts = [f"{100 * share:.1f} % {what}" for what, share in shares if share]
    among = unanswered.among_answered(accuracy)
    return texts if among is None else [*texts, f"{100 * among:.1f} of those answered"]


def weighted(templates: Sequence[str]) -> list[str]:
    """Return the different ones of averaged templates, in order, and how often each is there: its weight."""
    times = {1: "", 2: " (counts twice)"}
    return [f"{text}{times.get(n, f' (counts {n} times)')}" for text, n in Counter(templates).items()]


def _templates_text(templates: Sequence[str], *, are_examples_shown: bool) -> str:
    """Return the templates of a row; of many averaged ones the number, and examples of the search's own."""
    different = weighted(templates)
    lines = list(map(printable, different[:_MOST_TEMPLATES]))
    if len(different) > _MOST_TEMPLATES:
        averaged = f"{len(templates)} templates averaged"
        lines = [f"{averaged}:", *lines, "..."] if are_examples_shown else [averaged]
    return "\n".join(lines)


def baseline_name(name: str, words: CandidateNoun) -> str:
    """Return a baseline's name in words: ``default instruction`` for the default of instructions."""
    named = {BASELINE_DEFAULT: f"default {words.noun}", BEST_STARTING: f"best starting {words.noun}"}
    return named.get(name, name)


def way_name(name: str, words: CandidateNoun) -> str:
    """Return in words what people use without a search."""
    return "hand-made templates" if name == HAND_MADE else baseline_name(name, words)
