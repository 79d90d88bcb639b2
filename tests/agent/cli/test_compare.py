"""``compare``: several runs side by side."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from promptclimb.agent.cli.main import main
from promptclimb.agent.results.details import write_details
from promptclimb.agent.results.result import ApiUsage
from promptclimb.agent.results.run_dir import read_result, write_result
from tests.agent.results.test_gain import contender as run
from tests.fakes.small_result import small_result
from tests.recorded import check_page, check_session, text_of


@pytest.fixture(autouse=True)
def runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two runs, ``a`` and ``b``, on the same twenty test images."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["run_agent.py"])
    for name, wrong in (("a", {1, 2, 3, 4, 5}), ("b", {0, 1})):
        (tmp_path / name).mkdir()
        one = run(name, wrong)
        assert one.details is not None
        write_result(tmp_path / name, one.result)
        write_details(tmp_path / name, one.details)


def call(*arguments: object) -> int:
    """Runs a command in this process."""
    return main(["compare", *map(str, arguments)])


@pytest.mark.parametrize("kinds", ["templates", "both"])
def test_runs_stand_side_by_side(kinds: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """What is not paired and what may be chance is marked and explained; a paid scorer has its own lines."""
    (tmp_path / "c").mkdir()
    write_result(tmp_path / "c", run("c", set(range(10))).result)
    result = read_result(tmp_path / "b")
    changed = replace(result, best=replace(result.best, class_names={"bat": "baseball bat"}))
    if kinds == "both":
        changed = replace(
            result, prompts="instruction", usage=replace(result.usage, calls=12, cost_usd=0.003),
            scorer_usage=ApiUsage(calls=1840, cost_usd=0.042), notes={"scorer": "chat"},
        )  # fmt: skip
    write_result(tmp_path / "b", changed)
    assert call("a", "b", "c") == 0
    table = capsys.readouterr().out
    assert call("a", "b", "c", "--json") == call("a", "b", "c", "--html", "side.html") == 0
    check_page(f"compare-{kinds}", f"{table}\n# page\n\n{text_of(Path('side.html').read_text())}")


def test_json_has_the_runs_in_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    """Each with the difference from the first."""
    write_result(
        Path("b"),
        replace(read_result(Path("b")), scorer_usage=ApiUsage(calls=1840), notes={"scorer": "chat"}),
    )
    assert call("a", "b", "--json") == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["scorer"], first["scorer_usage"]) == (None, None)
    assert (second["scorer"], second["scorer_usage"]["calls"]) == ("chat", 1840)
    assert (first["run"], first["over_first"], first["best"]["test"]) == ("a", None, 0.75)
    assert (second["over_first"]["better"], second["over_first"]["worse"], second["note"]) == (4, 1, None)


def test_a_page_is_written_where_it_is_wanted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Its texts are escaped; a run's own files are not written over."""
    shutil.copytree("a", "<i>c")
    assert call("a", "<i>c", "--html", "side.html") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'side.html'}\n"
    text = Path("side.html").read_text()
    assert "&lt;i&gt;c" in text
    assert "<i>" not in text
    assert call("a", "b", "--html", "side.html/side.html") == 2
    assert "side.html/side.html cannot be written: " in capsys.readouterr().err


def test_what_cannot_be_compared_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and what to do."""
    commands = ("compare a", "compare a ./a", "compare a gone", "compare a b --json --html x", "compare")
    check_session("compare-wrong", capsys, *commands)


def test_evil_names_obey_no_terminal(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Control characters of class names, templates and folders are spaces."""
    evil = tmp_path / "c\x1b[31m"
    evil.mkdir()
    write_result(evil, small_result())
    assert call("a", evil) == 0
    assert "\x1b[31m" not in capsys.readouterr().out
