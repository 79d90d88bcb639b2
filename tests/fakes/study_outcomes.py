"""Runs of a study that were never made: a file, its runs, and what came of each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from promptclimb.agent.results.details import BEST
from promptclimb.agent.study.grid import StudyCell, cells_of
from promptclimb.agent.study.outcomes import Figure, Outcome
from promptclimb.agent.study.picture import svg
from promptclimb.agent.study.study_document import findings
from promptclimb.agent.study.study_file import Study
from promptclimb.agent.study.study_forms import parts
from promptclimb.agent.study.transfer import Carried

SMALL: Mapping[str, Any] = {"data": ["one", "two"], "seeds": [1, 2], "methods": ["random", "mutate"]}


def study(**more: Any) -> Study:
    """A small file; what is given stands in it."""
    return Study.model_validate({**SMALL, **more})


def cells(found: Study) -> list[StudyCell]:
    """Its runs."""
    return cells_of(found, Path("/nowhere"), {}, {})


def outcome(cell: StudyCell, hits: str | None = "1010", **more: Any) -> Outcome:
    """What came of a run: finished, right on the images with a 1."""
    given: dict[str, Any] = {"cell": cell, "status": "finished", "counts": True, "template": "a {}"}
    if hits is not None:
        given["figures"] = {BEST: figure(hits), **more.pop("figures", {})}
    return Outcome(**given | more)


def figure(hits: str) -> Figure:
    """An accuracy of so many images."""
    return Figure(test=hits.count("1") / len(hits), hits=hits)


def finished(found: Study, hits: Mapping[str, str], **more: Any) -> Iterator[Outcome]:
    """Every run finished, each method right on the same images everywhere."""
    for cell in cells(found):
        yield outcome(cell, hits[cell.method], **more)


def without(outcomes: Sequence[Outcome], *, method: str, data: str, seed: int) -> list[Outcome]:
    """The same, but that one run was stopped."""

    def meant(one: Outcome) -> bool:
        return (one.cell.method, one.cell.data, one.cell.seed) == (method, data, seed)

    stopped = {"status": "stopped", "counts": False, "reason": "7 calls"}
    return [outcome(one.cell, None, **stopped) if meant(one) else one for one in outcomes]


def document_of(found: Study, runs: Sequence[Outcome]) -> dict[str, Any]:
    """What a study says."""
    return findings(found, runs, Carried(Path("/nowhere")), "t")


def lines_of(said: Mapping[str, Any], heading: str) -> Sequence[Sequence[str]]:
    """One of its tables."""
    return next(lines for own, _, lines in parts(said) if own == heading)


def drawn_texts(said: Mapping[str, Any]) -> str:
    """What a picture says, as the comments beside the outlines of its letters have it."""
    return "\n".join(re.findall("<!-- (.*?) -->", svg(said) or "", re.DOTALL))
