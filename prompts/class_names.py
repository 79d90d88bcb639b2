"""Names of single classes for a shared template: the requests for them, and reading the LLM's answers.

Without an LLM, names are made of common words for kinds of things.

An answer has lines ``CLASS: NAME``, with list marks, emphasis, arrows or table cells as models write them, or
JSON: an object of the same, or objects ``{"class": CLASS, "name": NAME}``. The answer to a short request has
names of one class, one a line.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .kinds import CLASS_NAMES, CandidateError, RefusedLine, check_words, one_line
from .replies import (
    LIST_MARK,
    MAX_ANSWER_CHARACTERS,
    MAX_LINES,
    MAX_PROPOSALS,
    json_documents,
    without_thinking,
)
from .requests import ChatMessage, by_example, name_in_row, names_shown, user_message
from .template import SLOT, check_characters, single_spaced, spelling_key, with_slots
from .template_kind import TemplateKind
from .wording import document

MOST_CLASSES = 40
"""Most classes in one request."""
MOST_NAMES_ASKED, MOST_LINES_ASKED = 4, 48
"""Most new names asked for per class and per request, so that the answer is not cut off."""
LONGEST_SHOWN = 300
"""Most characters of a class name in a request: an answer must name the class in full."""
READ_AT_ONCE, MOST_READINGS = 20, 4
"""Most classes in a request for what they are, and most lines for each."""
MOST_IN_VIEW, LONGEST_IN_VIEW = 12, 40
"""Class names that a small model sees, with the one that is asked for, and their characters."""
SHORT_NAMES = 5
"""Names in one answer of a small model."""
SHORT_WORDS = 4
"""Most words that a short request allows beyond those of the class's own name."""
MOST_TRIED_SHOWN = 8
MAX_WORDS, MAX_NAME_CHARACTERS = 10, 100
NEUTRAL_TEMPLATES = (
    *("a photo of a {}", "a picture of a {}", "{}", "a {}", "an image of a {}", "a drawing of a {}"),
    *("this is a {}", "itap of a {}"),
)
"""Templates that say nothing about what the images show, so that names of any kind fit."""
_WORDS = "name_words.toml"
_MAX_LINE = 400
_MOST_HEADS = 4
_DEPTH = 4
_DOCUMENT = re.compile(r'(?=\{\s*"|\[\s*\{)')
"""Documents begin anywhere: of a list that is cut, the whole objects are read."""
_SEPARATOR = re.compile(r"\s*(?:=>|-->|->|→|[:=|]|\s[-–—]\s)\s*")
_ENDS = ' \t*_`"“”„.,;|'
_ARTICLE = re.compile(r"(?:an?|the) (?=\S)", re.IGNORECASE)
_LAST_ARTICLE = re.compile(r"\b(?:an?|the) $")
_MARKUP = re.compile(r"[<>\[\]\\]|&#?\w+;|https?://|```")


class ClassNamesKind(TemplateKind):
    """Search for templates, then for better names of single classes in the best one."""

    name = CLASS_NAMES
    renames_classes = True


KIND = ClassNamesKind()


@dataclass(frozen=True, slots=True)
class NameProposals:
    """The new names of an answer as (label, name), in its order, and the lines refused."""

    names: tuple[tuple[int, str], ...]
    refused: tuple[RefusedLine, ...]


def first_readings(readings: Sequence[tuple[int, str]], confirmed: Container[int]) -> dict[int, str]:
    """Return the likeliest reading of each class whose own name was not confirmed, no two the same.

    What is likeliest for several classes is left out: each has its next reading that is its own alone.
    """
    by_label: dict[int, list[str]] = {}
    for label, name in readings:
        if label not in confirmed:
            by_label.setdefault(label, []).append(name)
    firsts = Counter(names[0] for names in by_label.values())
    holders = Counter(name for names in by_label.values() for name in names)
    first: dict[int, str] = {}
    for label, names in by_label.items():
        own = [name for name in names[1:] if holders[name] == 1]
        if candidates := names if firsts[names[0]] == 1 else own:
            first[label] = candidates[0]
    return first


