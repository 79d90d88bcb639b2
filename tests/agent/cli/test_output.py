"""Streams whose reader goes away, whose disk is full, or that are closed from the start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from promptclimb.agent.cli.main import main
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
    "streams",
    [
        "2>&1 | true",
        pytest.param("2>/dev/full", marks=pytest.mark.slow),
        pytest.param("2>&- >&- <&-", marks=pytest.mark.slow),
        pytest.param(">/dev/full", marks=pytest.mark.slow),
    ],
)
def test_a_search_ends_as_without_readers(streams: str, tmp_path: Path) -> None:
    """Whether anybody reads what it says decides neither the run nor its exit code."""
    done = run(tmp_path, *SEARCH, streams=streams)
    assert (tmp_path / "code").read_text() == "code 0\n"
    assert json.loads((tmp_path / "r" / "result.json").read_text())["status"] == "finished"
    assert "error" not in done.stderr


class Unwritable:
    """Runs commands in this process; standard output is a full disk, or a pipe that nobody reads."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def full(self, *arguments: str) -> tuple[int, str]:
        """Return the exit code and what is said on standard error."""
        return self._run(os.open("/dev/full", os.O_WRONLY), arguments)

    def unread(self, *arguments: str) -> tuple[int, str]:
        """Return the exit code and what is said on standard error."""
        reader, writer = os.pipe()
        os.close(reader)
        return self._run(writer, arguments)

    def _run(self, descriptor: int, arguments: Sequence[str]) -> tuple[int, str]:
        with open(descriptor, "w", encoding="utf-8") as stream, self._monkeypatch.context() as patches:
            patches.setattr("sys.stdout", stream)
            code = main(arguments)
        return code, self._capsys.readouterr().err


@pytest.fixture
def unwritable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Unwritable:
    monkeypatch.chdir(tmp_path)
    return Unwritable(capsys, monkeypatch)


def test_a_search_whose_output_cannot_be_written_says_so(unwritable: Unwritable, tmp_path: Path) -> None:
    """In a note: what was found is in the run's folder."""
    code, stderr = unwritable.full(*SEARCH)
    assert code == 0
    assert "note: standard output cannot be written: No space left on device; what was found is" in stderr
    assert "error" not in stderr
    assert (tmp_path / "r" / "result.json").exists()


def test_json_that_nobody_gets_is_an_error_of_a_run_that_is_kept(
    unwritable: Unwritable, tmp_path: Path
) -> None:
    """A script that asked for the document must not take its absence for success."""
    code, stderr = unwritable.unread(*SEARCH, "--json")
    assert code == 1
    assert "error: standard output cannot be written" in stderr
    assert (tmp_path / "r" / "result.json").exists()


def test_a_reader_that_goes_away_is_no_error_of_other_commands(unwritable: Unwritable) -> None:
    """As with ``| head``, also if it reads JSON."""
    code, stderr = unwritable.unread("models", "--json")
    assert code == 0
    assert "error" not in stderr


def test_other_commands_fail_without_their_output(unwritable: Unwritable) -> None:
    """Their text is their result."""
    code, stderr = unwritable.full("config", "--show", "--method", "combine")
    assert (code, stderr) == (1, "error: standard output cannot be written: No space left on device\n")
