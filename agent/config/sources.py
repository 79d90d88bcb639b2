"""Where a config comes from: a TOML file, then the environment, then flags; the later one wins.

Whatever is wrong is said with the place that it came from, the value, and what would be right.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tomli_w
from pydantic import ValidationError

from ...evaluator import settings
from ...evaluator.errors import ConfigError
from ...evaluator.settings import MOST_PROBLEMS, near, plain, shown, with_settings
from ...evaluator.spec import EvaluatorSpec
from ...evaluator.user_paths import user_path
from .description import text_or_file
from .fields import percentage_meant
from .local_llm import absolute_llm
from .schema import SearchConfig

Config = TypeVar("Config", bound=EvaluatorSpec)
"""A search's config, or the specification of an evaluator where nothing is searched."""

PREFIX = "PROMPTCLIMB_"
ENVIRONMENT, COMMAND_LINE = "the environment", "the command line"
"""Places of settings; a flag is called by its name, any other setting by its place too."""
OF_A_POOL = frozenset({"price", "rpm", "tpm", "reasoning_effort", "service_tier"})
"""Settings that hold for the endpoints of a pool which have none of their own."""
_OF_A_STUDY = "methods"
"""What every study file has, and no file of settings."""
NOT_SETTINGS = frozenset({"PROMPTCLIMB_CACHE"})
"""Names under the prefix that other rooms read."""


def flag_of(name: str) -> str:
    """Return the command line's name of a field; empty where it has none."""
    return settings.flag_of(name, SearchConfig.model_fields[name])


