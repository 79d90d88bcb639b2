"""Outcomes of a study's runs, in one form for searches and white-box references."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field, NonNegativeFloat, ValidationError

from ...evaluator.errors import PromptclimbError
from ...evaluator.regular_files import read_regular
from ...evaluator.scoring import Share, Shots, hits
from ...evaluator.threads import in_thread
from ...evaluator.white_box.running import run_all
from ..prices import Spent
from ..results.accuracies import BEST, RECOMMENDED, TEXTS, WITH_IMAGES, WITHOUT_SEARCH
from ..results.details import Decisions, agrees, read_details
from ..results.gain import is_no_better, may_be_chance
from ..results.result import ApiUsage, Best, GroupAccuracies, SearchResult
from ..results.run_dir import write_atomically
from ..stop import Stop
from ..store.records import check_identity
from .grid import Cell
from .runs import (
    INTERRUPTED,
    NO_TEST,
    NotRun,
    SearchEnd,
    Stopped,
    check_free,
    check_no_link,
    end_so_far,
    ends_all,
    same_settings,
    sources,
    stopped_by,
)

FITTED = "white_box.json"
"""The result file in a white-box run's folder."""
LABELS = ("data", "shots", "seed", "model", "method", "llm")
SPENT = ("calls", "tokens", "cost_usd", "evaluated", "wall_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyOnTest:
    """A test accuracy; ``hits`` has a digit per image (1: correct). ``at_chance``: it may be chance level."""

    test: float
    hits: str | None = None
    at_chance: bool = False

    def changes_from(self, other: AccuracyOnTest) -> npt.NDArray[np.int8] | None:
        """Return 1 for each image that only this one gets right, -1 for the other's; None if unknown."""
        if self.hits is None or other.hits is None or len(self.hits) != len(other.hits):
            return None
        ours, theirs = (np.frombuffer(hits.encode(), dtype=np.int8) for hits in (self.hits, other.hits))
        return ours - theirs


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """The outcome of one run.

    Attributes:
        status: ``finished``, ``stopped`` or ``not run``.
        counts: Whether it is in means: finished, with test accuracies.
        class_names: New class names of the best template, sorted by class.
        figures: On test: the recommended form, each form and baselines, by name.
        end: How a search ended; None for a fitted reference.
    """

    cell: Cell
    status: str
    counts: bool
    reason: str | None = None
    template: str | None = None
    class_names: tuple[tuple[str, str], ...] = ()
    figures: Mapping[str, AccuracyOnTest] = field(default_factory=dict)
    spent: Mapping[str, float | None] = field(default_factory=dict)
    end: SearchEnd | None = field(default=None, repr=False, compare=False)

    @property
    def labels(self) -> dict[str, Any]:
        """The names that identify the run."""
        return {name: getattr(self.cell, name) for name in LABELS}


Blocks: TypeAlias = Mapping[tuple[str, Shots | None, str, int], Sequence[RunOutcome]]
"""Runs that count, by model, shots, data set and seed."""


def outcome_of(cell: Cell, end: SearchEnd) -> RunOutcome:
    """Return the outcome of a search with its test details."""
    if not isinstance(end, SearchResult):
        spent = _spent(end.usage) if isinstance(end, Stopped) else {}
        return RunOutcome(cell=cell, status=end.status, counts=False, reason=end.reason, spent=spent, end=end)
    details = read_details(cell.run_dir) if end.complete else None
    reason = end.stop_reason
    return RunOutcome(
        cell=cell,
        status=end.status,
        counts=end.complete and end.recommended.test is not None,
        reason=NO_TEST if reason is None and end.recommended.test is None else reason,
        template=end.best.template,
        class_names=tuple(sorted((end.best.class_names or {}).items())),
        figures=_figures(end, None if details is None else details.decisions) if end.complete else {},
        spent={**_spent(end.usage), "evaluated": end.evaluated, "wall_s": end.wall_s},
        end=end,
    )


def _spent(usage: Spent | ApiUsage) -> dict[str, float | None]:
    return {"calls": usage.calls, "tokens": usage.tokens, "cost_usd": usage.cost_usd}


def _figures(result: SearchResult, decisions: Decisions | None) -> dict[str, AccuracyOnTest]:
    groups: dict[str, Best | GroupAccuracies] = {
        RECOMMENDED: result.recommended_group,
        BEST: result.best,
        TEXTS: result.texts,
        **result.baselines,
    }
    if result.with_images is not None:
        groups[WITH_IMAGES] = result.with_images
    if result.without_search is not None:
        groups[WITHOUT_SEARCH] = result.without_search
    figures = {}
    for name, group in groups.items():
        if (test := group.test) is not None:
            decided = result.recommended.name if name == RECOMMENDED else name
            right = None if decisions is None else decisions.hits(decided)
            digits = _digits(right) if right and agrees(right, test) else None
            figures[name] = AccuracyOnTest(test=test, hits=digits, at_chance=may_be_chance(result, test))
    return figures


def _digits(hits: Sequence[bool]) -> str:
    """Return a digit for each image: 1 if it is correctly classified."""
    return "".join("1" if hit else "0" for hit in hits)


def blocks_of(outcomes: Iterable[RunOutcome]) -> dict[tuple[str, Shots | None, str, int], list[RunOutcome]]:
    """Return the runs that count, grouped by ``Cell.block``."""
    blocks: dict[tuple[str, Shots | None, str, int], list[RunOutcome]] = {}
    for outcome in outcomes:
        if outcome.counts:
            blocks.setdefault(outcome.cell.block, []).append(outcome)
    return blocks


def mean_over_sets(by_set: Iterable[Iterable[float]]) -> float:
    """Return the mean over data sets of the means over seeds."""
    return statistics.fmean(map(statistics.fmean, by_set))


def outcomes_so_far(cells: Sequence[Cell]) -> Iterator[RunOutcome]:
    """Yield the current outcomes of an interrupted study's runs, without running any."""
    for cell in cells:
        if cell.white_box is None:
            yield outcome_of(cell, end_so_far(cell))
        elif (fit := read_fit(cell)) is not None:
            yield _outcome_of_fit(cell, fit)
        else:
            yield outcome_of(cell, NotRun(INTERRUPTED))


class FittedReference(BaseModel, extra="allow"):
    """A fitted reference on disk."""

    identity: dict[str, Any]
    sources: dict[str, Any]
    test: Share
    hits: Annotated[str, Field(pattern="^[01]*$")]
    seconds: NonNegativeFloat
    content: dict[str, Any]


async def fit_reference(cell: Cell, stop: Stop) -> RunOutcome:
    """FittedReference a white-box reference and evaluate it on test, or read the earlier result.

    Errors that end the whole study are raised; others become a stopped outcome.
    """
    try:
        if (fit := read_fit(cell)) is None:
            assert cell.white_box is not None
            references = {cell.white_box: cell.options}
            with stop.watching():
                (result,) = await in_thread(lambda: run_all(references, cell.config, split="test"))
            (predicted,) = result.predictions.predicted
            assert predicted is not None
            labels = list(result.predictions.labels)
            fit = FittedReference(
                **result.to_json(),
                identity=_identity(cell),
                sources=sources(cell.config.to_public()),
                content={**result.content, "labels": labels},
                hits=_digits(hits(predicted, labels)),
            )
            cell.run_dir.mkdir(parents=True, exist_ok=True)
            write_atomically(cell.run_dir / FITTED, fit.model_dump_json() + "\n")
    except (PromptclimbError, RuntimeError, ValueError, MemoryError) as error:
        # torch and scikit-learn raise the latter three, such as for lack of memory: the other runs go on.
        if ends_all(error):
            raise
        return outcome_of(cell, stopped_by(error))
    return _outcome_of_fit(cell, fit)


def _outcome_of_fit(cell: Cell, fit: FittedReference) -> RunOutcome:
    at_chance = False
    if labels := fit.content.get("labels"):
        (_, largest_class), *_ = Counter(labels).most_common(1)
        at_chance = is_no_better(fit.test, len(labels), largest_class / len(labels))
    return RunOutcome(
        cell=cell,
        status="finished",
        counts=True,
        figures={RECOMMENDED: AccuracyOnTest(test=fit.test, hits=fit.hits, at_chance=at_chance)},
        spent={"wall_s": fit.seconds},
    )


def _identity(cell: Cell) -> dict[str, Any]:
    return {"name": cell.white_box, "options": dict(cell.options), "of": cell.config.bare().identity()}


def read_fit(cell: Cell) -> FittedReference | None:
    """Read a fitted reference, None if it is not fitted; raise UsageError if its settings are others."""
    check_no_link(cell)
    try:
        fit = FittedReference.model_validate_json(read_regular(cell.run_dir / FITTED))
    except FileNotFoundError:
        check_free(cell, f".{FITTED}.", FITTED)
        return None
    except (OSError, ValidationError):
        return None  # torn: fit again
    with same_settings(cell):
        check_identity(fit.identity, json.loads(json.dumps(_identity(cell))))
        check_identity(fit.sources, sources(cell.config.to_public()))
    return fit
