"""A run directory of an older version: what can be read is read, and the rest gets one clear line."""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path

import pytest

import promptclimb.agent.search.inputs
from promptclimb.agent.cli.main import main
from promptclimb.agent.results.exports import FORMS
from tests.fakes.evaluators import FakeEvaluator

NEED_THE_STORE = {"cupl", "safetensors"}
NOT_IN_OLD_RUNS = {"class-names"}


@pytest.fixture
def old_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """A finished run, with the manifest and the result that the first programs wrote."""
    monkeypatch.setattr(promptclimb.agent.search.inputs, "open_evaluator", lambda *_, **__: FakeEvaluator())
    monkeypatch.setattr(sys, "argv", ["run_agent.py"])
    monkeypatch.chdir(tmp_path)
    run_dir = tmp_path / "old"
    assert main(["search", "--method", "random", "--restarts", "1", "--run-dir", str(run_dir)]) == 0
    with sqlite3.connect(run_dir / "store" / "cache.db") as database:
        (text,) = database.execute("SELECT value FROM Cache WHERE key = 'manifest'").fetchone()
        manifest = {name: value for name, value in json.loads(text).items() if name in ("identity", "config")}
        old = json.dumps({"format": 1, "notes": {}, **manifest})
        database.execute("UPDATE Cache SET value = ? WHERE key = 'manifest'", (old,))
    database.close()
    document = json.loads((run_dir / "result.json").read_text())
    for name in ("versions", "started", "device", "test_opened"):
        del document[name]
    (run_dir / "result.json").write_text(json.dumps(document))
    capsys.readouterr()
    return run_dir


def the_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that was written, on standard error."""
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.strip().splitlines()) == 1, err
    return err


def test_an_old_run_cannot_be_resumed(old_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What it is, and what can still be done with it: exit code 2."""
    assert main(["resume", str(old_run)]) == 2
    line = the_line(capsys)
    for part in (str(old_run), "older version", "result.json", "exported", "start a new run"):
        assert part in line


def test_the_status_of_a_run_with_an_old_result_is_one_line(
    old_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not an unfinished run whose resumption is refused; in the list too."""
    document = json.loads((old_run / "result.json").read_text())
    (old_run / "result.json").write_text(json.dumps({**document, "schema": 1}))
    assert main(["status", str(old_run)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("old: of another version: it is a result of schema 1")
    assert main(["status", str(old_run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "of another version"


def test_an_old_run_can_be_reported(old_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From its result and its config.toml; without the latter the page has no settings, and says so."""
    (old_run / "report.html").unlink()
    assert main(["report", str(old_run)]) == 0
    assert capsys.readouterr().out == f"{old_run / 'report.html'}\n"
    assert "restarts = 1" in (old_run / "report.html").read_text()
    (old_run / "config.toml").unlink()
    assert main(["report", str(old_run)]) == 0
    assert "config.toml cannot be read" in (old_run / "report.html").read_text()


def test_an_old_run_can_be_exported_where_its_result_is_enough(
    old_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A form that needs the run's settings too says which version made it."""
    for form in FORMS.keys() - NOT_IN_OLD_RUNS:
        code = main(["export", str(old_run), "--format", form])
        if form in NEED_THE_STORE:
            assert code == 2, form
            assert "older version" in the_line(capsys)
        else:
            assert code == 0, form
            assert Path(capsys.readouterr().out.strip()).is_file()
