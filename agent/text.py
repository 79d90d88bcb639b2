"""Make text safe to print and to encode, and estimate its tokens."""

from __future__ import annotations

import math
import unicodedata

CHARACTERS_PER_TOKEN = 3.0
LONGEST_LINE = 10_000
"""Characters of a line for people; a received run may have a text of any length."""

_JOINERS = "\u200c\u200d"
"""Invisible, but part of words and emoji."""


def printable(text: str) -> str:
    """Return untrusted text in one line; control characters become spaces."""
    return "".join(character if character.isprintable() else " " for character in text)


def one_line(text: str) -> str:
    """Return untrusted text in one line of bounded length; the end of a line in it becomes an escape."""
    more = f" ... ({len(text):,} characters)" if len(text) > LONGEST_LINE else ""
    return visible(text[:LONGEST_LINE].replace("\n", "\\n")) + more


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


def whole_characters(text: str) -> str:
    """Return text that can be encoded: lone surrogates (half an emoji) are replaced, pairs are joined."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def tokens_in(text: str) -> int:
    """Return an upper bound of the tokens of ordinary text: one per 3 ASCII characters or other byte."""
    letters = len(text.encode("ascii", "ignore"))
    wide = len(text.encode("utf-8", "surrogatepass")) - letters
    return math.ceil(letters / CHARACTERS_PER_TOKEN) + wide
