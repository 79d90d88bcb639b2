"""The options of a search, made from the fields of ``SearchConfig``: nothing is said twice."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from typing import Any

from pydantic.fields import FieldInfo

from ...evaluator.settings import about, near
from ...evaluator.spec import EvaluatorSpec
from ..config.schema import SearchConfig
from ..config.sources import PREFIX, flag_of, from_environment, spec_from_sources
from .output import say

HEADINGS = {
    "task": "what is scored",
    "llm": "who proposes",
    "search": "how it restarts",
    "pace": "how fast",
    "limits": "how far",
    "run": "where to",
}
"""What each group of settings is about, in the order of ``--help``."""


def add_search_options(
    parser: argparse.ArgumentParser,
    *,
    groups: Iterable[str] = tuple(HEADINGS),
    leave_out: Iterable[str] = (),
) -> None:
    """Add an option for each field of the config; absent ones leave no trace in the parsed arguments.

    Values stay text: the config checks them, so that a flag, a variable and a file are judged alike.
    """
    skipped = set(leave_out)
    headings = {group: parser.add_argument_group(HEADINGS[group]) for group in groups}
    for name, field in SearchConfig.model_fields.items():
        group = about(field)["group"]
        if flag_of(name) and group in headings and name not in skipped:
            _add(headings[group], name, field)


def given_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that the command line gave, by field name."""
    return {name: value for name, value in vars(arguments).items() if name in SearchConfig.model_fields}


def say_unknown_variables() -> None:
    """Say which variables under our prefix mean nothing, with the names that may be meant."""
    known = [PREFIX + name.upper() for name in SearchConfig.model_fields if flag_of(name)]
    for name in from_environment(os.environ)[1]:
        say(f"note: the variable {name} is no setting of this program and is not used{near(name, known)}")


def given_spec(arguments: argparse.Namespace, **more: Any) -> EvaluatorSpec:
    """Build the specification of an evaluator from the command line and the environment.

    Say which variables mean nothing.

    Args:
        arguments: What was parsed.
        more: Settings that were given in another way than by their option.

    Raises:
        ConfigError: A setting is wrong.
    """
    say_unknown_variables()
    return spec_from_sources({**given_settings(arguments), **more}, os.environ)


def add_config_file(parser: argparse.ArgumentParser) -> None:
    """Add ``--config``."""
    parser.add_argument(
        "--config",
        dest="config_file",
        metavar="FILE.toml",
        help="settings by name; flags override them",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument(
        "--json",
        action="store_true",
        dest="as_json",
        help="the result on standard output, all else on standard error",
    )


def add_live(parser: argparse.ArgumentParser) -> None:
    """Add ``--live``."""
    parser.add_argument(
        "--live",
        nargs="?",
        const=0,
        type=port_number,
        metavar="PORT",
        help="a page that grows with the search, on this machine alone (default: a port that is free)",
    )


def port_number(text: str) -> int:
    """Return the port that an option gives; for argparse.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    if not text.isdecimal() or len(text) > 5 or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: a number up to 65535, 0 for any that is free")
    return int(text)


def positive_number(text: str) -> int:
    """Return the number that an option gives; for argparse.

    Raises:
        argparse.ArgumentTypeError: It is no whole number above 0.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _add(group: Any, name: str, field: FieldInfo) -> None:
    text = (field.description or "").replace("%", "%%")
    common: dict[str, Any] = {"dest": name, "default": argparse.SUPPRESS}
    if field.annotation is bool:
        group.add_argument(flag_of(name), action="store_true", help=text, **common)
        return
    show = about(field)["show"]
    if show.startswith("["):  # argparse adds the brackets of what may be left out
        show = show.removeprefix("[").removesuffix("]")
        common |= {"nargs": "?", "const": "auto"}
    shown = "" if field.default is None or field.is_required() else f" (default: {field.default})"
    group.add_argument(flag_of(name), metavar=show or "VALUE", help=text + shown, **common)
