"""A run folder from somebody else: nothing is followed, waited for or written through."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import filelock
import pytest

from promptclimb.agent.cli.main import main
from promptclimb.agent.results.run_dir import stored_config
from promptclimb.agent.store.run import Store, StoreReader
from promptclimb.evaluator import files
from tests.fakes.black_box import stand_in
from tests.fakes.evaluators import FakeEvaluator

SEARCH = (
    *("search", "--method", "random", "--restarts", "1", "--rounds", "2", "--initial", "5"),
    *("--run-dir", "r"),
)
COMMANDS = (
    ("status", "r"), ("status",), ("report", "r"), ("compare", "r", "whole"), ("transcript", "r"),
    ("export", "r", "--format", "csv"), ("resume", "r", "--restarts", "2"),
)  # fmt: skip
READ = ("result.json", "details.json", "config.toml", "events.jsonl", "events.jsonl.1")
WRITTEN = (
    *("report.html", "leaderboard.csv", "templates.json"),
    *("store/run.pid", "store/run.lock", "store/cache.db-wal"),
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        stand_in(patch, lambda _spec: FakeEvaluator())
        patch.chdir(folder)
        patch.setenv("PROMPTCLIMB_CACHE", str(folder / "cache"))
        assert main(SEARCH) == 0
    return folder / "r"


@pytest.fixture
def received(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it in runs/, as r too, beside a whole one."""
    monkeypatch.chdir(tmp_path)
    stand_in(monkeypatch, lambda _spec: FakeEvaluator())
    shutil.copytree(finished, tmp_path / "whole")
    shutil.copytree(finished, tmp_path / "runs" / "r")
    (tmp_path / "r").symlink_to("runs/r")
    return tmp_path / "runs" / "r"


