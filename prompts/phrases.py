"""Words and phrases of a description, and frames to put them into: candidates with a gap for words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_GAP, _SECOND = "<w>", "<v>"
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
    """Return the words and phrases of a description that may stand in a caption, each once, words first.

    A phrase is a run of at most four words of one clause, with words of content at both ends. One that holds
    a class name would pull towards that class and is left out. Plurals are added in the singular.
    """
    taboo = {name.casefold() for name in class_names}
    runs = [_WORD.findall(clause) for clause in _CLAUSE.split(description)]
    collected: dict[str, None] = {}
    for length in range(1, LONGEST_PHRASE + 1):
        for run in runs:
            for start in range(len(run) - length + 1):
                words = run[start : start + length]
                if _is_content(words[0]) and _is_content(words[-1]) and not _named(words, taboo):
                    *before, last = words
                    collected |= dict.fromkeys((" ".join(words), " ".join((*before, singular(last)))))
    return tuple(collected)[:MOST_PHRASES]


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


def singular(word: str) -> str:
    """Return an English plural's singular, by its ending, and other words unchanged."""
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    return word[:-2] if word.endswith(("xes", "ches", "shes", "sses", "zes")) else word[:-1]
