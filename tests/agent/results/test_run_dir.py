"""The files of a run: whole or absent, the same bytes for the same rows, safe to open."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from promptclimb.agent.results.result import Best, Ensemble, Row, SearchResult, Usage
from promptclimb.agent.results.run_dir import (
    leaderboard_csv,
    read_result,
    safe_cell,
    templates_json,
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


@pytest.mark.parametrize("text", ["=1+1 {}", "+{}", "-{}", "@sum {}", "\t={}", "\r-{}", " @{}"])
def test_no_cell_starts_a_formula(text: str) -> None:
    """What a spreadsheet would run is turned into text."""
    assert safe_cell(text)[0] == "'"
    shown = next(csv.reader(io.StringIO(leaderboard_csv([row(1, text)]).split("\n", 1)[1])))
    assert shown[1].startswith("'")


def test_the_leaderboard_reads_back() -> None:
    """Commas, quotes and absent validation accuracies survive the way through CSV."""
    rows = [row(1, 'a "{}", drawn'), row(2, "b {}", None)]
    read = list(csv.DictReader(io.StringIO(leaderboard_csv(rows))))
    assert [line["template"] for line in read] == ['a "{}", drawn', "b {}"]
    assert (read[0]["train"], read[1]["val"]) == ("0.333333", "")


def test_templates_are_a_json_list() -> None:
    """The form that open_clip and CLIP_benchmark read."""
    assert json.loads(templates_json(["ein Bild: {}"])) == ["ein Bild: {}"]


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
