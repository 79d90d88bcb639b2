"""Text for people: nothing that a terminal would obey."""

from __future__ import annotations


def printable(text: str) -> str:
    """Untrusted text in one line, without control characters: they become spaces."""
    return "".join(character if character.isprintable() else " " for character in text)
