"""Starting candidates of a restart: the user's file, and draws from a pool."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from .kinds import Candidate, CandidateError, PromptKind

MAX_FILE_BYTES = 5_000_000
_LOOKED_AT = 8
"""Candidates of a group that are compared in a draw from several groups."""

_JSON_LIST = re.compile(r"""\s*\[\s*(?:["\[{]|\]\s*\Z|\Z)""")
_KINDS = {
    dict: "an object", list: "a list", bool: "a truth value", type(None): "null",
    int: "a number", float: "a number",
}  # fmt: skip
_BETWEEN_ITEMS = re.compile(r"[\s,]*")


class PoolError(ValueError):
    """A pool cannot be used; the message names the file, the line and what to do."""


def read_file(path: str | Path, kind: PromptKind) -> list[Candidate]:
    """Read a UTF-8 file of candidates, at most 5 MB, in order and with repetitions.

    A file named ``.json``, or one that begins like a JSON list, is a list of strings. Any other has one
    candidate a line; empty lines and those that begin with ``#`` are skipped.

    Raises:
        PoolError: The file cannot be read, holds no candidate, or has a line that is not one.
    """
    path = Path(path)
    text = _read(path)
    noun, example = kind.words.noun, kind.example
    if not text.strip():
        raise PoolError(f"{path}: line 1: the file is empty; write one {noun} a line, such as: {example}")
    is_json = path.suffix.lower() == ".json" or _JSON_LIST.match(text) is not None
    items = list(_json_items(path, text, kind) if is_json else _lines(text))
    candidates: list[Candidate] = []
    wrong: list[str] = []
    for number, raw in items:
        try:
            candidates.append(kind.parse_own(raw))
        except CandidateError as error:
            wrong.append(f"{path}: line {number}: {error}")
    if wrong:
        more = len(wrong) - 1
        others = f" ({more} more {'line is' if more == 1 else 'lines are'} wrong)" if more else ""
        raise PoolError(f"{wrong[0]}; {kind.words.a_noun} looks like this: {example}{others}")
    if not candidates:
        raise PoolError(f"{path}: line 1: the file holds no {noun}; write one a line, such as: {example}")
    return candidates


def draw(groups: Sequence[Sequence[Candidate]], n: int, rng: random.Random) -> list[Candidate]:
    """Draw ``n`` candidates without repetition, in an order that depends on ``rng`` alone.

    Several groups give one candidate each in an order drawn anew each time around: of a few, the one whose
    words were drawn least so far. Raises PoolError unless ``n`` is between 1 and the number of candidates.
    """
    total = sum(map(len, groups))
    if not 1 <= n <= total:
        raise PoolError(f"cannot draw {n} from a pool of {total}: ask for 1 to {total}")
    if len(groups) == 1:
        return rng.sample(list(groups[0]), n)
    left = [rng.sample(list(group), len(group)) for group in groups]
    drawn: list[Candidate] = []
    uses: Counter[str] = Counter()  # of each word

    def mean_uses(candidate: Candidate) -> float:
        words = _words(candidate)
        return sum(uses[word] for word in words) / max(len(words), 1)

    while len(drawn) < n:
        left = [group for group in left if group]
        for group in rng.sample(left, len(left))[: n - len(drawn)]:
            # Negative indices: the candidates at the end of the shuffled group.
            index = min(range(-min(_LOOKED_AT, len(group)), 0), key=lambda index: mean_uses(group[index]))
            candidate = group.pop(index)
            drawn.append(candidate)
            uses.update(_words(candidate))
    return drawn


@lru_cache(maxsize=10_000)
def _words(candidate: Candidate) -> tuple[str, ...]:
    return tuple(word.strip(".,;:!?") for word in candidate.key.split() if "{" not in word)


def _read(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():
            raise PoolError(f"{path}: is not a file; name a JSON list or a text file with one item a line")
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise PoolError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(raw) > MAX_FILE_BYTES:
        line = raw.count(b"\n") + 1
        raise PoolError(f"{path}: line {line}: the file is larger than {MAX_FILE_BYTES:,} bytes; split it")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise PoolError(
            f"{path}: line {line}: byte {error.start + 1} is not UTF-8; save the file as UTF-8"
        ) from error


def _lines(text: str) -> Iterator[tuple[int, str]]:
    # Split at line feeds only, as editors count lines; other breaks are then refused as control characters.
    for number, line in enumerate(text.split("\n"), start=1):
        bare = line.removesuffix("\r")
        if bare.strip() and not bare.lstrip().startswith("#"):
            yield number, bare


def _json_items(path: Path, text: str, kind: PromptKind) -> Iterator[tuple[int, str]]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise PoolError(
            f"{path}: line {error.lineno}: is not JSON: {error.msg} (column {error.colno})"
        ) from error
    except (ValueError, RecursionError) as error:
        raise PoolError(f"{path}: line 1: is not a JSON list of {kind.words.noun}s: {error}") from error
    if not isinstance(document, list):
        raise PoolError(
            f'{path}: line 1: is JSON but not a list; write a list of {kind.words.noun}s: ["{kind.example}"]'
        )
    decoder = json.JSONDecoder()
    line, start = 1, 0
    end_of_last = text.index("[") + 1
    # Decoded again item by item, as the whole document does not say on which line an item stands.
    for number, item in enumerate(document, start=1):
        previous, gap = start, _BETWEEN_ITEMS.match(text, end_of_last)
        start = end_of_last if gap is None else gap.end()
        _, end_of_last = decoder.raw_decode(text, start)
        line += text.count("\n", previous, start)
        if not isinstance(item, str):
            raise PoolError(f"{path}: line {line}: item {number} is {_KINDS[type(item)]}, not a string")
        yield line, item
