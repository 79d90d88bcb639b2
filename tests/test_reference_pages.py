"""Parts of pages are made: options (docs/options.md), events (docs/files.md), vendors (docs/endpoints.md).

`python -m tests.test_reference_pages` (in the project's folder) writes them again.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Mapping
from typing import get_args

import pytest

from promptclimb.agent.cli.parser import make_parser
from promptclimb.agent.config.schema import OPTIONS
from promptclimb.agent.events.types import Event
from promptclimb.evaluator.settings import Group
from tests.fakes.recorded import by_vendor
from tests.paths import ROOT

MAIN = "search"


def parser_of(command: str) -> argparse.ArgumentParser:
    parser = make_parser([command]).called
    assert parser is not None
    return parser


def options_of(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str, str]]:
    """Group, option and help of each option that is shown."""
    for group in parser._action_groups:
        for action in group._group_actions:
            if action.help == argparse.SUPPRESS or not action.option_strings or action.dest == "help":
                continue
            text = " ".join(parser._get_formatter()._expand_help(action).split())
            yield str(group.title), f"`{written(action)}`", text


def written(action: argparse.Action) -> str:
    """An option as it is written: ``--shots N``."""
    if isinstance(action, argparse.BooleanOptionalAction):
        return "`, `".join(action.option_strings)
    if action.nargs == 0:
        return action.option_strings[-1]
    value = str(action.metavar or ",".join(map(str, action.choices or ())) or action.dest.upper())
    return f"{action.option_strings[-1]} {f'[{value}]' if action.nargs == '?' else value}"


def options() -> str:
    """All options of a search by group, then the settings without an option."""
    own = list(options_of(parser_of(MAIN)))
    lines = []
    for title in dict.fromkeys(group for group, _, _ in own):
        heading = "General" if title == "options" else title[0].upper() + title[1:]
        lines += ["", f"## {heading}", ""]
        lines += [f"- {option}: {text}" for group, option, text in own if group == title]
    lines += ["", "## In a settings file only", ""]
    for option in sorted(OPTIONS.values(), key=lambda option: get_args(Group).index(option.group)):
        default = "" if option.default in (None, ()) else f" (default: {option.default})"
        lines += [f"- `{option.name}`: {option.help}{default}"] if option.file_only else []
    return "\n".join([*lines, ""]) + "\n"


def kinds(event: type[Event]) -> Iterator[type[Event]]:
    """An event with all that derive from it."""
    yield event
    for each in event.__subclasses__():
        yield from kinds(each)


def events() -> str:
    """Every event with the first sentence of its docstring."""
    ours = {
        kind.name: " ".join(str(kind.__doc__).split("\n\n")[0].split()).partition(". ")[0].rstrip(".")
        for kind in kinds(Event)
        if kind.__module__.startswith("promptclimb.") and "name" in vars(kind) and kind is not Event
    }
    rows = [f"- `{name}`: {text}" for name, text in sorted(ours.items())]
    return "\n".join(["", *rows, ""]) + "\n"


PARTS: Mapping[str, tuple[str, Callable[[], str]]] = {
    "options": ("options.md", options),
    "events": ("files.md", events),
    "vendors": ("endpoints.md", lambda: f"\n{by_vendor()}\n"),
}
"""What is made: its page, and its text."""


def renewed(part: str) -> tuple[str, str]:
    """A page as it stands, and with its part made again."""
    name, made = PARTS[part]
    page = (ROOT / "docs" / name).read_text("utf-8")
    pattern = re.compile(rf"(?<=<!-- {part} -->\n).*?(?=<!-- end -->)", re.DOTALL)
    assert pattern.search(page)
    return page, pattern.sub(lambda _: made(), page)


@pytest.mark.parametrize("part", PARTS)
def test_the_page_is_what_the_program_says(part: str) -> None:
    """Made again, it is the same."""
    page, again = renewed(part)
    assert page == again, "run python -m tests.test_reference_pages"


def test_options_are_grouped_and_stand_once() -> None:
    """Six groups at least, and no option twice."""
    own = list(options_of(parser_of(MAIN)))
    assert len({group for group, _, _ in own}) >= 6
    assert len(own) == len({option for _, option, _ in own}) > 50


if __name__ == "__main__":
    for part, (name, _) in PARTS.items():
        (ROOT / "docs" / name).write_text(renewed(part)[1], "utf-8")
