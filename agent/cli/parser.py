"""The whole command line: its commands, each with a parser from its own file."""

from __future__ import annotations

import argparse
import difflib
import importlib
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from ..versions import program_version

if TYPE_CHECKING:
    Commands: TypeAlias = "argparse._SubParsersAction[Parser]"

WRONG_USAGE = 2
COMPLETION = "--print-completion"
_PROGRAMS = ("run_agent.py", "promptclimb")

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "search": "search for better templates",
        "resume": "go on with a run that was stopped",
        "status": "say how runs stand, live ones too",
        "evaluate": "score templates of your own",
        "suite": "several searches: data sets x methods x seeds",
        "report": "write the page about a run, report.html",
        "compare": "several runs side by side, with intervals",
        "transcript": "print what was asked and answered in a run",
        "export": "write what a run found for another tool",
        "datasets": "list data sets, or show the few-shot split of one",
        "models": "list the bundled models, and open_clip's",
        "config": "write a file of settings, or show where each comes from",
        "doctor": "check this installation",
    }
)
"""Every command with its line in ``--help``. A command is the file of its name in this folder, whose
``add_parser(commands, line)`` adds its options and names what runs it; only the one called is loaded."""


class Parser(argparse.ArgumentParser):
    """An argument parser that takes options in full only, and says in one line what is wrong."""

    def __init__(self, **given: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **given)

    def known_options(self) -> list[str]:
        """Return its options as they are written, ``--data``."""
        return [name for name in self.all_options() if name.startswith("--")]

    def all_options(self) -> list[str]:
        """Return its options, those of one letter too."""
        return list(self._option_string_actions)

    def no_option(self, given: str) -> NoReturn:
        """Say that there is no such option, and which one is like it."""
        name = given.partition("=")[0]  # what follows may be a key
        near = difflib.get_close_matches(name, self.known_options(), n=1)
        self.error(f"there is no option {name!r}{f'; did you mean {near[0]}?' if near else ''}")

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
            parser.no_option(unknown[0])
        return given


def make_parser(arguments: Sequence[str]) -> _Program:
    """Return the parser of a command line.

    Args:
        arguments: The command line; decides which command's options are added.
    """
    called = Path(sys.argv[0]).name if sys.argv else ""
    parser = _program(called if called in _PROGRAMS else "promptclimb")
    first = next(iter(arguments), "").partition("=")[0]
    if first.startswith("-") and first not in parser.all_options():
        parser.no_option(first)
    wanted = None
    if first != COMPLETION:  # which takes the name of a shell
        wanted = next((argument for argument in arguments if not argument.startswith("-")), None)
    if wanted is not None and wanted not in COMMANDS:
        near = difflib.get_close_matches(wanted, COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(COMMANDS)}"
        parser.error(f"there is no command {wanted!r}; {hint}")
    commands = _add_commands(parser, () if wanted is None else (wanted,))
    parser.called = commands.choices.get(wanted or "")
    return parser


def whole_parser() -> _Program:
    """Return the parser of the whole command line, with the options of every command."""
    parser = _program("promptclimb")
    _add_commands(parser, COMMANDS)
    return parser


def _program(name: str) -> _Program:
    parser = _Program(
        prog=name,
        description="Finds better prompts for a vision-language model: an LLM proposes, the model scores.",
        epilog="promptclimb COMMAND --help lists the options of a command.",
    )
    parser.add_argument("--version", action="version", version=f"promptclimb {program_version()}")
    parser.add_argument(
        COMPLETION,
        action=_Completion,
        metavar="SHELL",
        help="print a script by which a shell (bash, zsh, ...) completes commands and options",
    )
    return parser


def _add_commands(parser: _Program, loaded: Collection[str]) -> Commands:
    """Add every command; those to be loaded with their options."""
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    for name, line in COMMANDS.items():
        if name in loaded:
            importlib.import_module(f".{name}", __package__).add_parser(commands, line)
        else:
            commands.add_parser(name, help=line)
        commands.choices[name].description = f"{line[0].upper()}{line[1:]}."
    return commands


class _Completion(argparse.Action):
    """Prints a script for a shell, and leaves."""

    def __call__(
        self, parser: argparse.ArgumentParser, _given: Any, values: Any, _option: Any = None
    ) -> None:
        """Load what this takes only now; every other command starts without it."""
        from .completion import SHELLS, print_completion

        if values not in SHELLS:
            parser.error(f"{COMPLETION} {values!r}: known are {', '.join(SHELLS)}")
        print_completion(values, whole_parser)
        parser.exit()
