"""What configs are made of: fields that know their help text, and errors that say which field is wrong."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypedDict, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from .errors import ConfigError

Group = Literal["task", "llm", "search", "pace", "limits", "run"]
"""The headings of ``--help`` that a field may stand under."""

MOST_PROBLEMS = 5
BY_CONTENT = "(a file or folder, by its content)"
_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = 200
_NUMBERS: Mapping[str, str] = MappingProxyType({"float_parsing": "number", "int_parsing": "whole number"})
_SETTING = re.compile(r"\{(\w+)(?:=([^{}]*))?\}")
_OPTION = re.compile(
    r"(?<![\w/.-])--(?P<flag>[a-z][a-z-]*[a-z])"
    r"(?: (?P<value>[A-Z]+(?:[/|][A-Z]+)*|\d+|auto|local|random|skip)(?![\w/:-]))?"
)
_RESUME = re.compile(r"`resume (?P<run_dir>[^`]+)`")


class About(TypedDict):
    """What a field says of itself besides its type, its default and its description.

    Attributes:
        group: The heading that it stands under in ``--help``.
        decides: Whether it decides the result.
        flag: The option's name where it is not the field's; empty for a field that is no option.
        show: How the value is written in ``--help``.
        technical: Whether it is left out of what is written down, unless it was set.
    """

    group: Group
    decides: bool
    flag: str | None
    show: str
    technical: bool


def setting(
    default: Any,
    description: str,
    group: Group,
    *,
    decides: bool = False,
    flag: str | None = None,
    show: str = "",
    **rules: Any,
) -> Any:
    """Return a field with what the command line needs to know of it.

    Args:
        default: Its value when nothing is said; ``...`` where something must be.
        description: One line for ``--help``.
        group: The heading that it stands under.
        decides: Whether it decides the result.
        flag: The option's name where it is not the field's; empty for none.
        show: How the value is written in ``--help``.
        rules: pydantic's own (``ge``, ``gt``, ``repr`` …).
    """
    extra = About(group=group, decides=decides, flag=flag, show=show, technical=False)
    return Field(default, description=description, json_schema_extra=cast("Any", extra), **rules)


def technical(default: Any, description: str, **rules: Any) -> Any:
    """Return a field that only a program sets: it has no flag and does not decide the result."""
    extra = About(group="task", decides=False, flag="", show="", technical=True)
    return Field(default, description=description, json_schema_extra=cast("Any", extra), **rules)


def about(field: FieldInfo) -> About:
    """Return what ``setting`` noted of a field."""
    return cast("About", field.json_schema_extra)


class Settings(BaseModel):
    """A frozen value whose fields are settings.

    Raises:
        ConfigError: A value is wrong or a name is unknown; pydantic's ``ValidationError`` is its cause.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,  # what is written down is JSON, which knows neither
    )

    if not TYPE_CHECKING:  # a checker sees the fields, as pydantic tells them

        def __init__(self, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                fields = type(self).model_fields
                raise ConfigError(in_python(_explained(error, values, fields), fields)) from error

    @field_validator("*", mode="before")
    @classmethod
    def _is_no_truth(cls, value: Any, field: ValidationInfo) -> Any:
        """Refuse true and false for a number, which pydantic would take for 1 and 0."""
        if isinstance(value, bool) and cls.model_fields[field.field_name or ""].annotation is not bool:
            raise ValueError("true and false do not stand here")
        return value

    @classmethod
    def deciding(cls) -> tuple[str, ...]:
        """Return the names of the fields that decide the result."""
        return tuple(name for name, field in cls.model_fields.items() if about(field)["decides"])

    def identity(self) -> dict[str, Any]:
        """Return the fields that decide the result, as JSON values.

        A file or a folder decides by its content, which hashes stand for, and not by where it lies.
        """
        found = self.model_dump(mode="json", include=set(self.deciding()))
        return {name: _without_place(value) for name, value in found.items()}


def _without_place(value: Any) -> Any:
    """Put a word for a path; of ``FILE.py:FACTORY`` the factory stays."""
    if not isinstance(value, str):
        return value
    source, colon, factory = value.rpartition(":")
    if colon and source.endswith(".py") and Path(source).is_absolute():
        return f"{BY_CONTENT}:{factory}"
    return BY_CONTENT if Path(value).is_absolute() else value


def _explained(error: ValidationError, values: Mapping[str, Any], names: Iterable[str]) -> str:
    """Say what is wrong with values that a program gave: fields are called by their names."""

    def one(part: Mapping[str, Any]) -> str:
        field = str(part["loc"][0]) if part["loc"] else ""
        if not field:
            return with_settings(plain(part), _as_argument)
        if part["type"] == "extra_forbidden" and len(part["loc"]) == 1:
            return f"unknown setting {field!r}{near(field, names)}"
        # A base URL may hold a password, and a body a key, so their values are never repeated.
        value = (
            ""
            if "url" in field or "body" in field or len(part["loc"]) > 1
            else f"={shown(values.get(field))}"
        )
        inside = "".join(f".{step}" for step in part["loc"][1:])
        return f"{field}{inside}{value}: {plain(part)}"

    return "; ".join(one(cast("Mapping[str, Any]", part)) for part in error.errors()[:MOST_PROBLEMS])


def near(name: str, names: Iterable[str]) -> str:
    """Return a hint at the names that a mistyped one may mean; empty where none is like it."""
    found = difflib.get_close_matches(name, list(names), n=3)
    return f"; did you mean {' or '.join(found)}?" if found else ""


def shown(value: object) -> str:
    """Return how a value is written in a message: its middle left out where it is long; never raises."""
    try:
        return _SHOWN.repr(value)
    except ValueError:  # Python writes no number of more than some thousand digits
        return f"a {type(value).__name__} too long to show"


def plain(part: Mapping[str, Any]) -> str:
    """Return the message of one of pydantic's errors in our words, or in its own, the first letter small."""
    kind, given = part["type"], part.get("input")
    if kind == "string_too_short" and not given:
        return "it is empty; give a value, or leave it out"
    if kind in _NUMBERS and isinstance(given, str):
        return f"it is no {_NUMBERS[kind]}{_without_comma(given.strip(), kind)}"
    message = str(part["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _without_comma(given: str, kind: str) -> str:
    """Return how a number with a comma is to be written; empty where there is none to see."""
    if "," not in given:
        return ""
    thousands = re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+", given) is not None
    if kind == "int_parsing":
        return f"; write it without a comma{': ' + given.replace(',', '') if thousands else ''}"
    # Three digits after the comma may be thousands, so neither is guessed.
    share = re.fullmatch(r"[+-]?\d+,\d+", given) is not None and not thousands
    return f"; write it with a point and no comma{': ' + given.replace(',', '.') if share else ''}"


def with_settings(message: str, say: Callable[[str, str | None], str]) -> str:
    """Name the settings in a message: ``{llm}`` and ``{llm=MODEL}`` as the reader would write them.

    Args:
        message: As a validator raised it, with settings in braces.
        say: From a field's name, and its value if there is one, to how it is written.
    """
    return _SETTING.sub(lambda found: say(found[1], found[2]), message)


def _as_argument(field: str, value: str | None) -> str:
    if value is None:
        return field
    return f"{field}={value}" if value == value.upper() else f'{field}="{value}"'


def flag_of(name: str, field: FieldInfo) -> str:
    """Return the command line's name of a field; empty where it has none."""
    flag = about(field)["flag"]
    text = name.replace("_", "-") if flag is None else flag
    return f"--{text}" if text else ""


def in_python(message: str, fields: Mapping[str, FieldInfo]) -> str:
    """Return a message with fields where it has options: ``--shots 4`` is ``shots=4`` to a program.

    Messages are written once, for the command line; what is no option of a field stays as it is.
    """
    names = {flag_of(name, field): name for name, field in fields.items()}

    def one(found: re.Match[str]) -> str:
        name, value = names.get(f"--{found['flag']}"), found["value"]
        if name is None:
            return found[0]
        if value is None:
            return f"{name}=True" if fields[name].annotation is bool else name
        return f"{name}={value}" if value.isdecimal() else _as_argument(name, value)

    return _RESUME.sub(lambda found: f"`resume({found['run_dir']!r})`", _OPTION.sub(one, message))


def known_name(what: str, name: str, names: Iterable[str]) -> str:
    """Return a name that is one of several.

    Raises:
        ValueError: It is none of them.
    """
    if name not in names:
        raise ValueError(f"unknown {what}{near(name, names)}; known are {', '.join(names)}")
    return name
