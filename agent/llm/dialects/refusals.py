"""What the body of a refusal says: an object, a list, a text, or JSON inside a text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from .families import OVERLONG

MAX_READ = 10_000
"""Characters of one text that are looked at."""
_DEEPEST, _MOST = 8, 500
_NAMES_FIELD = frozenset({"param", "parameter", "field", "loc", "property", "path"})
_ECHOES = frozenset({"input", "input_value", "request", "request_body", "prompt", "url"})
"""Members that repeat what was sent, which is not what the endpoint says of it."""
_REFUSES = re.compile(
    r"not (?:\w+ )?(?:support|permit|allow|enabled|accept|valid|recogni[sz]ed)|n't support|cannot|unsupported"
    r"|unrecogni[sz]ed|unknown|unexpected|invalid|deprecated|extra|only|must|should|out of|exceed"
    r"|too (?:large|high|long|big)|range|maximum|at most|less (?:than|or)|removed|illegal"
    # Not legal, not supported, not valid, range, exceeds: gateways hand on what Chinese vendors say.
    r"|非法|不合法|不支持|无效|范围|超过|超出",
    re.IGNORECASE,
)
_CEILING = re.compile(
    r"<= ?|(?<=\s)< ?|≤ ?|at most |less (?:than )?(?:or equal to )?|no (?:more|greater|larger) than "
    r"|maximum(?: \w+){0,3} is |maximum of |between [-\d.]+ and |(?:\[|\(|: )[-\d.]+(?:\.\.| ?, ?| to | ?- ?)"
    r"|or 0\.\.|> (?=\d+, which is the maximum)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"`?(\d+(?:\.\d+)?)", re.ASCII)
_GROUPED = re.compile(
    # Not after a bracket: "[1,512]" and "(1,512)" are ranges.
    r"(?<![\d.,(\[])[1-9]\d{0,2}(?:[,_'\u00a0\u202f]\d{3})+(?![\d,])"
    r"|(?<=\()[1-9]\d{0,2}(?:,\d{3})+(?![\d,)])",
    re.ASCII,
)
"""A number with its thousands set apart: "4,096"."""
_MOST_TOLD = 1e12
"""A larger number is a fault of the endpoint."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a refusal says, its form apart.

    Attributes:
        texts: Every text in it, but what it only repeats.
        fields: What it says is concerned (``param``, ``loc`` and the like).
        numbers: Numbers by the name of their member.
    """

    texts: tuple[str, ...]
    fields: tuple[str, ...]
    numbers: Mapping[str, float]

    @property
    def text(self) -> str:
        """All of its texts."""
        return "\n".join(self.texts)

    def names(self, parameters: Iterable[str]) -> list[str]:
        """Return which of some parameters it is about: those that a field names, else those in the texts."""
        known = {name: _spelled(name) for name in parameters}
        if found := [name for name in known if any(known[name].search(field) for field in self.fields)]:
            return found
        refusing = [text for text in self.texts if _REFUSES.search(text)]
        return [name for name in known if any(known[name].search(text) for text in refusing)]

    def ceiling(self, parameter: str) -> float | None:
        """Return the most that a parameter may be, None where no such thing is said."""
        if (most := self.numbers.get("le")) is not None:
            return most
        for text in self.texts:
            if _spelled(parameter).search(text) or any(
                _spelled(parameter).search(one) for one in self.fields
            ):
                ends = (_NUMBER.match(text, found.end()) for found in _CEILING.finditer(text))
                told = (_amount(end[1]) for end in ends if end)
                if tops := [top for top in told if top is not None]:
                    return tops[0]
        return None


@dataclass(frozen=True, slots=True)
class Overlong:
    """A request longer than an endpoint takes, in tokens; None where it does not say.

    Attributes:
        window: All that fits.
        prompt: What the messages have.
        both: What messages and answer have.
    """

    window: int | None = None
    prompt: int | None = None
    both: int | None = None


def read_refusal(body: object) -> Refusal:
    """Read the body of a refusal; never raises."""
    texts: list[str] = []
    fields: list[str] = []
    numbers: dict[str, float] = {}
    for count, (name, value) in enumerate(_leaves("", body, _DEEPEST)):
        if count >= _MOST:
            break
        if isinstance(value, str):
            (fields if name in _NAMES_FIELD else texts).append(_ungrouped(value[:MAX_READ]))
        elif (number := _amount(value)) is not None:
            numbers.setdefault(name, number)
    return Refusal(tuple(texts), tuple(fields), numbers)


def overlong(refusal: Refusal) -> Overlong | None:
    """Return what is said of a request that is too long, None where the refusal is about something else."""
    for words in OVERLONG:
        if found := words.search(refusal.text):
            read = {name: _amount(value) for name, value in found.groupdict().items()}
            told = {name: int(value) for name, value in read.items() if value is not None}
            for name, member in (("window", "n_ctx"), ("prompt", "n_prompt_tokens")):
                if member in refusal.numbers:
                    told.setdefault(name, int(refusal.numbers[member]))
            return Overlong(**told)
    return None


def _amount(value: object) -> float | None:
    """Return a number that an endpoint tells, None for no number and for one that nothing can have."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    number = float(value) if isinstance(value, str) or abs(value) <= _MOST_TOLD else math.inf
    return number if abs(number) <= _MOST_TOLD else None


def _ungrouped(text: str) -> str:
    """Return a text with its numbers written without marks between the thousands."""
    return _GROUPED.sub(lambda number: re.sub(r"\D", "", number[0]), text)


def _leaves(name: str, value: object, deepest: int) -> Iterator[tuple[str, object]]:
    """Yield the texts and numbers in a value, each with the name of the member that holds it."""
    if deepest <= 0 or name in _ECHOES:
        return
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "[") and (inner := _parsed(value)) is not None:
        yield from _leaves(name, inner, deepest - 1)
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _leaves(str(key), each, deepest - 1)
    elif isinstance(value, list | tuple) and name in _NAMES_FIELD:
        yield name, ".".join(str(step) for step in value)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _leaves(name, each, deepest - 1)
    else:
        yield name, value


def _parsed(text: str) -> object:
    try:
        found = json.loads(text[:MAX_READ])
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict | list) else None


def _spelled(name: str) -> re.Pattern[str]:
    """Match a parameter as vendors write it: ``max_tokens``, ``maxTokens``, ``max tokens``."""
    # ASCII: in a Chinese sentence nothing stands between a name and the next word.
    spelled = re.escape(name).replace("_", "[_. -]?")
    return re.compile(rf"(?<![\w-]){spelled}(?![\w-])", re.IGNORECASE | re.ASCII)
