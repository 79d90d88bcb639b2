"""How a restart comes by its next proposals: one small module a method, found by ``config.known_methods``."""

from __future__ import annotations

import importlib
from typing import cast

from ...config.known_methods import KNOWN_METHODS
from .base import Ask, Consult, Feedback, Method, Propose, Step, Steps, View

__all__ = ["Ask", "Consult", "Feedback", "Method", "Propose", "Step", "Steps", "View", "method_named"]


def method_named(name: str) -> Method:
    """Return a method by the name that ``--method`` takes.

    Raises:
        KeyError: There is no such method; a config has none that is unknown.
    """
    module = importlib.import_module(f".{KNOWN_METHODS[name].module}", __package__)
    return cast("Method", module.METHOD)