class NameReader:
    """Read proposed names for the classes of one data set.

    A name is known by its spelling. It belongs to the class for which it was proposed first, unless it is
    shared. Classes that share a name are never renamed: a line fits them all.

    Attributes:
        confirmed: Labels of the classes whose own name was the first one read for them.
    """

    def __init__(self, class_names: Sequence[str], template: str) -> None:
        self.confirmed: set[int] = set()
        self._names = tuple(class_names)
        self._labels: dict[str, int] = {}
        self._owners: dict[str, int] = {}
        self._spelled: dict[str, str] = {}
        repeated = set()
        for label, name in enumerate(class_names):
            key = spelling_key(name)
            repeated |= {key} & self._labels.keys()
            self._labels.setdefault(key, label)
            self._owners.setdefault(key, label)
        self._own = frozenset(self._labels)
        for key in repeated:
            del self._labels[key]
        before, _, after = template.casefold().partition(SLOT)
        # Some leave out the article, which belongs to the name.
        self._befores = tuple(dict.fromkeys((before, _LAST_ARTICLE.sub("", before))))
        self._after = after.strip(_ENDS)

    def is_own_name(self, name: str) -> bool:
        """Return whether a name, or its plural, is that of a class of the data set."""
        return not self._own.isdisjoint(spelling_key(f"{name}{end}") for end in ("", "s", "es"))

    def kind_names(self, label: int, rng: random.Random) -> list[str]:
        """Return names such as "bat, a tool", one for each common kind of thing, in a drawn order.

        A kind that is a class itself is left out: "bat, a tool" beside a class of tools.
        """
        kinds = document(_WORDS)["kinds"]
        of_kinds = {
            kind: f"{self._names[label]}, {'an' if kind[0] in 'aeiou' else 'a'} {kind}"
            for kind in rng.sample(kinds, len(kinds))
        }
        return [
            name for kind, name in of_kinds.items() if not (self.is_own_name(kind) or self.is_own_name(name))
        ]

    @property
    def renamable(self) -> frozenset[int]:
        """Labels of the classes whose names are their own."""
        return frozenset(self._labels.values())

    @property
    def alike(self) -> list[str]:
        """Names of the other classes: they differ by case or lookalike letters, if at all."""
        return [name for label, name in enumerate(self._names) if label not in self.renamable]

    def read(
        self, answer: str, *, only: int | None = None, cut: bool = False, shared: bool = False
    ) -> NameProposals:
        """Read an answer, and remember its names; never raise, and read a bounded part of a huge one.

        ``only`` is the label of the one class that a short request asked for, where names are held to
        the few words that it allows. ``cut`` says that the last line is not whole. With ``shared``, several
        classes may have the same new name: one that is misread must not keep a name from the right class.
        """
        text = without_thinking(answer)[:MAX_ANSWER_CHARACTERS]
        if cut:
            text = text.rpartition("\n")[0]
        documents = json_documents(text, _DOCUMENT)
        pairs = [pair for document, _, _ in documents for pair in self._pairs_in(document)]
        proposals = pairs or list(self._lines(text, only))
        # Lines about no class of the data come last, so that they leave room for the others.
        proposals.sort(key=lambda line: line[1] is not None and spelling_key(line[1]) not in self._labels)
        names: list[tuple[int, str]] = []
        refused: list[RefusedLine] = []
        for number, (line, head, raw) in enumerate(proposals):
            if number == MAX_PROPOSALS:
                message = f"only the first {MAX_PROPOSALS} names were read"
                refused.append(RefusedLine("", "too_many_lines", message))
                break
            try:
                label = self._label(head) if only is None or head is not None else only
                most = MAX_WORDS if only is None else SHORT_WORDS + len(self._names[label].split())
                names.append((label, self._name(label, raw, most, shared=shared)))
            except CandidateError as error:
                if error.reason == "own_name" and label not in dict(names):
                    self.confirmed.add(label)
                refused.append(RefusedLine(one_line(line, 200), error.reason, str(error)))
        return NameProposals(tuple(names), tuple(refused))

    def _label(self, head: str | None) -> int:
        label = None if head is None else self._labels.get(spelling_key(head))
        if label is None:
            raise CandidateError("unknown_class", "no class has that name")
        return label

    def _lines(self, text: str, only: int | None) -> Iterator[tuple[str, str | None, str]]:
        """Yield each proposal as its line, the class that it names (None if none), and the name."""
        lines = [line[:_MAX_LINE].strip() for line in text.splitlines()[:MAX_LINES]]
        marked = only is None or not any(LIST_MARK.match(line) for line in lines)
        for line in lines:
            pair = self._class_and_name(line)
            if pair is not None and (only is None or self._labels.get(spelling_key(pair[0])) == only):
                yield (line, *pair)
            elif only is not None and line and (marked or LIST_MARK.match(line)):
                body = LIST_MARK.sub("", line, count=1)
                # Small models explain a name behind a colon.
                name = _SEPARATOR.split(body, maxsplit=1)[0]
                if not line.endswith(":") and name:
                    yield line, None, name

    def _class_and_name(self, line: str) -> tuple[str, str] | None:
        """Return the class and the name that a line holds; None for chatter."""
        first: tuple[str, str] | None = None
        # A class may be called "1", so a list mark is looked for second.
        for body in dict.fromkeys((line.strip("| "), LIST_MARK.sub("", line.strip("| "), count=1))):
            longest: tuple[str, str] | None = None
            for number, mark in enumerate(_SEPARATOR.finditer(body)):
                head, name = body[: mark.start()].strip(_ENDS), body[mark.end() :].strip(_ENDS)
                if number == _MOST_HEADS:
                    break
                # The name of a class may begin with that of another one, and go on behind a separator.
                if head and spelling_key(head) in self._labels:
                    longest = head, name
                if first is None and head and name and ":" in mark.group():
                    first = head, name
            if longest is not None:
                return longest
        return first

    def _pairs_in(self, document: Any) -> Iterator[tuple[str, str | None, str]]:
        waiting: list[tuple[Any, str | None, int]] = [(document, None, 0)]
        while waiting:
            value, head, depth = waiting.pop()
            if isinstance(value, str) and head is not None:
                yield f"{head}: {value}", head, value
            elif depth < _DEPTH and isinstance(value, dict):
                record = self._record(value)
                inside = record or [(str(key), inner) for key, inner in value.items()]
                waiting.extend((inner, key, depth + 1) for key, inner in reversed(inside))
            elif depth < _DEPTH and isinstance(value, list):
                waiting.extend((inner, head, depth + 1) for inner in reversed(value))

    def _record(self, fields: Mapping[str, Any]) -> list[tuple[str, Any]]:
        """Return the class and its names in ``{"class": CLASS, "name": NAME}``; nothing if it is no such."""
        by_key = {key: value for key, value in fields.items() if spelling_key(key) not in self._labels}
        heads = [
            key
            for key, value in by_key.items()
            if isinstance(value, str) and spelling_key(value) in self._labels
        ]
        if not heads or len(by_key) < len(fields):
            return []
        others = [key for key in by_key if key != heads[0]]
        # Other fields may say why.
        named = [key for key in others if "name" in key.casefold()] or others
        return [(by_key[heads[0]], by_key[key]) for key in named]

    def _name(self, label: int, raw: str, most_words: int, *, shared: bool) -> str:
        """Return a checked name as first spelled, and remember whose it is; raise CandidateError."""
        name = self._tidy(raw)
        if len(name) > MAX_NAME_CHARACTERS:
            raise CandidateError("too_long", f"it has more than {MAX_NAME_CHARACTERS} characters")
        check_characters(name)
        if not any(map(str.isalnum, name)):
            raise CandidateError("empty", "it has no name in it")
        if "{" in name or "}" in name or SLOT in with_slots(name):
            raise CandidateError("slot", "a name has no slot and no braces")
        if _MARKUP.search(name):
            raise CandidateError("markup", "a name is plain words without markup")
        check_words(name, most_words)
        key = spelling_key(name)
        owner = self._owners.get(key, label) if shared else self._owners.setdefault(key, label)
        if owner != label:
            reason = "name_of_another_class" if key in self._labels else "proposed_for_another_class"
            raise CandidateError(reason, f"it stands for the class {one_line(self._names[owner], 60)!r}")
        if key == spelling_key(self._names[label]):
            raise CandidateError("own_name", "it is the class's own name")
        return self._spelled.setdefault(key, name)

    def _tidy(self, raw: str) -> str:
        name = single_spaced(raw[:_MAX_LINE]).strip(_ENDS)
        bare = name.casefold()
        # Some write the whole caption.
        before = next((start for start in self._befores if start and bare.startswith(start)), None)
        if before is not None and bare.endswith(self._after) and len(bare) == len(name):
            name = name[len(before) : len(name) - len(self._after)].strip(_ENDS)
        return _ARTICLE.sub("", name, count=1) if _ARTICLE.match(name) else name


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRecord:
    """Results of one class on the few-shot images, as a request shows them.

    Attributes:
        name: Its own name.
        current: The new name in use; None for its own.
        before: Images classified correctly with all classes' own names.
        right: The same with the names in use.
        taken_for: What its other images are taken for now, with counts.
        tried: Names tried alone, with the images that became right and wrong.
    """

    name: str
    current: str | None
    images: int
    before: int
    right: int
    taken_for: Sequence[tuple[str, int]] = ()
    tried: Sequence[tuple[str, int, int]] = ()


