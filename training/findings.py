"""What was found about how much the words of a template matter: rows, counts over them, and their table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

from scipy.stats import spearmanr  # type: ignore[import-untyped]


@dataclass(frozen=True, kw_only=True)
class Row:
    """What was measured for one model on one set; accuracies are fractions of 1, on the test pictures.

    Attributes:
        model: Name of the model.
        data: Name of the set.
        classes: Number of classes.
        test: Number of test pictures.
        plain: Accuracy of "a photo of a {}".
        best: Highest accuracy of the list of templates.
        middle: Median accuracy of the list.
        worst: Lowest accuracy of the list.
        best_template: The template that reached ``best``.
        matching: Mean accuracy of the templates whose words fit the pictures.
        neutral: Mean accuracy of the templates that say nothing of how the pictures are made.
        contradicting: Mean accuracy of templates whose words say what the pictures are not.
        rank_one: Spearman correlation of 1-shot training accuracy with test accuracy over the list; mean of
            seeds.
        rank_many: The same with 16 shots.
        gain_one: Test accuracy of the template that 1 shot picks, less ``plain``; mean of ties and seeds.
        gain_many: The same with 16 shots.
        picks: For each few-shot sample of 16, the places of the templates that it picks.
        accuracies: Test accuracy of every template of the list.
    """

    model: str
    data: str
    classes: int
    test: int
    plain: float
    best: float
    middle: float
    worst: float
    best_template: str
    matching: float
    neutral: float
    contradicting: float
    rank_one: float
    rank_many: float
    gain_one: float
    gain_many: float
    picks: tuple[tuple[int, ...], ...]
    accuracies: tuple[float, ...]


class Transfer(NamedTuple):
    """What the first model's findings are worth on the second one, for one set.

    Attributes:
        rank: Spearman correlation of the templates' test accuracies on both.
        gain: Test accuracy on the second of what 16 shots pick on the first, less the second's plain one.
    """

    rank: float
    gain: float


def transfer(rows: Sequence[Row]) -> dict[str, Transfer]:
    """Return how the first model's choices fare under the second one, for each set that both have."""
    first, *others = dict.fromkeys(row.model for row in rows)
    there = {row.data: row for row in rows if row.model in others[:1]}
    here = [row for row in rows if row.model == first and row.data in there]
    return {row.data: _carried(row, there[row.data]) for row in here}


def _carried(here: Row, there: Row) -> Transfer:
    gain = fmean(fmean(there.accuracies[place] for place in tied) for tied in here.picks) - there.plain
    return Transfer(float(spearmanr(here.accuracies, there.accuracies).statistic), gain)


_COLUMNS = {
    "data": "set",
    "classes": "classes",
    "plain": "plain",
    "best": "best",
    "middle": "median",
    "worst": "worst",
    "matching": "matching",
    "neutral": "neutral",
    "contradicting": "contradicting",
    "rank_one": "rank 1",
    "rank_many": "rank 16",
    "gain_one": "gain 1",
    "gain_many": "gain 16",
    "best_template": "best template",
}


def _cell(row: Row, column: str) -> str:
    value = getattr(row, column)
    if not isinstance(value, float):
        return str(value)
    if column.startswith("rank"):
        return f"{value:.2f}"
    return f"{100 * value:+.1f}" if column.startswith("gain") else f"{100 * value:.1f}"


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table; accuracies and gains in percent."""
    lines = [list(_COLUMNS.values()), ["---"] * len(_COLUMNS)]
    lines += [[_cell(row, column) for column in _COLUMNS] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def summary(rows: Sequence[Row]) -> dict[str, float | int]:
    """Return counts and means over the sets of one model."""
    return {
        "sets": len(rows),
        "plain": fmean(r.plain for r in rows),
        "best": fmean(r.best for r in rows),
        "spread_15_points": sum(r.best - r.worst >= 0.15 for r in rows),
        "picked_gains_5_points": sum(r.gain_many >= 0.05 for r in rows),
        "matching_beats_neutral": sum(r.matching > r.neutral for r in rows),
        "rank_one": fmean(r.rank_one for r in rows),
        "rank_many": fmean(r.rank_many for r in rows),
    }
