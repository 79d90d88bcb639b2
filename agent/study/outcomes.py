"""Outcomes of a study's runs, in one form for searches and white-box references."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ...evaluator.errors import PromptclimbError, UsageError
from ...evaluator.scoring import hits
from ...evaluator.threads import in_thread
from ...evaluator.white_box.references import WhiteBoxResult
from ...evaluator.white_box.running import run
from ..llm.cost import Spent
from ..results.details import BEST, ENSEMBLE, Decisions, agrees, read_details
from ..results.gain import is_no_better, may_be_chance
from ..results.result import ApiUsage, SearchResult
from ..results.run_dir import write_atomically
from ..stop import Stop
from .content_check import CurrentContent, RunContent, refuse_other_content
from .grid import Cell
from .runs import (
    INTERRUPTED,
    NotRun,
    SearchEnd,
    Stopped,
    check_free,
    end_so_far,
    ends_all,
    stopped_search,
    why_in_no_mean,
)

FITTED = "white_box.json"
"""The result file in a white-box run's folder."""
_CONTENT, _LABELS = "content", "labels"
SPENT = ("calls", "tokens", "cost_usd", "evaluated", "wall_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyOnTest:
    """A test accuracy; ``hits`` has a digit per image (1: correct). ``at_chance``: it may be chance level."""

    test: float
    hits: str | None = None
    at_chance: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """The outcome of one run.

    Attributes:
        status: ``finished``, ``stopped`` or ``not run``.
        counts: Whether it is in means: finished, with test accuracies.
        class_names: New class names of the best template, sorted by class.
        figures: On test: ``best``, ``ensemble`` and baselines, by name.
        curve: Test accuracy of the choice, by number of templates scored.
        detailed: Whether hits and curve are known.
        end: How a search ended; None for a fitted reference.
    """

    cell: Cell
    status: str
    counts: bool
    reason: str | None = None
    template: str | None = None
    class_names: tuple[tuple[str, str], ...] = ()
    figures: Mapping[str, AccuracyOnTest] = field(default_factory=dict)
    curve: Mapping[int, float] = field(default_factory=dict)
    detailed: bool = True
    spent: Mapping[str, float | None] = field(default_factory=dict)
    end: SearchEnd | None = field(default=None, repr=False, compare=False)


Blocks: TypeAlias = Mapping[tuple[str, int | None, str, int], Sequence[RunOutcome]]
"""Runs that count, by model, shots, data set and seed."""


def outcome_of(cell: Cell, end: SearchEnd) -> RunOutcome:
    """Return the outcome of a search with its test details."""
    if not isinstance(end, SearchResult):
        usage = end.usage if isinstance(end, Stopped) else None
        spent = {} if usage is None else _spent(usage)
        return RunOutcome(cell=cell, status=end.status, counts=False, reason=end.reason, spent=spent, end=end)
    details = read_details(cell.run_dir) if end.complete else None
    if details is not None and end.best.template not in (one.template for one in details.lineage[:1]):
        details = None  # of another result
    figures = _figures(end, None if details is None else details.decisions) if end.complete else {}
    return RunOutcome(
        cell=cell,
        status=end.status,
        counts=BEST in figures,
        reason=why_in_no_mean(end),
        template=end.best.template,
        class_names=tuple(sorted((end.best.class_names or {}).items())),
        figures=figures,
        curve={one.after: one.test for one in details.curve if one.test is not None} if details else {},
        detailed=details is not None,
        spent={**_spent(end.usage), "evaluated": end.evaluated, "wall_s": end.wall_s},
        end=end,
    )


def _spent(usage: Spent | ApiUsage) -> dict[str, float | None]:
    return {"calls": usage.calls, "tokens": usage.tokens, "cost_usd": usage.cost_usd}


def _figures(result: SearchResult, decisions: Decisions | None) -> dict[str, AccuracyOnTest]:
    tests: dict[str, float | None] = {BEST: result.best.test, ENSEMBLE: result.ensemble.test}
    tests |= {name: one.test for name, one in result.baselines.items()}
    return {
        name: AccuracyOnTest(
            test=test, hits=_hits(decisions, name, test), at_chance=may_be_chance(result, test)
        )
        for name, test in tests.items()
        if test is not None
    }


def _hits(decisions: Decisions | None, name: str, test: float) -> str | None:
    right = None if decisions is None else decisions.hits(name)
    return digits(right) if right and agrees(right, test) else None


def digits(hits: Sequence[bool]) -> str:
    """Return a digit for each image: 1 if it is correctly classified."""
    return "".join("1" if hit else "0" for hit in hits)


def blocks_of(outcomes: Iterable[RunOutcome]) -> dict[tuple[str, int | None, str, int], list[RunOutcome]]:
    """Return the runs that count, grouped by ``Cell.block``."""
    blocks: dict[tuple[str, int | None, str, int], list[RunOutcome]] = {}
    for one in outcomes:
        if one.counts:
            blocks.setdefault(one.cell.block, []).append(one)
    return blocks


def mean_over_sets(by_set: Iterable[Iterable[float]]) -> float:
    """Return the mean over data sets of the means over seeds."""
    return statistics.fmean(map(statistics.fmean, by_set))


def labels_of(one: RunOutcome) -> dict[str, Any]:
    """Return the names that identify a run."""
    cell = one.cell
    return {name: getattr(cell, name) for name in ("data", "shots", "seed", "model", "method", "llm")}


def outcomes_so_far(cells: Sequence[Cell]) -> Iterator[RunOutcome]:
    """Yield the current outcomes of an interrupted study's runs, without running any."""
    for cell in cells:
        if cell.white_box is None:
            yield outcome_of(cell, end_so_far(cell))
        elif (fitted := _read_fit(cell)) is not None:
            yield _of_reference(cell, fitted)
        else:
            yield outcome_of(cell, NotRun(INTERRUPTED))


def is_fitted(cell: Cell, current: CurrentContent) -> bool:
    """Return whether a reference is fitted; raise UsageError if its settings, content or folder differ."""
    if (fitted := _read_fit(cell)) is None:
        return False
    refuse_other_content(cell.run_dir, current.differences(cell.config, _content(fitted)))
    return True


async def fit(cell: Cell, stop: Stop) -> RunOutcome:
    """Fit a white-box reference and evaluate it on test, or read the earlier result.

    Errors that end the whole study are raised; others become a stopped outcome.
    """
    try:
        if (fitted := _read_fit(cell)) is None:
            assert cell.white_box is not None
            name, options = cell.white_box, cell.options
            with stop.watching():
                found = await in_thread(lambda: run(name, cell.config, split="test", options=options))
            fitted = _fit_document(cell, found)
            cell.run_dir.mkdir(parents=True, exist_ok=True)
            write_atomically(cell.run_dir / FITTED, json.dumps(fitted, ensure_ascii=False) + "\n")
    except (PromptclimbError, RuntimeError, ValueError, MemoryError) as error:
        # torch and scikit-learn raise the latter three, such as for lack of memory: the other runs go on.
        if ends_all(error):
            raise
        return outcome_of(cell, stopped_search(error))
    return _of_reference(cell, fitted)


def _of_reference(cell: Cell, fitted: Mapping[str, Any]) -> RunOutcome:
    test, at_chance = fitted["test"], False
    if labels := _content(fitted).labels:
        (_, most), *_ = Counter(labels).most_common(1)
        at_chance = is_no_better(test, len(labels), most / len(labels))
    return RunOutcome(
        cell=cell,
        status="finished",
        counts=True,
        figures={BEST: AccuracyOnTest(test=test, hits=fitted["hits"], at_chance=at_chance)},
        spent={"wall_s": fitted["seconds"]},
    )


def _content(fitted: Mapping[str, Any]) -> RunContent:
    known = fitted.get(_CONTENT)
    if not isinstance(known, Mapping):
        return RunContent()  # recorded by an older version
    labels = known.get(_LABELS)
    hashes = {name: text for name, text in known.items() if isinstance(text, str)}
    return RunContent(hashes=hashes, labels=tuple(labels) if isinstance(labels, list) else None)


def _fit_document(cell: Cell, found: WhiteBoxResult) -> dict[str, Any]:
    (predicted,) = found.predictions.predicted
    assert predicted is not None
    right = hits(predicted, found.predictions.labels)
    content = {**found.content, _LABELS: list(found.predictions.labels)}
    return {**found.to_json(), "identity": _identity(cell), _CONTENT: content, "hits": digits(right)}


def _identity(cell: Cell) -> dict[str, Any]:
    return {"name": cell.white_box, "options": dict(cell.options), "of": cell.config.bare().identity()}


def _read_fit(cell: Cell) -> Mapping[str, Any] | None:
    try:
        found: Mapping[str, Any] = json.loads((cell.run_dir / FITTED).read_text("utf-8"))
        before, test, hits, seconds = (found[key] for key in ("identity", "test", "hits", "seconds"))
    except FileNotFoundError:
        check_free(cell, f".{FITTED}.", FITTED)
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None  # torn: fit again
    if before != json.loads(json.dumps(_identity(cell))):
        raise UsageError(
            f"--suite-dir {cell.run_dir.parent}: {cell.run_dir.name} in it was fitted with other settings; "
            "give this suite its own folder with --suite-dir, or use the earlier settings"
        )
    return {**found, "test": float(test), "hits": str(hits), "seconds": float(seconds)}
