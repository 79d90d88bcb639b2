"""Which words went with better templates and which with worse, over all that were scored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

from .result import Row

FEWEST = 3
"""Templates with a word, and without it, below which nothing is said of it."""
MOST = 8
_MARKS = ".,;:!?\"'()[]"
_SLOT = "{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WordEffect:
    """What went with a word.

    Attributes:
        word: The word, in small letters.
        templates: How many templates have it.
        difference: Their mean training score less that of all others.
    """

    word: str
    templates: int
    difference: float


def word_effects(rows: Iterable[Row]) -> tuple[list[WordEffect], list[WordEffect]]:
    """Return the words that went with better templates, and those that went with worse ones.

    That is no proof: words come together, and a restart writes more of what did well.

    Args:
        rows: Templates with their training scores; one that stands there twice counts once.
    """
    scores = {row.template: row.train for row in rows}
    with_word: dict[str, list[float]] = {}
    for template, train in scores.items():
        for word in words_of(template):
            with_word.setdefault(word, []).append(train)
    everything = sum(scores.values())
    found = []
    for word, having in with_word.items():
        lacking = len(scores) - len(having)
        if len(having) >= FEWEST and lacking >= FEWEST:
            without = (everything - sum(having)) / lacking
            found.append(WordEffect(word=word, templates=len(having), difference=fmean(having) - without))
    # Of two that differ alike the one seen more often is the surer.
    found.sort(key=lambda one: (-one.difference, -one.templates, one.word))
    better = [one for one in found if one.difference > 0][:MOST]
    worse = [one for one in reversed(found) if one.difference < 0][:MOST]
    return better, worse


def words_of(template: str) -> set[str]:
    """Return the words of a template in small letters, without marks; a slot is none."""
    found = (part.casefold().replace(_SLOT, "").strip(_MARKS) for part in template.split())
    return {word for word in found if word}
