"""The requests to the LLM, and the messages that say what its proposals scored.

Methods of papers follow "Language Models as Black-Box Optimizers for Vision-Language Models" (arXiv
2309.05950): the best and worst candidates, the rules of a proposal and, in later rounds, each proposal's
score. They name neither the data set nor its classes nor its size.

The method ``guided`` adds what the user knows, in two styles. *Rich*, for a model that draws conclusions: one
conversation with class names, description and scores. *Short*, for a small one: independent requests that
show the form by example and write the slot as [CLASS], which it keeps better than braces. They leave out
scores, which it cannot read, and class names unless nothing else is known (it would write one where the slot
belongs). The texts are in ``wordings.toml``.

Texts follow from the arguments alone. Whoever changes a word of a search for accuracy counts
``PROMPTS_VERSION`` up: answers of one version do not belong to requests of another.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypedDict

from .kinds import KindWords, one_line
from .wording import Wordings

PROMPTS_VERSION = 3

BEST_SHOWN, WORST_SHOWN, BEST_REPEATED = 10, 6, 5
"""Scored candidates in the opening of ``guided``, and best ones in each later round."""
MOST_NAMES, NAMES_OF_MANY = 40, 30
"""Class names listed in full, and how many are listed of more."""
SHORT_LINES = 5
"""Candidates in one answer of a small model: with more, it repeats itself."""
_REFUSED_CHARACTERS = 120
_UNREADABLE_CHARACTERS = 80
_MOST_FURTHER_DIGITS = 3


class ChatMessage(TypedDict):
    """One message of a conversation, as chat endpoints take it."""

    role: Literal["system", "user", "assistant"]
    content: str


class Scale(NamedTuple):
    """The form of an objective's values: times ``factor``, with ``digits`` decimals and ``unit``."""

    amount: str
    factor: float = 1.0
    digits: int = 3
    unit: str = ""

    def written(self, value: float, apart_from: float | None = None) -> str:
        """Write a value, with as many digits (at most three more) as set it apart from another one."""
        digits = self.digits
        if apart_from is not None and apart_from != value:
            while digits < self.digits + _MOST_FURTHER_DIGITS and (
                f"{self.factor * value:.{digits}f}" == f"{self.factor * apart_from:.{digits}f}"
            ):
                digits += 1
        return f"{self.factor * value:.{digits}f}{self.unit}"


