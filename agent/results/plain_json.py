"""Dataclasses to JSON values and back, member by member."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
_PLAIN = (str, bool, type(None))


def made(kind: type[T], found: Mapping[str, Any]) -> T:
    """Return a value from those members of a JSON object that it has."""
    known = [one.name for one in fields(kind)]  # type: ignore[arg-type]  # every kind here is a dataclass
    return kind(**{name: found[name] for name in known if name in found})


def checked(value: T) -> T:
    """Return a dataclass, all of whose members are of the types that it says they are.

    Raises:
        ValueError: One is not: the file was changed, or is another program's.
    """
    kind: Any = type(value)
    for name, hint in _hints(kind).items():
        if not _fits(getattr(value, name), hint):
            raise ValueError(f"{name!r} holds what does not belong there")
    return value


@cache
def _hints(kind: Hashable) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {one.name: hints[one.name] for one in fields(kind)}  # type: ignore[arg-type]  # dataclasses alone come here


def _fits(value: Any, hint: Any) -> bool:
    kind: Any = get_origin(hint) or hint
    inner = get_args(hint)
    if kind in (Union, UnionType):
        return any(_fits(value, one) for one in inner)
    if kind is Literal:
        return value in inner
    if kind is tuple:
        return isinstance(value, list | tuple) and _all_fit(value, inner)
    if isinstance(kind, type) and is_dataclass(kind):
        known = _hints(kind)
        return isinstance(value, kind) and all(_fits(getattr(value, name), known[name]) for name in known)
    if kind is Mapping:
        return isinstance(value, Mapping) and (
            not inner or all(_fits(one, inner[1]) for one in value.values())
        )
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return kind not in _PLAIN or isinstance(value, kind)


def _all_fit(values: Any, inner: tuple[Any, ...]) -> bool:
    if len(inner) == 2 and inner[1] is Ellipsis:
        return all(_fits(one, inner[0]) for one in values)
    return not inner or (len(values) == len(inner) and all(map(_fits, values, inner)))


def plain(value: Any) -> Any:
    """Return a dataclass, with all that is in it, as JSON values."""
    if is_dataclass(value):
        return {one.name: plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value
