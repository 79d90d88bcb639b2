"""The recorded answers of a strong LLM still answer what the program asks: part of a table is made anew."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.paths import ROOT


@pytest.mark.slow
def test_recorded_answers_are_found_and_telling_brings_what_the_page_says() -> None:
    """Two sets, one seed: every request of both methods finds its answer, and the one that is told gains."""
    command = [sys.executable, "benchmarks/with_llm.py", "--answers", "benchmarks/recorded/strong.jsonl"]
    command += ["--style", "rich", "--data", "tallies,dice", "--seeds", "1", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["calls"]["pn, told nothing"] == 10
    assert found["over_pn"]["guided, told the sentence"]["over"] > 4
