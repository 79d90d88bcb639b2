r"""List the classes in an instruction, and read a model's answer as one of them.

Where the slot ``{classes}`` stands alone on its line, the classes are numbered lines (``1. bat``); elsewhere
they are a row (``bat, cat, dog``). If a name has a comma, a double quote, a line break or spaces around it,
all names are written as JSON strings.

An answer is read in this order; the first form that applies decides:

1. a class name alone, whatever its case, punctuation, quotes, emphasis, article or plural; or the number or
   letter of an option, if no class name is a number or letter itself;
2. JSON, such as ``{"class": "bat"}``;
3. what follows the last ``Answer:``, or stands in ``<answer>`` or ``\boxed{}``;
4. a class name alone on the first or last line;
5. a text in which exactly one class name stands as a word, or between any characters of a script without
   spaces. Part of a longer name is not a name.

Thinking is left out. An answer that names several classes, or denies or asks what it names, is unreadable;
but a class before others that "not" denies is read (a cat, not a dog).
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from random import Random
from typing import Any

from ..errors import DataError

SLOT = "{classes}"
MOST_CHARACTERS = 32_000
"""Longest list of class names in an instruction, about 8,000 tokens."""
MOST_READ = 200_000
"""Characters of an answer that are read, from its end: the answer stands there."""

_SLOT = re.compile(rf"(^[^\S\n]*{re.escape(SLOT)}[^\S\n]*$)|{re.escape(SLOT)}", re.MULTILINE)
_OPENS = r"<(?:think|thinking|thoughts?|reasoning|reflection|scratchpad|analysis)>|\[THINK\]|◁think▷"
_THINKING = re.compile(_OPENS, re.IGNORECASE)
_THOUGHT = re.compile(_OPENS.replace("<", "</", 1).replace(r"\[", r"\[/").replace("◁", "◁/"), re.IGNORECASE)
_WRAPPED = re.compile(r"<answer>(.{1,1000}?)</answer>|\\boxed\{(?:\\text\{)?([^{}]{1,1000})\}", re.I | re.S)
_HEADS = r"(?:final |predicted |my |best |correct )?(?:answer|class|label|category|prediction|classification)"
_HEADED = re.compile(
    r"^.*\banswer[*_]*[ \t]*:[ \t*_:]*([^\s*_:].*)$"  # the last one of a line
    rf"|^[ \t>*_#-]*(?:the )?{_HEADS}(?: name)?[*_]*(?:[ \t]*[:=]|[ \t]+is\b)[ \t*_:]*(.*)$"
    rf"|\b(?:the|my) {_HEADS} (?:is|would be)\b:?(.*)$",
    re.IGNORECASE | re.MULTILINE,
)
_MARK = r"[\s(\[*_#`\"']*"
_END = r"[\s.):\]*_`\"']*"
_OPTION = re.compile(
    rf"{_MARK}(?:(?:option|number|no\.|choice)\s*)?{_MARK}(\d{{1,4}}|[A-Za-z]){_END}", re.IGNORECASE
)
_OPTION_AND_NAME = re.compile(
    rf"{_MARK}(?:(?:option|number|no\.|choice)\s*)?(\d{{1,4}}|[A-Za-z])(?:\s*[.):\]*]+\s*|\s+-\s+|\s+(?=\())(\S.*)",
    re.IGNORECASE,
)
_MOST_OF_AN_OPTION = 2_000
_FENCED = re.compile(r"```[a-z]{0,10}\s(.{1,100000}?)```", re.IGNORECASE | re.DOTALL)
_MEMBERS = ("class", "label", "answer", "category", "prediction", "option", "choice", "classification")
_MOST_DOCUMENTS = 20
_DEEPEST = 5

_ARTICLES = frozenset({"a", "an", "the"})
_COMMON = _ARTICLES | {"i"}
"""Words that stand in any sentence: as class names they count only at the end of a clause."""
_DENIALS = frozenset(
    {"not", "no", "nor", "neither", "never", "none", "cannot", "unable", "without", "unlike", "unclear"}
    | {"cant", "isnt", "doesnt", "dont", "couldnt", "wasnt", "arent", "wont", "nothing", "instead", "rather"}
    | {"unsure", "uncertain", "wouldnt", "didnt", "whether"}
)
_NUMBER_WORDS = frozenset(
    {"zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"}
    | {"twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"}
    | {"thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred"}
)
_ROMAN = re.compile(r"[ivxlcdm]+")
_CLAUSE, _QUESTION = "\x00", "\x01"
_KINDS: Mapping[str, str] = {
    **dict.fromkeys(_DENIALS, "d"),
    **dict.fromkeys(("not", "no", "nor"), "n"),
    **dict.fromkeys((*_ARTICLES, "or", "and"), "j"),
    _CLAUSE: ".",
    _QUESTION: "?",
}
"""The kind of a word: a denial, a plain denial, a joining word, a mark of a clause's end; "w" for others."""
_PLAINLY_DENIED = re.compile("n[nj]*(M[njmM]*)?")
"""A plain denial, and the class names right after it in its clause."""
_CLAUSES = re.compile("[^.?]+[.?]?")
_DASH = re.compile(r"\s[-–—]\s|—")
_SHARP = re.compile(r"(?<=\w)#(?!\w)")
"""At the end of a word it belongs to it, as in C#."""
_UNSPACED = re.compile(
    "[\u3005-\u3007\u3041-\u3096\u3400-\u9fff\U00020000-\U0003ffff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]"
)
"""Characters of scripts without spaces: each counts as a word. Katakana is not among them: words in it end
where it does."""
_DENIED = re.compile("[不没沒]|(?<!かもしれ)(?<!違い)(?<!違いあり)(?:ない|なく|ません)|ไม่")
"""Denials in these scripts, but "perhaps" and "no doubt", which end alike."""


