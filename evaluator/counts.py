"""Format numbers with nouns, lists and install commands for messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: ``1 call``, ``1,200 calls``; give an irregular ``plural``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def enumerated(things: Iterable[str]) -> str:
    """Return ``a``, ``a and b``, or ``a, b and c``."""
    *others, last = list(things) or [""]
    return f"{', '.join(others)} and {last}" if others else last


def some_of(things: Sequence[str], most: int = 5) -> str:
    """Return the first of them and the number of the others: ``a, b and 3 more classes``."""
    left = len(things) - most
    return enumerated([*things[:most], *([counted(left, "more class", "more classes")] if left > 0 else [])])


def how_to_install(extra: str) -> str:
    """Return the command that installs an extra."""
    return f"`pip install '.[{extra}]'` in the project's folder"
