"""Make a command's options from the declarations of the settings."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, get_args

from ...evaluator.settings import Group, Option, Settings, near, options_of
from ..config.schema import OPTIONS, SearchConfig
from ..config.sources import (
    FILE_SETTINGS,
    PREFIX,
    SettingsLayer,
    check_layers,
    from_environment,
    layers_of,
    on_command_line,
    spec_from_sources,
    values_of,
)
from .output import say
from .parser import Parser

GROUPS: tuple[Group, ...] = get_args(Group)
"""The headings of settings, in the order of ``--help-all``."""
HIDDEN_ALIASES: Mapping[str, str] = {
    "custom_scorer": "--evaluator",
    "search_for": "--prompts",
    "augmentations": "--views",
}
"""Second options of settings, which the help does not show."""
MOVED = "Files of the run that have moved, with the same content"
"""The heading of what a resumed run takes only from another place."""


def add_search_options(
    parser: Parser,
    *,
    of: type[Settings] = SearchConfig,
    groups: Iterable[Group] = GROUPS,
    leave_out: Iterable[str] = (),
    first: Iterable[str] | None = None,
    defaults: bool = True,
    resumes: bool = False,
) -> None:
    """Add an option for each setting, ``--config`` and ``--help-all``; what is not given sets nothing.

    Values stay text: the config checks them, so that flags, variables and files are judged alike.

    Args:
        parser: The command's parser.
        of: The settings of which options are made.
        groups: The headings whose settings are added.
        leave_out: Settings that this command does not take; ``config_file`` for ``--config``.
        first: The settings on the short help, in order; None for those declared so.
        defaults: Whether the help shows defaults.
        resumes: Whether a run resumes with them: it keeps its own values, and the help leaves out those that
            it cannot change.
    """
    skipped, wanted = set(leave_out), tuple(groups)
    added = [
        option
        for group in wanted
        for option in options_of(of).values()
        if option.group == group and option.flag and option.name not in skipped
    ]
    if first is None:
        ranked = sorted((option for option in added if option.first), key=lambda option: option.first)
        first = [option.name for option in ranked]
    if resumes:
        added = [_of_a_run(option) for option in sorted(added, key=_is_fixed)]
    actions = {
        option.name: _add(
            parser.group(MOVED if resumes and _is_fixed(option) else str(option.group)),
            option,
            defaults and not resumes,
        )
        for option in added
    }
    shown = {name: action for name, action in actions.items() if action.help != argparse.SUPPRESS}
    parser.shorten([shown.pop(name) for name in first if name in shown], hidden=shown.values())
    if "config_file" not in skipped:
        parser.add_to(
            "Output",
            "--config",
            dest="config_file",
            hide=of is SearchConfig,
            metavar="FILE.toml",
            help="a file with settings by name; options win over it",
        )


def _is_fixed(option: Option) -> bool:
    return option.resumable == "no"


def _of_a_run(option: Option) -> Option:
    """Return an option as a resumed run shows it: without a default, and not at all if it cannot change."""
    is_refused = _is_fixed(option) and not option.reads
    return replace(option, help=argparse.SUPPRESS if is_refused else option.help.partition(" (default:")[0])


def _add(group: argparse._ArgumentGroup, option: Option, defaults: bool) -> argparse.Action:
    text = on_command_line(option.help).replace("%", "%%")
    if defaults and option.group == "Limits" and option.default is None and option.show in ("N", "DOLLARS"):
        text += " (default: no limit)"
    common: dict[str, Any] = {"dest": option.name, "default": argparse.SUPPRESS}
    if option.default is True:
        text += " (default: on)" if defaults else ""
        return group.add_argument(option.flag, action=argparse.BooleanOptionalAction, help=text, **common)
    if isinstance(option.default, bool):
        return group.add_argument(option.flag, action="store_true", help=text, **common)
    common["metavar"] = option.show
    if option.show == "[ADDRESS]":  # argparse adds these brackets itself
        common |= {"metavar": "ADDRESS", "nargs": "?", "const": "auto"}
    if (alias := HIDDEN_ALIASES.get(option.name)) is not None:
        group.add_argument(alias, help=argparse.SUPPRESS, **common)
    if defaults and option.default is not None and "(default: " not in text:
        text += f" (default: {option.default})"
    return group.add_argument(option.flag, help=text, **common)


def given_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the settings given on the command line, by name."""
    return {name: value for name, value in vars(arguments).items() if name in OPTIONS}


def given_layers(
    arguments: argparse.Namespace, environment: Mapping[str, str] = os.environ
) -> list[SettingsLayer]:
    """Return what the sources of a command set, unchecked; an error names a setting as its source does."""
    _known, unknown = from_environment(os.environ)
    for name in unknown:
        # Without the prefix: any two variables are similar with it.
        hint = near(name.removeprefix(PREFIX).lower(), FILE_SETTINGS, lambda name: PREFIX + name.upper())
        say(f"note: the variable {name} is not a setting of this program and is ignored{hint}")
    layers = layers_of(given_settings(arguments), environment, getattr(arguments, "config_file", None))
    arguments.layers = layers
    return layers


def bad_image_variable() -> dict[str, str]:
    """Return the variable that messages on bad images name, with its value; empty if it is not set."""
    name = f"{PREFIX}ON_BAD_IMAGE"
    return {name: os.environ[name]} if name in os.environ else {}


def changed_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that replace those of a run: from ``--config``, overridden by options.

    Variables do not, and are checked all the same; messages name the one on bad images for any command.
    """
    layers = given_layers(arguments, environment=bad_image_variable())
    check_layers([*layers_of({}, os.environ), *layers])
    return values_of(layers)


def given_spec(arguments: argparse.Namespace, *more: SettingsLayer) -> SearchConfig:
    """Return the settings of what scores from file, environment and command line; ``more`` win over them."""
    arguments.layers = [*given_layers(arguments), *more]
    return spec_from_sources(arguments.layers)


def add_json(parser: Parser) -> None:
    """Add ``--json``."""
    parser.add_to(
        "Output",
        "--json",
        action="store_true",
        dest="as_json",
        help="the result as JSON on standard output, all else on standard error",
    )


def positive_number(text: str) -> int:
    """Return a whole number above 0, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
