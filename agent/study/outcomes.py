"""Outcomes of a study's runs, in one form for searches and white-box references."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ...evaluator.errors import PromptclimbError, UsageError
from ...evaluator.threads import in_thread
from ...evaluator.white_box.references import WhiteBoxResult
from ...evaluator.white_box.running import run
from ..results.details import BEST, ENSEMBLE, Decisions, agrees, read_details
from ..results.gain import is_no_better, may_be_chance
from ..results.result import SearchResult
from ..results.run_dir import write_atomically
from ..search.inputs import CONTENT
from ..stop import Stop
from .content_check import CurrentContent, RunContent, check_content
from .grid import Cell
from .runs import (
    INTERRUPTED,
    Found,
    NotRun,
    Stopped,
    as_it_is,
    check_free,
    ends_all,
    stopped_by,
    why_in_no_mean,
)

FITTED = "white_box.json"
"""The result file in a white-box run's folder."""
_LABELS = "labels"
SPENT = ("calls", "tokens", "cost_usd", "evaluated", "wall_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
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
        found: The result of a search, or what there is instead; None for a fitted reference.
    """

    cell: Cell
    status: str
    counts: bool
    reason: str | None = None
    template: str | None = None
    class_names: tuple[tuple[str, str], ...] = ()
    figures: Mapping[str, Figure] = field(default_factory=dict)
    curve: Mapping[int, float] = field(default_factory=dict)
    detailed: bool = True
    spent: Mapping[str, float | None] = field(default_factory=dict)
    found: Found | None = field(default=None, repr=False, compare=False)


Blocks: TypeAlias = Mapping[tuple[str, int | None, str, int], Sequence[RunOutcome]]
"""Runs that count, by model, shots, data set and seed."""


def outcome_of(cell: Cell, found: Found) -> RunOutcome:
    """Return the outcome of a search with its test details."""
    if not isinstance(found, SearchResult):
        usage = found.usage if isinstance(found, Stopped) else None
        spent = {} if usage is None else _spent(usage)
        return RunOutcome(
            cell=cell, status=found.status, counts=False, reason=found.reason, spent=spent, found=found
        )
    details = read_details(cell.run_dir) if found.complete else None
    if details is not None and found.best.template not in (one.template for one in details.lineage[:1]):
        details = None  # of another result
    figures = _figures(found, None if details is None else details.decisions) if found.complete else {}
    return RunOutcome(
        cell=cell,
        status=found.status,
        counts=BEST in figures,
        reason=why_in_no_mean(found),
        template=found.best.template,
        class_names=tuple(sorted((found.best.class_names or {}).items())),
        figures=figures,
        curve={one.after: one.test for one in details.curve if one.test is not None} if details else {},
        detailed=details is not None,
        spent={**_spent(found.usage), "evaluated": found.evaluated, "wall_s": found.wall_s},
        found=found,
    )


def _spent(usage: Any) -> dict[str, float | None]:
    tokens = usage.prompt_tokens + usage.completion_tokens
    return {"calls": usage.calls, "tokens": tokens, "cost_usd": usage.cost_usd}


def _figures(result: SearchResult, decisions: Decisions | None) -> dict[str, Figure]:
    tests: dict[str, float | None] = {BEST: result.best.test, ENSEMBLE: result.ensemble.test}
    tests |= {name: one.test for name, one in result.baselines.items()}
    return {
        name: Figure(test=test, hits=_hits(decisions, name, test), at_chance=may_be_chance(result, test))
        for name, test in tests.items()
        if test is not None
    }


def _hits(decisions: Decisions | None, name: str, test: float) -> str | None:
    hits = None if decisions is None else decisions.hits(name)
    return digits(hits) if hits and agrees(hits, test) else None


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


def where(one: RunOutcome) -> dict[str, Any]:
    """Return the names that identify a run."""
    cell = one.cell
    return {name: getattr(cell, name) for name in ("data", "shots", "seed", "model", "method", "llm")}


def outcomes_as_they_are(cells: Sequence[Cell]) -> Iterator[RunOutcome]:
    """Yield the current outcomes of an interrupted study's runs, without running any."""
    for cell in cells:
        if cell.white_box is None:
            yield outcome_of(cell, as_it_is(cell))
        elif (kept := _kept(cell)) is not None:
            yield _of_reference(cell, kept)
        else:
            yield outcome_of(cell, NotRun(INTERRUPTED))


def is_fitted(cell: Cell, current: CurrentContent) -> bool:
    """Return whether a reference is fitted; raise UsageError if its settings, content or folder differ."""
    if (kept := _kept(cell)) is None:
        return False
    check_content(cell.run_dir, current.differences(cell.config, _content(kept)))
    return True


async def fit(cell: Cell, stop: Stop) -> RunOutcome:
    """Fit a white-box reference and evaluate it on test, or read the earlier result.

    Errors that end the whole study are raised; others become a stopped outcome.
    """
    try:
        if (kept := _kept(cell)) is None:
            assert cell.white_box is not None
            name, options = cell.white_box, cell.options
            with stop.watching():
                found = await in_thread(lambda: run(name, cell.config, split="test", options=options))
            kept = _document(cell, found)
            cell.run_dir.mkdir(parents=True, exist_ok=True)
            write_atomically(cell.run_dir / FITTED, json.dumps(kept, ensure_ascii=False) + "\n")
    except (PromptclimbError, RuntimeError, ValueError, MemoryError) as error:
        # torch and scikit-learn raise the latter three, such as for lack of memory: the other runs go on.
        if ends_all(error):
            raise
        return outcome_of(cell, stopped_by(error))
    return _of_reference(cell, kept)


def _of_reference(cell: Cell, kept: Mapping[str, Any]) -> RunOutcome:
    test, at_chance = kept["test"], False
    if labels := _content(kept).labels:
        (_, most), *_ = Counter(labels).most_common(1)
        at_chance = is_no_better(test, len(labels), most / len(labels))
    return RunOutcome(
        cell=cell,
        status="finished",
        counts=True,
        figures={BEST: Figure(test=test, hits=kept["hits"], at_chance=at_chance)},
        spent={"wall_s": kept["seconds"]},
    )


def _content(kept: Mapping[str, Any]) -> RunContent:
    known = kept.get(CONTENT)
    if not isinstance(known, Mapping):
        return RunContent()  # recorded by an older version
    labels = known.get(_LABELS)
    hashes = {name: text for name, text in known.items() if isinstance(text, str)}
    return RunContent(hashes=hashes, labels=tuple(labels) if isinstance(labels, list) else None)


def _document(cell: Cell, found: WhiteBoxResult) -> dict[str, Any]:
    (predicted,) = found.predictions.predicted
    assert predicted is not None
    hits = [one == true for one, true in zip(predicted, found.predictions.labels, strict=True)]
    content = {**found.content, _LABELS: list(found.predictions.labels)}
    return {**found.to_json(), "identity": _identity(cell), CONTENT: content, "hits": digits(hits)}


def _identity(cell: Cell) -> dict[str, Any]:
    return {"name": cell.white_box, "options": dict(cell.options), "of": cell.config.bare().identity()}


def _kept(cell: Cell) -> Mapping[str, Any] | None:
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
