"""The methods by name: what ``--method`` takes, what ``--help`` says of each, and which of them asks an LLM.

``climb.methods`` holds what they do, and checks itself against this table when it is imported; a config can
be checked without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class KnownMethod(NamedTuple):
    """A method as the command line knows it.

    Attributes:
        summary: A few words for ``--help``.
        uses_llm: Whether it asks an LLM.
    """

    summary: str
    uses_llm: bool


KNOWN_METHODS: Mapping[str, KnownMethod] = MappingProxyType(
    {
        "pn": KnownMethod("best and worst shown", uses_llm=True),
        "p": KnownMethod("best only", uses_llm=True),
        "ape": KnownMethod("other wordings of the best", uses_llm=True),
        "opro": KnownMethod("the best with their scores", uses_llm=True),
        "random": KnownMethod("no LLM", uses_llm=False),
    }
)


def described() -> str:
    """Return every method with its few words, for ``--help``."""
    return ", ".join(f"{name} ({known.summary})" for name, known in KNOWN_METHODS.items())