class _Characters(dict[int, str]):
    """Replacement of each character when a text is split into words."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        self[code] = became = self._became(character)
        return became

    @staticmethod
    def _became(character: str) -> str:
        if character in "'’‘ʼ`´\ufe0f\u200b\u200c\u200d\u00ad\ufeff\u2060":
            return ""
        if character in "?¿؟":
            return f" {_QUESTION} "
        if character in ".!;,:()[]{}<>|=\n。、،؛।":
            return f" {_CLAUSE} "
        kind = unicodedata.category(character)
        if _UNSPACED.match(character):
            return f" {character} "
        if kind[0] in "LNM" or kind == "So" or character in "+♯":
            return character
        return " "


_CHARACTERS = _Characters()


class ListedClasses:
    """The classes as an instruction lists them, in an order fixed by the seed, and the reading of answers."""

    def __init__(self, class_names: Sequence[str], seed: int) -> None:
        """Fix the order of the list.

        Raises:
            DataError: The list is longer than ``MOST_CHARACTERS``.
        """
        self.class_names = tuple(class_names)
        self._order = Random(seed).sample(range(len(self.class_names)), len(self.class_names))
        written = _written([self.class_names[label] for label in self._order])
        self._row = ", ".join(written)
        self._lines = "\n".join(f"{number}. {name}" for number, name in enumerate(written, 1))
        if len(self._lines) > MOST_CHARACTERS:
            raise DataError(
                f"The {len(written):,} class names make a list of {len(self._lines):,} characters; an "
                f"instruction holds at most {MOST_CHARACTERS:,}. Use fewer or shorter class names, or a "
                f"scorer that does not list the classes."
            )
        self._exact = _unambiguous((name, label) for label, name in enumerate(self.class_names))
        spelled = [_bare(_split(name)) for name in self.class_names]
        self._spelled = _unambiguous((words, label) for label, words in enumerate(spelled) if words)
        singular = [(tuple(map(_singular, words)), label) for label, words in enumerate(spelled) if words]
        self._singular = _unambiguous(singular)
        self._lengths: dict[str, tuple[int, ...]] = {}
        for words, _label in singular:
            known = {len(words), *self._lengths.get(words[0], ())}
            self._lengths[words[0]] = tuple(sorted(known, reverse=True))
        # Where names are numbers or letters, "3" may be a name in another form: it is no option then.
        self._has_numbers = any(
            word in _NUMBER_WORDS or any(map(str.isnumeric, word)) for words in spelled for word in words
        )
        self._has_numbers |= all(_ROMAN.fullmatch(word) for words in spelled for word in words)
        self._has_letters = any(
            len(words[-1]) == 1 and words[-1].isalpha() and not _UNSPACED.match(words[-1])
            for words in spelled
            if words
        )

    def fill(self, instruction: str) -> str:
        """Put the list of classes into the slot. Names are plain text: braces in them mean nothing."""
        return _SLOT.sub(lambda match: self._lines if match[1] else self._row, instruction)

    def read(self, answer: str) -> int | None:
        """Return the label of the class that an answer names; None if it names none or several."""
        if (label := self._exact.get(answer)) is not None:
            return label
        text = unicodedata.normalize("NFKC", _without_thinking(answer[-MOST_READ:])).strip()
        alone, label = self._alone(text)
        if alone:
            return label
        is_json, document = _document(text)
        if is_json:
            return self._in_json(document)
        if (headed := _headed(text)) is not None:
            return self._short(headed)
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) > 1 and (label := self._on_a_line(lines)) is not None:
            return label
        return self._mentioned(text)

    def _short(self, text: str) -> int | None:
        alone, label = self._alone(text)
        return label if alone else self._mentioned(text)

    def _alone(self, text: str) -> tuple[bool, int | None]:
        """Return whether a text is a class name or an option and nothing else, and its label."""
        if (label := self._named(text)) is not None:
            return True, label
        if len(text) > _MOST_OF_AN_OPTION:
            return False, None
        if option := _OPTION.fullmatch(text):
            return True, self._option(option[1])
        if both := _OPTION_AND_NAME.fullmatch(text):
            label, option_label = self._named(both[2]), self._option(both[1])
            return label is not None, label if option_label in (None, label) else None
        return False, None

    def _named(self, text: str) -> int | None:
        if (label := self._exact.get(text.strip())) is not None:
            return label
        if len(text) > 2 * MOST_CHARACTERS:
            return None
        words = _bare(_split(text))
        if words in self._spelled:
            return self._spelled[words]
        return self._singular.get(tuple(map(_singular, words)))

    def _option(self, text: str) -> int | None:
        if text.isdecimal():
            index = int(text) - 1
            usable = not self._has_numbers
        else:
            index = ord(text.lower()) - ord("a")
            usable = not self._has_letters
        return self._order[index] if usable and 0 <= index < len(self._order) else None

    def _on_a_line(self, lines: Sequence[str]) -> int | None:
        """Read the first or last line, unless another line is another class's name alone."""
        label_by_line = {
            index: label
            for index, line in enumerate(lines)
            if (label := self._named(re.sub(r"^\s*(?:\d{1,4}[.):]|[A-Za-z][.)]|[-*•])\s+", "", line)))
            is not None
        }
        if len(set(label_by_line.values())) == 1 and label_by_line.keys() & {0, len(lines) - 1}:
            return next(iter(label_by_line.values()))
        last = lines[-1].strip() if not label_by_line and len(lines[-1]) <= _MOST_OF_AN_OPTION else ""
        option = _OPTION.fullmatch(last)
        return self._option(option[1]) if option else None

    def _in_json(self, document: Any, depth: int = 0) -> int | None:
        if isinstance(document, str):
            exact = self._exact.get(document)
            return self._short(document) if exact is None else exact
        if isinstance(document, int | float) and not isinstance(document, bool):
            is_whole = isinstance(document, float) and document.is_integer()
            return self._alone(str(int(document) if is_whole else document))[1]
        if depth >= _DEEPEST:
            return None
        if isinstance(document, dict):
            members = {str(name).casefold(): value for name, value in document.items()}
            if (member := next((name for name in _MEMBERS if name in members), None)) is not None:
                return self._in_json(members[member], depth + 1)
            like = {name for name in members if not {*_MEMBERS}.isdisjoint(re.split(r"[\W_]+", name))}
            values = [
                value
                for name, value in members.items()
                if name in like or (not like and isinstance(value, str | dict))
            ]
            labels = {self._in_json(value, depth + 1) for value in values}
            labels.discard(None)
            return labels.pop() if len(labels) == 1 else None
        if isinstance(document, list):
            labels = {self._in_json(item, depth + 1) for item in document[: len(self._order) + 1]}
            return labels.pop() if len(labels) == 1 else None
        return None

    def _mentioned(self, text: str) -> int | None:
        """Return the one class whose name stands in a text as words and is not denied."""
        kinds, labels = self._kinds(_tokens(text))
        denied = [match.span() for match in _PLAINLY_DENIED.finditer(kinds) if match[1]]
        affirmed = kinds[: denied[0][0]] if denied else kinds
        denied_labels = {labels.pop(place) for span in denied for place in range(*span) if place in labels}
        if denied and ("?" in kinds or len(labels) > affirmed.count("M")):
            return None  # names something after what it denies
        doubted = any("M" in clause and {*"nd?"} & {*clause} for clause in _CLAUSES.findall(affirmed))
        named = {*labels.values()}
        return named.pop() if len(named) == 1 and not named & denied_labels and not doubted else None

    def _kinds(self, tokens: Sequence[str]) -> tuple[str, dict[int, int | None]]:
        """Return the kind of each token, "M" and "m" for a class name, and each name's label by its place."""
        kinds, labels = [_KINDS.get(token, "w") for token in tokens], dict[int, int | None]()
        places = [place for place, token in enumerate(tokens) if token not in (_CLAUSE, _QUESTION)]
        words = tuple(tokens[place] for place in places)
        for start, end, label in self._mentions(words):
            first, last = places[start], places[end - 1]
            at_end = last + 1 == len(tokens) or tokens[last + 1] in (_CLAUSE, _QUESTION)
            if end - start > 1 or words[start] not in _COMMON or at_end:
                kinds[first : last + 1] = "M" + "m" * (last - first)
                labels[first] = label
        return "".join(kinds), labels

    def _mentions(self, words: tuple[str, ...]) -> Iterator[tuple[int, int, int | None]]:
        """Yield the class names in a text, but those within longer ones: first word, end, label."""
        singular = tuple(map(_singular, words))
        reached = 0
        for start, first in enumerate(singular):
            for length in self._lengths.get(first, ()):
                end = start + length
                spelled, stems = words[start:end], singular[start:end]
                if spelled in self._spelled or stems in self._singular:
                    if end > reached:
                        yield start, end, self._spelled.get(spelled, self._singular.get(stems))
                        reached = end
                    break


