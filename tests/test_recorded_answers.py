"""The recorded answers of a strong LLM still answer what the program asks: part of a table is made anew."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.paths import ROOT


@pytest.mark.slow
def test_recorded_answers_are_found_and_the_description_brings_what_the_page_says() -> None:
    """Two sets, one seed: every request of both methods finds its answer; the described one gains."""
    command = [sys.executable, "benchmarks/with_llm.py", "--answers", "benchmarks/recorded/strong.jsonl"]
    command += ["--style", "rich", "--data", "tallies,dice", "--seeds", "1", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["calls"]["pn, no information"] == 10
    assert found["over_pn"]["guided, with description"]["over"] > 4


@pytest.mark.slow
def test_a_comparison_is_played_again_with_recorded_answers(tmp_path: Path) -> None:
    """Without its LLM each that is installed here comes to the template that the kept row says."""
    names = ["guided, with description, augmented copies", "pn"]
    names += ["GEPA, with description"] if find_spec("gepa") else []
    names += ["OPRO, with description", "CAPO, with description"] if find_spec("promptolution") else []
    command = [
        sys.executable,
        "benchmarks/optimizers.py",
        "--llm",
        "by-hand",
        "--patient",
        "--tables",
        "calls",
    ]
    command += ["--answers", "benchmarks/recorded/optimizers.jsonl", "--seeds", "1", "--data", "frames"]
    command += ["--only", ";".join(names), "--keep", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    kept = (ROOT / "docs" / "results" / "optimizers-recorded.jsonl").read_text("utf-8").splitlines()
    known = {row["key"]: (row["template"], row["answered"]) for row in map(json.loads, kept)}
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text("utf-8").splitlines() if line]
    assert [row["row"] for row in rows] == names
    assert [(row.get("template"), row["answered"]) for row in rows] == [known[row["key"]] for row in rows]


@pytest.mark.slow
def test_recorded_class_names_gain_what_the_kept_row_says(tmp_path: Path) -> None:
    """One set and draw, without an LLM: the same names are chosen, with the same accuracy."""
    rows = (ROOT / "docs" / "results" / "class-names.jsonl").read_text("utf-8").splitlines()
    (kept,) = (
        row
        for row in map(json.loads, rows)
        if (row["model"], row["data"], row["shots"], row["draw"]) == ("RN-pico", "shared-names", 4, 11)
    )
    command = [sys.executable, "benchmarks/class_names.py", "--data", "shared-names", "--shots", "4"]
    command += ["--draws", "11", "--keep", str(tmp_path / "rows.jsonl"), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (row,) = map(json.loads, (tmp_path / "rows.jsonl").read_text("utf-8").splitlines())
    assert row["names"] == kept["names"]
    assert row["strong"] == pytest.approx(kept["strong"], abs=0.3)
    assert {one["first"] for one in json.loads(done.stdout)["differences"]} >= {"strong", "name-words"}


@pytest.mark.slow
def test_a_recorded_reader_of_scores_finds_what_the_kept_row_says() -> None:
    """One set and seed: every request finds its answer, and the search chooses the same template."""
    rows = (ROOT / "docs" / "results" / "finding-out.jsonl").read_text("utf-8").splitlines()
    cell = {"set": "small-shapes", "seed": 3, "plural": 0.1, "arm": "pn, class names"}
    (kept,) = (row for row in map(json.loads, rows) if cell.items() <= row.items())
    command = [sys.executable, "benchmarks/finding_out.py", "--data", "small-shapes", "--seeds", "3"]
    command += ["--arms", "4", "--answers", "benchmarks/recorded/finding_out.jsonl"]
    command += ["--plural", "0.1", "--rows", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (row,) = json.loads(done.stdout)["rows"]
    assert (row["template"], row["calls"]) == (kept["template"], 6)
    assert row["test"] == pytest.approx(kept["test"], abs=0.003)
