"""A restart as its method sees it, with scored templates."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

from promptclimb.agent.methods.base import View
from promptclimb.agent.methods.memory import Entry, Memory
from promptclimb.agent.position import Position
from promptclimb.evaluator.scoring import Score
from promptclimb.prompts.requests import Outcome
from promptclimb.prompts.template import Template
from promptclimb.prompts.template_kind import BUILT_IN


def add(memory: Memory, text: str, value: float, **of_score: Any) -> Outcome:
    """Add one scored template; return it as feedback does."""
    score = Score(train=min(max(value, 0.0), 1.0), **of_score)
    memory.add(Entry(candidate=Template.parse(text), score=score, value=value, position=Position(1)))
    return Outcome(text, score=value)


def memory_of(values: Iterable[tuple[str, float]]) -> Memory:
    memory = Memory(1)
    for text, value in values:
        add(memory, text, value)
    return memory


def falling(texts: Iterable[str], best: float = 0.5) -> Memory:
    """Return a memory in which each template is a little worse than the one before it."""
    return memory_of((text, best - number / 100) for number, text in enumerate(texts))


def view_of(memory: Memory, *, seed: int = 1, **more: Any) -> View:
    settings: dict[str, Any] = {
        "pool": [Template.parse(text) for text in BUILT_IN[:60]], "proposals": 4, "top_k": 3,
        "max_turns": 4, "rng": lambda: random.Random(seed),
    }  # fmt: skip
    return View(memory=memory, **settings | more)
