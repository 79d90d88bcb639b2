"""A caption with a slot for the class name: reading, checking, comparing, filling.

A template's text is tidy (no quotes around it, single spaces, nothing invisible), has at least one slot
``{}`` and no other brace. Its words are what stands between spaces; a slot counts as a word.

Two templates with the same ``Template.key`` are spellings of one template. The key is the text in
Unicode's NFKC form with case folded, quotes, invisible joiners and the articles *a*, *an*, *the* left out,
single spaces, no space before a punctuation mark and no full stop at the end.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

SLOT = "{}"
DEFAULT_MAX_WORDS = 15
MAX_CHARACTERS = 500
"""More than any text tower reads: 77 tokens are about 400 characters of English."""

_QUOTE_PAIRS = (
    ('"', '"'), ("'", "'"), ("`", "`"), ("“", "”"), ("‘", "’"),
    ("„", "“"), ("„", "”"), ("«", "»"), ("”", "”"), ("’", "’"),
)  # fmt: skip
_QUOTES = "".join(sorted({mark for pair in _QUOTE_PAIRS for mark in pair}))
_JOINERS = "\u200c\u200d"  # part of words in some scripts and of emoji, so allowed in a text
_ANY_QUOTE_OR_JOINER = re.compile(f"[{re.escape(_QUOTES)}{_JOINERS}]")
_SPACE_BEFORE_MARK = re.compile(r"\s+(?=[,.;:!?])")
_SPACES = re.compile(r"[^\S\n\r\v\f\x1c-\x1f\x85\u2028\u2029]+")
_ARTICLES = frozenset({"a", "an", "the"})
_FORBIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


class TemplateError(ValueError):
    """A text is not a template.

    Attributes:
        reason: a short slug: ``empty``, ``too_long``, ``control_character``, ``no_slot``, ``stray_brace``,
            ``too_many_words`` or ``untidy``.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Template:
    """A checked template. Make one with ``parse``.

    Attributes:
        text: the tidy text, with one or more slots ``{}``.

    Raises:
        TemplateError: if the text given to the constructor is not a tidy template.
    """

    text: str

    def __post_init__(self) -> None:
        if _tidy(self.text) != self.text:
            raise TemplateError(
                "untidy", f"{_shown(self.text)} has quotes or spaces around it: use Template.parse"
            )
        _check(self.text)

    @classmethod
    def parse(cls, raw: str, *, max_words: int | None = DEFAULT_MAX_WORDS) -> Template:
        """Read a template: take off spaces and quotes around it, make spaces single, check the rest.

        Args:
            raw: any text.
            max_words: the most words that the template may have, a slot counting as one; None for no limit.

        Raises:
            TemplateError: if the text is not a template, with the reason.
        """
        if len(raw) > 4 * MAX_CHARACTERS:
            raise _too_long(len(raw))
        template = cls(_tidy(raw))
        words = len(template.text.split())
        if max_words is not None and words > max_words:
            raise TemplateError("too_many_words", f"it has {words} words, at most {max_words} are allowed")
        return template

    @property
    def key(self) -> str:
        """The normal form: equal for two spellings of one template."""
        text = _ANY_QUOTE_OR_JOINER.sub("", unicodedata.normalize("NFKC", self.text).casefold())
        words = [word for word in text.split() if word not in _ARTICLES]
        return _SPACE_BEFORE_MARK.sub("", " ".join(words)).rstrip(" .")

    def fill(self, class_name: str) -> str:
        """Put a class name into every slot. The name is plain text: braces in it mean nothing."""
        return self.text.replace(SLOT, class_name)

    def __str__(self) -> str:
        return self.text


def single_spaced(text: str) -> str:
    """Return a text with one space for several."""
    # Only spaces and tabs: a line break within a template is an error that _check names.
    return _SPACES.sub(" ", text)


def _tidy(raw: str) -> str:
    text = single_spaced(raw.strip())
    while (bare := _without_quotes(text)) != text:
        text = bare
    return text


def _without_quotes(text: str) -> str:
    for opening, closing in _QUOTE_PAIRS:
        if len(text) >= 2 and text[0] == opening and text[-1] == closing:
            inside = text[1:-1]
            # An apostrophe within a word is no quote; any other mark inside means that two things are quoted.
            rest = re.sub(r"(?<=\w)['’](?=\w)", "", inside)
            if opening not in rest and closing not in rest:
                return inside.strip()
    return text


def _check(text: str) -> None:
    if not text:
        raise TemplateError("empty", "it is empty")
    if len(text) > MAX_CHARACTERS:
        raise _too_long(len(text))
    for place, character in enumerate(text):
        if unicodedata.category(character) in _FORBIDDEN_CATEGORIES and character not in _JOINERS:
            raise TemplateError(
                "control_character",
                f"character {place + 1} is U+{ord(character):04X}, a control, a line break or invisible",
            )
    without_slots = text.replace(SLOT, "\0")
    if "{" in without_slots or "}" in without_slots:
        raise TemplateError("stray_brace", f"{_shown(text)} has a brace that is not part of a slot {SLOT}")
    if SLOT not in text:
        raise TemplateError("no_slot", f"{_shown(text)} has no slot {SLOT} for the class name")


def _too_long(length: int) -> TemplateError:
    return TemplateError("too_long", f"it has {length:,} characters, at most {MAX_CHARACTERS} are allowed")


def _shown(text: str, most: int = 60) -> str:
    return repr(text if len(text) <= most else text[: most - 1] + "…")
