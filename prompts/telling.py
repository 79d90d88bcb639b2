"""The requests of the method ``guided``: the LLM is told what the user knows, and how its guesses fared.

Two styles. *Rich*, for a model that draws conclusions: one conversation with class names, the description and
scores. *Short*, for a small one: requests that stand by themselves, with the form shown by example and the
slot written as [CLASS], which a small model keeps better than braces; without scores, which it cannot read,
and with class names only where nothing else is known (it would write one where the slot belongs).

How they are worded stands in ``wordings.toml``, what each is worth in docs/method.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .lines import one_line
from .measures import Measure
from .requests import Message, Outcome, listed, untried, user_turn
from .wording import Wordings

BEST_SHOWN, WORST_SHOWN, BEST_REPEATED = 10, 6, 5
"""Scored templates in the opening, and best ones in each later turn."""
MOST_NAMES, NAMES_OF_MANY = 40, 30
"""Class names that are told in full, and how many are told of more."""
SHORT_LINES = 5
"""Templates in one answer of a small model: asked for more at once, it repeats itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the LLM is told about the pictures.

    Attributes:
        description: The user's words, one line; empty where nothing is said.
        class_names: All of them; empty where they are not told.
        angle: Where to look first when nothing is said.
    """

    description: str
    class_names: Sequence[str]
    angle: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is wanted of the LLM.

    Attributes:
        proposals: How many templates.
        max_words: The most words that one may have.
        measure: What is maximised, in words.
    """

    proposals: int
    max_words: int
    measure: Measure


def opening(
    words: Wordings,
    told: Told,
    wanted: Wanted,
    *,
    best: Sequence[Outcome],
    worst: Sequence[Outcome],
    anew: bool,
) -> list[Message]:
    """Open a rich conversation.

    Args:
        words: How it is said.
        told: What is known of the pictures.
        wanted: What is wanted.
        best: The best templates with their scores, the best first.
        worst: The worst ones, the worst last; may be empty.
        anew: Whether an earlier conversation has found some of the best.
    """
    parts = [words.say("rich.task", goal=wanted.measure.goal)]
    if told.class_names:
        which = "rich.classes" if len(told.class_names) <= MOST_NAMES else "rich.some_classes"
        names = names_shown(told.class_names)
        parts.append(words.say(which, names=names, count=len(told.class_names)))
    if told.description:
        parts.append(words.say("rich.described", description=told.description))
    else:
        parts.append(words.say("rich.undescribed", angle=told.angle))
    parts.append(listed(words.say("rich.best"), best, wanted.measure))
    if worst:
        parts.append(listed(words.say("rich.worst"), worst, wanted.measure))
    task = words.say("rich.anew" if anew else "rich.first", count=wanted.proposals)
    parts.append(f"{task} {words.say('rich.form', max_words=wanted.max_words)}")
    return [user_turn(*parts)]


def next_turn(
    words: Wordings,
    wanted: Wanted,
    *,
    outcomes: Sequence[Outcome],
    best: Sequence[Outcome],
    confused: Sequence[tuple[str, str]],
) -> Message:
    """Tell what the proposals of the last answer scored, and ask for more.

    Args:
        words: How it is said.
        wanted: What is wanted.
        outcomes: What became of each proposal.
        best: The best templates known, with their scores.
        confused: Class names that the best of them confuses: of the pictures, and what they are taken for.
    """
    scored = sorted((one for one in outcomes if one.score is not None), key=lambda one: -(one.score or 0.0))
    parts = [listed(words.say("rich.outcomes"), scored, wanted.measure)] if scored else []
    if refused := [one for one in outcomes if one.score is None]:
        parts.append("\n".join(untried(one) for one in refused))
    if not outcomes:
        parts.append(words.say("rich.nothing"))
    parts.append(listed(words.say("rich.best_so_far"), best, wanted.measure))
    if confused:
        pairs = [
            words.say("rich.confusion", true=one_line(true), taken_for=one_line(other))
            for true, other in confused
        ]
        parts.append(words.say("rich.confused", confusions=", ".join(pairs)))
    parts.append(words.say("rich.next", count=wanted.proposals))
    return user_turn(*parts)


def short_request(words: Wordings, told: Told, *, proposals: int) -> list[Message]:
    """Ask a small model for templates, five at most, by a request that stands by itself.

    Args:
        words: How it is said.
        told: What is known of the pictures.
        proposals: How many templates are wanted.
    """
    count = min(proposals, SHORT_LINES)
    if told.description:
        ask = words.say("short.described", description=told.description, count=count)
    elif told.class_names:
        names = names_shown(told.class_names)
        ask = words.say("short.undescribed", names=names, angle=told.angle, count=count)
    else:
        ask = words.say("short.unknown", angle=told.angle, count=count)
    return _by_example(words.say("short.system", count=count), words.examples, ask)


def plain_request(words: Wordings, description: str) -> list[Message]:
    """Ask a small model to say in plain words what is described; the answer holds no templates."""
    system = words.say("short.plain_system", count=SHORT_LINES)
    return _by_example(system, words.plain_examples, words.say("short.plain", description=description))


def _by_example(system: str, examples: Sequence[tuple[str, str]], ask: str) -> list[Message]:
    messages: list[Message] = [{"role": "system", "content": system}]
    for asked, answered in examples:
        messages.append(user_turn(asked))
        messages.append({"role": "assistant", "content": answered})
    return [*messages, user_turn(ask)]


def names_shown(names: Sequence[str]) -> str:
    """Return class names in a row: all of them, or of many a sample spread evenly over them."""
    if len(names) > MOST_NAMES:
        names = [names[at * len(names) // NAMES_OF_MANY] for at in range(NAMES_OF_MANY)]
    return ", ".join(one_line(name) for name in names)
