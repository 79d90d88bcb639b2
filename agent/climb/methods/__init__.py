"""How a climb comes by its next proposals: one small module a method, found by name.

A method that uses an LLM says what the LLM is told; one that does not makes the templates itself. Either sees
a ``View`` of the climb and nothing else, so that what it does depends on the ranking and the seed alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ...config.known_methods import KNOWN_METHODS
from .ape import Paraphrase
from .base import ChatMethod, DirectMethod, View
from .opro import Trajectory
from .p import PositiveOnly
from .pn import PositiveNegative
from .random_words import RandomWords

_ALL: tuple[ChatMethod | DirectMethod, ...] = (
    PositiveNegative(),
    PositiveOnly(),
    Paraphrase(),
    Trajectory(),
    RandomWords(),
)
METHODS: Mapping[str, ChatMethod | DirectMethod] = MappingProxyType({method.name: method for method in _ALL})
if {name: method.uses_llm for name, method in METHODS.items()} != {
    name: known.uses_llm for name, known in KNOWN_METHODS.items()
}:
    raise ImportError("climb.methods and config.known_methods do not name the same methods")

__all__ = ["METHODS", "ChatMethod", "DirectMethod", "View"]
