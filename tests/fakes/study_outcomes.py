"""Runs of a study that were never made: a study, its runs, and their outcomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from promptclimb.agent.results.accuracies import BEST, RECOMMENDED
from promptclimb.agent.study.document import findings, pages
from promptclimb.agent.study.grid import Cell, cells_of
from promptclimb.agent.study.outcomes import AccuracyOnTest, RunOutcome
from promptclimb.agent.study.study import Study
from promptclimb.agent.study.transfer import Transferred

SMALL: Mapping[str, Any] = {"data": ["one", "two"], "seeds": [1, 2], "methods": ["random", "combine"]}


def study(**more: Any) -> Study:
    """A small study; what is given stands in it."""
    return Study.model_validate({**SMALL, **more})


def cells(
    suite: Study,
    folder: Path = Path("/nowhere"),
    environment: Mapping[str, str] = {},  # it is only read
    **flags: Any,
) -> list[Cell]:
    """Its runs, as a suite file has them."""
    return cells_of(suite, folder, environment, flags)


def outcome(cell: Cell, hits: str | None = "1010", **more: Any) -> RunOutcome:
    """The outcome of a run: finished, right on the images with a 1."""
    fields: dict[str, Any] = {"cell": cell, "status": "finished", "counts": True, "template": "a {}"}
    if hits is not None:
        fields["figures"] = {RECOMMENDED: figure(hits), BEST: figure(hits), **more.pop("figures", {})}
    return RunOutcome(**fields | more)


def figure(hits: str) -> AccuracyOnTest:
    return AccuracyOnTest(test=hits.count("1") / len(hits), hits=hits)


def finished(suite: Study, hits: Mapping[str, str], **more: Any) -> Iterator[RunOutcome]:
    """Every run finished, each method right on the same images everywhere."""
    for cell in cells(suite):
        yield outcome(cell, hits[cell.method], **more)


def without(outcomes: Sequence[RunOutcome], *, method: str, data: str, seed: int) -> list[RunOutcome]:
    """The same, but that one run was stopped."""

    def meant(run: RunOutcome) -> bool:
        return (run.cell.method, run.cell.data, run.cell.seed) == (method, data, seed)

    stopped = {"status": "stopped", "counts": False, "reason": "7 calls"}
    return [outcome(run.cell, None, **stopped) if meant(run) else run for run in outcomes]


def document_of(suite: Study, runs: Sequence[RunOutcome]) -> dict[str, Any]:
    return findings(suite, runs, Transferred(Path("/nowhere")), "t")


def lines_of(document: Mapping[str, Any], heading: str) -> Sequence[Sequence[str]]:
    return next(lines for own, _, lines in pages(document) if own == heading)
