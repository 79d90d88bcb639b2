"""Every command that a run prints, on the terminal, by ``status`` and on its page, works where it ran."""

from __future__ import annotations

import re
import shlex
import sys
from html import unescape
from pathlib import Path

import pytest

from promptclimb.agent.cli.main import main
from promptclimb.agent.cli.output import program
from tests.fakes.suite_files import pictures

SEARCH = (
    *("search", "--data", "words", "--custom-scorer", "promptclimb.evaluator.fakes:FakeEvaluator"),
    *("--method", "combine", "--restarts", "1", "--rounds", "2", "--initial", "5"),
)
COMMANDS = "resume|report|export|transcript|status"
COMMAND = re.compile(rf"(?:promptclimb|python run_agent\.py) ((?:{COMMANDS}) [^;,(`<\n]*)")
AFTER = re.compile(r" (?:continues|evaluates|\(or).*|\)?\.? *$")


def commands_in(text: str) -> list[list[str]]:
    """The commands in a text, each as a list of arguments, with a number for each N."""
    commands = (AFTER.sub("", command) for command in COMMAND.findall(unescape(text)))
    return [["9" if word == "N" else word for word in shlex.split(command)] for command in commands]


@pytest.mark.parametrize(
    ("limit", "named"), [((), ()), (("--max-minutes", "0"), ("--run-dir", "deep/my run"))]
)
def test_every_command_that_is_printed_works(
    limit: tuple[str, ...], named: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """From the folder in which the search ran, in whatever folder the run lies."""
    monkeypatch.chdir(tmp_path)
    assert main([*SEARCH, *limit, *named]) == 0
    folder = next(path.parent for path in tmp_path.glob("**/store"))
    assert main(["status", str(folder)]) == 0
    texts = [*capsys.readouterr(), (folder / "report.html").read_text("utf-8")]
    commands = [command for text in texts for command in commands_in(text)]
    assert len(commands) == (4 if limit else 3), commands
    for command in commands:
        assert main(command) == 0, command
    assert main([*SEARCH, "--run-dir", str(folder)]) == 2
    ((command, more),) = re.findall(
        r"(?:continue it with|search longer:) `([^`]+)`(?: with (--restarts) N)?", capsys.readouterr().err
    )
    assert main([*shlex.split(command)[1:], *([more, "2"] if more else [])]) == 0


def test_the_search_that_evaluate_prints_has_its_data_and_scorer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not a search on a bundled set with a bundled model."""
    monkeypatch.chdir(tmp_path)
    asked = "--data words --custom-scorer promptclimb.evaluator.fakes:FakeEvaluator --shots 2"
    assert main(["evaluate", *asked.split()]) == 0
    assert f" search {asked} --describe " in capsys.readouterr().out


def test_a_command_is_printed_as_it_can_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command of this environment if it is on PATH, also after ``python -m``; another's is not ours."""
    for folder in ("ours", "theirs", "empty"):
        (tmp_path / folder).mkdir()
        for name in ("promptclimb", "python") if folder != "empty" else ():
            (tmp_path / folder / name).write_text("")
            (tmp_path / folder / name).chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "promptclimb" / "__main__.py")])
    monkeypatch.setattr(sys, "executable", str(tmp_path / "ours" / "python"))
    own = f"{tmp_path}/ours/python"
    for folder, printed in (("ours", "promptclimb"), ("theirs", f"{own} -m promptclimb")):
        monkeypatch.setenv("PATH", str(tmp_path / folder))
        assert program() == printed
    monkeypatch.setattr(sys, "argv", ["run_agent.py"])
    assert program() == f"{own} run_agent.py"  # another Python may lack what this one has
    monkeypatch.chdir(tmp_path)
    assert program() == "ours/python run_agent.py"
    monkeypatch.setenv("PATH", str(tmp_path / "ours"))
    assert program() == "python run_agent.py"


@pytest.mark.parametrize("data", ["own", pytest.param("backgrounds", marks=pytest.mark.slow)])
def test_a_toy_model_is_named_at_the_start_and_in_the_verdict(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the bundled sets, which it was made for, only the next step names a real one."""
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "own", 8)
    small = ("--shots", "2", "--initial", "5", "--restarts", "1", "--augmentations", "0", "--rounds", "1")
    assert main(["search", "--data", data, *small]) == 0
    out, err = capsys.readouterr()
    advice = "next, with your images and a real model: the same search with --data DIR --model ViT-B-32 "
    is_own = data == "own"
    assert (err.count("toy model"), err.count("ViT-B-32")) == (is_own, is_own)
    assert (out.count("toy model"), out.count("ViT-B-32"), advice in out) == (is_own, not is_own, not is_own)


def test_help_and_errors_call_the_program_by_one_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """However it was called; only the examples to copy have that."""
    monkeypatch.setattr(sys, "argv", ["/opt/somewhere/run_agent.py"])
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: promptclimb ")
    assert text.count("run_agent.py") == 3
    assert main(["search", "--nothing"]) == 2
    assert capsys.readouterr().err.startswith("promptclimb search: error: ")
