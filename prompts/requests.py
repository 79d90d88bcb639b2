"""What is said to the LLM: requests, and the turns that tell it what its proposals scored.

The structure is that of "Language Models as Black-Box Optimizers for Vision-Language Models" (arXiv
2309.05950): the best and the worst templates known, the rules that a proposal must keep, and, in later
turns, what became of each proposal. The wording is this project's own. Nothing of the data set is said:
neither its name, nor its classes, nor its size.

The text is a function of the arguments alone. Whoever changes a word that is said in a search for accuracy
counts ``PROMPTS_VERSION`` up, because answers of one version do not belong to requests of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

from .lines import one_line
from .measures import MEASURES, Measure
from .template import SLOT

PROMPTS_VERSION = 3

BEST_HEADING = "These templates do best, the best one first:"
WORST_HEADING = "These templates do badly, the worst one last:"
CURRENT_HEADING = "The best template so far:"
TRAJECTORY_HEADING = "Templates tried so far with their scores, the best one last:"
RULE_SLOT = f"every template has the slot {SLOT} where the name of the class goes"
RULE_LENGTH = "words at most, and is built much like those that do best"
RULE_LINES = "on a line of its own"
RULE_FORM = 'that begins with "- ", and nothing else'
LEARN = "Learn from what helped and what did not"
UNREADABLE = f"No template could be read in your answer. A template is one line with a slot {SLOT}."
_REFUSED_CHARACTERS = 120


class Message(TypedDict):
    """One turn of a conversation, as chat endpoints take it."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """A template as the LLM is told of it, alone or with what became of it.

    Attributes:
        template: The template, or the line that was refused.
        score: The objective's value, or None where it is not told or there is none.
        reason: Why it was not scored, in words; None where it was.
    """

    template: str
    score: float | None = None
    reason: str | None = None


def request_pn(
    best: Sequence[Outcome],
    worst: Sequence[Outcome],
    *,
    proposals: int,
    max_words: int,
    objective: str = "accuracy",
) -> list[Message]:
    """Open a conversation of method *pn*: the best and the worst templates, to learn from the contrast.

    Args:
        best: the templates that do best, the best first.
        worst: the templates that do worst, the worst last; may be empty in a small pool.
        proposals: how many templates to ask for.
        max_words: the most words that a template may have.
        objective: what is maximised, a name in ``prompts.measures``.
    """
    if not worst:
        return request_p(best, proposals=proposals, max_words=max_words, objective=objective)
    task = (
        "Compare the two lists: find out what the first have in common that the second lack. "
        f"Then write {_count(proposals, 'new template')} that should do even better than the best ones."
    )
    return [
        user_turn(
            MEASURES[objective].task,
            listed(BEST_HEADING, best),
            listed(WORST_HEADING, worst),
            f"{task}\n{_rules(proposals, max_words)}",
        )
    ]


def request_p(
    best: Sequence[Outcome], *, proposals: int, max_words: int, objective: str = "accuracy"
) -> list[Message]:
    """Open a conversation of method *p*: the best templates alone. Arguments as in ``request_pn``."""
    task = (
        "Find out what they have in common. "
        f"Then write {_count(proposals, 'new template')} that should do even better than the best ones."
    )
    return [
        user_turn(
            MEASURES[objective].task, listed(BEST_HEADING, best), f"{task}\n{_rules(proposals, max_words)}"
        )
    ]


def request_ape(
    current: Outcome, *, proposals: int, max_words: int, objective: str = "accuracy"
) -> list[Message]:
    """Ask for other wordings of the current best template: iterated APE (arXiv 2211.01910)."""
    task = f"Say the same in other words: write {_count(proposals, 'variation')} of it that keep its meaning."
    return [
        user_turn(
            MEASURES[objective].task,
            listed(CURRENT_HEADING, [current]),
            f"{task}\n{_rules(proposals, max_words)}",
        )
    ]


def request_opro(
    trajectory: Sequence[Outcome], *, proposals: int, max_words: int, objective: str = "accuracy"
) -> list[Message]:
    """Show what was tried with its scores, the best last, and ask for better: OPRO (arXiv 2309.03409).

    Args:
        trajectory: templates with scores, the best last.
        proposals: how many templates to ask for.
        max_words: the most words that a template may have.
        objective: what is maximised, a name in ``prompts.measures``.
    """
    task = (
        f"Write {_count(proposals, 'new template')}, different from all of these, "
        "that should score higher than the last."
    )
    return [
        user_turn(
            MEASURES[objective].task,
            listed(TRAJECTORY_HEADING, trajectory, MEASURES[objective]),
            f"{task}\n{_rules(proposals, max_words)}",
        )
    ]


def feedback(
    outcomes: Sequence[Outcome],
    *,
    best_before: float,
    proposals: int,
    max_words: int,
    objective: str = "accuracy",
) -> Message:
    """Tell what each proposal of the last answer scored against the best before it, and ask for the next.

    Args:
        outcomes: the proposals of the last answer, in its order; empty if nothing could be read in it.
        best_before: the objective's best value known before that answer.
        proposals: how many templates to ask for.
        max_words: the most words that a template may have.
        objective: what is maximised, a name in ``prompts.measures``.
    """
    measure = MEASURES[objective]
    told = "\n".join([measure.outcomes, *(_told(outcome, best_before, measure) for outcome in outcomes)])
    best = max([best_before, *(o.score for o in outcomes if o.score is not None)])
    task = (
        f"The best so far is {measure.written(best)}. {LEARN}, and write "
        f"{_count(proposals, 'new template')} that should do better."
    )
    return user_turn(told if outcomes else UNREADABLE, f"{task}\n{_rules(proposals, max_words)}")


def _told(outcome: Outcome, before: float, measure: Measure) -> str:
    if outcome.score is None:
        return untried(outcome)
    now, then = measure.written(outcome.score, before), measure.written(before, outcome.score)
    if outcome.score == before:
        return f"- {outcome.template} (stayed at {now})"
    return f"- {outcome.template} ({'rose' if outcome.score > before else 'fell'} to {now} from {then})"


def untried(outcome: Outcome) -> str:
    """Return the line that says why a proposal was not tried."""
    short = one_line(outcome.template, _REFUSED_CHARACTERS)
    return f"- {short.removeprefix('- ')} (not tried: {outcome.reason or 'it could not be scored'})"


def listed(heading: str, shown: Sequence[Outcome], measure: Measure = MEASURES["accuracy"]) -> str:
    """Return templates as a list under a heading, with their scores where these are told."""
    lines = [f"- {s.template}" + ("" if s.score is None else f" ({measure.written(s.score)})") for s in shown]
    return "\n".join([heading, *lines])


def _rules(proposals: int, max_words: int) -> str:
    where = "it on one line" if proposals == 1 else f"each of the {proposals} {RULE_LINES}"
    return (
        "Rules:\n"
        f"- {RULE_SLOT}, and is not listed above;\n"
        f"- it has {max_words} {RULE_LENGTH};\n"
        f"- write {where} {RULE_FORM}."
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def user_turn(*paragraphs: str) -> Message:
    """Return paragraphs as one turn of the user."""
    return {"role": "user", "content": "\n\n".join(paragraphs)}
