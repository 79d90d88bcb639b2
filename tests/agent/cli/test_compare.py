"""``compare``: several runs side by side."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from promptclimb.agent.cli.main import main
from promptclimb.agent.results.details import write_details
from promptclimb.agent.results.result import ApiUsage
from promptclimb.agent.results.run_dir import read_result, write_result
from tests.agent.results.test_gain import contender as run
from tests.fakes.small_result import small_result


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


def test_the_table_has_a_column_for_each_run(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard output, with the difference and its interval."""
    assert call("a", "b") == 0
    out, err = capsys.readouterr()
    assert err == ""
    rows = {
        cells[1].strip(): [one.strip() for one in cells[2:4]] for cells in map(cells_of, out.splitlines())
    }
    assert rows["test"] == ["75.0", "90.0"]
    assert rows["over the first run"][0] == "-"
    assert rows["over the first run"][1].startswith("+15.0 (")
    assert "*" not in out


def test_runs_of_two_kinds_are_compared_as_prompts(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """An instruction has no ensemble; what a scorer behind an API was asked and cost has lines of its own."""
    one = read_result(tmp_path / "b")
    used = ApiUsage(calls=1840, cost_usd=0.042)
    asked = replace(one.usage, calls=12, cost_usd=0.003)
    instructed = replace(one, prompts="instruction", usage=asked, scorer_usage=used, notes={"scorer": "chat"})
    write_result(tmp_path / "b", instructed)
    assert call("a", "b") == 0
    out = capsys.readouterr().out
    rows = {
        cells[1].strip(): [one.strip() for one in cells[2:4]] for cells in map(cells_of, out.splitlines())
    }
    assert {"best prompt", "over the default prompt", "over its best starting prompt"} <= rows.keys()
    assert {"prompts scored", "LLM's calls"} <= rows.keys()
    assert rows["scorer"] == ["-", "chat"]
    assert rows["scorer's calls"] == ["-", "1,840"]
    assert rows["scorer's cost"] == ["-", "$0.0420"]
    assert rows["LLM's cost"][1] == "$0.0030"
    assert rows["ensemble, test"][1] == "-"
    assert rows["ensemble, test"][0] != "-"
    assert call("a", "b", "--json") == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["prompts"], first["scorer"], first["scorer_usage"]) == ("template", None, None)
    assert second["cost_usd"] == 0.003
    assert (second["prompts"], second["scorer"], second["scorer_usage"]["calls"]) == (
        "instruction",
        "chat",
        1840,
    )
    write_result(tmp_path / "a", instructed)
    assert call("a", "b") == 0
    out = capsys.readouterr().out
    assert "best instruction" in out
    assert "ensemble" not in out


def test_new_class_names_have_lines_of_their_own(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """How many, where any run searched for them."""
    one = read_result(tmp_path / "b")
    write_result(tmp_path / "b", replace(one, best=replace(one.best, class_names={"bat": "baseball bat"})))
    assert call("a", "b") == 0
    rows = {cells[1].strip(): cells[2:4] for cells in map(cells_of, capsys.readouterr().out.splitlines())}
    assert [one.strip() for one in rows["classes with a new name"]] == ["0", "1"]
    assert ", with 1 new class name" in " ".join(rows["best template"][1].split())
    assert "with" not in rows["best template"][0]


def cells_of(line: str) -> list[str]:
    """The cells of a line of a table."""
    return [*line.replace("┃", "│").split("│"), "", "", "", ""]


def test_what_is_not_paired_is_marked_and_says_why(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """As of a run that an older program made."""
    (tmp_path / "b" / "details.json").unlink()
    assert call("a", "b") == 0
    out = capsys.readouterr().out
    assert ")*" in out
    assert "* not paired: no decisions were kept" in out


def test_json_has_the_runs_in_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    """Each with the difference from the first."""
    assert call("a", "b", "--json") == 0
    first, second = json.loads(capsys.readouterr().out)
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
    assert call("a", "b", "--html", "nowhere/side.html") == 2
    assert "nowhere/side.html: it cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("a",), "two runs or more"),
        (("a", "./a"), "named twice"),
        (("a", "gone"), "there is no folder"),
        (("a", "b", "--json", "--html", "x"), "not allowed with"),
        ((), "required: RUN_DIR"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    arguments: tuple[Any, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and what to do."""
    assert call(*arguments) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.strip().splitlines()) == 1


def test_evil_names_obey_no_terminal(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Control characters of class names, templates and folders are spaces."""
    evil = tmp_path / "c\x1b[31m"
    evil.mkdir()
    write_result(evil, small_result())
    assert call("a", evil) == 0
    assert "\x1b[31m" not in capsys.readouterr().out


def test_what_is_no_better_than_chance_is_marked_with_a_note(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """That run alone; the document has the sentence."""
    guessed = run("c", set(range(10)))
    (tmp_path / "c").mkdir()
    write_result(tmp_path / "c", guessed.result)
    assert call("b", "c") == 0
    out = capsys.readouterr().out
    assert "│ 90.0  " in out
    assert "│ 50.0† " in out
    classes = guessed.result.dataset.classes
    at_random = f"naming one of {classes} classes at random gets {100 / classes:.1f} %"
    note = f"† may be no better than chance: {at_random}\n"
    assert note in out
    assert call("b", "c", "--json") == 0
    one, two = json.loads(capsys.readouterr().out)
    assert one["chance_level"] is None
    assert two["chance_level"].startswith("50.0 % on test (")
    assert call("a", "b") == 0
    assert "†" not in capsys.readouterr().out
