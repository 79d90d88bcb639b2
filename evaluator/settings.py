"""Declare settings as fields with help, scope and effect, and explain wrong values."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from inspect import get_annotations
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from .errors import ConfigError
from .messages import shown

Group = Literal["Data", "Model", "LLM", "Search", "Limits", "Output"]
"""Headings of ``--help-all``, in order."""
Scope = Literal[
    "few-shot sample",
    "reading images",
    "choice of templates",
    "CLIP models",
    "models behind an API",
]
"""What a setting affects."""

MOST_PROBLEMS = 5
NEAR = 0.66
"""Least similarity of a name that is offered in place of an unknown one."""
_DERIVED = "?"
BY_CONTENT = "(a file or folder, by its content)"
_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "bool_parsing": "it must be true or false",
        "bool_type": "it must be true or false",
        "dict_type": "it must be a table",
        "too_short": "it is empty",
        "extra_forbidden": "it is not known here",
        "finite_number": "it must be a finite number",
        "float_parsing": "it is not a number",
        "float_type": "it is not a number",
        "greater_than": "it must be more than {gt:,}",
        "greater_than_equal": "it must be at least {ge:,}",
        "int_from_float": "it is not a whole number",
        "int_parsing": "it is not a whole number",
        "int_parsing_size": "it must be smaller",
        "int_type": "it is not a whole number",
        "less_than": "it must be less than {lt:,}",
        "less_than_equal": "it must be at most {le:,}",
        "list_type": "it must be a list",
        "literal_error": "it must be {expected}",
        "missing": "it is missing",
        "model_type": "it must be a table",
        "path_type": "it must be a path, as text",
        "string_pattern_mismatch": "it must be one word of small letters, digits, - and _",
        "string_type": "it must be text",
        "tuple_type": "it must be a list",
    }
)
"""What we say in place of pydantic, by the type of its error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """The declaration of one setting.

    Attributes:
        name: The field's name, used in TOML and, in capitals, in the environment.
        group: Its heading in ``--help-all``; empty for that of the class that declares it.
        decides: Whether it decides the result.
        resumable: Whether it may change on resume; "more": it may only grow.
        applies_to: What it affects; empty for every search.
        first: Its place in the short ``--help``; 0 for ``--help-all`` only.
        show: How the value is written in ``--help``; empty for a switch.
        reads: Whether it may name a file or folder that is read.
        from_data: Whether the data decide its default.
        file_only: Has no option on the command line; set in a file, the environment or Python.
        technical: Set from Python only; written to a run's files only if set.
    """

    help: str
    default: Any
    name: str = ""
    group: Group | Literal[""] = ""
    decides: bool = False
    resumable: Literal["yes", "no", "more"] | None = None
    applies_to: tuple[Scope, ...] = ()
    first: int = 0
    show: str = _DERIVED
    reads: Literal["", "file", "folder", "file or folder"] = ""
    from_data: bool = False
    file_only: bool = False
    technical: bool = False

    @property
    def flag(self) -> str:
        """Its option on the command line; empty for none."""
        return "" if self.file_only or self.technical else f"--{self.name.replace('_', '-')}"


_DECLARED = frozenset(field.name for field in fields(Option))


def setting(default: Any, help: str, **attributes: Any) -> Any:
    """Return a pydantic field with its declaration.

    ``attributes`` are those of ``Option`` and pydantic's own rules (``ge``, ``repr`` …). By default, ``show``
    and group follow from the field.
    """
    rules = {name: attributes.pop(name) for name in attributes.keys() - _DECLARED}
    option = Option(default=default, help=help, **attributes)
    return Field(default, description=help, json_schema_extra=cast("Any", {"option": option}), **rules)


def technical(default: Any, help: str, **rules: Any) -> Any:
    """Return a field that is set from Python only and does not decide the result."""
    return setting(default, help, technical=True, **rules)


class Settings(BaseModel):
    """A frozen value whose fields are settings.

    Raises:
        ConfigError: A value is wrong or a name is unknown; pydantic's ``ValidationError`` is its cause.
    """

    group: ClassVar[Group] = "Model"
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,  # a run's files are JSON, which has neither
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise explained(error, values, options_of(type(self))) from error

    if not TYPE_CHECKING:  # a type checker knows that it is frozen

        def __setattr__(self, name: str, _value: object) -> None:  # which may be a secret
            kind = type(self).__name__
            raise ConfigError(f"a {kind} does not change: make another one, {kind}(..., {name}=VALUE)")

    @field_validator("*", mode="before")
    @classmethod
    def _is_no_truth(cls, value: Any, field: ValidationInfo) -> Any:
        """Refuse booleans for numbers; pydantic would take them for 1 and 0."""
        if isinstance(value, bool) and cls.model_fields[field.field_name or ""].annotation is not bool:
            raise ValueError("it takes neither true nor false")
        return value

    def identity(self, *, without: Scope | None = None) -> dict[str, Any]:
        """Return the settings that decide the result, except ``without``, as JSON; files count by content."""
        deciding = {
            name
            for name, option in options_of(type(self)).items()
            if option.decides and without not in option.applies_to
        }
        values = self.model_dump(mode="json", include=deciding)
        return {name: _without_place(value) for name, value in values.items()}