def from_environment(environment: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the settings found in the environment, and the names under our prefix that mean nothing.

    ``PROMPTCLIMB_SHOTS`` is ``shots``, and so on; ``OPENAI_BASE_URL`` is ``base_url`` unless
    ``PROMPTCLIMB_BASE_URL`` is set.
    """
    found: dict[str, str] = {}
    unknown: list[str] = []
    if environment.get("OPENAI_BASE_URL"):
        found["base_url"] = environment["OPENAI_BASE_URL"]
    for name, value in environment.items():
        if not name.startswith(PREFIX) or name in NOT_SETTINGS:
            continue
        field = name[len(PREFIX) :].lower()
        if field in SearchConfig.model_fields and flag_of(field):
            found[field] = value
        else:
            unknown.append(name)
    return found, sorted(unknown)


def read_toml(file: Path | str, what: str = "the config file", option: str = "--config") -> dict[str, Any]:
    """Return the settings in a file.

    Args:
        file: Its path.
        what: How a message calls it.
        option: What it was given by.

    Raises:
        ConfigError: It is no path, cannot be read or is not TOML.
    """
    path = user_path(file, option)
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))  # editors on Windows put a mark in front
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{what} {path} cannot be read: {_why(error)}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{what} {path} is not TOML: {error}") from error
    except ValueError as error:
        raise ConfigError(f"{what} {path}: a number in it is too long") from error
    except RecursionError as error:
        raise ConfigError(f"{what} {path}: lists or tables in it lie too deep in one another") from error


def from_sources(
    flags: Mapping[str, Any], environment: Mapping[str, str], toml_path: Path | str | None = None
) -> SearchConfig:
    """Build a search's config: file, overridden by environment, overridden by flags.

    Args:
        flags: Values by field name; only those that were given.
        environment: Such as ``os.environ``.
        toml_path: A file with settings by field name.

    Raises:
        ConfigError: A value is wrong, a name is unknown, or a file cannot be read.
    """
    layers = _layers(flags, environment, toml_path)
    config = absolute(build([(place, with_files(layer)) for place, layer in layers]))
    _check_until(config, layers)
    return config


def _layers(
    flags: Mapping[str, Any], environment: Mapping[str, str], toml_path: Path | str | None
) -> list[tuple[str, Mapping[str, Any]]]:
    """Return what each place sets, with the place's name; the last one wins."""
    file = [] if toml_path is None else [(str(toml_path), _settings_in(toml_path))]
    return [*file, (ENVIRONMENT, from_environment(environment)[0]), (COMMAND_LINE, flags)]


def _settings_in(file: Path | str) -> dict[str, Any]:
    """Return what a file of settings says.

    Raises:
        ConfigError: It cannot be read, or is a study.
    """
    found = read_toml(file)
    if _OF_A_STUDY in found:
        raise ConfigError(f"{file} is the file of a study: `suite {file}` runs it; a search reads settings")
    return found


def places_of(
    flags: Mapping[str, Any], environment: Mapping[str, str], toml_path: Path | str | None = None
) -> dict[str, str]:
    """Return where each setting that is not a default comes from, in words; arguments as ``from_sources``."""
    found: dict[str, str] = {}
    for place, layer in _layers(flags, environment, toml_path):
        for name in layer:
            variable = PREFIX + name.upper()
            if place == ENVIRONMENT:
                found[name] = variable if variable in environment else "OPENAI_BASE_URL"
            else:
                found[name] = flag_of(name) if place == COMMAND_LINE else place
    return found


def _check_until(config: SearchConfig, layers: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Refuse an accuracy that none can reach; a black box of the user's own may score with any number.

    Raises:
        ConfigError: It is above 1.
    """
    if config.until is None or config.until <= 1 or config.evaluator is not None:
        return
    place = next(place for place, layer in reversed(layers) if "until" in layer)
    meant = percentage_meant(config.until)
    hint = f"; did you mean {meant}?" if meant else ", such as 0.95, or 95%"
    raise ConfigError(f"{_called('until', place)} {config.until:g}: an accuracy is at most 1{hint}")


def with_files(layer: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings that came as text from outside, with a path where ``describe`` names a file."""
    return {name: text_or_file(value) if name == "describe" else value for name, value in layer.items()}


def spec_from_sources(flags: Mapping[str, Any], environment: Mapping[str, str]) -> EvaluatorSpec:
    """Build the specification of an evaluator: environment, overridden by flags.

    Args:
        flags: Values by field name; only those that were given.
        environment: Such as ``os.environ``; what it says of searches is left alone.

    Raises:
        ConfigError: A value is wrong.
    """
    said = from_environment(environment)[0]
    ours = {name: value for name, value in said.items() if name in EvaluatorSpec.model_fields}
    return absolute(_build(EvaluatorSpec, [(ENVIRONMENT, ours), (COMMAND_LINE, flags)]))


def build(layers: list[tuple[str, Mapping[str, Any]]]) -> SearchConfig:
    """Build a search's config from layers, each with the name of its place; the last one wins.

    Raises:
        ConfigError: See ``from_sources``; or a setting of the last layer would be lost to a pool of before.
    """
    config = _build(SearchConfig, layers)
    place, last = layers[-1]
    if len(layers) > 1 and "endpoints" not in last and config.endpoints and not config.is_local:
        for name in last:
            if name == "base_url" or (
                name in OF_A_POOL and all(getattr(one, name) is not None for one in config.endpoints)
            ):
                raise ConfigError(
                    f"{_called(name, place)} has no effect: the endpoints of the pool ([[endpoints]]) have "
                    "their own; change it there, or leave it out"
                )
    return config


def _build(kind: type[Config], layers: list[tuple[str, Mapping[str, Any]]]) -> Config:
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    for place, layer in layers:
        for name, value in layer.items():
            values[name] = value
            places[name] = place
    try:
        return kind(**values)
    except ConfigError as error:
        if not isinstance(error.__cause__, ValidationError):
            raise
        parts = error.__cause__.errors()[:MOST_PROBLEMS]
        raise ConfigError("; ".join(_explain(part, values, places) for part in parts)) from None


def to_toml(config: SearchConfig) -> str:
    """Return the resolved config as TOML, without secrets; ``read_toml`` and ``build`` take it back."""
    return tomli_w.dumps(config.to_public())


def absolute(config: Config, *, labels: bool = False) -> Config:
    """Return a config whose paths are absolute, so that its run can be gone on with from another folder.

    Args:
        config: As it was given.
        labels: Whether ``data`` and ``model`` are names that no folder stands for, as with a black box of the
            user's own; they are where the config names one too.

    Raises:
        ConfigError: One can be no path; see ``user_path``.
    """
    labels = labels or config.evaluator is not None
    found: dict[str, Path | str] = {}
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, Path):
            found[name] = user_path(value, flag_of(name) or name)
        elif isinstance(value, str) and (name in ("evaluator", "llm") or not labels):
            found[name] = _as_path(name, value)
    return config.model_copy(update=found)


_TEXTS: Mapping[str, Callable[[Path], bool]] = {
    "data": Path.exists,
    "pretrained": Path.is_file,
    "class_names": Path.is_file,
}
_MODEL_FOLDER = "local-dir:"


def _as_path(name: str, text: str) -> str:
    """Return a setting that is a name or a path: the path made absolute where there is one, else as it is."""
    if name == "model" and text.startswith(_MODEL_FOLDER):
        return f"{_MODEL_FOLDER}{user_path(text.removeprefix(_MODEL_FOLDER), '--model local-dir:')}"
    if name == "llm":
        return absolute_llm(text)
    if name == "evaluator":
        source, colon, factory = text.rpartition(":")
        return f"{user_path(source, '--evaluator')}{colon}{factory}" if source.endswith(".py") else text
    if name not in _TEXTS or (name == "data" and _known_dataset(text)):
        return text
    try:
        path = user_path(text, flag_of(name))
        return str(path) if _TEXTS[name](path) else text
    except (ConfigError, OSError):  # no path, or one too long: a name, then, or nothing that is there
        return text


def _known_dataset(name: str) -> bool:
    from ...evaluator.datasets.loading import known

    return any(found.name == name for found in known())


def _explain(part: Any, values: Mapping[str, Any], places: Mapping[str, str]) -> str:
    field = str(part["loc"][0]) if part["loc"] else ""
    if not field:
        return with_settings(plain(part), _as_option)
    if part["type"] == "extra_forbidden" and len(part["loc"]) == 1:
        where = places.get(field, "the config")
        return f"unknown setting {field!r} in {where}{near(field, SearchConfig.model_fields)}"
    name = _called(field, places.get(field))
    where = "" if places.get(field) in (None, COMMAND_LINE) else f" (from {places[field]})"
    inside = ".".join(str(step) for step in part["loc"][1:])
    # A base URL may hold a password, and a body a key, so their values are never repeated.
    hidden = "url" in field or field in ("endpoints", "extra_body")
    value = "" if hidden else f" {shown(values.get(field))}"
    return f"{name}{'.' + inside if inside else ''}{value}{where}: {plain(part)}"


def _as_option(field: str, value: str | None) -> str:
    return f"{flag_of(field)} {value}" if value is not None else flag_of(field)


def _called(field: str, place: str | None) -> str:
    if place == ENVIRONMENT:
        return PREFIX + field.upper()
    return flag_of(field) or field if place in (None, COMMAND_LINE) else field


def _why(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "it is not UTF-8 text"
