"""How a climb comes by its next proposals: one small module a method, and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .ape import Paraphrase
from .base import Ask, Consult, Heard, Method, Propose, Step, Steps, View
from .opro import Trajectory
from .p import PositiveOnly
from .pn import PositiveNegative
from .random_words import RandomWords

_ALL: tuple[Method, ...] = (
    PositiveNegative(),
    PositiveOnly(),
    Paraphrase(),
    Trajectory(),
    RandomWords(),
)
METHODS: Mapping[str, Method] = MappingProxyType({method.name: method for method in _ALL})

__all__ = ["METHODS", "Ask", "Consult", "Heard", "Method", "Propose", "Step", "Steps", "View"]
