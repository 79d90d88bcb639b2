"""Look words up in FreeDict's dictionaries, as Debian's packages dict-freedict-* bring them."""

from __future__ import annotations

import gzip
import re
import string
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from training.gather_art import cache_folder
from training.tags import debian_folder

PAIRS: Mapping[str, Sequence[str]] = {
    "chinese": ("eng-zho",),
    "finnish": ("fin-eng", "eng-fin"),
    "greek-rare": ("ell-eng", "eng-ell"),
    "hungarian": ("hun-eng", "eng-hun"),
    "icelandic": ("isl-eng",),
    "japanese": ("jpn-eng", "eng-jpn"),
    "latin-species": ("lat-eng", "eng-lat"),
    "spanish": ("spa-eng", "eng-spa"),
    "swahili": ("swh-eng", "eng-swh"),
    "turkish": ("tur-eng", "eng-tur"),
    "welsh": ("cym-eng", "eng-cym"),
}
"""Sets of vocabularies.toml whose language FreeDict has: its dictionaries, that into English first."""
DIGITS = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
ASIDE = re.compile(r"\([^)]*\)|\{[^}]*\}|\[[^\]]*\]|<[^>]*>|/[^/]*/|^\s*\d+\.\s*")
ENGLISH = re.compile(r"[A-Za-z][A-Za-z' -]{0,30}")
ARTICLE = re.compile(r"^(a|an|the|to) ")
MOST_WORDS = 3


def readings(data: str, name: str) -> list[str]:
    """Return what a name may mean in English: its glosses, then English headwords whose entries have it.

    Of a name that no dictionary has, the known words are joined in their order.
    """
    whole = _readings(data, name)
    joined = " ".join(own[0] for word in name.split() if (own := _readings(data, word)))
    return whole or [joined] * bool(joined)


def _readings(data: str, name: str) -> list[str]:
    key = name.casefold()
    english: list[str] = []
    for pair in PAIRS[data]:
        if pair.endswith("-eng"):
            english += [gloss for entry in _entries(pair).get(key, ()) for gloss in _glosses(entry)]
        else:
            english += sorted(_headwords(pair).get(key, ()), key=len)
    return list(dict.fromkeys(ARTICLE.sub("", reading) for reading in english if _is_english(reading)))


def _is_english(text: str) -> bool:
    return ENGLISH.fullmatch(text) is not None and len(text.split()) <= MOST_WORDS


@cache
def _entries(pair: str) -> Mapping[str, Sequence[str]]:
    """Return the entries of a dictionary by headword."""
    package = f"dict-freedict-{pair}"
    stem = debian_folder(package, cache_folder()) / "usr" / "share" / "dictd" / f"freedict-{pair}"
    text = gzip.decompress(stem.with_suffix(".dict.dz").read_bytes())
    entries: dict[str, list[str]] = {}
    for line in stem.with_suffix(".index").read_text("utf-8").splitlines():
        word, start, length = line.split("\t")[:3]
        if not word.startswith("00"):
            first = _number(start)
            entry = text[first : first + _number(length)].decode("utf-8", "replace")
            entries.setdefault(word.casefold(), []).append(entry)
    return entries


@cache
def _headwords(pair: str) -> Mapping[str, Sequence[str]]:
    """Return the headwords of a dictionary by gloss."""
    headwords: dict[str, list[str]] = {}
    for word, entries in _entries(pair).items():
        for entry in entries:
            for gloss in _glosses(entry):
                headwords.setdefault(gloss.casefold(), []).append(word)
    return headwords


def _number(digits: str) -> int:
    """Read a number of a dictionary's index, to the base of 64."""
    number = 0
    for digit in digits:
        number = 64 * number + DIGITS.index(digit)
    return number


def _glosses(entry: str) -> Iterator[str]:
    for line in entry.splitlines()[1:]:
        for gloss in re.split(r"[,;/]", ASIDE.sub("", line)):
            if word := gloss.strip(" \t.;"):
                yield word
