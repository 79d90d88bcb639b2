"""The whole command line: its commands, each with a parser from its own file."""

from __future__ import annotations

import argparse
import difflib
import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from ..versions import program_version

if TYPE_CHECKING:
    Commands: TypeAlias = "argparse._SubParsersAction[Parser]"

WRONG_USAGE = 2
_PROGRAMS = ("run_agent.py", "promptclimb")

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "search": "search for better templates",
        "resume": "go on with a run that was stopped",
        "status": "say how runs stand, live ones too",
        "evaluate": "score templates of your own",
        "suite": "several searches: data sets x methods x seeds",
        "report": "write the page about a run, report.html",
        "transcript": "print what was asked and answered in a run",
        "export": "write what a run found for another tool",
        "datasets": "list data sets, or show the few-shot split of one",
        "models": "list the bundled models, and open_clip's",
        "doctor": "check this installation",
    }
)
"""Every command with its line in ``--help``. A command is the file of its name in this folder, whose
``add_parser(commands, line)`` adds its options and names what runs it; only the one called is loaded."""


class Parser(argparse.ArgumentParser):
    """An argument parser that takes options in full only, and says in one line what is wrong."""

    def __init__(self, **given: Any) -> None:
        super().__init__(allow_abbrev=False, **given)

    def known_options(self) -> list[str]:
        """Return its options as they are written, ``--data``."""
        return [name for name in self._option_string_actions if name.startswith("--")]

    def error(self, message: str) -> NoReturn:
        """Print the line and leave with exit code 2."""
        self.exit(WRONG_USAGE, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


class _Program(Parser):
    """The parser of the whole command line, which reports what no command takes."""

    called: Parser | None = None

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Return what was given; of an option that there is not the nearest is named."""
        given, unknown = self.parse_known_args(args, namespace)
        if unknown:
            parser = self.called or self
            if not unknown[0].startswith("-"):
                parser.error(f"it takes no argument {unknown[0]!r}")
            name = unknown[0].partition("=")[0]  # what follows may be a key
            near = difflib.get_close_matches(name, parser.known_options(), n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            parser.error(f"there is no option {name!r}{hint}")
        return given


def make_parser(arguments: Sequence[str]) -> _Program:
    """Return the parser of a command line.

    Args:
        arguments: The command line; decides which command's options are added.
    """
    called = Path(sys.argv[0]).name if sys.argv else ""
    parser = _Program(
        prog=called if called in _PROGRAMS else "promptclimb",
        description="Finds better prompts for a vision-language model: an LLM proposes, the model scores.",
    )
    parser.add_argument("--version", action="version", version=f"promptclimb {program_version()}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    wanted = next((argument for argument in arguments if not argument.startswith("-")), None)
    if wanted is not None and wanted not in COMMANDS:
        near = difflib.get_close_matches(wanted, COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(COMMANDS)}"
        parser.error(f"there is no command {wanted!r}; {hint}")
    for name, line in COMMANDS.items():
        if name == wanted:
            importlib.import_module(f".{name}", __package__).add_parser(commands, line)
        else:
            commands.add_parser(name, help=line)
    parser.called = commands.choices.get(wanted or "")
    return parser
