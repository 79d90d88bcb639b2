"""The whole command line: commands, their parsers, help and shell completion."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import shlex
import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from ...evaluator.errors import reason_of
from ...evaluator.pico.models import REAL_MODEL, REAL_WEIGHTS
from ...evaluator.settings import similar
from ..text import one_line
from ..versions import installed_version, program_version
from .output import PROGRAM, WRONG, print_text, program

if TYPE_CHECKING:
    Commands: TypeAlias = "argparse._SubParsersAction[Parser]"

_PACKAGES = ("torch", "open_clip_torch", "openai")
COMMAND_GROUPS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "measure and search": {
            "evaluate": "measure the texts that people use today, or your own templates",
            "search": "search for better templates and class names",
            "resume": "resume a run, or continue a finished one with more restarts",
            "status": "show the state of runs, live ones too",
            "suite": "several searches: data x methods x models x LLMs x shots x seeds",
        },
        "read what a run found": {
            "report": "write the page about a run, report.html",
            "compare": "compare runs side by side, with intervals",
            "transcript": "print what was asked and answered in a run",
        },
        "use what a run found": {
            "predict": "classify a folder of images without labels",
            "export": "write the result for another tool",
        },
        "set up": {
            "datasets": "list data sets, or show the few-shot split of one",
            "models": "list the bundled models; with --grep, open_clip's too",
            "config": "write a file of settings, or show where each comes from",
        },
    }
)
COMMANDS: Mapping[str, str] = MappingProxyType(
    {name: line for commands in COMMAND_GROUPS.values() for name, line in commands.items()}
)
"""The commands with their lines in ``--help``. Each has a module with a function of its name, which takes
the parsed arguments and returns an exit code, and ``add_options(parser)``."""
IN_MODULE_OF: Mapping[str, str] = MappingProxyType({"resume": "search", "models": "datasets"})
"""Commands in the module of another one, beside ``add_NAME_options(parser)``."""


class _Help(argparse.RawDescriptionHelpFormatter):
    """Breaks lines at spaces alone, so that options and names can be copied."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)


class Parser(argparse.ArgumentParser):
    """An argument parser with a short help and ``--help-all``, full option names and one-line errors."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_Help, **attributes)
        self._groups: dict[str, argparse._ArgumentGroup] = {}
        self._first: list[argparse.Action] = []
        self._last: list[argparse.Action] = []
        self._hidden: list[argparse.Action] = []
        self.all_shown = False

    def group(self, title: str) -> argparse._ArgumentGroup:
        if title not in self._groups:
            self._groups[title] = self.add_argument_group(title)
        return self._groups[title]

    def add_to(self, title: str, *names: str, hide: bool = True, **attributes: Any) -> None:
        """Add an option to a group, off the short help; without such a group, to the other options."""
        group = self._groups.get(title)
        action = (group or self).add_argument(*names, **attributes)
        if group is not None and hide:
            self._hidden.append(action)

    def shorten(self, first: Iterable[argparse.Action], hidden: Iterable[argparse.Action]) -> None:
        """Show some options in ``--help`` after those added so far, and hide others."""
        self._hidden = list(hidden)
        chosen = list(first)
        settings = {*chosen, *self._hidden}
        self._first = [action for action in self._actions[1:] if action not in settings] + chosen
        if self._hidden:
            self._last = [
                self.add_argument("--help-all", action=_HelpAll, nargs=0, help="show every option and exit"),
                self._actions[0],
            ]

    def format_help(self) -> str:
        """Return the short help, or the full one if it was requested."""
        if self.all_shown:
            return super().format_help()
        formatter = self._get_formatter()
        formatter.add_usage(self.usage, self._actions, self._mutually_exclusive_groups)
        formatter.add_text(self.description)
        placed = {*self._first, *self._hidden, *self._last}
        others = [action for action in self._actions if action not in placed]
        others.sort(key=lambda action: action.dest == "config_file")  # few need it
        formatter.start_section("options")
        formatter.add_arguments([*self._first, *others, *self._last])
        formatter.end_section()
        has_scorer = any("--scorer-url" in action.option_strings for action in self._hidden)
        such = ", such as limits of a model behind an API" * has_scorer
        more = f"{self.prog} --help-all shows {len(self._hidden)} more options{such}."
        formatter.add_text(more if self._hidden else self.epilog)
        return formatter.format_help()

    def known_options(self) -> list[str]:
        """Return its visible options as they are written, such as ``--data``."""
        return [
            name
            for name, action in self._option_string_actions.items()
            if name.startswith("--") and action.help != argparse.SUPPRESS
        ]

    def no_option(self, argument: str) -> NoReturn:
        """Report an unknown option, and the most similar one or its line in the settings file."""
        name = argument.partition("=")[0]
        if "--config" in self.known_options() and (line := _line_in_file(name)):
            self.error(f"{name} is not an option; write {line} in FILE.toml and give --config FILE.toml")
        # The value is not shown: it may be a key.
        near = similar(name, self.known_options())
        self.error(f"there is no option {name!r}{f'; did you mean {near[0]}?' if near else ''}")

    def error(self, message: str) -> NoReturn:
        """Print the line and exit with code 2."""
        self.exit(WRONG, f"{self.prog}: error: {one_line(message)} (see {self.prog} --help)\n")


def _line_in_file(flag: str) -> str:
    """Return the line of a settings file for an option that stands there alone; empty for any other."""
    from ..config.schema import OPTIONS
    from ..config.sources import line_in_file

    option = OPTIONS.get(flag.removeprefix("--").replace("-", "_"))
    if option is None or not option.file_only:
        return ""
    if "|" not in option.show:
        return line_in_file(option)
    return f"{option.name} = " + " or ".join(f'"{choice}"' for choice in option.show.split("|"))


class _HelpAll(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_given: Any) -> None:
        if isinstance(parser, Parser):
            parser.all_shown = True
        parser.print_help()
        parser.exit()


class _Program(Parser):
    """The parser of the whole command line, which reports unknown arguments."""

    called: Parser | None = None

    def format_help(self) -> str:
        """Return the help with the commands in groups."""
        formatter = self._get_formatter()
        formatter.add_usage("%(prog)s COMMAND [OPTION ...]", (), ())
        formatter.add_text(self.description)
        commands: Any = next(action for action in self._actions if action.dest == "command")
        lines = {action.dest: action for action in commands._get_subactions()}
        for title, names in COMMAND_GROUPS.items():
            formatter.start_section(title)
            formatter.add_arguments([lines[name] for name in names])
            formatter.end_section()
        formatter.start_section("options")
        formatter.add_arguments([action for action in self._actions if action.option_strings])
        formatter.end_section()
        formatter.add_text(self.epilog)
        return formatter.format_help()

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse the arguments; for an unknown option, name the nearest one."""
        arguments = list(args)
        parsed, unknown = self.parse_known_args(arguments, namespace)
        if unknown:
            parser = self.called or self
            if not unknown[0].startswith("-"):
                parser.error(f"it takes no argument {unknown[0]!r}{_meant(parser, arguments, unknown[0])}")
            parser.no_option(unknown[0])
        return parsed


