"""Build settings from a TOML file, the environment and the command line; the later source wins.

Errors name the setting as its source does, the value, and what would be right; ``on_command_line`` spells
settings in a message as options.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias, get_args

import tomli_w
from pydantic import ValidationError

from ...evaluator.errors import ConfigError, DataError
from ...evaluator.files import MOST_SETTINGS_BYTES, parse_toml, read_text, user_path
from ...evaluator.settings import Option, explained
from ..limits import LIMIT_BY_KEY
from .fields import absolute_llm, text_or_file
from .schema import OPTIONS, ScoringConfig, SearchConfig

PREFIX = "PROMPTCLIMB_"
COMMAND_LINE = "the command line"
ARGUMENT = "NAME|DIR|FILE"
"""The source of data that a command takes as an argument without an option."""
SettingsLayer: TypeAlias = tuple[str, Mapping[str, Any]]
"""A source of settings by its name, such as a file or a variable, and what it sets."""
FILE_SETTINGS = tuple(name for name, option in OPTIONS.items() if not option.technical)
"""The settings that a file can hold."""
_OF_SCORING = {*ScoringConfig.model_fields, "search_for"}
_OF_A_STUDY = "methods"
"""A setting of every study file and of no settings file."""
OTHER_OPTIONS = frozenset(
    (
        "all_labels",
        "config",
        "dry_run",
        "format",
        "grep",
        "init",
        "matrix",
        "only",
        "out",
        "predictions",
        "save",
        "suite_dir",
        "templates",
        "top",
        "trust",
        "version",
    )
)
"""Options of commands that are no settings of a search; messages name them in the same way."""
_NAMED = re.compile(r"`(?P<name>[a-z][a-z_]*)(?: = (?P<value>[^`]*))?`")
NOT_SETTINGS = frozenset({"PROMPTCLIMB_CACHE"})
"""Prefixed variables that other modules read."""


def flag_of(name: str) -> str:
    """Return the flag of a setting; empty if it has none."""
    return OPTIONS[name].flag


def flags_of_more(keys: Sequence[str]) -> str:
    """Return the options that raise limits, to append to a command; a result may hold unknown keys."""
    return "".join(f" {flag_of(LIMIT_BY_KEY[key].setting)} N" for key in keys if key in LIMIT_BY_KEY)


def from_environment(environment: Mapping[str, str]) -> tuple[list[SettingsLayer], list[str]]:
    """Return a layer for each variable that is a setting, and the unknown names under our prefix.

    ``OPENAI_BASE_URL`` is ``base_url`` unless ``PROMPTCLIMB_BASE_URL`` is set.
    """
    layers: list[SettingsLayer] = []
    unknown: list[str] = []
    if environment.get("OPENAI_BASE_URL"):
        layers.append(("OPENAI_BASE_URL", {"base_url": environment["OPENAI_BASE_URL"]}))
    for variable, value in environment.items():
        if not variable.startswith(PREFIX) or variable in NOT_SETTINGS:
            continue
        name = variable[len(PREFIX) :].lower()
        if name in FILE_SETTINGS:
            layers.append((variable, {name: value}))
        else:
            unknown.append(variable)
    return layers, sorted(unknown)


def read_toml(file: Path | str, what: str = "config file", name: str = "`config`") -> dict[str, Any]:
    """Read settings from a file; messages call it ``what``, given by ``name``."""
    path = user_path(file, name)
    if name == "`config`" and not path.exists():
        raise ConfigError(
            f"the {what} {path} does not exist; `promptclimb config` with `init = {shlex.quote(str(file))}` "
            "writes one to start from"
        )
    try:
        text = read_text(path, what=what, most=MOST_SETTINGS_BYTES)
        return parse_toml(text, where=f"the {what} {path}")
    except DataError as error:
        raise ConfigError(error) from error


def layers_of(
    flags: Mapping[str, Any], environment: Mapping[str, str], toml_path: Path | str | None = None
) -> list[SettingsLayer]:
    """Return what file, environment and flags set; the last one wins.

    ``flags`` hold only the values that were given.

    Raises:
        ConfigError: The file cannot be read.
    """
    of_file = [] if toml_path is None else [(str(toml_path), settings_in(toml_path))]
    layers = [*of_file, *from_environment(environment)[0], (COMMAND_LINE, flags)]
    return [(source, with_files(layer)) for source, layer in layers]


def settings_in(file: Path | str) -> dict[str, Any]:
    """Return the settings in a file."""
    settings = {name.replace("-", "_"): value for name, value in read_toml(file).items()}
    if _OF_A_STUDY in settings:
        raise ConfigError(f"{file} is the file of a study: `suite {file}` runs it; a search reads settings")
    return settings


def with_files(layer: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings given as text, with a path if ``describe`` names a file."""
    return {name: text_or_file(value) if name == "describe" else value for name, value in layer.items()}


