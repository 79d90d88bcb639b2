"""How a climb comes by its next proposals: one small module a method, found by name.

A method that uses an LLM says what the LLM is told; one that does not makes the templates itself. Either sees
a ``View`` of the climb and nothing else, so that what it does depends on the ranking and the seed alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

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

__all__ = ["METHODS", "ChatMethod", "DirectMethod", "View"]
