"""Where in a run something belongs, and whence a template came: wherever it is named, kept or told."""

from __future__ import annotations

from typing import NamedTuple

INITIAL, LLM = "initial", "llm"
"""Sources of templates, besides the methods that make some without a call: what was there before the restart
began, and the LLM."""


class Position(NamedTuple):
    """A place in a run. Numbers count from 1; 0 stands for what comes before the first.

    Attributes:
        restart: The restart: a restart with a memory of its own.
        conversation: The conversation of that restart; 0 for its initial templates.
        round: The turn of that conversation; 0 for the initial templates.
        sample: Which of several requests of that round; 0 for the first.
    """

    restart: int
    conversation: int = 0
    round: int = 0
    sample: int = 0

    @property
    def initial(self) -> bool:
        """Whether it is that of a restart's initial templates."""
        return self.conversation == 0

    def __str__(self) -> str:
        if self.initial:
            return f"restart {self.restart}, initial"
        return f"restart {self.restart}, conversation {self.conversation}, round {self.round}"
