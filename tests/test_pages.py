"""The pages name what there is: commands, options, files and modules."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import promptclimb
from promptclimb.agent.cli.options import given_settings
from promptclimb.agent.cli.parser import COMMANDS, make_parser
from promptclimb.agent.config.sources import from_sources, layers_of
from tests.paths import ROOT

PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "docs" / "results" / "tables.md",
]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"\]\(([^)\s]+)\)")
FOLDERS = "agent|evaluator|prompts|promptclimb|tests|docs|benchmarks|examples|suites|training"
FILE = re.compile(rf"(?<![\w/.-])(?:{FOLDERS})/[\w./*-]*")
MADE = re.compile(r"<!-- file: (\S+) -->")
MODULE = re.compile(r"\bpromptclimb(?:\.\w+)+")
OPTION = re.compile(r"--[a-z][a-z_-]*[a-z]")
PROGRAM = re.compile(r"(?:\S*/)?(promptclimb|python|make|pip)\s")
"""What begins a command that is checked."""
FOREIGN_OPTIONS = {"--custom_template_file"}
"""Options of other tools that the pages name."""

page = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)


def commands(text: str) -> Iterator[list[str]]:
    """Every command on a page, as words: in blocks, in the text, and inside ``$(...)``."""
    lines = INLINE.findall(BLOCK.sub("", text))
    for kind, block in BLOCK.findall(text):
        if kind in ("console", "bash", "sh"):
            lines += block.replace("\\\n", " ").splitlines()
    for line in lines:
        outer = re.sub(r"\$\([^)]*\)", "X", line.removeprefix("$ "))
        for command in [*outer.split("&&"), *re.findall(r"\$\(([^)]*)\)", line)]:
            if match := PROGRAM.match(command.strip()):
                yield [match[1], *shlex.split(command, comments=True)[1:]]


def check_ours(words: list[str]) -> None:
    """Parse a command line of ours as the program does, and check the settings of a search."""
    if len(words) < 2:  # the command is named, not called
        assert set(words) <= {*COMMANDS, "--version"}
        return
    arguments = make_parser(words).parse_args(words)
    if arguments.command == "search":
        from_sources(layers_of(given_settings(arguments), {}))


def check_script(words: list[str]) -> None:
    """Make sure that a program of the checkout which is no command of ours is there and has the options."""
    source = source_of(words[1]) if words[0] == "-m" else ROOT / words[0]
    assert source is not None
    shared = options_of(ROOT / "benchmarks" / "common.py") if source.parent.name == "benchmarks" else set()
    assert {word for word in words if word.startswith("--")} <= options_of(source) | shared


@cache
def options_of(source: Path) -> set[str]:
    return set(re.findall(r'"(--[a-z][a-z-]*)"', source.read_text("utf-8")))


def source_of(module: str) -> Path | None:
    inside = module.removeprefix("promptclimb.").replace(".", "/")
    candidates = [ROOT / f"{inside}.py", ROOT / inside / "__init__.py"]
    return next((path for path in candidates if path.is_file()), None)


@page
def test_every_command_is_one_that_the_program_takes(page: Path) -> None:
    """Each line with a command of ours parses; what make and pip are asked for is there."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for program, *rest in commands(page.read_text("utf-8")):
        if program == "make":
            assert {word for word in rest if "=" not in word} <= targets
        elif program == "pip":
            assert set(re.findall(r"\[(\w+)\]", " ".join(rest))) <= set(extras)
        elif program == "promptclimb":
            check_ours(rest)
        elif rest[0] == "run_agent.py":
            check_ours(rest[1:])
        elif rest[:2] == ["-m", "promptclimb"]:
            check_ours(rest[2:])
        else:
            check_script(rest)


def test_the_pages_show_every_command() -> None:
    """The commands are found on the pages, however they are written."""
    lines = [words for each in PAGES for words in commands(each.read_text("utf-8"))]
    assert {words[1] for words in lines if words[0] == "promptclimb"} - {"--version"} == set(COMMANDS)
    assert sum(words[0] == "python" for words in lines) >= 10


@page
def test_every_option_is_one_of_a_command(page: Path) -> None:
    """Or of a benchmark, or of a tool that makes the bundled models."""
    known = {"--help", "--help-all", "--version", *FOREIGN_OPTIONS}
    for name in COMMANDS:
        known |= set(options_taken(name))
    for folder in ("benchmarks", "training"):
        known |= {option for path in (ROOT / folder).glob("*.py") for option in options_of(path)}
    for code in INLINE.findall(BLOCK.sub("", page.read_text("utf-8"))):
        assert {option for option in OPTION.findall(code) if f"{option}-*" not in code} <= known, code


@cache
def options_taken(command: str) -> list[str]:
    parser = make_parser([command])
    choices = next(action.choices for action in parser._actions if action.dest == "command")
    assert isinstance(choices, dict)
    options: list[str] = choices[command].known_options()
    return options


@page
def test_every_file_of_ours_is_there(page: Path) -> None:
    """Paths that begin with one of our folders, but those that the page itself makes; a star is any name."""
    text = page.read_text("utf-8")
    for name in set(FILE.findall(text)) - set(MADE.findall(text)):
        assert list(ROOT.glob(name.rstrip("./"))), name


@page
def test_every_module_of_ours_is_there(page: Path) -> None:
    """``promptclimb.x.y`` is a module, or a name in one."""
    for name in MODULE.findall(page.read_text("utf-8")):
        module, _, last = name.rpartition(".")
        if source_of(name) is None:
            source = source_of(module)
            assert source is not None, name
            assert re.search(rf"\b{last}\b", source.read_text("utf-8")), name


@page
def test_every_link_leads_somewhere(page: Path) -> None:
    """To a file, and to a heading in it."""
    for target in LINK.findall(BLOCK.sub("", page.read_text("utf-8"))):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text("utf-8").lower(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading).replace(" ", "-") for heading in headings}, (
                target
            )


@page
def test_code_is_not_wider_than_the_site_shows(page: Path) -> None:
    """72 characters in any language; a change to a line of the program is as wide as that line."""
    blocks = [block for kind, block in BLOCK.findall(page.read_text("utf-8")) if kind != "diff"]
    assert not [line for block in blocks for line in block.splitlines() if len(line) > 72]


def test_the_reference_has_every_public_name() -> None:
    """And no other."""
    named = re.findall(r"^::: promptclimb\.(\w+)$", (ROOT / "docs/api.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(named) == sorted(promptclimb.__all__)
