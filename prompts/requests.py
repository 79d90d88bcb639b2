"""What is said to the LLM: requests, and the turns that tell it what its proposals scored.

The structure is that of "Language Models as Black-Box Optimizers for Vision-Language Models" (arXiv
2309.05950): the best and the worst templates known, the rules that a proposal must keep, and, in later
turns, what became of each proposal. The wording is this project's own. Nothing of the data set is said:
neither its name, nor its classes, nor its size.

The text is a function of the arguments alone. Whoever changes a word here counts ``PROMPTS_VERSION`` up,
because answers of one version do not belong to requests of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

from .template import SLOT

PROMPTS_VERSION = 1

BEST_HEADING = "These templates do best, the best one first:"
WORST_HEADING = "These templates do badly, the worst one last:"
CURRENT_HEADING = "The best template so far:"
OUTCOMES_HEADING = "This is what your templates did to the share sorted correctly:"
TRAJECTORY_HEADING = "Templates tried so far with their scores, the best one last:"
_REFUSED_CHARACTERS = 120

_TASK = (
    "A vision model sorts pictures by comparing each of them with captions. Every caption comes from one "
    f"template, in which the slot {SLOT} is replaced by the name of a class. How many pictures are sorted "
    "correctly depends on the words around the slot, and we are looking for the words that sort most of them "
    "correctly."
)


class Message(TypedDict):
    """One turn of a conversation, as chat endpoints take it."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """A template as the LLM is told of it, alone or with what became of it.

    Attributes:
        template: The template, or the line that was refused.
        score: Its score as a fraction of 1, or None where it is not told or there is none.
        reason: Why it was not scored, in words; None where it was.
    """

    template: str
    score: float | None = None
    reason: str | None = None


def request_pn(
    best: Sequence[Outcome], worst: Sequence[Outcome], *, proposals: int, max_words: int
) -> list[Message]:
    """Open a conversation of method *pn*: the best and the worst templates, to learn from the contrast.

    Args:
        best: the templates that do best, the best first.
        worst: the templates that do worst, the worst last; may be empty in a small pool.
        proposals: how many templates to ask for.
        max_words: the most words that a template may have.
    """
    if not worst:
        return request_p(best, proposals=proposals, max_words=max_words)
    task = (
        "Compare the two lists: find out what the first have in common that the second lack. "
        f"Then write {_count(proposals, 'new template')} that should do even better than the best ones."
    )
    return [
        _user(
            _TASK,
            _list(BEST_HEADING, best),
            _list(WORST_HEADING, worst),
            f"{task}\n{_rules(proposals, max_words)}",
        )
    ]


def request_p(best: Sequence[Outcome], *, proposals: int, max_words: int) -> list[Message]:
    """Open a conversation of method *p*: the best templates alone. Arguments as in ``request_pn``."""
    task = (
        "Find out what they have in common. "
        f"Then write {_count(proposals, 'new template')} that should do even better than the best ones."
    )
    return [_user(_TASK, _list(BEST_HEADING, best), f"{task}\n{_rules(proposals, max_words)}")]


def request_ape(current: Outcome, *, proposals: int, max_words: int) -> list[Message]:
    """Ask for other wordings of the current best template: iterated APE (arXiv 2211.01910)."""
    task = f"Say the same in other words: write {_count(proposals, 'variation')} of it that keep its meaning."
    return [_user(_TASK, _list(CURRENT_HEADING, [current]), f"{task}\n{_rules(proposals, max_words)}")]


def request_opro(trajectory: Sequence[Outcome], *, proposals: int, max_words: int) -> list[Message]:
    """Show what was tried with its scores, the best last, and ask for better: OPRO (arXiv 2309.03409).

    Args:
        trajectory: templates with scores, the best last.
        proposals: how many templates to ask for.
        max_words: the most words that a template may have.
    """
    task = (
        f"Write {_count(proposals, 'new template')}, different from all of these, "
        "that should score higher than the last."
    )
    return [_user(_TASK, _list(TRAJECTORY_HEADING, trajectory), f"{task}\n{_rules(proposals, max_words)}")]


def feedback(outcomes: Sequence[Outcome], *, best_before: float, proposals: int, max_words: int) -> Message:
    """Tell what each proposal of the last answer scored against the best before it, and ask for the next.

    Args:
        outcomes: the proposals of the last answer, in its order; empty if nothing could be read in it.
        best_before: the best accuracy known before that answer, a fraction of 1.
        proposals: how many templates to ask for.
        max_words: the most words that a template may have.
    """
    told = "\n".join([OUTCOMES_HEADING, *(_told(outcome, best_before) for outcome in outcomes)])
    if not outcomes:
        told = f"No template could be read in your answer. A template is one line with a slot {SLOT}."
    best = max([best_before, *(o.score for o in outcomes if o.score is not None)])
    task = (
        f"The best so far is {percent(best)}. Learn from what helped and what did not, and write "
        f"{_count(proposals, 'new template')} that should do better."
    )
    return _user(told, f"{task}\n{_rules(proposals, max_words)}")


def percent(value: float, apart_from: float | None = None) -> str:
    """Write a fraction as percent, with one digit, or as many (at most four) as set it apart from another."""
    digits = 1
    while apart_from is not None and apart_from != value and digits < 4:
        if f"{100 * value:.{digits}f}" != f"{100 * apart_from:.{digits}f}":
            break
        digits += 1
    return f"{100 * value:.{digits}f} %"


def _told(outcome: Outcome, before: float) -> str:
    if outcome.score is None:
        line = " ".join(outcome.template.split())
        short = line if len(line) <= _REFUSED_CHARACTERS else line[: _REFUSED_CHARACTERS - 1] + "…"
        return f"- {short.removeprefix('- ')} (not tried: {outcome.reason or 'it could not be scored'})"
    now, then = percent(outcome.score, before), percent(before, outcome.score)
    if outcome.score == before:
        return f"- {outcome.template} (stayed at {now})"
    return f"- {outcome.template} ({'rose' if outcome.score > before else 'fell'} to {now} from {then})"


def _list(heading: str, shown: Sequence[Outcome]) -> str:
    lines = [f"- {s.template}" + ("" if s.score is None else f" ({percent(s.score)})") for s in shown]
    return "\n".join([heading, *lines])


def _rules(proposals: int, max_words: int) -> str:
    where = "it on one line" if proposals == 1 else f"each of the {proposals} on a line of its own"
    return (
        "Rules:\n"
        f"- every template has the slot {SLOT} where the name of the class goes, and is not listed above;\n"
        f"- it has {max_words} words at most, and is built much like those that do best;\n"
        f'- write {where} that begins with "- ", and nothing else.'
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _user(*paragraphs: str) -> Message:
    return {"role": "user", "content": "\n\n".join(paragraphs)}
