"""Templates, captions with a slot for the class name: checking, comparing, filling, and reading slots.

A template's text has no quotes around it, single spaces, nothing invisible, at least one slot ``{}`` and no
other brace. A slot counts as a word.

Spellings of one template have the same ``Template.key``: the text in NFKC form with case folded, without
quotes, invisible joiners, the articles *a*, *an*, *the*, spaces before punctuation and a final full stop.
Common Cyrillic and Greek letters that look like Latin ones count as those.

``with_slots`` writes an LLM's placeholders as ``{}``; the first rule that finds one decides:

1. ``{}``, ``{ }``, ``{{}}``, ``[]``, ``<>``, ``{0}``, ``%s``, and the names of ``PLACEHOLDERS`` in braces,
   square or angle brackets (``{class}``, ``[CLASS NAME]``, ``<insert the class name here>``), with the quotes
   and emphasis right around a name. Adjacent slots become one.
2. The word CLASS, LABEL, CATEGORY, CLASSNAME, CLASS_NAME or CLASS NAME in capitals.
3. One and the same word in all braces, ``{flower}``. Without braces: in all square and angle brackets
   (``[number]``, ``<number>``), if there are words around them and it is not markup (``<br>``, ``[END]``).

``Template`` refuses all other braces: ``{foo} {}`` is refused, ``{class} and {}`` has two slots.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from .kinds import MOST_CHARACTERS, CandidateError, KindWords, check_words, goals_of, too_long

SLOT = "{}"
DEFAULT_MAX_WORDS = 15
MAX_CHARACTERS = MOST_CHARACTERS
KEYS_KEPT = 4096
"""Spelling keys kept: a restart compares the same templates in each round."""

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
# Letters of which at least one case looks Latin. Greek beta and mu are left out: both are common symbols.
_LATIN_BY_LOOKALIKE = str.maketrans(
    "\u0430\u0432\u0435\u043a\u043c\u043d\u043e\u0440\u0441\u0442\u0443\u0445\u0455\u0456\u0458"
    "\u03b1\u03b5\u03b9\u03ba\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7",
    "abekmhopctyxsijaeikvoptux",
)
_FORBIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class CheckedText:
    """A candidate that is a text on one line, made by ``parse``."""

    text: str

    @property
    def key(self) -> str:
        return spelling_key(self.text)

    @property
    def scored_as(self) -> str:
        return self.text

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Template(CheckedText):
    """A checked template with slots ``{}``. An untidy text raises CandidateError."""

    def __post_init__(self) -> None:
        if _tidy(self.text) != self.text:
            raise CandidateError(
                "untidy", f"{quoted(self.text)} has quotes or spaces around it: use Template.parse"
            )
        _check(self.text)

    @classmethod
    def parse(cls, raw: str, *, max_words: int | None = DEFAULT_MAX_WORDS) -> Template:
        """Read a template: take off spaces and quotes around it, make spaces single, check the rest.

        ``max_words`` counts a slot as a word; None for no limit.

        Raises:
            CandidateError: The text is not a template.
        """
        if len(raw) > 4 * MAX_CHARACTERS:
            raise too_long(len(raw), MAX_CHARACTERS)
        template = cls(_tidy(raw))
        check_words(template.text, max_words)
        return template


def positional(template: str) -> str:
    """Return a template for ``str.format``; all slots take the same name."""
    return template if template.count("{}") == 1 else template.replace("{}", "{0}")


@lru_cache(maxsize=KEYS_KEPT)
def spelling_key(text: str) -> str:
    """Return the normal form of a text: equal for its spellings."""
    folded = _ANY_QUOTE_OR_JOINER.sub("", unicodedata.normalize("NFKC", text).casefold())
    words = [word for word in folded.split() if word not in _ARTICLES]
    # After the articles, so that a lone alpha does not become one.
    latin = " ".join(words).translate(_LATIN_BY_LOOKALIKE)
    return _SPACE_BEFORE_MARK.sub("", latin).rstrip(" .")


def check_characters(text: str) -> None:
    """Raise CandidateError if a text has a line break, a control or an invisible character."""
    if text.isascii() and text.isprintable():
        return
    for number, character in enumerate(text, start=1):
        if unicodedata.category(character) in _FORBIDDEN_CATEGORIES and character not in _JOINERS:
            raise CandidateError(
                "control_character",
                f"character {number} is U+{ord(character):04X}, a control, a line break or invisible",
            )


def single_spaced(text: str) -> str:
    """Return a text with single spaces."""
    # Only spaces and tabs: a line break within a template is an error that _check names.
    if text.isascii() and "  " not in text and "\t" not in text:
        return text
    return _SPACES.sub(" ", text)


def _tidy(raw: str) -> str:
    text = single_spaced(raw.strip())
    while (bare := without_quotes(text)) != text:
        text = bare
    return text


def without_quotes(text: str) -> str:
    """Return a text without a pair of quotes around it."""
    if text[:1] not in _QUOTES:
        return text
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
        raise CandidateError("empty", "it is empty")
    if len(text) > MAX_CHARACTERS:
        raise too_long(len(text), MAX_CHARACTERS)
    check_characters(text)
    without_slots = text.replace(SLOT, "\0")
    if "{" in without_slots or "}" in without_slots:
        raise CandidateError("stray_brace", f"{quoted(text)} has a brace that is not part of a slot {SLOT}")
    if SLOT not in text:
        raise CandidateError("no_slot", f"{quoted(text)} has no slot {SLOT} for the class name")


def quoted(text: str, most: int = 60) -> str:
    """Return the beginning of a text in quotes, for a message."""
    return repr(text if len(text) <= most else text[: most - 1] + "…")


TEMPLATE_WORDS = KindWords(
    noun="template",
    intro="A vision model sorts pictures by comparing each of them with captions. Every caption comes from "
    f"one template, in which the slot {SLOT} is replaced by the name of a class.",
    goals=goals_of("the words around the slot", "the words", "that sort most of them correctly"),
    rule=f"every template has the slot {SLOT} where the name of the class goes",
    unreadable=f"No template could be read in your answer. A template is one line with a slot {SLOT}.",
)
"""How requests speak of templates. A changed word needs a new ``requests.PROMPTS_VERSION``."""


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
    """Write every placeholder of a line as ``{}``, by the rules above."""
    text = _SLOTS.sub(SLOT, _BARE.sub(SLOT, _NAMED.sub(_slot_in_place, text)))
    if SLOT in text:
        return text
    if _CAPITALS.search(text):
        return _CAPITALS.sub(_slot_in_place, text)
    words = set(_ANY_BRACED.findall(text))
    if len(words) == 1 and _ONE_WORD.fullmatch(next(iter(words))):
        return _ANY_BRACED.sub(SLOT, text)
    return text if words else _with_bracketed_word(text)


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
