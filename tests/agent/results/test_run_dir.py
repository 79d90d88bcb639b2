"""The files of a run: whole or absent, the same bytes for the same rows, safe to open."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from promptclimb.agent.results.result import Best, Ensemble, Row, SearchResult, Usage
from promptclimb.agent.results.run_dir import (
    read_result,
    write_atomically,
    write_result,
)


def row(rank: int, template: str, val: float | None = 0.5) -> Row:
    """A line of a leaderboard."""
    return Row(rank=rank, template=template, train=1 / 3, val=val, climb=1, reset=0, iteration=0)


def result() -> SearchResult:
    """A small result."""
    return SearchResult(
        status="finished",
        stop_reason=None,
        dataset={
            "name": "d",
            "classes": 2,
            "shots": 1,
            "seed": 1,
            "sizes": {"train": 2, "val": 0, "test": 4},
        },
        model={"name": "m", "pretrained": "p"},
        llm={"model": None, "base_url": None},
        method="random",
        objective="accuracy",
        best=Best(template="a {}", train=0.5, val=None, test=0.5),
        ensemble=Ensemble(templates=("a {}", "one {}"), train=0.5, val=None, test=0.5),
        baselines={"plain": {"templates": ["a photo of a {}"], "train": 0.5, "val": None, "test": 0.25}},
        leaderboard=(row(1, "a {}"), row(2, "=cmd {}", None)),
        usage=Usage(calls=1, cost_usd=0.0),
        evaluated=2,
        rejected={"no_slot": 1},
        wall_s=1.5,
    )


def test_a_result_reads_back(tmp_path: Path) -> None:
    """result.json holds all that a result is."""
    write_result(tmp_path, result())
    assert read_result(tmp_path) == result()
    document = json.loads((tmp_path / "result.json").read_text())
    assert document["leaderboard"][1]["val"] is None
    assert set(document["leaderboard"][0]) == {
        "rank",
        "template",
        "train",
        "val",
        "climb",
        "reset",
        "iteration",
    }


@pytest.mark.parametrize("text", ["{}", '{"schema": 2}', '{"schema": 1}', "[1", '{"schema": 1, "best": 3}'])
def test_what_is_no_result_is_refused(tmp_path: Path, text: str) -> None:
    """Torn or foreign files are an error with a reason."""
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(ValueError, match=r"result|schema|Expecting|delimiter"):
        read_result(tmp_path)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """A reader sees the old file or the new one."""
    path = tmp_path / "f"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\ud800")
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["f"]
