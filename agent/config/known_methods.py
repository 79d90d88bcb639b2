"""The methods by name: what ``--method`` takes, what ``--help`` says of each, and where it is found.

``restart.methods`` finds a method by this table, so that a config can be checked without what a method does,
and adding one is a file there and a line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class KnownMethod(NamedTuple):
    """A method as the command line knows it.

    Attributes:
        summary: A few words for ``--help``.
        module: Its file in ``restart/methods``, without the ending.
        requests: The most requests that an round makes; 0 for a method that asks no LLM.
        combines: Whether some of its rounds may make none.
    """

    summary: str
    module: str
    requests: int = 1
    combines: bool = False


KNOWN_METHODS: Mapping[str, KnownMethod] = MappingProxyType(
    {
        "guided": KnownMethod("told what you know", "guided", combines=True),
        "pn": KnownMethod("best and worst shown", "pn"),
        "p": KnownMethod("best only", "p"),
        "ape": KnownMethod("other wordings of the best", "ape"),
        "opro": KnownMethod("the best with their scores", "opro"),
        "random": KnownMethod("no LLM", "random_words", requests=0),
        "combine": KnownMethod("no LLM: frames with the words of --describe", "combine", requests=0),
        "words": KnownMethod("no LLM: what words are worth, by regression", "words", requests=0),
        "mutate": KnownMethod("no LLM: swaps and crosses of the best", "mutate", requests=0),
    }
)


def described() -> str:
    """Return every method with its few words, for ``--help``."""
    return ", ".join(f"{name} ({known.summary})" for name, known in KNOWN_METHODS.items())
