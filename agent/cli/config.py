"""Write a settings file to start from, or show each value and where it comes from."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from ...evaluator.errors import ConfigError
from ...evaluator.files import user_path
from ...evaluator.settings import Option
from ..config.schema import OPTIONS, SearchConfig
from ..config.sources import (
    COMMAND_LINE,
    FILE_SETTINGS,
    SettingsLayer,
    as_in_a_file,
    flag_of,
    from_sources,
    line_in_file,
    sources_of,
    toml_line,
)
from ..text import one_line
from .options import GROUPS, add_json, add_search_options, given_layers, given_settings
from .output import print_json, print_text, program, say, say_refused, short_path
from .parser import Parser

EXAMPLES = """\
examples:
  promptclimb config --init settings.toml --data path/to/images --llm gpt-4o-mini
  promptclimb config --show --config settings.toml

A setting is taken from its option, else from the variable PROMPTCLIMB_NAME, else from the --config file.
A wrong value is refused, also by a command that does not use the setting. A run that is resumed or used for
predictions has settings of its own: options and --config change them, variables do not.
"""


def config(arguments: argparse.Namespace) -> int:
    """Write a settings file, or show the values."""
    if arguments.init is None and not arguments.show:
        raise ConfigError("Give --init FILE.toml to write a file of settings, or --show to see them.")
    layers = given_layers(arguments)
    if arguments.init is not None:
        return _init(arguments, layers)
    settings, lacking = _built(layers)
    values = settings.to_public()
    if lacking is not None:
        values.pop("llm", None)
    origins = {
        name: flag_of(name) if source == COMMAND_LINE else source
        for name, source in sources_of(layers).items()
    }
    if arguments.as_json:
        print_json(
            {
                option.name: {"value": values.get(option.name), "from": origins.get(option.name, "default")}
                for option in _shown()
            }
        )
    else:
        print_text("".join(_lines(values, origins)))
    if lacking is not None:
        say_refused(lacking)
    return 0


def _built(layers: Sequence[SettingsLayer]) -> tuple[SearchConfig, ConfigError | None]:
    """Return the config, and why a search would refuse it if only an LLM is missing."""
    try:
        return from_sources(layers, report=lambda line: say(f"note: {line}")), None
    except ConfigError as error:
        if "llm" in sources_of(layers):
            raise
        return from_sources([*layers, (COMMAND_LINE, {"llm": "none"})]), error


def _shown() -> list[Option]:
    """Return the settings that a user can give, by group."""
    return sorted((OPTIONS[name] for name in FILE_SETTINGS), key=lambda option: GROUPS.index(option.group))


def _lines(values: Mapping[str, Any], origins: Mapping[str, str]) -> Iterator[str]:
    rows = [
        (
            option,
            toml_line(option.name, values[option.name]) if option.name in values else f"# {option.name} =",
        )
        for option in _shown()
    ]
    width = min(max(len(line) for _option, line in rows), 40)
    for number, (group, settings) in enumerate(groupby(rows, key=lambda row: row[0].group)):
        yield f"{chr(10) if number else ''}# {group}\n"
        for option, line in settings:
            origin = origins.get(option.name, "default" if option.name in values else "not set")
            yield f"{line:{width}}  # {one_line(origin)}\n"


def _init(arguments: argparse.Namespace, layers: Sequence[SettingsLayer]) -> int:
    path = user_path(arguments.init, "--init")
    config = _built(layers)[0]
    values, written = config.to_public(), {*given_settings(arguments)}
    # Which method is the default depends on the LLM.
    written |= {"method"} if config.llm else set()
    text = "".join(_template({name: value for name, value in values.items() if name in written}))
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"--init {path}: it exists and is not overwritten; name another file") from None
    except OSError as error:
        raise ConfigError(f"--init {path}: it cannot be written ({error.strerror or error})") from error
    command = f"{program()} search --config {shlex.quote(short_path(path))}"
    say(f"{short_path(path)} is written. Uncomment what you want, then: {command}")
    return 0


def _template(values: Mapping[str, Any]) -> Iterator[str]:
    yield "# Settings of promptclimb, for `search --config FILE`; the environment and flags win over them.\n"
    yield "# A line that begins with # is off; it shows the default, or what could be written.\n"
    for group, settings in groupby(_shown(), key=lambda option: option.group):
        yield f"\n# ---- {group} ----\n"
        for option in settings:
            name = option.name
            line = toml_line(name, values[name]) if name in values else f"# {line_in_file(option)}"
            yield f"\n# {as_in_a_file(option.help, lambda _name: True)}\n{line}\n"


def add_options(parser: Parser) -> None:
    """Add the options of ``config``."""
    parser.usage = "%(prog)s (--init FILE.toml | --show) [OPTION ...]"
    parser.description = EXAMPLES
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--init", metavar="FILE.toml", help="write a file with every setting, its help and its default"
    )
    what.add_argument(
        "--show",
        action="store_true",
        help="show each value, and where it comes from",
    )
    add_search_options(parser, first=())
    add_json(parser)
