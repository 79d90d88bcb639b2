"""The default prompt kind: templates, such as ``a photo of a {}``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from math import prod

from .kinds import TEMPLATE, PromptKind, Proposals
from .replies import parse_reply
from .template import SLOT, TEMPLATE_WORDS, Template, with_slots
from .wording import Wordings, built_in, document

_POOLS = document("templates.toml")
BUILT_IN: tuple[str, ...] = tuple(_POOLS["captions"].splitlines())
"""Caption templates, varied in medium, view, light, place and phrasing."""
SYMBOLS: Mapping[str, tuple[str, ...]] = {
    name: tuple(" ".join(word.split()) for word in text.split(","))
    for name, text in _POOLS["symbols"].items()
}
"""The words for each symbol of the grammar's patterns."""
PRODUCTIONS: Mapping[str, Sequence[str]] = _POOLS["productions"]
"""Templates with symbols in angle brackets, by kind of caption."""
GENERAL = frozenset(_POOLS["general"])
"""Productions whose captions fit most images."""
MOST_OF_A_PATTERN = 80
"""Most combinations of a pattern's words, spread evenly, so that no pattern outweighs the others."""
_A_BEFORE_A_VOWEL = re.compile(r"\b([Aa]) (?=[aeiouAEIOU](?!ne\b|ni|se))")
_SYMBOL = re.compile(r"<(\w+)>")
NEUTRAL: tuple[str, ...] = tuple(
    dict.fromkeys(
        word for name in ("sign", "code", "signal", "counted", "part", "aspect") for word in SYMBOLS[name]
    )
)
"""Words of form for the gaps where nothing is described."""

_LONGEST_OWN = 10_000


@cache
def grammar() -> Mapping[str, tuple[Template, ...]]:
    """Return the templates of each production, in order and without repetitions."""
    known: set[str] = set()
    by_production: dict[str, tuple[Template, ...]] = {}
    for name, patterns in PRODUCTIONS.items():
        templates = [Template.parse(text) for pattern in patterns for text in _expanded(pattern)]
        new = {template.key: template for template in templates if template.key not in known}
        known |= set(new)
        by_production[name] = tuple(new.values())
    return by_production


def _expanded(pattern: str) -> Iterator[str]:
    symbols = _SYMBOL.findall(pattern)
    choices = [SYMBOLS[symbol] for symbol in symbols]
    size = prod(map(len, choices))
    count = min(size, MOST_OF_A_PATTERN)
    spread = {step * size // count for step in range(count)}
    for index, words in enumerate(product(*choices)):
        if index in spread:
            fillings = iter(words)
            text = _SYMBOL.sub(lambda _: next(fillings), pattern)  # noqa: B023 - used at once
            yield _A_BEFORE_A_VOWEL.sub(r"\1n ", text)


@cache
def _captions() -> tuple[Template, ...]:
    return tuple(Template.parse(text, max_words=None) for text in BUILT_IN)


@cache
def _general() -> Sequence[Sequence[Sequence[Template]]]:
    """Return the bare class name, then published lists and captions that fit most images, then all others.

    No template is in two groups.
    """
    published = [Template.parse(text, max_words=None) for text in _POOLS["published"].splitlines()]
    general = [templates for name, templates in grammar().items() if name in GENERAL]
    others = [templates for name, templates in grammar().items() if name not in GENERAL]
    known: set[str] = set()
    tiers: list[list[list[Template]]] = []
    for groups in ([[Template.parse(SLOT)]], [published, _captions(), *general], others):
        tiers.append([])
        for group in groups:
            tiers[-1].append([template for template in group if template.key not in known])
            known.update(template.key for template in group)
    return tiers


class TemplateKind(PromptKind):
    """Search for templates."""

    name = TEMPLATE
    words = TEMPLATE_WORDS
    example = "a photo of a {}"
    slot = SLOT
    frames = tuple(_POOLS["frames"].splitlines())
    double_frames = tuple(_POOLS["double_frames"].splitlines())
    fillers = NEUTRAL

    @property
    def wordings(self) -> Wordings:
        return built_in()

    def parse(self, raw: str, *, max_words: int | None) -> Template:
        return Template.parse(raw, max_words=max_words)

    def parse_own(self, raw: str) -> Template:
        """Read a template of any length; its slot may be written in other tools' ways, such as ``{c}``."""
        own_form = SLOT in raw or len(raw) > _LONGEST_OWN
        return Template.parse(raw if own_form else with_slots(raw), max_words=None)

    def parse_scored(self, text: str) -> Template:
        return Template.parse(text, max_words=None)

    def read(self, answer: str) -> Proposals:
        return parse_reply(answer)

    def starting(self, pool: str) -> Sequence[Sequence[Sequence[Template]]]:
        """Return the captions, the grammar (one group a production), or general templates first."""
        if pool == "captions":
            return [[_captions()]]
        return [list(grammar().values())] if pool == "grammar" else _general()


KIND = TemplateKind()
