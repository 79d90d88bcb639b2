"""Our own request in an answer: a small model repeats the task before, or instead of, doing it.

Lines that hold one of our phrases are left out, and so are the lists that stand under one of our headings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from .measures import MEASURES
from .requests import (
    BEST_HEADING,
    CURRENT_HEADING,
    LEARN,
    RULE_FORM,
    RULE_LENGTH,
    RULE_LINES,
    RULE_SLOT,
    TRAJECTORY_HEADING,
    UNREADABLE,
    WORST_HEADING,
)
from .slots import with_slots
from .template import SLOT

_LIST_LINE = re.compile(r"\s*(?:[-+*•>]|\(?\d{1,3}[.):])")
_DECORATION = str.maketrans("", "", '*_#`"')
_MOST_LOOKED_AT = 1_000


def _plain(text: str) -> str:
    return " ".join(text[:_MOST_LOOKED_AT].translate(_DECORATION).casefold().split()).lstrip("- >")


def _sentences(text: str) -> list[str]:
    return [sentence for sentence in text.split(". ") if sentence]


_HEADINGS = tuple(
    # Without what follows the comma: that is what is left out first.
    _plain(heading).rstrip(":").split(",")[0]
    for heading in (
        *(BEST_HEADING, WORST_HEADING, CURRENT_HEADING, TRAJECTORY_HEADING),
        *(measure.outcomes for measure in MEASURES.values()),
    )
)
_PHRASES = tuple(
    _plain(phrase).rstrip(".")
    for phrase in (
        *(part for part in RULE_SLOT.split(SLOT) if part.strip()),
        *(RULE_LENGTH, RULE_LINES, RULE_FORM, LEARN),
        *_sentences(UNREADABLE),
        *(sentence for measure in MEASURES.values() for sentence in _sentences(measure.task)),
    )
)


def is_echo(line: str) -> bool:
    """Return whether a line says what our requests say."""
    plain = _plain(line)
    return any(phrase in plain for phrase in _PHRASES)


def without_echoes(lines: Iterable[str]) -> Iterator[str]:
    """Leave out the lines of our requests, and the lists under our headings down to the next empty line."""
    listing = begun = False
    for line in lines:
        if _plain(line).startswith(_HEADINGS) and SLOT not in with_slots(line[:_MOST_LOOKED_AT]):
            listing, begun = True, False
            continue
        if listing and (_LIST_LINE.match(line) or (not line.strip() and not begun)):
            begun = begun or bool(line.strip())
            continue
        listing = False
        if not is_echo(line):
            yield line
