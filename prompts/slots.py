"""The many ways in which the slot is written, turned into ``{}``.

The rule, in this order:

1. Every bracketed placeholder becomes a slot: ``{}``, ``{ }``, ``{{}}``, ``[]``, ``<>``, ``{0}``, ``%s``,
   and the names of ``PLACEHOLDERS`` in braces, square or angle brackets (``{class}``, ``[CLASS NAME]``,
   ``<class_name>``, ``<insert the class name here>``), with the quotes and emphasis right around a named one.
   Slots with nothing between them are one.
2. If that gave none, the word CLASS (also LABEL, CATEGORY, CLASSNAME, CLASS_NAME, CLASS NAME) in capitals
   becomes one.
3. If that gave none either, and all that stands in braces is one and the same word, ``{flower}``, that
   becomes one. Without braces the same holds for square and angle brackets (``[number]``, ``<number>``,
   ``[COLOUR]``), where there are words around them and theirs is none of markup (``<br>``, ``[END]``).

What is left in braces is left as it is: a ``prompts.template.Template`` refuses it as a stray brace, so
``{foo} {}`` is refused while ``{class} and {}`` has two slots.
"""

from __future__ import annotations

import re

from .template import SLOT

PLACEHOLDERS = (
    "class", "classname", "class name", "class label", "c", "category", "category name", "label",
    "label name", "name", "object", "object name", "item", "subject", "concept", "thing", "noun",
    "slot", "placeholder", "0", "name of the class", "name of class", "name of the object", "object class",
    "object category", "class name placeholder", "class placeholder",
)  # fmt: skip

_NAME = (
    "(?:(?:the|your|insert)[ _-]){0,2}(?:"
    + "|".join(re.sub(" ", "[ _-]?", name) for name in PLACEHOLDERS)
    + ")(?:[ _-]here)?"
)
_QUOTE = "[\"'`“”‘’*_]{0,3}"
_NAMED = re.compile(
    rf"{_QUOTE}(?:\$?\{{{{1,2}}\s*{_NAME}\s*\}}{{1,2}}|\[\s*{_NAME}\s*\]|(?:<|&lt;)\s*{_NAME}\s*(?:>|&gt;))"
    rf"{_QUOTE}",
    re.IGNORECASE,
)
_BARE = re.compile(r"\{\{?\s*\}?\}|\[\s*\]|<\s*>|%s\b|｛\s*｝")
_CAPITALS = re.compile(
    rf"{_QUOTE}(?<![A-Za-z])(?:CLASS(?:[ _-]?(?:NAME|LABEL))?|CATEGORY|LABEL)(?![A-Za-z]){_QUOTE}"
)
_ANY_BRACED = re.compile(r"\{([^{}]*)\}")
_BRACKETED = re.compile(r"\[([^\[\]]*)\](?!\()|<([^<>]*)>")
_MARKUP = frozenset(
    {"answer", "body", "bos", "br", "cls", "code", "div", "em", "end", "eos", "hr", "html", "inst", "li"}
    | {"note", "notes", "ol", "output", "pad", "pre", "response", "sep", "sic", "span", "start", "stop"}
    | {"assistant", "strong", "ul", "unk", "user"}
)
_SLOTS = re.compile(r"(?:\{\}){2,}")
_ONE_WORD = re.compile(r"[\w-]{1,30}")


def with_slots(text: str) -> str:
    """Write every placeholder of a line as ``{}``, by the rule above; a line without one is left as it is."""
    found = _SLOTS.sub(SLOT, _BARE.sub(SLOT, _NAMED.sub(_slot_in_place, text)))
    if SLOT in found:
        return found
    if _CAPITALS.search(found):
        return _CAPITALS.sub(_slot_in_place, found)
    words = set(_ANY_BRACED.findall(found))
    if len(words) == 1 and _ONE_WORD.fullmatch(next(iter(words))):
        return _ANY_BRACED.sub(SLOT, found)
    return found if words else _with_bracketed_word(found)


def _with_bracketed_word(text: str) -> str:
    words = {(square or angle).casefold() for square, angle in _BRACKETED.findall(text)}
    if len(words) != 1 or words & _MARKUP:
        return text
    (word,) = words
    if len(word) < 2 or not word[0].isalpha() or not _ONE_WORD.fullmatch(word):
        return text
    around = _BRACKETED.sub("", text)
    return _BRACKETED.sub(SLOT, text) if any(character.isalpha() for character in around) else text


def _slot_in_place(match: re.Match[str]) -> str:
    # Quotes go only as a pair: in `"a photo of a [class]"` the one at the end closes the whole caption.
    whole = match.group()
    core = whole.strip("\"'`“”‘’*_")
    before, after = whole.split(core, 1)
    paired = min(len(before), len(after))
    return before[: len(before) - paired] + SLOT + after[paired:]
