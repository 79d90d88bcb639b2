"""Dataclasses to JSON values and back, member by member."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

T = TypeVar("T")


def made(kind: type[T], found: Mapping[str, Any]) -> T:
    """Return a value from those members of a JSON object that it has."""
    known = [one.name for one in fields(kind)]  # type: ignore[arg-type]  # every kind here is a dataclass
    return kind(**{name: found[name] for name in known if name in found})


def plain(value: Any) -> Any:
    """Return a dataclass, with all that is in it, as JSON values."""
    if is_dataclass(value):
        return {one.name: plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value