SCALES: Mapping[str, Scale] = {
    "accuracy": Scale("the share sorted correctly", 100, 1, " %"),
    "class_mean": Scale("the mean over classes of what is sorted correctly", 100, 1, " %"),
    "logprob": Scale("the mean log-probability of a picture's own class"),
    "margin": Scale("the mean margin of a picture's own class"),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """A candidate or refused line in a request.

    Attributes:
        score: None if it is unknown or not shown.
        reason: Why it was not scored, in words; None if it was.
        pictures: How many pictures the score, a share, is estimated from; None if it was measured on all.
    """

    text: str
    score: float | None = None
    reason: str | None = None
    pictures: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The task of a request; ``objective`` is a name in ``SCALES``."""

    words: KindWords
    proposals: int
    max_words: int
    objective: str = "accuracy"

    @property
    def scale(self) -> Scale:
        return SCALES[self.objective]

    @property
    def goal(self) -> str:
        return self.words.goals[self.objective]

    @property
    def task(self) -> str:
        """How the scorer uses a candidate, and what is looked for."""
        return f"{self.words.intro} {self.goal}"

    @property
    def new_ones(self) -> str:
        """How many new candidates to write, in words."""
        return self.count(f"new {self.words.noun}")

    def count(self, noun: str) -> str:
        """Return how many of something to write, such as "5 new templates"."""
        return f"{self.proposals} {noun}" + ("" if self.proposals == 1 else "s")


def request_pn(best: Sequence[Outcome], worst: Sequence[Outcome], wanted: Wanted) -> list[ChatMessage]:
    """Open a conversation of method *pn*, from the best (best first) and worst candidates (worst last).

    Without the worst ones it is that of method *p*.
    """
    lists = [listed(wanted.words.heading("best"), best)]
    task = "Find out what they have in common. "
    if worst:
        lists.append(listed(wanted.words.heading("worst"), worst))
        task = "Compare the two lists: find out what the first have in common that the second lack. "
    task += f"Then write {wanted.new_ones} that should do even better than the best ones."
    return [user_message(wanted.task, *lists, _with_rules(task, wanted))]


def request_ape(current: Outcome, wanted: Wanted) -> list[ChatMessage]:
    """Ask for other wordings of the best candidate so far: APE (arXiv 2211.01910)."""
    task = f"Say the same in other words: write {wanted.count('variation')} of it that keep its meaning."
    shown = listed(wanted.words.heading("current"), [current])
    return [user_message(wanted.task, shown, _with_rules(task, wanted))]


def request_opro(trajectory: Sequence[Outcome], wanted: Wanted) -> list[ChatMessage]:
    """Show what was tried with its scores, the best last, and ask for better: OPRO (arXiv 2309.03409)."""
    task = f"Write {wanted.new_ones}, different from all of these, that should score higher than the last."
    shown = listed(wanted.words.heading("trajectory"), trajectory, wanted.scale)
    return [user_message(wanted.task, shown, _with_rules(task, wanted))]


def feedback(outcomes: Sequence[Outcome], wanted: Wanted, *, best_before: float) -> ChatMessage:
    """Say what each proposal scored against the best before it, and ask for the next.

    ``outcomes`` are the last answer's proposals in order; empty if it could not be read.
    """
    lines = [
        f"This is what your {wanted.words.noun}s did to {wanted.scale.amount}:",
        *(_outcome_line(outcome, best_before, wanted.scale) for outcome in outcomes),
    ]
    best = max([best_before, *(outcome.score for outcome in outcomes if outcome.score is not None)])
    task = (
        f"The best so far is {wanted.scale.written(best)}. Learn from what helped and what did not, and "
        f"write {wanted.new_ones} that should do better."
    )
    return user_message("\n".join(lines) if outcomes else wanted.words.unreadable, _with_rules(task, wanted))


def _outcome_line(outcome: Outcome, before: float, scale: Scale) -> str:
    if outcome.score is None:
        return _refusal_line(outcome)
    if outcome.pictures is not None:
        return f"- {outcome.text} ({_written(outcome, scale)})"
    now, then = scale.written(outcome.score, before), scale.written(before, outcome.score)
    if outcome.score == before:
        return f"- {outcome.text} (stayed at {now})"
    return f"- {outcome.text} ({'rose' if outcome.score > before else 'fell'} to {now} from {then})"


def _written(outcome: Outcome, scale: Scale) -> str:
    """Write a score; an estimate says so, and how few pictures it is from."""
    assert outcome.score is not None, "the caller has looked"
    if outcome.pictures is None:
        return scale.written(outcome.score)
    pictures = "1 picture" if outcome.pictures == 1 else f"{outcome.pictures} pictures"
    # Rounded down, so that an estimate never reads above a score that it is below.
    share = max(math.floor(scale.factor * outcome.score), 0)
    return f"about {share}{scale.unit}, judged by {pictures}"


def _refusal_line(outcome: Outcome) -> str:
    short = one_line(outcome.text, _REFUSED_CHARACTERS)
    return f"- {short.removeprefix('- ')} (not tried: {outcome.reason or 'it could not be scored'})"


def listed(heading: str, shown: Sequence[Outcome], scale: Scale = SCALES["accuracy"]) -> str:
    """Return candidates as a list under a heading, with the scores that they have."""
    lines = [heading]
    for outcome in shown:
        score = "" if outcome.score is None else f" ({_written(outcome, scale)})"
        lines.append(f"- {outcome.text}{score}")
    return "\n".join(lines)


def _with_rules(task: str, wanted: Wanted) -> str:
    where = (
        "it on one line" if wanted.proposals == 1 else f"each of the {wanted.proposals} on a line of its own"
    )
    return (
        f"{task}\nRules:\n"
        f"- {wanted.words.rule}, and is not listed above;\n"
        f"- it has {wanted.max_words} words at most, and is built much like those that do best;\n"
        f'- write {where} that begins with "- ", and nothing else.'
    )


def user_message(*paragraphs: str) -> ChatMessage:
    """Return paragraphs as one message of the user."""
    return {"role": "user", "content": "\n\n".join(paragraphs)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Information:
    """Information on the pictures in the requests of ``guided``.

    Attributes:
        description: One line of the user's words; may be empty.
        class_names: Empty if the LLM may not see them.
        angle: Where to look first without a description.
    """

    description: str
    class_names: Sequence[str]
    angle: str


def opening(
    wordings: Wordings,
    known: Information,
    wanted: Wanted,
    *,
    best: Sequence[Outcome],
    worst: Sequence[Outcome],
    anew: bool,
) -> list[ChatMessage]:
    """Open a rich conversation.

    ``best`` has the best first, ``worst`` the worst last. ``anew``: an earlier conversation found some of the
    best.
    """
    paragraphs = [wordings.say("rich.task", goal=wanted.goal)]
    if known.class_names:
        which = "rich.classes" if len(known.class_names) <= MOST_NAMES else "rich.some_classes"
        names = names_shown(known.class_names)
        paragraphs.append(wordings.say(which, names=names, count=len(known.class_names)))
    if known.description:
        paragraphs.append(wordings.say("rich.described", description=known.description))
    else:
        paragraphs.append(wordings.say("rich.undescribed", angle=known.angle))
    paragraphs.append(listed(wordings.say("rich.best"), best, wanted.scale))
    if worst:
        paragraphs.append(listed(wordings.say("rich.worst"), worst, wanted.scale))
    task = wordings.say("rich.anew" if anew else "rich.first", count=wanted.proposals)
    paragraphs.append(f"{task} {wordings.say('rich.form', max_words=wanted.max_words)}")
    return [user_message(*paragraphs)]


def next_message(
    wordings: Wordings,
    wanted: Wanted,
    *,
    outcomes: Sequence[Outcome],
    best: Sequence[Outcome],
    confused: Sequence[tuple[str, str]],
    unreadable: tuple[float | None, Sequence[str]] = (None, ()),
) -> ChatMessage:
    """Say what the proposals of the last answer scored, and ask for more.

    ``confused`` has pairs of class names that the best candidate confuses: the true one, and the one taken
    for it. ``unreadable`` is the share of the scorer's answers to it that name no class, with examples.
    """
    paragraphs = []
    if scored := [outcome for outcome in outcomes if outcome.score is not None]:
        scored.sort(key=lambda outcome: -(outcome.score or 0.0))
        paragraphs.append(listed(wordings.say("rich.outcomes"), scored, wanted.scale))
    if refused := [outcome for outcome in outcomes if outcome.score is None]:
        paragraphs.append("\n".join(map(_refusal_line, refused)))
    if not outcomes:
        paragraphs.append(wordings.say("rich.nothing"))
    paragraphs.append(listed(wordings.say("rich.best_so_far"), best, wanted.scale))
    if confused:
        pairs = [
            wordings.say("rich.confusion", true=one_line(true), taken_for=one_line(taken_for))
            for true, taken_for in confused
        ]
        paragraphs.append(wordings.say("rich.confused", confusions=", ".join(pairs)))
    share, examples = unreadable
    if share and "rich.unreadable" in wordings.texts:
        quoted = [repr(one_line(answer, _UNREADABLE_CHARACTERS)) for answer in examples]
        shown = "; ".join(quoted) or "(not shown)"
        paragraphs.append(wordings.say("rich.unreadable", share=f"{100 * share:.0f} %", examples=shown))
    paragraphs.append(wordings.say("rich.next", count=wanted.proposals))
    return user_message(*paragraphs)


def short_request(wordings: Wordings, known: Information, *, proposals: int) -> list[ChatMessage]:
    """Ask a small model for candidates, five at most, by a request that stands by itself."""
    count = min(proposals, SHORT_LINES)
    if known.description:
        ask = wordings.say("short.described", description=known.description, count=count)
    elif known.class_names:
        names = names_shown(known.class_names)
        ask = wordings.say("short.undescribed", names=names, angle=known.angle, count=count)
    else:
        ask = wordings.say("short.unknown", angle=known.angle, count=count)
    return by_example(wordings.say("short.system", count=count), wordings.examples, ask)


def plain_request(wordings: Wordings, description: str) -> list[ChatMessage]:
    """Ask a small model to say in plain words what is described; the answer holds no candidates."""
    system = wordings.say("short.plain_system", count=SHORT_LINES)
    return by_example(system, wordings.plain_examples, wordings.say("short.plain", description=description))


def by_example(system: str, examples: Iterable[tuple[str, str]], ask: str) -> list[ChatMessage]:
    """Ask a small model by a request that stands by itself, after examples of asking and answering."""
    messages: list[ChatMessage] = [{"role": "system", "content": system}]
    for asked, answered in examples:
        messages += [user_message(asked), {"role": "assistant", "content": answered}]
    return [*messages, user_message(ask)]


def names_shown(names: Sequence[str]) -> str:
    """Return class names in a row: all of them, or of many a sample spread evenly over them."""
    if len(names) > MOST_NAMES:
        names = [names[step * len(names) // NAMES_OF_MANY] for step in range(NAMES_OF_MANY)]
    return ", ".join(map(name_in_row, names))


def name_in_row(name: str, most: int | None = None) -> str:
    """Return a class name for a row with commas: in quotation marks if it holds one itself."""
    line = one_line(name, most)
    return json.dumps(line, ensure_ascii=False) if "," in line else line
