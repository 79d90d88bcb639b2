"""What came of each run of a study, in one form for searches and references."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..results.details import BEST, ENSEMBLE, Decisions, read_details
from ..results.gain import may_be_chance
from ..results.result import SearchResult
from ..search.unfinished import Found, Stopped, why_in_no_mean
from .grid import StudyCell

IMAGES_ROUNDED = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One accuracy on test.

    Attributes:
        test: Share of the images that are correctly classified.
        hits: A digit for each image, 1 where it is; None where that is not known.
        guessed: Whether it may be no better than guessing, as far as what that comes to is known.
    """

    test: float
    hits: str | None = None
    guessed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one run.

    Attributes:
        cell: Which one.
        status: ``finished``, ``stopped`` or ``not run``.
        counts: Whether it is in means: it is finished, and its test accuracies are known.
        reason: Why not.
        template: What a search chose.
        figures: On test: ``best``, ``ensemble``, and what it is compared with, by name.
        curve: Test accuracy of the choice after so many templates.
        detailed: Whether its opening's details are there: without them neither single images nor its curve
            are known.
        spent: ``calls``, ``tokens``, ``cost_usd``, ``evaluated``, ``wall_s``.
    """

    cell: StudyCell
    status: str
    counts: bool
    reason: str | None = None
    template: str | None = None
    figures: Mapping[str, Figure] = field(default_factory=dict)
    curve: Mapping[int, float] = field(default_factory=dict)
    detailed: bool = True
    spent: Mapping[str, float | None] = field(default_factory=dict)


SPENT = ("calls", "tokens", "cost_usd", "evaluated", "wall_s")


def outcome_of(cell: StudyCell, result: Found) -> Outcome:
    """Return what came of a search, with what its opening left of single images."""
    if not isinstance(result, SearchResult):
        spent = result.spent if isinstance(result, Stopped) else {}
        return Outcome(cell=cell, status=result.status, counts=False, reason=result.reason, spent=spent)
    details = read_details(cell.run_dir) if result.complete else None
    if details is not None and result.best.template not in (one.template for one in details.lineage[:1]):
        details = None  # of another result
    figures = _figures(result, None if details is None else details.decisions) if result.complete else {}
    return Outcome(
        cell=cell,
        status=result.status,
        counts=BEST in figures,
        reason=why_in_no_mean(result),
        template=result.best.template,
        figures=figures,
        curve={one.after: one.test for one in details.curve if one.test is not None} if details else {},
        detailed=details is not None,
        spent={
            "calls": result.usage.calls,
            "tokens": result.usage.prompt_tokens + result.usage.completion_tokens,
            "cost_usd": result.usage.cost_usd,
            "evaluated": result.evaluated,
            "wall_s": result.wall_s,
        },
    )


def _figures(result: SearchResult, decisions: Decisions | None) -> dict[str, Figure]:
    tests: dict[str, float | None] = {BEST: result.best.test, ENSEMBLE: result.ensemble.test}
    tests |= {name: one.test for name, one in result.baselines.items()}
    return {
        name: Figure(test=test, hits=_fitting(decisions, name, test), guessed=may_be_chance(result, test))
        for name, test in tests.items()
        if test is not None
    }


def _fitting(decisions: Decisions | None, name: str, test: float) -> str | None:
    """Return decisions that are those of an accuracy; it may be rounded, but not by as much as an image."""
    hits = None if decisions is None else decisions.hits(name)
    if not hits or abs(sum(hits) - len(hits) * test) > IMAGES_ROUNDED:
        return None
    return digits(hits)


def digits(hits: Sequence[bool]) -> str:
    """Return decisions as a digit for each image, 1 where it is correctly classified."""
    return "".join("1" if hit else "0" for hit in hits)


def blocks_of(outcomes: Iterable[Outcome]) -> dict[tuple[str, int, str, int], list[Outcome]]:
    """Return what counts, by what it may be compared with: model, shots, data set, seed."""
    blocks: dict[tuple[str, int, str, int], list[Outcome]] = {}
    for one in outcomes:
        if one.counts:
            blocks.setdefault(one.cell.block, []).append(one)
    return blocks


def left_out(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return the runs that are in no mean, each with its reason."""
    return [
        {
            **where(one),
            "status": one.status,
            "reason": one.reason,
            "folder": one.cell.run_dir.name,
            "white_box": one.cell.white_box is not None,
        }
        for one in outcomes
        if not one.counts
    ]


def without_details(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return the runs that count, and whose details are not there or are of another result."""
    return [
        {**where(one), "folder": one.cell.run_dir.name} for one in outcomes if one.counts and not one.detailed
    ]


def where(one: Outcome) -> dict[str, Any]:
    """Return which run it is."""
    cell = one.cell
    return {name: getattr(cell, name) for name in ("data", "shots", "seed", "model", "method", "llm")}
