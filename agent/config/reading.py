"""How much an LLM can read at once, judged by its name."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Literal, TypeAlias

Style: TypeAlias = Literal["rich", "short"]
"""A conversation with lists and scores, or requests that stand by themselves."""

SMALL = 4e9
"""Parameters up to which a model is asked shortly: at 1.5 billion, lists in a request cost more than they
bring (docs/method.md)."""
_SIZE = re.compile(r"(?<![\w.])(?:\d+x)?(\d+(?:\.\d+)?) ?([bm])(?![a-z0-9])", re.IGNORECASE)


def style_of(llm: str | None) -> Style | None:
    """Return how a model is best asked; None where its name does not say how large it is.

    Args:
        llm: Its name. The local one is small, unless its name says otherwise.
    """
    name = llm or ""
    local = name == "local" or name.startswith("local:")
    # A model of one's own is called by its file: the folders around it say nothing, and may change.
    named = PurePath(name).name if local else name
    sizes = [float(number) * (1e9 if unit in "bB" else 1e6) for number, unit in _SIZE.findall(named)]
    if sizes:
        return "short" if max(sizes) <= SMALL else None
    return "short" if local else None
