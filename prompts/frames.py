"""Frames: captions with a gap for words of a description, beside the slot for the class name.

``phrases`` takes a description apart; ``framed`` puts what it finds into the frames.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from .caption_grammar import SYMBOLS

_GAP, _SECOND = "<w>", "<v>"
FRAMES: tuple[str, ...] = (
    "{} <w>", "<w> {}", "a {} <w>", "the <w> {}", "a <w> {}", "{} in <w>", "{} as <w>", "{} on <w>",
    "{} by <w>", "{} with <w>", "<w> for {}", "<w> of {}", "<w> with {}", "<w> in {}", "<w> at {}",
    "<w> showing {}", "<w> that means {}", "<w> named {}", "the <w> is {}", "the <w> of {}",
    "the {} of <w>", "{}, <w>", "<w>: {}", "a photo of {} <w>", "a photo of <w> {}",
    "a photo of {} in <w>", "a photo of <w> showing {}", "a picture of {} with <w>",
    "a picture of <w> for {}", "{} written in <w>", "{} shown by <w>", "{} made of <w>",
)  # fmt: skip
"""Frames of one gap."""
DOUBLE_FRAMES: tuple[str, ...] = (
    "{} <w> in <v>", "<w> {} in <v>", "{} <w> <v>", "<w> <v> {}", "<w> {} <v>", "a {} <w> on <v>",
    "<w> of {} <v>", "<w> for {} in <v>", "<w> with {} <v>", "the <w> of <v> is {}",
    "a photo of {} <w>, <v>",
)  # fmt: skip
"""Frames of two gaps."""
NEUTRAL: tuple[str, ...] = tuple(
    dict.fromkeys(
        word for name in ("sign", "code", "signal", "counted", "part", "aspect") for word in SYMBOLS[name]
    )
)
"""Words of form to fill gaps with where nothing is described."""

MOST_PHRASES = 200
LONGEST_PHRASE = 4
_CLAUSE = re.compile(r"[.,;:!?()\[\]\"“”„«»…|/]+|\s[-–—]+\s|\band\b|\bor\b|\bbut\b", re.IGNORECASE)
_WORD = re.compile(r"[^\s{}<>]+")
_FUNCTION_WORDS = """
a an the this that these those it its they them their he she we you i my your our some any each every
all both one is are was were be been being am has have had do does did can could will would shall should
may might must of in on at by to from with without for as into onto over under than then so not no nor
only also just very too here there where which who whom whose what when how if because while about like
up down out off through between among other another same such more most less least few many much several
show shows showing shown see seen picture pictures image images photo photos photograph photographs
class classes named called name names
"""
_WITHOUT_CONTENT = frozenset(_FUNCTION_WORDS.split())


def phrases(description: str, class_names: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the words and phrases of a description that may stand in a caption, each once.

    A phrase is a run of at most four words of one clause that begins and ends with words of content;
    one that holds a class name would pull towards that class and is left out. A plural is given in the
    singular as well. Single words come first.
    """
    taboo = {name.casefold() for name in class_names}
    runs = [_WORD.findall(clause) for clause in _CLAUSE.split(description)]
    found: dict[str, None] = {}
    for length in range(1, LONGEST_PHRASE + 1):
        for run in runs:
            for start in range(len(run) - length + 1):
                words = run[start : start + length]
                if _is_content(words[0]) and _is_content(words[-1]) and not _named(words, taboo):
                    found |= dict.fromkeys(_forms(words))
    return tuple(found)[:MOST_PHRASES]


def framed(frame: str, first: str, second: str = "") -> str:
    """Return a frame with its gaps filled."""
    return frame.replace(_GAP, first).replace(_SECOND, second)


def _is_content(word: str) -> bool:
    return word.casefold() not in _WITHOUT_CONTENT and any(map(str.isalnum, word))


def _named(words: Sequence[str], taboo: set[str]) -> bool:
    bare = [word.casefold() for word in words]
    return any(
        " ".join(bare[start:end]) in taboo
        for start in range(len(bare))
        for end in range(start + 1, len(bare) + 1)
    )


def _forms(words: Sequence[str]) -> Iterator[str]:
    *before, last = words
    yield " ".join(words)
    if (one := singular(last)) != last:
        yield " ".join((*before, one))


def singular(word: str) -> str:
    """Return an English plural's singular, by its ending; what seems to be none as it is."""
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    return word[:-2] if word.endswith(("xes", "ches", "shes", "sses", "zes")) else word[:-1]
