"""What a text generator is to the server: it reads a prompt, then continues it several times over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


class GenerationCancelledError(Exception):
    """Nobody waits for the text any more; what was generated of it is dropped."""


class GenerationFailedError(Exception):
    """The model could not be run on this prompt."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One continuation of a prompt.

    Attributes:
        text: the continuation up to the end of its line.
        tokens: how many tokens were generated for it, the ending one included.
        complete: whether the line ended, rather than the tokens allowed.
    """

    text: str
    tokens: int
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are drawn.

    Attributes:
        temperature: 0 takes the likeliest token always.
        top_p: tokens are drawn from the likeliest ones that make up this share of the probability.
        max_tokens: the most tokens drawn.
    """

    temperature: float
    top_p: float
    max_tokens: int


class Generator(Protocol):
    """A language model, used from one thread."""

    def read(self, prompt: str, cancelled: Callable[[], bool]) -> int:
        """Take in a prompt, forgetting the one before it.

        Returns:
            How many tokens it has.

        Raises:
            GenerationCancelledError: as soon as ``cancelled`` says so.
            GenerationFailedError: if the model cannot be run.
        """
        ...

    def lines(self, seeds: Sequence[int], sampling: Sampling, cancelled: Callable[[], bool]) -> list[Sample]:
        """Continue the prompt to the end of the line, once for each seed; the same seeds give the same lines.

        Raises:
            GenerationCancelledError: as soon as ``cancelled`` says so.
            GenerationFailedError: if the model cannot be run.
        """
        ...

    def close(self) -> None:
        """Free what the model holds."""
        ...