def _meant(parser: Parser, arguments: Sequence[str], unknown: str) -> str:
    """Return what a word that is no argument may have meant: a path, or its end after a space."""
    before = arguments[arguments.index(unknown) - 1]
    if os.path.exists(path := f"{before} {unknown}"):  # noqa: PTH110 - a Path raises for a long text
        return f"; a path with spaces needs quotes: {shlex.quote(path)}"
    if "--data" in parser._option_string_actions and os.path.exists(unknown):  # noqa: PTH110
        return f"; did you mean --data {shlex.quote(unknown)}?"
    return ""


def make_parser(arguments: Sequence[str]) -> _Program:
    """Return the parser of a command line, with the options of the command that it calls."""
    parser = _Program(
        prog=PROGRAM,
        description="Measure which prompts and class names work best for your CLIP on labelled images.\n\n"
        "To start, measure what people use today on a bundled set; then try to beat it:\n"
        f"  {program()} evaluate --data backgrounds\n"
        f"  {program()} search --data backgrounds \\\n"
        "      --describe 'things before a coloured background'\n"
        "On your own images, in folders DIR/CLASS/*.jpg:\n"
        f"  {program()} evaluate --data DIR \\\n"
        f"      --model {REAL_MODEL} --pretrained {REAL_WEIGHTS}",
        epilog=f"{PROGRAM} COMMAND --help shows the options of a command.",
    )
    parser.add_argument(
        "--version",
        action=_Version,
        nargs=0,
        help="show the versions of the program and of what it runs on, the devices and the cache folder",
    )
    first = next(iter(arguments), "").partition("=")[0]
    if first.startswith("-") and first not in parser._option_string_actions:
        parser.no_option(first)
    wanted = next((argument for argument in arguments if not argument.startswith("-")), None)
    if wanted is not None and wanted not in COMMANDS:
        near = similar(wanted, (*COMMANDS, "--help", "--version"))
        hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(COMMANDS)}"
        parser.error(f"there is no command {wanted!r}; {hint}")
    commands = _add_commands(parser, () if wanted is None else (wanted,))
    parser.called = commands.choices.get(wanted or "")
    return parser


def _add_commands(parser: _Program, loaded: Collection[str]) -> Commands:
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    for name, line in COMMANDS.items():
        command = commands.add_parser(name, help=line)
        if name in loaded:
            home = IN_MODULE_OF.get(name)
            module = importlib.import_module(f".{home or name}", __package__)
            getattr(module, f"add_{name}_options" if home else "add_options")(command)
            command.set_defaults(run=getattr(module, name))
        if command.usage is None:
            shown = {"?": "[{0}]", "+": "{0} [{0} ...]"}
            arguments = (
                shown.get(str(action.nargs), "{0}").format(action.metavar)
                for action in command._get_positional_actions()
            )
            command.usage = " ".join(("%(prog)s", *arguments, "[OPTION ...]"))
        command.description = f"{line[0].upper()}{line[1:]}.\n\n{command.description or ''}".rstrip()
    return commands


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_given: Any) -> None:
        from ...evaluator.files import cache_dir

        try:
            from ...evaluator.clip.models import devices

            names = ", ".join(devices())
        except (ImportError, OSError) as error:
            names = f"torch cannot be loaded ({reason_of(error)})"
        packages = (f"{name} {installed_version(name) or 'missing'}" for name in _PACKAGES)
        versions = ", ".join((f"Python {platform.python_version()}", *packages))
        print_text(f"{PROGRAM} {program_version()}\n{versions}\ndevices: {names}\ncache: {cache_dir()}\n")
        parser.exit()
