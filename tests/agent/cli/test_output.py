"""Streams whose reader goes away, whose disk is full, or that are closed from the start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT

SEARCH = (
    *("search", "--data", "words", "--custom-scorer", "promptclimb.evaluator.fakes:FakeEvaluator"),
    *("--method", "combine", "--restarts", "1", "--rounds", "1", "--initial", "5", "--run-dir", "r"),
)


def run(folder: Path, *arguments: str, streams: str) -> subprocess.CompletedProcess[str]:
    """The command line, with a shell's redirections of its streams."""
    command = [sys.executable, "-m", "promptclimb", *arguments]
    return subprocess.run(
        ["bash", "-c", f'"$@" {streams}; echo "code ${{PIPESTATUS[0]}}" >code', "bash", *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


@pytest.mark.parametrize(
    ("streams", "said"),
    [
        ("2>&1 | true", ""),
        pytest.param("2>/dev/full", "", marks=pytest.mark.slow),
        pytest.param("2>&- >&- <&-", "", marks=pytest.mark.slow),
        (">/dev/full", "note: standard output cannot be written: No space left on device; what was found is"),
    ],
)
def test_a_search_ends_as_without_readers(streams: str, said: str, tmp_path: Path) -> None:
    """Whether anybody reads what it says decides neither the run nor its exit code."""
    done = run(tmp_path, *SEARCH, streams=streams)
    assert (tmp_path / "code").read_text() == "code 0\n"
    assert json.loads((tmp_path / "r" / "result.json").read_text())["status"] == "finished"
    assert said in done.stderr
    assert "error" not in done.stderr


def test_json_that_nobody_gets_is_an_error_of_a_run_that_is_kept(tmp_path: Path) -> None:
    """A script that asked for the document must not take its absence for success."""
    done = run(tmp_path, *SEARCH, "--json", streams="| true")
    assert (tmp_path / "code").read_text() == "code 1\n"
    assert "error: standard output cannot be written" in done.stderr
    assert (tmp_path / "r" / "result.json").exists()


def test_a_reader_that_goes_away_is_no_error_of_other_commands(tmp_path: Path) -> None:
    """As with ``| head``, also if it reads JSON."""
    done = run(tmp_path, "datasets", "frames", "--json", streams="| true")
    assert (tmp_path / "code").read_text() == "code 0\n"
    assert "error" not in done.stderr


def test_other_commands_fail_without_their_output(tmp_path: Path) -> None:
    """Their text is their result."""
    done = run(tmp_path, "config", "--show", "--method", "combine", streams=">/dev/full")
    assert (tmp_path / "code").read_text() == "code 1\n"
    assert done.stderr == "error: standard output cannot be written: No space left on device\n"