@cache
def options_of(kind: type[Settings]) -> Mapping[str, Option]:
    """Return the declarations of a kind of settings, by name."""
    options: dict[str, Option] = {}
    for name, field in kind.model_fields.items():
        option: Option = cast("Any", field.json_schema_extra)["option"]
        owner = next(base for base in kind.__mro__ if name in get_annotations(base))
        options[name] = replace(
            option,
            name=name,
            group=option.group or cast("type[Settings]", owner).group,
            resumable=option.resumable or ("no" if option.decides else "yes"),
            show=_shape(field.annotation, option) if option.show == _DERIVED else option.show,
        )
    return MappingProxyType(options)


def _shape(annotation: Any, option: Option) -> str:
    kinds = [kind for kind in get_args(annotation) if kind is not type(None)] or [annotation]
    words = [word for kind in (annotation, *kinds) for word in get_args(kind) if isinstance(word, str)]
    if words or bool in kinds:
        return "|".join(words)
    return "N" if {int, float} & set(kinds) else "FILE" if option.reads == "file" else "DIR"


def applying_to(kind: type[Settings], scope: Scope) -> tuple[str, ...]:
    """Return the names of the settings that apply to a scope."""
    return tuple(name for name, option in options_of(kind).items() if scope in option.applies_to)


def _without_place(value: Any) -> Any:
    """Replace a path by a word; keep the factory of ``FILE.py:FACTORY``."""
    if not isinstance(value, str):
        return value
    source, colon, factory = value.rpartition(":")
    if colon and source.endswith(".py") and Path(source).is_absolute():
        return f"{BY_CONTENT}:{factory}"
    return BY_CONTENT if Path(value).is_absolute() else value


def explained(
    error: ValidationError,
    values: Mapping[str, Any],
    known: Collection[str],
    source: str = "",
) -> ConfigError:
    """Return the error of wrong values in our words.

    Args:
        error: What pydantic raised.
        values: The values by field.
        known: The names of all settings.
        source: Where the values come from; empty for the call or the command line.
    """
    origin = f" (from {source})" if source else ""

    def explain(problem: Mapping[str, Any]) -> str:
        field, *inside = problem["loc"] or ("",)
        if not field:
            return plain(problem)
        if problem["type"] == "extra_forbidden" and not inside:
            return _unknown(field, values[field], known, origin)
        # A URL may hold a password, and a body a key.
        is_secret = bool(inside) or any(word in field for word in ("url", "body"))
        value = "" if is_secret else f" = {shown(values.get(field))}"
        path = "".join(f".{step}" for step in inside)
        mark = "" if origin else "`"  # a command line shows it as an option only if it is one there
        return f"{mark}{field}{value}{mark}{path}{origin}: {plain(problem)}"

    problems = error.errors()[:MOST_PROBLEMS]
    return ConfigError("; ".join(explain(cast("Mapping[str, Any]", problem)) for problem in problems))


def _unknown(name: str, value: Any, known: Collection[str], origin: str) -> str:
    hint = near(name, known)
    if isinstance(value, Mapping):
        hint = "; settings stand at the top, in no table"
    elif not hint and re.search("key|token|secret|password", name, re.IGNORECASE):
        hint = "; keys are read from the environment alone, from OPENAI_API_KEY"
    return f"unknown setting {name!r}{origin}{hint}"


def near(name: str, names: Iterable[str], called: Callable[[str], str] = str) -> str:
    """Return a hint at what an unknown name may mean, written by ``called``, or an empty text."""
    close = similar(name, names)
    return f"; did you mean {' or '.join(map(called, close))}?" if close else ""


def similar(name: str, names: Iterable[str]) -> list[str]:
    """Return at most three similar names; capitals and an option's dashes do not count."""
    name_by_key = {known.lstrip("-").lower(): known for known in names}
    close = difflib.get_close_matches(name.lstrip("-").lower(), name_by_key, n=3, cutoff=NEAR)
    return [name_by_key[key] for key in close]


def plain(problem: Mapping[str, Any]) -> str:
    """Return what one of pydantic's problems says, in our words."""
    kind, value = problem["type"], problem.get("input")
    if kind == "string_too_short" and not value:
        return "it is empty; give a value, or leave it out"
    if kind in _WORDS:
        limits = problem.get("ctx", {}).items()
        text = _WORDS[kind].format(**{name: _whole(limit) for name, limit in limits})
        if kind == "literal_error" and isinstance(value, str):
            text += near(value, re.findall("'([^']+)'", problem["ctx"]["expected"]))
        return text
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{message[:1].lower()}{message[1:]}"


def _whole(limit: Any) -> Any:
    return int(limit) if isinstance(limit, float) and limit.is_integer() else limit


def one_of(what: str, names: Collection[str]) -> Callable[[Any], Any]:
    """Return a validator that takes one of some names, or None; it raises ValueError for any other value."""

    def known(name: Any) -> Any:
        if name is None or (isinstance(name, str) and name in names):
            return name
        if not isinstance(name, str):
            raise ValueError(f"it must be text, one of {', '.join(names)}")
        raise ValueError(f"unknown {what}{near(name, names) or '; known are ' + ', '.join(names)}")

    return known
