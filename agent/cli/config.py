"""``config``: a file of settings to begin with, or what is set and where each value comes from."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import tomli_w
from pydantic.fields import FieldInfo

from ...evaluator.errors import ConfigError
from ...evaluator.settings import about
from ...evaluator.user_paths import user_path
from ..config.schema import SearchConfig
from ..config.sources import flag_of, from_sources, places_of
from .options import HEADINGS, add_config_file, add_json, add_search_options, given_settings
from .options import say_unknown_variables as say_unknown
from .output import print_json, print_text, program, say, say_refused, short_path

if TYPE_CHECKING:
    from .parser import Commands

POOL = """
# Several endpoints as one pool, each with limits of its own; only in a file.
# [[endpoints]]
# base_url = "https://api.openai.com/v1"
# key_env = "OPENAI_API_KEY"        # the name of the variable, never the key
# rpm = 500
"""


def config(arguments: argparse.Namespace) -> int:
    """Write a file of settings, or show what is set."""
    say_unknown()
    if arguments.init is not None:
        return _init(arguments)
    found, lacking = _built(arguments)
    values = found.to_public()
    if lacking is not None:
        values.pop("llm", None)
    origins = places_of(given_settings(arguments), os.environ, arguments.config_file)
    if arguments.as_json:
        told = {name: (values.get(name), origins.get(name, "default")) for name in _shown()}
        print_json({name: {"value": value, "from": place} for name, (value, place) in told.items()})
    else:
        print_text("".join(_lines(values, origins)))
    if lacking is not None:
        say_refused(lacking)
    return 0


def _built(arguments: argparse.Namespace) -> tuple[SearchConfig, str | None]:
    """Return the config, and why a search would refuse it where nothing but an LLM is wanting.

    Raises:
        ConfigError: A setting is wrong.
    """
    flags, file = given_settings(arguments), arguments.config_file
    try:
        return from_sources(flags, os.environ, file), None
    except ConfigError as error:
        if "llm" in places_of(flags, os.environ, file):
            raise
        return from_sources({**flags, "llm": "none"}, os.environ, file), str(error)


def _shown() -> Iterator[str]:
    """Yield the names of the settings that a user can give, heading by heading."""
    fields = SearchConfig.model_fields
    for group in HEADINGS:
        yield from (name for name in fields if flag_of(name) and about(fields[name])["group"] == group)
    yield "endpoints"


def _lines(values: Mapping[str, Any], origins: Mapping[str, str]) -> Iterator[str]:
    rows = [(name, _toml(name, values[name]) if name in values else f"# {name} =") for name in _shown()]
    width = min(max(len(text) for _name, text in rows), 40)
    heading = ""
    for name, text in rows[:-1]:
        group = about(SearchConfig.model_fields[name])["group"]
        if group != heading:
            yield f"{chr(10) if heading else ''}# {HEADINGS[group]}\n"
            heading = group
        yield f"{text:{width}}  # {origins.get(name, 'default' if name in values else 'not set')}\n"
    if pool := values.get("endpoints"):
        yield f"\n# from {origins['endpoints']}\n{tomli_w.dumps({'endpoints': pool})}"


def _toml(name: str, value: Any) -> str:
    return tomli_w.dumps({name: value}).strip()


def _init(arguments: argparse.Namespace) -> int:
    """Write every setting with its help: those that were given as settings, the rest as comments.

    Raises:
        ConfigError: The file is there, or cannot be written; or a setting is wrong.
    """
    path = user_path(arguments.init, "--init")
    given = given_settings(arguments)
    values = _built(arguments)[0].to_public()
    text = "".join(_template({name: values[name] for name in given if name in values}))
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(
            f"--init {path}: it is there already, and is not written over; name another"
        ) from None
    except OSError as error:
        raise ConfigError(f"--init {path}: it cannot be written ({error.strerror or error})") from error
    command = f"{program()} search --config {shlex.quote(short_path(path))}"
    say(f"{short_path(path)} is written; uncomment what you want, then: {command}")
    return 0


def _template(given: Mapping[str, Any]) -> Iterator[str]:
    yield "# Settings of promptclimb, for `search --config FILE`; the environment and flags win over them.\n"
    yield "# What begins with # is off; what is shown there is the default, or what could be written.\n"
    heading = ""
    for name in _shown():
        field = SearchConfig.model_fields[name]
        if name == "endpoints":
            continue
        if (group := about(field)["group"]) != heading:
            heading = group
            yield f"\n# ---- {HEADINGS[group]} ----\n"
        yield f"\n# {field.description}\n"
        yield f"{_toml(name, given[name])}\n" if name in given else f"# {_example(name, field)}\n"
    yield POOL


def _example(name: str, field: FieldInfo) -> str:
    """Return how a setting is written, with its default if it has one."""
    if field.default is not None:
        return _toml(name, field.default)
    show = about(field)["show"].strip("[]") or "VALUE"
    numbers = {"int", "float"} & set(str(field.annotation).split(" | "))
    return f"{name} = {show}" if numbers else _toml(name, show)


def add_parser(commands: Commands, line: str) -> None:
    """Add ``config``."""
    parser = commands.add_parser(
        "config", help=line, usage="%(prog)s (--init FILE.toml | --show) [OPTION ...]"
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--init", metavar="FILE.toml", help="write a file with every setting, its help and its default"
    )
    what.add_argument(
        "--show",
        action="store_true",
        help="say what is set, and where each value comes from",
    )
    add_search_options(parser)
    add_config_file(parser)
    add_json(parser)
    parser.set_defaults(run=config)