@pytest.mark.parametrize("name", [*READ, *WRITTEN])
@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_a_pipe_or_a_link_in_place_of_a_file(
    name: str, kind: str, received: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No command waits for the pipe or touches what the link names, and a resume is refused."""
    path, target = received / name, tmp_path / "precious.txt"
    target.write_text("precious")
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(target)
    codes = {command: main(command) for command in COMMANDS}
    printed = capsys.readouterr()
    assert set(codes.values()) <= {0, 2}
    assert codes["status", "r"] == codes["status",] == 0
    if name != "report.html":  # `report` has put a file in its place
        assert codes[COMMANDS[-1]] == 2
        assert "where a file of the run belongs" in printed.err
    assert target.read_text() == "precious"
    if kind == "link":  # a report cannot be read through a pipe
        assert "precious" not in printed.out + printed.err + Path("r/report.html").read_text()


def change_manifest(run_dir: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Write another manifest, as whoever sends a run can."""
    with sqlite3.connect(run_dir / "store" / "cache.db") as database:
        (text,) = database.execute("SELECT value FROM Cache WHERE key = 'manifest'").fetchone()
        changed = json.dumps(change(json.loads(text)))
        database.execute("UPDATE Cache SET value = ? WHERE key = 'manifest'", (changed,))
    database.close()


EVIL = "\x1b]0;owned\x07\x1b[31m\u202egnp\x9b5m\nerror: all is lost"
"""A name that gives a terminal orders, and looks like another line."""


@pytest.mark.usefixtures("small_sets")
def test_a_folders_name_cannot_write_on_the_terminal(
    received: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever names it: what was asked for, and errors."""
    evil = f"runs/{EVIL}"
    received.rename(evil)
    (tmp_path / EVIL).mkdir()
    commands: list[tuple[int, list[str]]] = [
        *((0, [command, evil]) for command in ("status", "report", "transcript", "resume")),
        (0, ["status"]),
        (0, ["status", evil, "--json"]),
        (0, ["compare", "whole", evil]),
        (0, ["compare", "whole", evil, "--json"]),
        (0, ["export", evil, "--format", "csv"]),
        (0, ["export", evil, "--format", "all"]),
        (0, [*SEARCH[:-1], f"{evil}2"]),
        (2, [*SEARCH[:-1], evil]),
        (2, ["predict", EVIL, "--run", evil]),
        (2, ["report", f"{evil}3"]),
        (2, ["export", evil, "--format", EVIL]),
        *((2, [command, EVIL]) for command in ("status", "datasets", "suite", EVIL)),
        (2, ["evaluate", "--templates", EVIL]),
        (2, ["config", "--show", "--config", EVIL]),
    ]
    for code, command in commands:
        assert (main(command), command) == (code, command)
        shown = "".join(capsys.readouterr())
        assert not {*"\x1b\x07\x9b\u202e"} & {*shown}, command
        assert "\nerror: all is lost" not in shown, command


@pytest.mark.parametrize(
    "change", [{"format": 9, "program": "\x1b[31m\u202e1"}, {"given": {"chat": "\x1b[31m\u202e"}}]
)
def test_a_manifest_cannot_write_on_the_terminal(
    change: dict[str, object], received: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not with colours, and not from right to left."""
    change_manifest(received, lambda manifest: {**manifest, **change})
    assert main(["resume", "r", "--restarts", "2"]) == 2
    stderr = capsys.readouterr().err
    assert "[31m\\u202e" in stderr
    assert not {"\x1b", "\u202e"} & {*stderr}


def test_a_text_of_any_length_ends_in_a_bounded_line(
    received: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names, a template and a version of a million characters, in what is printed and in what is refused."""
    long = "x" * 10**6
    result = json.loads((received / "result.json").read_text())
    result |= {"method": long, "device": long, "leaderboard": [result["leaderboard"][0] | {"template": long}]}
    (received / "result.json").write_text(json.dumps(result))
    for command in (*COMMANDS[:-1], ("resume", "r")):
        assert main(command) == 0
    result["best"] |= {"template": f"{long} {{}}"}
    (received / "result.json").write_text(json.dumps(result))
    assert main(["report", "r"]) == 2
    change_manifest(received, lambda manifest: {**manifest, "format": 9, "program": long})
    assert main(["resume", "r", "--restarts", "2"]) == 2
    assert len("".join(capsys.readouterr())) < 400_000


@pytest.mark.parametrize("text", ["", "\0" * 512, 'method = "gui', "[" * 5000, "describe = 'x'\n\0"])
def test_a_damaged_config_is_shown_as_it_is(text: str, received: Path) -> None:
    """The report needs nothing of it."""
    (received / "config.toml").write_text(text)
    assert main(["report", "r"]) == 0


@pytest.mark.parametrize(("number", "code"), [("1e308", 0), ("9" * 400, 2)])
def test_numbers_beyond_measure_end_in_one_line(
    number: str, code: int, received: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A score of any size is only not drawn; a count that no float holds is refused."""
    result = json.loads((received / "result.json").read_text())
    result["baselines"]["default template"]["train"] = "NUMBER" if code == 0 else 0.5
    result["dataset"]["sizes"]["test"] = 40 if code == 0 else "NUMBER"
    (received / "result.json").write_text(json.dumps(result).replace('"NUMBER"', number))
    assert main(["report", "r"]) == code
    assert len(capsys.readouterr().err.splitlines()) == (code != 0)


def test_a_store_without_its_tables_is_wrong_input(
    received: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty file is a database of SQLite's."""
    (received / "store" / "cache.db").write_bytes(b"")
    for command in (["transcript", "r"], ["resume", "r", "--restarts", "2"]):
        assert main(command) == 2
        assert "another program's" in capsys.readouterr().err


@pytest.mark.usefixtures("small_sets")
@pytest.mark.parametrize("name", ["exports", "store", "tensorboard", "result.before.json", "notes.txt"])
def test_nothing_is_written_through_a_link(
    name: str, received: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever it is called: a resume is refused, and an export into a linked folder."""
    precious = tmp_path / "precious"
    precious.mkdir()
    if name == "store":
        (received / name).rename(precious / name)
        (received / name).symlink_to(precious / name)
    else:
        (received / name).symlink_to(precious if "." not in name else precious / "new")
    before = sorted(precious.rglob("*"))
    codes = {command: main(command) for command in COMMANDS}
    tracked = ("resume", "r", "--restarts", "2", "--track", "tensorboard")
    assert main(tracked) == codes[COMMANDS[-1]] == 2
    assert codes["export", "r", "--format", "csv"] == main(["export", "r", "--format", "all"])
    assert (codes["export", "r", "--format", "csv"] == 2) == (name == "exports")
    assert "is a symbolic link" in capsys.readouterr().err
    assert sorted(precious.rglob("*")) == before


@pytest.mark.usefixtures("small_sets")
def test_an_export_writes_nothing_where_a_manifest_says(
    received: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache that a run names is used by a run that is trusted, and by nothing else."""
    monkeypatch.setattr(files, "SETTLED_NS", 0)  # new files are remembered too
    there = {"cache_dir": str(tmp_path / "there"), "custom_scorer": None}
    change_manifest(received, lambda manifest: {**manifest, "config": {**manifest["config"], **there}})
    assert main(["export", "r", "--format", "cupl"]) == 0
    assert main(["export", "r", "--format", "all"]) == 0
    assert not (tmp_path / "there").exists()


class ReadOnly(filelock.FileLock):
    """A lock in a folder that cannot be written."""

    def acquire(self, *_given: object, **_more: object) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied")


def test_a_run_that_is_read_only_is_read(
    received: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is made beside its database; what would write says that it is read-only."""
    monkeypatch.setattr(os, "access", lambda _path, mode: mode != os.W_OK)
    monkeypatch.setattr(filelock, "FileLock", ReadOnly)
    before = sorted(received.rglob("*"))
    for command in ("transcript r", "status r", "export r --format csv --out ../x.csv"):
        assert main(command.split()) == 0
    assert stored_config(received).method == "random"
    capsys.readouterr()
    for command in ("export r --format csv", "export r --format all", "resume r --restarts 2"):
        assert main(command.split()) == 2
        assert "runs/r is read-only for you" in capsys.readouterr().err
    assert sorted(received.rglob("*")) == before


def test_writes_that_are_not_in_the_database_yet_are_read_where_it_is_read_only(
    received: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a killed run leaves them, copied to where nothing can be written."""
    with Store.open(received) as store:
        asyncio.run(store.put_value("late", 1))
        shutil.copytree(received, tmp_path / "killed")
    monkeypatch.setattr(os, "access", lambda _path, mode: mode != os.W_OK)
    before = sorted((tmp_path / "killed").rglob("*"))
    assert any(path.name.endswith("-wal") and path.stat().st_size for path in before)
    with StoreReader(tmp_path / "killed") as stored:
        assert "note:late" in stored._texts.keys("note:")
    assert sorted((tmp_path / "killed").rglob("*")) == before
