"""What a restart has done so far."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ...prompts.requests import Message
from ..methods.memory import Entry
from ..position import Position


@dataclass(slots=True)
class RestartRecord:
    """What a restart has done so far; grows while it runs, so that a search that is stopped has it too.

    Attributes:
        number: Its number, from 1.
        scored: Every template that it scored.
        rejected: How many lines and templates were refused, by reason.
        skipped: Rounds without an answer.
        useless: Those of them for which one came that could not be used.
        proposed: Templates of the LLM's that were new and could be scored.
        answers: Answers that it got.
        empty: Those of them in which no template could be read.
        cut: Those of the empty ones that were cut at the most tokens allowed.
        replayed: Those of them that were on disk already.
        unanswered: Its last rounds, if they got no answer.
        last_skip: Why the last of the skipped rounds got no answer; empty where none was skipped.
        ended: Why it ended before its rounds were used up, as it was asked to; empty where it did not.
        exchanges: What was asked and answered, by position.
        done: Whether it went through all its rounds, or to where it was asked to end.
    """

    number: int
    scored: list[Entry] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    useless: int = 0
    proposed: int = 0
    answers: int = 0
    empty: int = 0
    cut: int = 0
    replayed: int = 0
    unanswered: int = 0
    last_skip: str = ""
    ended: str = ""
    exchanges: dict[Position, tuple[tuple[Message, ...], str]] = field(default_factory=dict)
    done: bool = False
