"""Where in a run something belongs, and whence a template came: wherever it is named, kept or told."""

from __future__ import annotations

from typing import NamedTuple

INITIAL, LLM = "initial", "llm"
"""Sources of templates, besides the methods that make some without a call: what was there before the climb
began, and the LLM."""


class Position(NamedTuple):
    """A place in a run. Numbers count from 1; 0 stands for what comes before the first.

    Attributes:
        climb: The restart: a climb with a memory of its own.
        reset: The conversation of that climb; 0 for its initial templates.
        iteration: The turn of that conversation; 0 for the initial templates.
        sample: Which of several requests of that iteration; 0 for the first.
    """

    climb: int
    reset: int = 0
    iteration: int = 0
    sample: int = 0

    @property
    def initial(self) -> bool:
        """Whether it is that of a climb's initial templates."""
        return self.reset == 0

    def __str__(self) -> str:
        if self.initial:
            return f"restart {self.climb}, initial"
        return f"restart {self.climb}, reset {self.reset}, iteration {self.iteration}"
