"""Translate names in recorded data into today's."""

from __future__ import annotations

from collections.abc import Mapping

WORDS: Mapping[str, str] = {
    ", told the sentence": ", with description",
    ", told it in unusual words": ", description in unusual words",
    ", told the class names": ", class names only",
    ", told nothing": ", no information",
    ", told, from the pool": ", with description, from our starting templates",
    ", told, by altered views": ", with description, augmented copies",
    "guided, untold": "guided, class names only",
    ", untold": ", without description",
    ", told": ", with description",
    "plain template": "default template",
    "initial pool's pick": "best starting template",
    "test: plain": "test: default template",
    "test: initial pool": "test: best starting template",
}
"""Parts of names; the first that fits counts."""


def todays(name: str) -> str:
    """Return a recorded name in today's words."""
    for recorded, word in WORDS.items():
        if recorded in name:
            return name.replace(recorded, word)
    return name
