"""The methods of ``--method``. To add one, write its module and add a line here."""

from __future__ import annotations

from .base import SearchMethod
from .combine import COMBINE
from .guided import GUIDED
from .mutate import MUTATE, RANDOM
from .ranked import APE, OPRO, PN, P
from .words import WORDS

METHODS: dict[str, SearchMethod] = {
    "guided": GUIDED,
    "pn": PN,
    "p": P,
    "ape": APE,
    "opro": OPRO,
    "random": RANDOM,
    "combine": COMBINE,
    "words": WORDS,
    "mutate": MUTATE,
}


def described() -> str:
    """Return every method with its summary, for ``--help``."""
    return "use guided, or combine without an LLM; the others are for comparison: " + ", ".join(
        f"{name} ({method.summary})" for name, method in METHODS.items()
    )
