"""From a chat to a list that a base model can continue.

A base model follows no instructions, but it continues a list. So the templates that the chat shows are
written one a line, the best one last, under a heading; what the model writes next is a line of the same
kind. The slot is written as a word in angle brackets, because the model keeps that one better than empty
braces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ....prompts.measures import MEASURES
from ....prompts.replies import parse_reply
from ....prompts.requests import (
    BEST_HEADING,
    CURRENT_HEADING,
    TRAJECTORY_HEADING,
    WORST_HEADING,
)
from ....prompts.template import DEFAULT_MAX_WORDS, SLOT, Template

MAX_SHOWN = 16
MAX_WANTED = 100
DEFAULT_WANTED = 5
SLOT_WORD = "<object>"
HEADING = f"Captions for pictures, {SLOT_WORD} stands for the name of a thing:"
_WITHOUT_EXAMPLES = "a photo of a {}"

_WANTED = re.compile(
    r"\bwrite (\d{1,4})\b|\b(\d{1,4}) (?:\w+ ){0,2}(?:templates?|variations?|captions?|prompts?)\b",
    re.IGNORECASE,
)
_MAX_WORDS = re.compile(
    r"\b(\d{1,3}) words at most|(?:at most|under|fewer than|less than|up to|no more than) (\d{1,3}) words",
    re.IGNORECASE,
)
_OUTCOME = re.compile(r"\((rose to|fell to|stayed at) (-?\d+(?:\.\d+)?)")
_RULES = "Rules:"
_OUTCOMES = frozenset(measure.outcomes for measure in MEASURES.values())
_HEADINGS = (BEST_HEADING, WORST_HEADING, CURRENT_HEADING, TRAJECTORY_HEADING, *_OUTCOMES, _RULES)


@dataclass(frozen=True, slots=True)
class Listing:
    """What a chat asks of a base model.

    Attributes:
        shown: the templates to continue from, the best one last.
        known: the keys of all templates that the chat mentions, good or bad; none of them is an answer.
        wanted: how many new templates are asked for.
        max_words: the most words that one may have.
    """

    shown: tuple[str, ...]
    known: frozenset[str]
    wanted: int
    max_words: int

    @property
    def most_slots(self) -> int:
        """The most slots that a template shown has."""
        return max((text.count(SLOT) for text in self.shown), default=1)

    @property
    def prompt(self) -> str:
        """The heading and the list, ready to be continued with the next line."""
        lines = [text.replace(SLOT, SLOT_WORD) for text in self.shown or (_WITHOUT_EXAMPLES,)]
        return "\n".join([HEADING, *lines, ""])


@dataclass(slots=True)
class _Sections:
    """The templates of a chat by the heading that they stand under, in the order of the chat."""

    best: list[Template] = field(default_factory=list)
    climbed: list[tuple[float, Template]] = field(default_factory=list)
    other: list[Template] = field(default_factory=list)
    known: set[str] = field(default_factory=set)


def read_chat(messages: Sequence[Mapping[str, str]]) -> Listing:
    """Read the templates, their order and the number wanted out of a chat.

    The requests of ``prompts.requests`` are understood in full: the best list, what later turns say
    rose, stayed or fell, the bad list (which is only kept from being repeated). Of any other chat, the list
    lines with a slot are taken in their order, and the number wanted from "write 5" or "5 captions".

    Args:
        messages: mappings with ``role`` and ``content``.
    """
    sections = _Sections()
    for message in messages:
        if message["role"] == "assistant":
            sections.known |= {
                template.key for template in parse_reply(message["content"], max_words=None).templates
            }
        else:
            _read_turn(message["content"], sections)
    ranked = [template for _, template in sorted(sections.climbed, key=lambda pair: pair[0])]
    shown = {template.key: template.text for template in [*(sections.best or sections.other), *ranked]}
    asked = next((m["content"] for m in reversed(messages) if m["role"] == "user"), "")
    wanted = _number(_WANTED, asked, DEFAULT_WANTED)
    return Listing(
        tuple(shown.values())[-MAX_SHOWN:],
        frozenset(sections.known),
        max(1, min(wanted, MAX_WANTED)),
        _number(_MAX_WORDS, asked, DEFAULT_MAX_WORDS),
    )


def _read_turn(content: str, sections: _Sections) -> None:
    for heading, lines in _blocks(content):
        if heading == _RULES:
            continue
        pairs = [
            (line, template) for line in lines for template in parse_reply(line, max_words=None).templates
        ]
        templates = [template for _, template in pairs]
        sections.known |= {template.key for template in templates}
        if heading == BEST_HEADING:
            sections.best += reversed(templates)
        elif heading in (CURRENT_HEADING, TRAJECTORY_HEADING):
            sections.best += templates
        elif heading in _OUTCOMES:
            sections.climbed += _climbed(pairs)
        elif heading != WORST_HEADING:
            sections.other += templates


def _blocks(content: str) -> Iterator[tuple[str, list[str]]]:
    heading, lines = "", list[str]()
    for line in content.splitlines():
        if line.strip() in _HEADINGS or not line.strip():
            yield heading, lines
            heading, lines = line.strip(), []
        elif re.match(r"\s*(?:[-*•]|\d{1,3}[.)])", line):
            lines.append(line)
        elif heading not in _HEADINGS:
            heading = ""
    yield heading, lines


def _climbed(pairs: Sequence[tuple[str, Template]]) -> list[tuple[float, Template]]:
    found = []
    for line, template in pairs:
        outcome = _OUTCOME.search(line)
        if outcome is not None and outcome[1] != "fell to":
            found.append((float(outcome[2]), template))
    return found


def _number(pattern: re.Pattern[str], text: str, default: int) -> int:
    matches = pattern.findall(text)
    return int(next(filter(None, matches[-1]))) if matches else default
