"""Starting candidates of a restart: the content of a user's file, and draws from a pool."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache

from pydantic import TypeAdapter, ValidationError

from .kinds import Candidate, CandidateError, PromptKind

MAX_FILE_BYTES = 5_000_000
_LOOKED_AT = 8
"""Candidates of a group that are compared in a draw from several groups."""

_STRINGS = TypeAdapter(list[str])
_JSON_LIST = re.compile(r"""\s*\[\s*(?:["\[{]|\]\s*\Z|\Z)""")


class PoolError(ValueError):
    """A pool cannot be used; the message names the file, the line or item, and what to do."""


def parse_file(text: str, path: str, kind: PromptKind) -> list[Candidate]:
    """Read the candidates of a file with this text, in order and with repetitions.

    A file named ``.json``, or one that begins like a JSON list, is a list of strings. Any other has one
    candidate a line; empty lines and those that begin with ``#`` are skipped.

    Raises:
        PoolError: It holds no candidate, or has a line or item that is not one.
    """
    is_json = path.lower().endswith(".json") or _JSON_LIST.match(text) is not None
    candidates: list[Candidate] = []
    wrong: list[str] = []
    for where, raw in _json_items(text, path, kind) if is_json and text.strip() else _lines(text):
        try:
            candidates.append(kind.parse_own(raw))
        except CandidateError as error:
            wrong.append(f"{path}: {where}: {error}")
    if wrong:
        more = f" ({len(wrong) - 1} more like it)" if len(wrong) > 1 else ""
        raise PoolError(f"{wrong[0]}; {kind.words.a_noun} looks like this: {kind.example}{more}")
    if not candidates:
        raise PoolError(f"{path}: it holds no {kind.words.noun}; write one a line, such as: {kind.example}")
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


def _lines(text: str) -> Iterator[tuple[str, str]]:
    # Split at line feeds only, as editors count lines; other breaks are then refused as control characters.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield f"line {number}", line


def _json_items(text: str, path: str, kind: PromptKind) -> Iterator[tuple[str, str]]:
    try:
        items = _STRINGS.validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = f"item {int(first['loc'][0]) + 1}: " if first["loc"] else ""
        what = f'write a list of {kind.words.noun}s, such as ["{kind.example}"]'
        raise PoolError(f"{path}: {where}{first['msg']}; {what}") from error
    for number, item in enumerate(items, start=1):
        yield f"item {number}", item