def values_of(layers: Iterable[SettingsLayer]) -> dict[str, Any]:
    """Return the value of each setting: that of the last layer which has it."""
    return {name: value for _source, layer in layers for name, value in layer.items()}


def sources_of(layers: Iterable[SettingsLayer]) -> dict[str, str]:
    """Return where the value of each setting comes from."""
    return {name: source for source, layer in layers for name in layer}


def check_layers(layers: Iterable[SettingsLayer]) -> None:
    """Raise ConfigError for a value that nothing takes, also where another value wins or nothing uses it."""
    for source, layer in layers:
        try:
            SearchConfig(**layer)
        except ConfigError as error:
            problems = error.__cause__
            if not isinstance(problems, ValidationError):
                raise
            # Without a field, values do not fit each other, which all layers together decide.
            if any(problem["loc"] for problem in problems.errors()):
                origin = "" if source == COMMAND_LINE else source
                raise explained(problems, layer, FILE_SETTINGS, origin) from None


def from_sources(
    layers: Sequence[SettingsLayer], *, report: Callable[[str], None] | None = None
) -> SearchConfig:
    """Build a search's config with absolute paths, as ``from_layers`` does.

    ``report`` gets a line on the data set if only a description was given.
    """
    config = absolute(from_layers(layers))
    if report is not None and config.describe and "data" not in sources_of(layers):
        report(f"no `data` is given: searching on the bundled set {config.data}")
    return config


def spec_from_sources(layers: Sequence[SettingsLayer]) -> SearchConfig:
    """Build the settings of what scores, and of which prompts; those of a search alone are just checked."""
    check_layers(layers)
    values = values_of(layers)
    return absolute(SearchConfig(**{name: values[name] for name in _OF_SCORING & values.keys()}))


def from_layers(layers: Sequence[SettingsLayer]) -> SearchConfig:
    """Build a search's config from layers; the last one wins.

    Raises:
        ConfigError: A value is wrong, a name is unknown, or an LLM is missing.
    """
    check_layers(layers)
    config = SearchConfig(**values_of(layers))
    if config.missing_llm is not None:
        raise ConfigError(config.missing_llm)
    return config


def toml_line(name: str, value: Any) -> str:
    """Return a setting's line in a file."""
    return tomli_w.dumps({name: value}).strip()


def line_in_file(option: Option) -> str:
    """Return a setting's line in a file, with its default or what it takes."""
    if option.default is not None:
        return toml_line(option.name, option.default)
    text = option.show.strip("[]")
    is_number = {int, float} & {*get_args(SearchConfig.model_fields[option.name].annotation)}
    return f"{option.name} = {text}" if is_number else toml_line(option.name, text)


def to_toml(config: SearchConfig) -> str:
    """Return the config as TOML, without secrets; ``read_toml`` and ``from_layers`` read it back."""
    return tomli_w.dumps(config.to_public())


