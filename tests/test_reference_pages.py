"""Reference pages are made from the program: docs/options.md from the parser, the events of docs/files.md from their classes.

`python -m tests.test_reference_pages` (in the project's folder) writes both again.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

from promptclimb.agent.cli.parser import COMMANDS, whole_parser
from promptclimb.agent.events import Event
from tests.paths import ROOT

PAGE = ROOT / "docs" / "options.md"
FILES = ROOT / "docs" / "files.md"
EVENTS = re.compile(r"<!-- events -->\n(.*?)<!-- end -->", re.DOTALL)
MAIN = "search"
RENEW = "run python -m tests.test_reference_pages"
INTRO = """# Options

Every option of `promptclimb search`, made from the program's own declarations; `--help-all` prints the same. An
option may also stand in a TOML file given by `--config` (`shots = 4`) or in the environment (`PROMPTCLIMB_SHOTS=4`). Flags win over the
environment, the environment over the file. `promptclimb config --show` prints where each value comes from, and
`promptclimb config --init my.toml` writes a file with all of them.
"""


def commands() -> dict[str, argparse.ArgumentParser]:
    """Each command with its parser."""
    (action,) = (one for one in whole_parser()._actions if isinstance(one, argparse._SubParsersAction))
    choices: dict[str, argparse.ArgumentParser] = dict(action.choices)
    return choices


def options(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str, str]]:
    """Group, option and help of each option that is shown."""
    for group in parser._action_groups:
        for action in group._group_actions:
            if action.help == argparse.SUPPRESS or not action.option_strings or action.dest == "help":
                continue
            text = " ".join(parser._get_formatter()._expand_help(action).split())
            yield str(group.title), cell(written(action)), cell(text)


def written(action: argparse.Action) -> str:
    """An option as it is written: ``--shots N``."""
    value = ""
    if action.nargs != 0:
        name = action.metavar or ",".join(map(str, action.choices or ())) or action.dest.upper()
        value = f" [{name}]" if action.nargs == "?" else f" {name}"
    return f"{action.option_strings[-1]}{value}"


def cell(text: str) -> str:
    """Text as it stands in a table."""
    return text.replace("|", "\\|")


def page() -> str:
    """The whole page."""
    every = commands()
    own = list(options(every[MAIN]))
    shared = {option for _, option, _ in own}
    lines = [INTRO]
    for title in dict.fromkeys(group for group, _, _ in own):
        heading = "General" if title == "options" else title[0].upper() + title[1:]
        lines += [f"## {heading}\n", "| option | meaning |", "|---|---|"]
        for group, option, text in own:
            if group == title:
                lines.append(f"| `{option}` | {text} |")
        lines.append("")
    lines += [
        "## Other commands\n",
        "Options that `search` does not have:\n",
        "| command | option | meaning |",
        "|---|---|---|",
    ]
    for name in COMMANDS:
        rest = [(option, text) for _, option, text in options(every[name]) if option not in shared]
        for option, text in rest if name != MAIN else ():
            lines.append(f"| `{name}` | `{option}` | {text} |")
    return "\n".join(lines) + "\n"


def kinds(event: type[Event]) -> Iterator[type[Event]]:
    """An event with all that derive from it."""
    yield event
    for each in event.__subclasses__():
        yield from kinds(each)


def events() -> str:
    """Every event with the first sentence of its docstring, as a table."""
    ours = {
        kind.name: " ".join(str(kind.__doc__).split("\n\n")[0].split())
        for kind in kinds(Event)
        if kind.__module__.startswith("promptclimb.") and "name" in vars(kind) and kind is not Event
    }
    rows = [f"| `{name}` | {cell(text)} |" for name, text in sorted(ours.items())]
    return "\n".join(["", "| event | meaning |", "|---|---|", *rows, ""]) + "\n"


def test_the_page_lists_the_options_that_there_are() -> None:
    """The page is what the parser gives."""
    assert PAGE.read_text("utf-8") == page(), RENEW


def test_every_group_has_options() -> None:
    """Six groups at least, and no option twice."""
    own = [option for _, option, _ in options(commands()[MAIN])]
    assert len({group for group, _, _ in options(commands()[MAIN])}) >= 6
    assert len(own) == len(set(own)) > 50


def test_the_page_lists_the_events_that_there_are() -> None:
    """The table in docs/files.md is made of the classes."""
    found = EVENTS.search(FILES.read_text("utf-8"))
    assert found is not None
    assert found[1] == events(), RENEW


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    text = FILES.read_text("utf-8")
    FILES.write_text(EVENTS.sub(lambda _: f"<!-- events -->\n{events()}<!-- end -->", text), "utf-8")
