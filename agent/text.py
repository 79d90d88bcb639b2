"""Makes text safe to print and to encode."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return untrusted text in one line; control characters become spaces."""
    return "".join(character if character.isprintable() else " " for character in text)


def whole_characters(text: str) -> str:
    """Return text that can be encoded: lone surrogates (half an emoji) are replaced, pairs are joined."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
