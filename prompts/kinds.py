"""Prompt kinds: the forms of what is searched for. The search knows a candidate by this interface alone.

A kind says how a candidate is written for the LLM, read from an answer, checked, compared, filled for the
scorer, shown and exported. To add one, write a module with a ``KIND`` and name it in ``KINDS``;
``tests/agent/search/test_prompt_kinds.py`` has a complete one.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from .wording import Wordings

TEMPLATE = "template"
"""The default kind."""
CLASS_NAMES = "class-names"
"""Templates, then names of single classes."""
INSTRUCTION = "instruction"
"""Instructions for a model that sees an image and answers in words."""
KINDS: dict[str, str] = {
    TEMPLATE: ".template_kind",
    CLASS_NAMES: ".class_names",
    INSTRUCTION: ".instruction",
}
"""Modules with a ``KIND``, by the names that users give."""


HEADINGS: Mapping[str, str] = {
    "best": "These {noun}s do best, the best one first:",
    "worst": "These {noun}s do badly, the worst one last:",
    "current": "The best {noun} so far:",
    "trajectory": "{Noun}s tried so far with their scores, the best one last:",
}
MOST_CHARACTERS = 500
"""More than any text tower reads: 77 tokens are about 400 characters of English."""


class CandidateError(ValueError):
    """A text is not a candidate; ``reason`` is a short slug, such as ``empty`` or ``no_slot``."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def one_line(text: str, most: int | None = None) -> str:
    """Return a text with single spaces and no line ends, cut to ``most`` characters with an ellipsis."""
    line = " ".join(text.split())
    return line if most is None or len(line) <= most else line[: most - 1] + "…"


def check_words(text: str, most: int | None, *, apart_from: str = "") -> None:
    """Raise CandidateError if a text has more words than ``most``; ``apart_from`` counts as none."""
    words = sum(word != apart_from for word in text.split())
    if most is not None and words > most:
        raise CandidateError("too_many_words", f"it has {words} words, at most {most} are allowed")


def too_long(length: int, most: int) -> CandidateError:
    """Return the error for a text with too many characters."""
    return CandidateError("too_long", f"it has {length:,} characters, at most {most:,} are allowed")


