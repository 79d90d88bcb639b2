"""The caption grammar's words, read from phrases.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, NamedTuple

_TABLES: dict[str, Any] = tomllib.loads((Path(__file__).parent / "phrases.toml").read_text(encoding="utf-8"))


class Words(NamedTuple):
    """The phrases of one form: for its first role, its second, both, and soft ones that only lean towards it.

    In a phrase ``{}`` stands for the first name, ``[]`` for the second. ``lean`` is how often a phrase that
    names no form means the first role.
    """

    first: tuple[str, ...]
    second: tuple[str, ...]
    both: tuple[str, ...]
    soft: tuple[str, ...]
    lean: float


class Naming(NamedTuple):
    """How a medium or a condition is named: as a noun ("sketch"), as an adjective, and after the name."""

    noun: tuple[str, ...]
    adjective: tuple[str, ...]
    after: tuple[str, ...]


def _words(table: dict[str, Any]) -> Words:
    first, second, both, soft = (tuple(table.get(key, ())) for key in ("first", "second", "both", "soft"))
    return Words(first, second, both, soft, float(table.get("lean", 0.5)))


def _naming(table: dict[str, list[str]]) -> Naming:
    return Naming(*(tuple(table.get(key, ())) for key in ("noun", "adjective", "after")))


def _lists(table: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {key: tuple(phrases) for key, phrases in table.items()}


FORMS: dict[str, Words] = {form: _words(table) for form, table in _TABLES["forms"].items()}
NEUTRAL = _lists(_TABLES["neutral"])
MEDIA: dict[str, Naming] = {medium: _naming(table) for medium, table in _TABLES["media"].items()}
CONDITIONS: dict[str, Naming] = {
    condition: _naming(table) for condition, table in _TABLES["conditions"].items()
}
GROUNDS = _lists(_TABLES["grounds"])
KINDS: dict[str, str] = dict(_TABLES["kinds"])
SENSES = _lists(_TABLES["senses"])
UNNAMED = Naming((), (), ())
