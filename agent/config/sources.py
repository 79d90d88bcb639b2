"""Where a config comes from: a TOML file, then the environment, then flags; the later one wins.

Whatever is wrong is said with the place that it came from, the value, and what would be right.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from ..errors import ConfigError
from .fields import about
from .schema import SearchConfig

PREFIX = "PROMPTCLIMB_"
NOT_SETTINGS = frozenset({"PROMPTCLIMB_CACHE"})
"""Names under the prefix that other rooms read."""


def flag_of(name: str) -> str:
    """The command line's name of a field; empty where it has none."""
    flag = about(SearchConfig.model_fields[name])["flag"]
    text = name.replace("_", "-") if flag is None else flag
    return f"--{text}" if text else ""


def from_environment(environment: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Settings found in the environment, and the names under our prefix that mean nothing.

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


def read_toml(path: Path) -> dict[str, Any]:
    """The settings in a file.

    Raises:
        ConfigError: It cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the config file {path} cannot be read: {_why(error)}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"the config file {path} is not TOML: {error}") from error


def from_sources(
    flags: Mapping[str, Any], environment: Mapping[str, str], toml_path: Path | None = None
) -> SearchConfig:
    """Builds the config: file, overridden by environment, overridden by flags.

    Args:
        flags: Values by field name; only those that were given.
        environment: Such as ``os.environ``.
        toml_path: A file with settings by field name.

    Raises:
        ConfigError: A value is wrong, a name is unknown, or a file cannot be read.
    """
    layers: list[tuple[str, Mapping[str, Any]]] = []
    if toml_path is not None:
        layers.append((str(toml_path), read_toml(toml_path)))
    layers.append(("the environment", from_environment(environment)[0]))
    layers.append(("the command line", flags))
    return absolute(build(layers))


def build(layers: list[tuple[str, Mapping[str, Any]]]) -> SearchConfig:
    """Builds the config from layers, each with the name of its place; the last one wins.

    Raises:
        ConfigError: See ``from_sources``.
    """
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    for place, layer in layers:
        for name, value in layer.items():
            values[name] = value
            places[name] = place
    try:
        return SearchConfig(**values)
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(part, values, places) for part in error.errors()[:5])) from None


def to_toml(config: SearchConfig) -> str:
    """The resolved config as TOML, without secrets; ``read_toml`` and ``build`` take it back."""
    return tomli_w.dumps(config.to_public())


def absolute(config: SearchConfig, *, only_paths: bool = False) -> SearchConfig:
    """Return a config whose paths are absolute, so that its run can be gone on with from another folder.

    Args:
        config: As it was given.
        only_paths: Leave texts that may stand for a path, such as ``data``, as they are.
    """
    found: dict[str, Path | str] = {}
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, Path):
            found[name] = _resolved(value)
        elif isinstance(value, str) and not only_paths:
            found[name] = _as_path(name, value)
    return config.model_copy(update=found)


_TEXTS: Mapping[str, Callable[[Path], bool]] = {
    "data": Path.exists,
    "pretrained": Path.is_file,
    "class_names": Path.is_file,
}
_MODEL_FOLDER = "local-dir:"


def _as_path(name: str, text: str) -> str:
    """A setting that is a name or a path: the path made absolute where there is one, else as it is."""
    if name == "model" and text.startswith(_MODEL_FOLDER):
        return f"{_MODEL_FOLDER}{_resolved(Path(text.removeprefix(_MODEL_FOLDER)))}"
    if name not in _TEXTS or (name == "data" and _known_dataset(text)):
        return text
    path = _resolved(Path(text))
    return str(path) if _is(_TEXTS[name], path) else text


def _resolved(path: Path) -> Path:
    try:
        return path.expanduser().resolve()
    except (OSError, ValueError, RuntimeError):  # a NUL, a circle of links, no such user: no file, then
        return path


def _is(exists: Callable[[Path], bool], path: Path) -> bool:
    try:
        return exists(path)
    except (OSError, ValueError):  # a name too long or with a NUL: no file, then
        return False


def _known_dataset(name: str) -> bool:
    from ...evaluator.datasets import known

    return any(found.name == name for found in known())


def _explain(part: Any, values: Mapping[str, Any], places: Mapping[str, str]) -> str:
    field = str(part["loc"][0]) if part["loc"] else ""
    message = str(part["msg"]).removeprefix("Value error, ")
    if part["type"] == "extra_forbidden" and len(part["loc"]) == 1:
        near = difflib.get_close_matches(field, SearchConfig.model_fields, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        return f"unknown setting {field!r} in {places.get(field, 'the config')}{hint}"
    if not field:
        return message
    name = _called(field, places.get(field))
    if part["type"] == "missing":
        return f"{name} is needed: {SearchConfig.model_fields[field].description}"
    where = "" if places.get(field) in (None, "the command line") else f" (from {places[field]})"
    inside = ".".join(str(step) for step in part["loc"][1:])
    # A base URL may hold a password, so its value is never repeated.
    shown = "" if "url" in field or field == "endpoints" else f" {values.get(field)!r}"
    return f"{name}{'.' + inside if inside else ''}{shown}{where}: {message[:1].lower()}{message[1:]}"


def _called(field: str, place: str | None) -> str:
    if place == "the environment":
        return PREFIX + field.upper()
    return flag_of(field) or field if place in (None, "the command line") else field


def _why(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "it is not UTF-8 text"
