"""The seam of a method: what it sees, what it asks for, and what it hears of that.

A method is a generator, one for each conversation. It yields what it wants done and is sent what came of it::

    class Echo:
        def conversation(self, view):
            while True:
                feedback = yield Ask(messages=[{"role": "user", "content": "..."}])

``Ask`` and ``Propose`` end an round; ``Consult`` and what is proposed as an aside do not, so a method may
take several steps in one: criticise, then rewrite. The generator may return before the rounds are used
up: the conversation is over, then.

What a method does must follow from the view, from what it hears and from ``view.rng()`` alone: a run is
resumed by going through it again. A request that gets no answer costs its round and is made again in the
next; the method hears nothing of it, unless its step says that it wants to.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, TypedDict

from ....evaluator.scoring import Objective
from ....prompts.requests import Message, Outcome
from ....prompts.requests import feedback as feedback_message
from ....prompts.template import Template
from ....prompts.wording import Wordings, built_in
from ...config.llm_name import Style
from ..memory import Memory
from ..scored import Scored


class Asked(TypedDict):
    """The keyword arguments that all requests of ``prompts.requests`` have."""

    proposals: int
    max_words: int
    objective: Objective


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A restart as its method sees it.

    Attributes:
        memory: Its ranked templates, as they stand now.
        pool: Templates that initial samples are drawn from.
        proposals: How many templates an round asks for.
        top_k: How many templates are shown, best and worst each.
        max_words: The longest template, in words.
        max_turns: How many turns of a conversation are shown.
        description: What the user says that the pictures show, one line; empty where nothing is said or told.
        class_names: All of them, by label; empty where they are not known or not told. A method that shows
            them decides how many.
        style: How the LLM is best asked; None where that is not known.
        wordings: How it is addressed.
        kept: What the method itself hands on from one conversation of the restart to the next.
        rng: Gives the random stream of the current round, from its beginning.
        objective: What is maximised.
        aside: How many templates may be scored beside a request, since they cost next to nothing; 0 for none.
    """

    memory: Memory
    pool: Sequence[Template]
    proposals: int
    top_k: int
    max_words: int
    max_turns: int
    rng: Callable[[], random.Random]
    description: str = ""
    class_names: Sequence[str] = ()
    style: Style | None = None
    wordings: Wordings = field(default_factory=built_in)
    kept: dict[str, Any] = field(default_factory=dict)
    objective: Objective = "accuracy"
    aside: int = 0

    @property
    def asked(self) -> Asked:
        """What every request says of what is wanted: how many templates, how long, to what end."""
        return {"proposals": self.proposals, "max_words": self.max_words, "objective": self.objective}


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the LLM; score the templates in its answer. The round ends.

    Attributes:
        messages: The conversation so far.
        gets_skip: Whether the method is told where no answer comes, and says itself what is done next. Else
            the request stands, and the next round makes it again.
    """

    messages: Sequence[Message]
    gets_skip: bool = False


@dataclass(frozen=True, slots=True)
class Consult:
    """Ask the LLM for a text that is not a list of templates. The round goes on.

    Attributes:
        messages: The conversation so far.
        gets_skip: As of ``Ask``.
    """

    messages: Sequence[Message]
    gets_skip: bool = False


@dataclass(frozen=True, slots=True)
class Propose:
    """Score templates that the method has made itself. The round ends, unless they are an aside.

    Attributes:
        templates: Some that the memory does not know; at most ``view.proposals``, but for an aside.
        source: The method that made them; None where it is the one that was chosen.
        aside: Whether the round goes on, since it is the next step's.
    """

    templates: Sequence[Template]
    source: str | None = None
    aside: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What came of a step.

    Attributes:
        text: What the LLM answered; empty after ``Propose``.
        outcomes: What became of each proposal; empty after ``Consult``.
        best_before: The objective's best value known before the proposals.
        skipped: Whether no answer came; the other fields are empty then.
    """

    text: str = ""
    outcomes: Sequence[Outcome] = ()
    best_before: float = 0.0
    skipped: bool = False


Step: TypeAlias = Ask | Consult | Propose
Steps: TypeAlias = Generator[Step, Feedback, None]


class Method(Protocol):
    """How a restart comes by its next proposals; each module of a method has one as ``METHOD``."""

    def conversation(self, view: View) -> Steps:
        """Return the steps of one conversation: a conversation from the ranking as it stands."""
        ...


def shown(entries: Iterable[Scored], *, scores: bool = False) -> list[Outcome]:
    """Return templates as a request shows them; without scores, as in the paper, unless asked for."""
    return [Outcome(entry.text, entry.value if scores else None) for entry in entries]


def results_message(view: View, feedback: Feedback) -> Message:
    """Return the message with the scores of its proposals, which asks for the next ones."""
    return feedback_message(feedback.outcomes, best_before=feedback.best_before, **view.asked)