def _written(names: Sequence[str]) -> list[str]:
    if all(name.strip() == name != "" and name.isprintable() and not {",", '"'} & {*name} for name in names):
        return list(names)
    return [json.dumps(name, ensure_ascii=not name.isprintable()) for name in names]


def _unambiguous(pairs: Any) -> Mapping[Any, int | None]:
    """Return the labels by key; None for a key of several labels."""
    label_by_key: dict[Any, int | None] = {}
    for key, label in pairs:
        label_by_key[key] = None if label_by_key.get(key, label) != label else label
    return label_by_key


def _tokens(text: str) -> list[str]:
    """Return a text's words in normal form, with marks where a clause or a question ends."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return _DENIED.sub(" not ", _SHARP.sub("♯", _DASH.sub(" . ", folded))).translate(_CHARACTERS).split()


def _split(text: str) -> tuple[str, ...]:
    return tuple(token for token in _tokens(text) if token not in (_CLAUSE, _QUESTION))


def _bare(words: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out articles before a name."""
    start = 0
    while start < len(words) - 1 and words[start] in _ARTICLES:
        start += 1
    return words[start:]


@lru_cache(maxsize=10_000)
def _singular(word: str) -> str:
    """Return a form that an English word's singular and plural share."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("ses", "xes", "zes", "ches", "shes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    return word


def _without_thinking(text: str) -> str:
    start = 0
    for closing in _THOUGHT.finditer(text):
        start = closing.end()
    opening = _THINKING.search(text, start)
    return text[start : opening.start() if opening else len(text)]


def _document(text: str) -> tuple[bool, Any]:
    """Find JSON: the whole text, the whole of a code fence, or the last object in the text."""
    fences = [match[1].strip() for match in _FENCED.finditer(text)]
    for whole in (text, *fences[-1:]):
        if whole[:1] in tuple('[{"') and whole:
            try:
                return True, json.loads(whole)
            except (ValueError, RecursionError):
                continue
    end = len(text)
    for _ in range(_MOST_DOCUMENTS):
        if (end := text.rfind("{", 0, end)) < 0:
            break
        try:
            document, _stop = json.JSONDecoder().raw_decode(text, end)
        except (ValueError, RecursionError):
            continue
        if document:
            return True, document
    return False, None


def _headed(text: str) -> str | None:
    """Return what follows the last "Answer:", up to the line's end; None if there is no such heading."""
    if wrapped := [match[1] or match[2] for match in _WRAPPED.finditer(text)]:
        return wrapped[-1].strip()
    headings = deque(_HEADED.finditer(text), maxlen=1)
    if not headings:
        return None
    last = headings.pop()
    answer = next(filter(None, last.groups()), "").strip()
    return answer or next((line.strip() for line in text[last.end() :].splitlines() if line.strip()), "")