def names_asked(classes: int) -> int:
    """Return how many new names a rich request asks for, for each of so many classes."""
    return max(1, min(MOST_NAMES_ASKED, MOST_LINES_ASKED // classes))


def rich_request(
    template: str, class_names: Sequence[str], shown: Sequence[ClassRecord], *, description: str
) -> list[ChatMessage]:
    """Ask for names of the shown classes, ``MOST_CLASSES`` at most, with all that is known of them."""
    per_class = names_asked(len(shown))
    facts = [f"What the pictures show: {description}"] if description else []
    facts.append(f"There are {len(class_names)} classes, among them: {names_shown(class_names)}.")
    records = "\n".join(_record_lines(shown))
    count = "one new name" if per_class == 1 else f"{per_class} new names"
    return [
        user_message(
            "A vision-language model such as CLIP sorts pictures into classes by comparing each picture with "
            f"one caption per class. Every caption comes from the template {template!r}: its slot {SLOT} is "
            "replaced by the name of a class. Some names are poor: they mean several things, or the model "
            "does not know them. OpenAI gained by calling the class nail a metal nail, and kite a kite (bird "
            "of prey). Find names that say what the pictures of a class show. The model is small and knows "
            "plain words: a short name, or the name with its kind ('crane, a kind of machine'), does best. "
            "Say what the thing is, never its colour or how a single picture looks.",
            "\n".join(facts),
            "These classes are sorted wrongly most often. Each line says how many of its pictures are sorted "
            "correctly, and what the others are taken for. Below it are the names tried so far, with how "
            f"many pictures of all classes each put right (+) and wrong (-):\n{records}",
            f"Write {count} for each of these classes that have not been tried, testing other things that "
            "the name can mean. Every name is for one class alone. Answer with lines of the form\n"
            "CLASS: NAME\nand nothing else.",
        )
    ]


def _record_lines(shown: Sequence[ClassRecord]) -> Iterator[str]:
    for record in shown:
        named = "" if record.current is None else f" as {record.current!r}, {record.before} before"
        taken_for = ", ".join(f"{name_in_row(name, 60)} ({count})" for name, count in record.taken_for)
        yield (
            f"- {one_line(record.name, LONGEST_SHOWN)}: {record.right} of {record.images}{named}; "
            f"taken for {taken_for or 'nothing'}"
        )
        for name, gained, lost in record.tried[-MOST_TRIED_SHOWN:]:
            yield f"    tried: {name} (+{gained} -{lost})"


def reading_request(
    class_names: Sequence[str], shown: Sequence[str], *, description: str
) -> list[ChatMessage]:
    """Ask what the shown classes are, ``READ_AT_ONCE`` at most, in plain English words, likeliest first."""
    facts = [f"What the pictures show: {description}"] if description else []
    facts.append(f"All classes: {names_shown(class_names)}.")
    return [
        user_message(
            "A small vision-language model such as CLIP sorts pictures into classes by the classes' names, "
            "and knows plain English words alone. The names of these classes may be words of another "
            "language, Latin names of species, codes or abbreviations; all of them together show which.",
            "\n".join(facts),
            "Say what each of these classes is:\n"
            + "\n".join(f"- {one_line(name, LONGEST_SHOWN)}" for name in shown),
            f"For each write up to {MOST_READINGS} lines, the likeliest first: the common English word that "
            "a child would say on seeing the thing, not a translation word by word; then, if you are not "
            "certain, what else it may be. Then one line of a few plain words for what it looks like. Two "
            "classes never get the same words. Answer with lines of the form\nCLASS: NAME\nand nothing else.",
        )
    ]


def short_name_request(class_name: str) -> list[ChatMessage]:
    """Ask a small model for names of one class, by a request that stands by itself."""
    short = document(_WORDS)["short"]
    return by_example(short["system"], short["examples"].items(), one_line(class_name, 100))


def short_reading_request(class_names: Sequence[str], class_name: str) -> list[ChatMessage]:
    """Ask a small model what one class is, with some others in view, by a request that stands by itself."""
    reading = document(_WORDS)["reading"]
    in_view = [class_name, *(name for name in class_names if name != class_name)][:MOST_IN_VIEW]
    words = ", ".join(name_in_row(name, LONGEST_IN_VIEW) for name in in_view)
    return by_example(
        reading["system"],
        ((example["asked"], example["answered"]) for example in reading["examples"]),
        f"{words}\nWhat is {one_line(class_name, 100)!r}?",
    )