class Candidate(Protocol):
    """A value that is searched for; immutable."""

    def __hash__(self) -> int: ...

    @property
    def text(self) -> str:
        """The candidate as requests, answers, events and the result write it."""
        ...

    @property
    def key(self) -> str:
        """Equal for two spellings of one candidate."""
        ...

    @property
    def scored_as(self) -> str:
        """The text that the scorer gets, and that exports hold."""
        ...


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A proposal that is not a usable candidate.

    Attributes:
        line: At most 200 characters that the LLM wrote. Untrusted text.
        reason: A slug of ``CandidateError``, ``duplicate`` (within this answer), or ``too_many_lines`` or
            ``answer_too_long`` (the rest was not read).
        message: The reason in words, fit for a request.
    """

    line: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Proposals:
    """The candidates of an answer in its order, no two with the same key, and the proposals refused."""

    candidates: tuple[Candidate, ...]
    refused: tuple[RefusedLine, ...]

    @classmethod
    def of(cls, texts: Iterable[tuple[str, str]], parse: Callable[[str], Candidate]) -> Proposals:
        """Parse texts, each given with the line that it was read from, fit to be shown."""
        candidates: dict[str, Candidate] = {}
        refused: list[RefusedLine] = []
        for line, text in texts:
            try:
                candidate = parse(text)
                if candidate.key in candidates:
                    raise CandidateError("duplicate", "it stands in this answer already")
                candidates[candidate.key] = candidate
            except CandidateError as error:
                refused.append(RefusedLine(line, error.reason, str(error)))
        return cls(tuple(candidates.values()), tuple(refused))

    def cut(self, reason: str, message: str) -> Proposals:
        """Return them with a last line that says what was not read."""
        return Proposals(self.candidates, (*self.refused, RefusedLine("", reason, message)))


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateNoun:
    """The name of candidates in texts for people.

    Attributes:
        noun: A candidate's name, such as "template".
    """

    noun: str

    @property
    def a_noun(self) -> str:
        return f"{'an' if self.noun[0] in 'aeiou' else 'a'} {self.noun}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KindWords(CandidateNoun):
    """Words for candidates in the requests of ``prompts.requests``.

    Attributes:
        intro: How the scorer uses a candidate.
        goals: What is looked for, by objective.
        rule: What every candidate must keep, as one clause.
        unreadable: The answer to an answer without a candidate.
    """

    intro: str
    goals: Mapping[str, str]
    rule: str
    unreadable: str

    def heading(self, above: str) -> str:
        """Return what stands above candidates in a request; ``above`` is a name in ``HEADINGS``."""
        return HEADINGS[above].format(noun=self.noun, Noun=self.noun.capitalize())


def goals_of(what: str, sought: str, which: str) -> Mapping[str, str]:
    """Return what is looked for, by objective: what decides it, what is sought, and which of it."""
    looking = f"depends on {what}, and we are looking for {sought}"
    of_class, best = "a picture's own class", "with the highest mean"
    return {
        "accuracy": f"How many pictures are sorted correctly {looking} {which}.",
        "class_mean": f"How many pictures of a class are sorted correctly {looking} {which}, in the mean "
        "over classes.",
        "logprob": f"How probable the model finds {of_class} {looking} {best} log-probability of it: the "
        "nearer to 0, the better.",
        "margin": f"How far {of_class} is ahead of the best other one {looking} {best} margin: below 0 "
        "the other one is ahead.",
    }


class PromptKind(ABC):
    """One form of what is searched for; see the module's text.

    Attributes:
        name: Its name in ``KINDS``.
        example: A candidate, for messages.
        slot: The place within a candidate's text that methods must not change; may be empty.
        frames: Candidates with a gap ``<w>`` for words of a description.
        double_frames: The same with a second gap ``<v>``.
        fillers: Words for the gaps that fit where nothing is described.
        max_words: Words per candidate at most; those that the user writes may have more.
        most_characters: Characters of the longest candidate.
        averaged: Whether a scorer can use several candidates together, as an ensemble.
        default: What users have without a search, as the scorer gets it.
        renames_classes: Whether a search goes on to new names for single classes, in the best template.
    """

    name: str
    words: KindWords
    example: str
    slot: str = ""
    frames: Sequence[str] = ("<w>",)
    double_frames: Sequence[str] = ("<w> <v>",)
    fillers: Sequence[str] = ()
    max_words: int = 15
    most_characters: int = MOST_CHARACTERS
    averaged: bool = True
    default: str = "a photo of a {}"
    renames_classes: bool = False

    @property
    def sought(self) -> str:
        """What is searched for, as a heading."""
        return "Class names" if self.renames_classes else f"{self.words.noun.capitalize()}s"

    @property
    @abstractmethod
    def wordings(self) -> Wordings:
        """The texts of ``guided`` for this kind."""

    @abstractmethod
    def parse(self, raw: str, *, max_words: int | None) -> Candidate:
        """Read one candidate of at most ``max_words`` words; None for no limit.

        Raises:
            CandidateError: The text is not a candidate.
        """

    @abstractmethod
    def read(self, answer: str) -> Proposals:
        """Read the candidates of an LLM's answer. Never raises."""

    @abstractmethod
    def starting(self, pool: str) -> Sequence[Sequence[Sequence[Candidate]]]:
        """Return the tiers of a built-in pool, each to be drawn from once the earlier ones are used up.

        A tier has one group of candidates or several alike.
        """

    def parse_own(self, raw: str) -> Candidate:
        """Read a candidate that the user wrote, of any length; raise as ``parse`` does."""
        return self.parse(raw, max_words=None)

    def parse_scored(self, text: str) -> Candidate:
        """Read a text that a scorer gets, such as a hand-made baseline, as a candidate.

        Raises:
            CandidateError: The text is not a candidate.
        """
        return kind_named(TEMPLATE).parse_scored(text)


def kind_named(name: str) -> PromptKind:
    """Return the kind of a name in ``KINDS``; raise KeyError for an unknown one."""
    return cast("PromptKind", importlib.import_module(KINDS[name], __package__).KIND)