def absolute(config: SearchConfig, *, names_only: bool = False) -> SearchConfig:
    """Return a config with absolute paths, so that its run can be resumed from another folder.

    ``names_only`` means that ``data`` and ``model`` are names and not folders, as with a custom scorer.
    """
    names_only = names_only or config.custom_scorer is not None
    changes: dict[str, Path | str] = {}
    for name, value in config:
        if isinstance(value, Path):
            changes[name] = user_path(value, f"`{name}`")
        elif isinstance(value, str) and name in _HOLD_PATHS:
            changes[name] = _HOLD_PATHS[name](value)
        elif isinstance(value, str) and OPTIONS[name].reads and not names_only:
            changes[name] = _existing(name, value)
        elif name == "model" and not names_only and value.startswith(_MODEL_FOLDER):
            folder = user_path(value.removeprefix(_MODEL_FOLDER), "`model`")
            changes[name] = f"{_MODEL_FOLDER}{folder}"
    # A setting that is not changed here stays unset, if it was unset.
    return config.model_copy(
        update={name: value for name, value in changes.items() if value != getattr(config, name)}
    )


def _absolute_scorer(text: str) -> str:
    source, colon, factory = text.rpartition(":")
    return f"{user_path(source, '`custom_scorer`')}{colon}{factory}" if source.endswith(".py") else text


_MODEL_FOLDER = "local-dir:"
_HOLD_PATHS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {"llm": absolute_llm, "custom_scorer": _absolute_scorer}
)


def _existing(name: str, text: str) -> str:
    """Return the absolute path if it exists; else the text as it is."""
    from ...evaluator.datasets.loading import known

    if name == "data" and any(data_set.name == text for data_set in known()):
        return text
    try:
        path = user_path(text, f"`{name}`")
        return str(path) if (path.is_file() if OPTIONS[name].reads == "file" else path.exists()) else text
    except (ConfigError, OSError):  # not a path, or one too long: a name, or nothing that exists
        return text


def typed(name: str, value: str) -> str:
    """Return an option of a command with its value, as it is typed."""
    return f"--{name.replace('_', '-')} {value}"


def on_command_line(text: str) -> str:
    """Return a text with each setting that it names between backticks as the option of the command line."""
    return _NAMED.sub(_option, text)


def as_in_a_file(text: str, of_file: Callable[[str], bool]) -> str:
    """Return a text with some of the settings that it names as their lines in a file."""

    def line(named: re.Match[str]) -> str:
        option = OPTIONS.get(named["name"])
        is_in_file = option is not None and (option.file_only or of_file(option.name))
        return named[0].strip("`") if is_in_file else named[0]

    return _NAMED.sub(line, text)


def by_source(text: str, layers: Iterable[SettingsLayer]) -> str:
    """Return a text with each setting that a file or variable sets as it is called there, and its source.

    A setting with another value than it has there is a suggestion, and stays as it is.
    """
    layers = list(layers)
    values, sources = values_of(layers), sources_of(layers)

    def in_source(named: re.Match[str]) -> str:
        name, value = named["name"], named["value"]
        source = sources.get(name, COMMAND_LINE)
        if source == ARGUMENT:
            return ARGUMENT if value is None else value.strip('"')
        if source == COMMAND_LINE or (value is not None and not _is_same(name, value, values[name])):
            return named[0]
        return f"{named[0].strip('`')} (from {source})"

    return _NAMED.sub(in_source, text)


def _is_same(name: str, value: str, in_source: Any) -> bool:
    """Return whether a value in a message is the one in a source; a message has absolute paths."""
    if isinstance(OPTIONS[name].default, bool):
        return True  # only what is on is named with a value
    return value.strip('"') in (str(in_source), str(Path(str(in_source)).absolute()))


def _option(named: re.Match[str]) -> str:
    """Return ``--price IN/OUT``; a setting without an option as its line in a file, and where that goes."""
    name, value = named["name"], named["value"]
    option = OPTIONS.get(name)
    if option is None and name not in OTHER_OPTIONS:
        return named[0]
    if option is not None and not option.flag:
        return named[0].strip("`") + (" in a --config file" if option.file_only else "")
    flag = f"--{name.replace('_', '-')}"
    if value is None or value.lower() == "true":
        return flag
    if value.lower() == "false":
        return f"--no-{flag.removeprefix('--')}"
    return typed(name, value.strip('"'))
