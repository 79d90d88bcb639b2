"""Text for people: nothing that a terminal would obey."""

from __future__ import annotations


def printable(text: str) -> str:
    """Untrusted text in one line, without control characters: they become spaces."""
    return "".join(character if character.isprintable() else " " for character in text)


def whole_characters(text: str) -> str:
    """Return text that can be encoded: halves of characters (lone surrogates) are replaced, pairs are joined.

    A model that is cut in the middle of an emoji sends one, and JSON carries it.
    """
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
