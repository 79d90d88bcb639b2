"""A small result, to be changed by whoever needs another."""

from __future__ import annotations

from typing import Any

from promptclimb.agent.results.result import (
    Best,
    Dataset,
    GroupAccuracies,
    Llm,
    Model,
    Recommended,
    Row,
    SearchResult,
    Sizes,
    Usage,
    Versions,
)


def row(rank: int = 1, template: str = "a {}", val: float | None = None, **place: Any) -> Row:
    return Row(
        **{
            "rank": rank, "template": template, "train": 0.5, "val": val, "restart": 1, "conversation": 0,
            "round": 0,
        }
        | place
    )  # fmt: skip


def small_result(**changes: Any) -> SearchResult:
    """Two templates on two classes."""
    values: dict[str, Any] = {
        "status": "finished",
        "stop_reason": None,
        "dataset": Dataset(name="d", classes=2, shots=1, seed=1, sizes=Sizes(train=2, val=0, test=4)),
        "model": Model(name="m", pretrained="p"),
        "llm": Llm(model=None, base_url=None),
        "method": "guided",
        "objective": "accuracy",
        "best": Best(template="a {}", train=0.5, val=None, test=0.5),
        "texts": GroupAccuracies(templates=("a {}", "one {}"), train=0.5, val=None, test=0.5),
        "with_images": None,
        "recommended": Recommended(form="texts", test=0.5),
        "baselines": {
            "default template": GroupAccuracies(
                templates=("a photo of a {}",), train=0.5, val=None, test=0.25
            )
        },
        "leaderboard": (row(1, "a {}", 0.5), row(2, "=cmd {}")),
        "usage": Usage(calls=1, cost_usd=0.0),
        "evaluated": 2,
        "rejected": {"no_slot": 1},
        "wall_s": 1.5,
        "notes": {"texts": "packed", "data": ["split made by rule", "2 bad images left out"]},
        "versions": Versions(program="0.1", python="3.11", torch="2.9"),
        "started": "2026-08-01T12:00:00+02:00",
        "device": "cpu",
        "test_opened": 1,
    }
    return SearchResult(**values | changes)
