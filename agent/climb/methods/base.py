"""What a method may see, and what it must answer."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from ....evaluator.scoring import Score
from ....prompts.conversation import Message, Shown
from ....prompts.template import Template
from ..memory import Entry, Memory


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A climb as its method sees it.

    Attributes:
        memory: Its ranked templates.
        proposals: How many templates a turn asks for.
        top_k: How many templates are shown, best and worst each.
        max_words: The longest template, in words.
        pool: Templates that initial samples are drawn from.
    """

    memory: Memory[Score]
    proposals: int
    top_k: int
    max_words: int
    pool: Sequence[Template]


class ChatMethod(Protocol):
    """A method that asks an LLM.

    Attributes:
        name: What ``--method`` calls it.
        converses: Whether later turns tell what each proposal scored; without, each turn opens anew.
    """

    name: ClassVar[str]
    uses_llm: ClassVar[Literal[True]]
    converses: ClassVar[bool]

    def opening(self, view: View) -> list[Message]:
        """The messages that open a conversation."""
        ...


class DirectMethod(Protocol):
    """A method that makes templates without an LLM."""

    name: ClassVar[str]
    uses_llm: ClassVar[Literal[False]]

    def propose(self, view: View, rng: random.Random) -> list[Template]:
        """At most ``view.proposals`` templates that the memory does not know."""
        ...


def shown(entries: Sequence[Entry[Score]], *, scores: bool = False) -> list[Shown]:
    """Entries as the conversation shows them; without scores, as in the paper, unless asked for."""
    return [Shown(entry.text, entry.value if scores else None) for entry in entries]
