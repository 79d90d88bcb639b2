"""Make tables of the rows of ``with_llm.py``."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.descriptions import compared


def played_by_all(rows: Sequence[Mapping[str, Any]], arms: Sequence[str]) -> list[Mapping[str, Any]]:
    """Return the rows of some arms on the sets and seeds that each of them has been played on."""
    names = set(arms)
    by_cell: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["arm"] in names:
            by_cell.setdefault((row["set"], row["seed"]), []).append(row)
    whole = [some for some in by_cell.values() if {row["arm"] for row in some} == names]
    return list(itertools.chain.from_iterable(whole))


def markdown(document: Mapping[str, Any]) -> str:
    """Return the table of a document, a line an arm."""
    base = next(iter(document["test"]))
    sets = document["sets"]
    lines = [
        f"| more templates by | scored beside the 80 | chosen | over `{base}` | sets above "
        "| worst set against its initial pick | calls a search |",
        "|---|---|---|---|---|---|---|",
        f"| none (best of the 80) | 0 | {document['initial']['mean']:.1f} "
        f"| {document['initial']['over']:+z.1f} ({document['initial']['standard_error']:.1f}) | | | 0 |",
    ]
    for name, one in document["test"].items():
        over, above = f"{one['over']:+z.1f} ({one['standard_error']:.1f})", f"{one['sets_above']} of {sets}"
        least, calls = document["least_over_initial"][name], document["calls"][name] / document["cells"]
        own = ("0", "") if name == base else (over, above)
        lines.append(
            f"| {name} | {document['more_scored'][name]:.0f} | {one['mean']:.1f} | {own[0]} | {own[1]} "
            f"| {least:+z.1f} | {calls:.1f} |"
        )
    return "\n".join(lines) + "\n"


def document_of(
    rows: Sequence[Mapping[str, Any]], arms: Sequence[str], *, over: str, initial: int
) -> dict[str, Any]:
    """Return what searches come to, by arm.

    Args:
        rows: A search each.
        arms: All there are; the first that has rows is what the others are compared with.
        over: The one that they are compared with as well, where it has rows.
        initial: How many initial templates each search had.
    """
    names = [arm for arm in arms if any(row["arm"] == arm for row in rows)]
    document: dict[str, Any] = {
        "sets": len({row["set"] for row in rows}),
        "cells": len({(row["set"], row["seed"]) for row in rows}),
        "initial": compared(rows, names[0], names[0], "initial"),
    }
    for figure in ("test", "ensemble"):
        document[figure] = {name: compared(rows, name, names[0], figure) for name in names}
    if over in names:
        document["over_pn"] = {name: compared(rows, name, over, "test") for name in names if name != over}
    document["least_over_initial"] = {name: least_over_initial(rows, name) for name in names}
    document["calls"] = {name: sum(row["calls"] for row in rows if row["arm"] == name) for name in names}
    document["more_scored"] = {
        name: round(statistics.mean(row["scored"] - initial for row in rows if row["arm"] == name), 1)
        for name in names
    }
    return document


def least_over_initial(rows: Sequence[Mapping[str, Any]], arm: str) -> float:
    """Return the difference to the initial pick on the set where it is the lowest, in points."""
    gains: dict[str, list[float]] = {}
    for row in rows:
        if row["arm"] == arm:
            gains.setdefault(row["set"], []).append(100 * (row["test"] - row["initial"]))
    return round(min(map(statistics.mean, gains.values())), 1)
