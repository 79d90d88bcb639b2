"""Where a restart starts: the built-in templates, your own file, and draws from either."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from .captions import CAPTIONS
from .slots import with_slots
from .template import SLOT, Template, TemplateError

BUILT_IN: tuple[str, ...] = tuple(CAPTIONS.splitlines())
"""Caption templates written for this project, varied in medium, view, light, place and phrasing."""

PLAIN = "a photo of a {}"
MAX_FILE_BYTES = 5_000_000
_LOOKED_AT = 8
"""Templates of a group that a draw for variety chooses among."""

_JSON_LIST = re.compile(r"""\s*\[\s*(?:["\[{]|\]\s*\Z|\Z)""")
_KINDS = {
    dict: "an object", list: "a list", bool: "a truth value", type(None): "null",
    int: "a number", float: "a number",
}  # fmt: skip
_BETWEEN_ITEMS = re.compile(r"[\s,]*")


class PoolError(ValueError):
    """A pool cannot be used; the message names the file, the line and what to do."""


def read_templates(path: str | Path, *, max_words: int | None = None) -> list[Template]:
    """Read a template file: a JSON list of strings, or one template a line.

    In a file of lines, empty ones and those that begin with ``#`` are passed over. A file named ``.json``,
    or one that begins like a JSON list, is JSON. UTF-8, with or without a byte-order mark. A slot may be
    written in other tools' ways (``{c}``, ``{class_name}``, ``[CLASS]``: see ``prompts.slots``). Order
    and repetitions are kept.

    Args:
        path: the file, at most 5 MB.
        max_words: the most words that a template may have; None for no limit.

    Raises:
        PoolError: if the file cannot be read, holds no template, or has a line that is none.
    """
    path = Path(path)
    text = _read(path)
    if not text.strip():
        raise PoolError(f"{path}: line 1: the file is empty; write one template a line, such as: {PLAIN}")
    is_json = path.suffix.lower() == ".json" or _JSON_LIST.match(text) is not None
    items = list(_json_items(path, text) if is_json else _lines(text))
    templates: list[Template] = []
    wrong: list[str] = []
    for number, raw in items:
        try:
            templates.append(Template.parse(_in_own_form(raw), max_words=max_words))
        except TemplateError as error:
            wrong.append(f"{path}: line {number}: {error}")
    if wrong:
        more = len(wrong) - 1
        others = f" ({more} more {'line is' if more == 1 else 'lines are'} wrong)" if more else ""
        raise PoolError(f"{wrong[0]}; a template looks like this: {PLAIN}{others}")
    if not templates:
        raise PoolError(f"{path}: line 1: the file holds no template; write one a line, such as: {PLAIN}")
    return templates


def draw(pool: Sequence[str | Template], n: int, rng: random.Random) -> list[Template]:
    """Draw ``n`` templates without repetition, in an order that depends on ``rng`` alone.

    Raises:
        PoolError: if ``n`` is not between 1 and the size of the pool.
        TemplateError: if a string drawn is not a template.
    """
    if not 1 <= n <= len(pool):
        raise PoolError(f"cannot draw {n} templates from a pool of {len(pool)}: ask for 1 to {len(pool)}")
    drawn = rng.sample(list(pool), n)
    return [item if isinstance(item, Template) else Template.parse(item, max_words=None) for item in drawn]


def draw_varied(groups: Iterable[Sequence[Template]], n: int, rng: random.Random) -> list[Template]:
    """Draw ``n`` templates without repetition that differ: from one group after the other, in rare words.

    The groups take turns, in an order that is drawn anew each turn. Of a few templates of a group the one
    whose words were drawn least so far is taken.

    Raises:
        PoolError: if ``n`` is not between 1 and the number of all templates.
    """
    left = [rng.sample(list(group), len(group)) for group in groups]
    total = sum(map(len, left))
    if not 1 <= n <= total:
        raise PoolError(f"cannot draw {n} templates from a pool of {total}: ask for 1 to {total}")
    drawn: list[Template] = []
    used: Counter[str] = Counter()
    while len(drawn) < n:
        left = [group for group in left if group]
        for group in rng.sample(left, len(left))[: n - len(drawn)]:
            place = min(range(-min(_LOOKED_AT, len(group)), 0), key=lambda at: _worn(group[at], used))
            template = group.pop(place)
            drawn.append(template)
            used.update(_said(template))
    return drawn


@lru_cache(maxsize=10_000)
def _said(template: Template) -> tuple[str, ...]:
    return tuple(word.strip(".,;:!?") for word in template.key.split() if SLOT not in word)


def _worn(template: Template, used: Mapping[str, int]) -> float:
    words = _said(template)
    return sum(used[word] for word in words) / max(len(words), 1)


def _read(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():
            raise PoolError(
                f"{path}: is not a file; name a JSON list or a text file with one template a line"
            )
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


def _json_items(path: Path, text: str) -> Iterator[tuple[int, str]]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise PoolError(
            f"{path}: line {error.lineno}: is not JSON: {error.msg} (column {error.colno})"
        ) from error
    except (ValueError, RecursionError) as error:
        raise PoolError(f"{path}: line 1: is not a JSON list of templates: {error}") from error
    if not isinstance(document, list):
        raise PoolError(f'{path}: line 1: is JSON but not a list; write a list of templates: ["{PLAIN}"]')
    decoder = json.JSONDecoder()
    line, counted = 1, 0
    place = text.index("[") + 1
    for number, item in enumerate(document, start=1):
        start = _end_of(_BETWEEN_ITEMS, text, place)
        _, place = decoder.raw_decode(text, start)
        line += text.count("\n", counted, start)
        counted = start
        if not isinstance(item, str):
            raise PoolError(f"{path}: line {line}: item {number} is {_KINDS[type(item)]}, not a string")
        yield line, item


def _end_of(pattern: re.Pattern[str], text: str, start: int) -> int:
    match = pattern.match(text, start)
    return start if match is None else match.end()


def _in_own_form(raw: str) -> str:
    return raw if SLOT in raw or len(raw) > 10_000 else with_slots(raw)
