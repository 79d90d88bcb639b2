"""Make text safe to print and to encode."""

from __future__ import annotations

import unicodedata

_JOINERS = "\u200c\u200d"
"""Invisible, but part of words and emoji."""


def printable(text: str) -> str:
    """Return untrusted text in one line; control characters become spaces."""
    return "".join(character if character.isprintable() else " " for character in text)


def visible(text: str) -> str:
    """Return untrusted text, lines kept: controls become spaces, and what turns or hides text an escape."""
    lines = text.split("\n")
    return "\n".join(line if line.isprintable() else "".join(map(_visible, line)) for line in lines)


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cc" and character != "\t":
        return " "
    turns_or_hides = category in ("Cf", "Zl", "Zp") and character not in _JOINERS
    return character.encode("unicode-escape").decode() if turns_or_hides else character
