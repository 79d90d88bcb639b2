"""The search methods by name. To add one, write its module and add a line here."""

from __future__ import annotations

from typing import Any

from ...evaluator.settings import one_of
from .base import SearchMethod
from .guided import GUIDED
from .ranked import APE, OPRO, PN, P
from .without_llm import COMBINE, RANDOM

METHODS: dict[str, SearchMethod] = {
    "guided": GUIDED,
    "pn": PN,
    "p": P,
    "ape": APE,
    "opro": OPRO,
    "random": RANDOM,
    "combine": COMBINE,
}
REMOVED = ("words", "mutate")
"""Methods of earlier versions; they found no better templates than ``random``."""


def described() -> str:
    """Return every method with its summary, for the help."""
    return "use guided, or combine without an LLM; the others are for comparison: " + ", ".join(
        f"{name} ({method.summary})" for name, method in METHODS.items()
    )


def check_method(name: Any) -> Any:
    """Return the name of a method unchanged; for pydantic's validators.

    Raises:
        ValueError: The method is unknown or was removed.
    """
    if name in REMOVED:
        raise ValueError("this method was removed, as it was no better than random; use combine or random")
    return one_of("method", METHODS)(name)
