"""A few-shot split as the document that ``datasets NAME --json`` prints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .values import FewShotData, Item


def describe(data: FewShotData, *, test: bool = False) -> dict[str, Any]:
    """Return the split as JSON values.

    Args:
        data: The few-shot problem.
        test: Open the test split and list it too.

    Returns:
        ``{"name", "classes", "train": [{"path", "label"}], "val", "test_size", "shots", "seed", "notes"}``,
        and ``"test"`` if it was asked for.
    """
    document: dict[str, Any] = {
        "name": data.name,
        "classes": list(data.classes),
        "train": _listed(data.train),
        "val": _listed(data.val),
        "test_size": data.test.size,
        "shots": data.shots,
        "seed": data.seed,
        "notes": list(data.notes),
    }
    if test:
        document["test"] = _listed(data.test.open())
    return document


def _listed(items: Iterable[Item]) -> list[dict[str, Any]]:
    return [{"path": str(item.path), "label": item.label} for item in items]
