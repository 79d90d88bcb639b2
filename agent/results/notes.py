"""The notes of a result: facts that a search reports, and the sentences that say them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...evaluator.counts import counted, enumerated
from ...prompts.kinds import CandidateNoun
from .result import (
    EMPTY,
    LLM_FALLBACK,
    NOTHING_USABLE,
    RACED,
    UNEXAMINED,
    UNGROWN,
    UNNAMED,
    UNOPENED,
    UNPAIRED,
    UNREAD,
)

_FAILED: Mapping[str, str] = {
    UNGROWN: "the ensemble is the first {} of the ranking",
    UNOPENED: "the test split could not be examined",
    UNEXAMINED: "ensembles could not be examined",
    UNPAIRED: "intervals are not paired, as no predictions could be had",
    UNNAMED: "the new class names could not be examined on {}",
}
"""What failed, by the name of its note; with a place for the step's ``detail``."""


@dataclass(frozen=True, slots=True)
class FailedStep:
    """A step at the end of a search that failed without costing the result.

    Attributes:
        cause: The error's message.
        detail: The split, or the number of templates.
    """

    cause: str
    detail: str | int = ""


@dataclass(frozen=True, slots=True)
class RacedLabels:
    """Labels that races asked for, of those that full scoring needs; and the candidates that were dropped."""

    asked: int
    full: int
    dropped: int
    candidates: int


@dataclass(frozen=True, slots=True)
class UnreadAnswers:
    """The share of answers to the best instruction that name no class, and examples of them."""

    share: float
    examples: Sequence[str]


@dataclass(frozen=True, slots=True)
class LlmFallback:
    """The local LLM could not be used, and a method without one was used in its place."""

    reason: str
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchFacts:
    """What the notes of a result say of its search.

    Attributes:
        failed: Steps that failed, by the name of the note.
        answers: Answers of the LLM to restarts.
        empty: Those in which no candidate could be read.
        cut: Empty ones that were cut at the token limit.
        gave_nothing: Whether the LLM was asked, and no new candidate of its own could be scored.
        answered: Whether any answer came.
    """

    failed: Mapping[str, FailedStep] = field(default_factory=dict)
    answers: int = 0
    empty: int = 0
    cut: int = 0
    gave_nothing: bool = False
    answered: bool = False
    raced: RacedLabels | None = None
    unread: UnreadAnswers | None = None


def notes_of(facts: SearchFacts, words: CandidateNoun) -> dict[str, str]:
    """Return the notes on a search by their names; ``words`` name what it searched for."""
    notes = {
        name: f"{_FAILED[name].format(step.detail)}: {step.cause}" for name, step in facts.failed.items()
    }
    if facts.empty:
        empty = f"no {words.noun} could be read in {facts.empty:,} of {counted(facts.answers, 'answer')}"
        cut = f"; {facts.cut:,} of them were cut: raise `answer_tokens`" if facts.cut else ""
        notes[EMPTY] = empty + cut
    if facts.gave_nothing:
        what = f"proposed no new {words.noun} that could be scored" if facts.answered else "gave no answer"
        notes[NOTHING_USABLE] = f"the LLM {what}"
    if (raced := facts.raced) is not None:
        notes[RACED] = (
            f"racing asked for {raced.asked:,} of the {raced.full:,} labels of full scoring: "
            f"{raced.dropped:,} of {raced.candidates:,} {words.noun}s were dropped before they saw all images"
        )
    if (unread := facts.unread) is not None:
        any_cut = any(example.startswith("(cut)") for example in unread.examples)
        notes[UNREAD] = (
            f"{100 * unread.share:.1f} % of the answers to the best instruction on train name no class, and "
            f"count as wrong, such as {enumerated(map(repr, unread.examples))}"
            + ("; cut ones need a higher scorer_answer_tokens" if any_cut else "")
        )
    return notes


def fallback_note(fallback: LlmFallback) -> str:
    """Say that a method is used in place of the local LLM."""
    return (
        f"the local LLM cannot be used ({fallback.reason}): searching without an LLM, by method "
        f"{fallback.method}"
    )


def run_notes(notes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the notes of a run's store as a result has them: facts as sentences."""
    if (fallback := notes.get(LLM_FALLBACK)) is not None:
        return {**notes, LLM_FALLBACK: fallback_note(LlmFallback(fallback["reason"], fallback["method"]))}
    return dict(notes)
