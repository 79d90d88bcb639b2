"""Format numbers with nouns, lists and install commands for messages."""

from __future__ import annotations

from collections.abc import Iterable


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: ``1 call``, ``1,200 calls``; ``plural`` where an s is not enough."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def enumerated(things: Iterable[str]) -> str:
    """Return ``a``, ``a and b``, ``a, b and c``; nothing for none."""
    *others, last = list(things) or [""]
    return f"{', '.join(others)} and {last}" if others else last


def how_to_install(extra: str) -> str:
    """Return the command that brings an extra, and where to give it."""
    return f"`pip install '.[{extra}]'` in the project's folder"
