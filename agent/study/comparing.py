"""The differences that a study was asked for, each with its interval."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .bootstrap import SetDifferences, interval_of, mean_of
from .file_parts import Compare
from .outcomes import Figure, Outcome
from .rows import Row, rows_named
from .study_file import Study

Blocks = Mapping[tuple[str, int, str, int], Sequence[Outcome]]


def differences(study: Study, blocks: Blocks) -> list[dict[str, Any]]:
    """Return every difference that the file asks for, for each model and number of shots.

    A data set and seed is in it where both sides have finished, whatever others have done. The mean is over
    data sets of the mean over seeds, in percentage points.

    Args:
        study: The file.
        blocks: What counts, by model, shots, data set and seed.
    """
    return [
        _difference(pair, first, second, model.row, shots, blocks)
        for pair in study.compare
        for model in study.models
        for shots in study.shots
        for first, second in _pairs(study, pair)
        if first.runs_on(study, model.row, shots) and second.runs_on(study, model.row, shots)
    ]


def _pairs(study: Study, pair: Compare) -> Iterator[tuple[Row, Row]]:
    """Yield what is set side by side: the same LLM on both sides, where both ask and none is named."""
    for first in rows_named(study, pair.first, pair.first_llm):
        for second in rows_named(study, pair.second, pair.second_llm):
            named = pair.first_llm is not None or pair.second_llm is not None
            if named or None in (first.llm, second.llm) or first.llm == second.llm:
                yield first, second


def _difference(
    pair: Compare, first: Row, second: Row, model: str, shots: int, blocks: Blocks
) -> dict[str, Any]:
    by_set: dict[str, list[tuple[Figure, Figure]]] = {}
    for (own_model, own_shots, data, _seed), block in blocks.items():
        if (own_model, own_shots) == (model, shots):
            sides = _sides(first, second, block)
            if sides is not None:
                by_set.setdefault(data, []).append(sides)
    found = {
        "first": first.label,
        "second": second.label,
        "model": model,
        "shots": shots,
        "white_box": first.white_box or second.white_box,
        "sets": len(by_set),
        "runs": sum(map(len, by_set.values())),
        "points": None,
        "interval": None,
        "resampled": [],
    }
    if not by_set:
        return found
    sets = [_of_set(sides) for sides in by_set.values()]
    text = "\0".join((first.label, second.label, model, str(shots)))
    interval, drawn = interval_of(sets, pair.resample, seed=zlib.crc32(text.encode()))
    return found | {
        "points": _points(mean_of(sets)),
        "interval": None if interval is None else [_points(edge) for edge in interval],
        "resampled": list(drawn),
        "by_set": {data: _points(one.mean) for data, one in zip(by_set, sets, strict=True)},
    }


def _sides(first: Row, second: Row, block: Sequence[Outcome]) -> tuple[Figure, Figure] | None:
    """Return both figures; what a search is compared with is the search's own."""
    one, other = first.of(_own(block, second)), second.of(_own(block, first))
    return None if one is None or other is None else (one, other)


def _own(block: Sequence[Outcome], beside: Row) -> Sequence[Outcome]:
    """Return the runs, that of the other side first: a reference is taken from it."""
    mine = [one for one in block if (one.cell.method, one.cell.llm) == (beside.method, beside.llm)]
    return [*mine, *block]


def _of_set(sides: Sequence[tuple[Figure, Figure]]) -> SetDifferences:
    images = []
    for one, other in sides:
        told = one.hits is not None and other.hits is not None and len(one.hits) == len(other.hits)
        images.append(_bits(one.hits) - _bits(other.hits) if told else None)
    return SetDifferences([one.test - other.test for one, other in sides], images)


def _bits(hits: str | None) -> Any:
    return np.frombuffer((hits or "").encode("ascii"), dtype=np.int8) - np.int8(ord("0"))


def _points(share: float) -> float:
    return round(100 * share, 4)
