"""The interface of a method: what it sees, what it asks for, and the feedback that it gets.

A method's ``conversation`` is a generator function. It yields a step and gets the outcome of that step back::

    def conversation(view: View) -> Steps:
        while True:
            (best,) = view.memory.best(1)
            critique = yield Consult(as_messages(f"Criticise: {best.text}"))
            feedback = yield Ask(as_messages(f"Improve {best.text}, given: {critique.text}"))

    CRITIQUE = SearchMethod(summary="criticise, then rewrite", conversation=conversation, requests=2)

``Ask`` and ``Propose`` end a round; ``Consult`` and free candidates do not, so a round may have several
steps. The generator may return before the rounds are used up: then the conversation is over.

A method must follow from the view, its feedback and ``view.rng()`` alone: a run is resumed by going through
it again. A request without an answer costs its round and is made again in the next; the method does not
notice, unless its step says ``handles_skip``.

To add a method, write its module and add the method to ``registry.METHODS``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from ...evaluator.scoring import Objective
from ...prompts.kinds import TEMPLATE, Candidate, CandidateError, PromptKind, kind_named
from ...prompts.requests import Message, Outcome, Wanted
from ...prompts.thinking import without_thinking
from ...prompts.wording import Wordings, built_in
from .memory import Entry, Memory

MAX_ANSWER_CHARACTERS = 4_000
"""Of an answer, what later requests repeat to the LLM: candidates are short, and chatter costs each time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A restart as its method sees it.

    Attributes:
        memory: Its ranked candidates, as they stand now.
        pool: Candidates that starting samples are drawn from.
        proposals: How many candidates a round asks for.
        top_k: How many candidates a request shows, best and worst each.
        max_words: The longest candidate, in words.
        max_turns: How many rounds of a conversation a request shows.
        rng: Gives the random stream of the current round, from its beginning.
        kind: What is searched for.
        description: The user's words on the pictures, one line; may be empty.
        class_names: All of them, by label; empty where they are not known or not allowed. A method that shows
            them decides how many.
        style: How the LLM is best asked; None where that is not known.
        wordings: The texts of ``guided``.
        state: What the method itself keeps from one conversation of the restart to the next.
        objective: What is maximised.
        free: How many candidates may be scored beside a request, since scores cost next to nothing.
    """

    memory: Memory
    pool: Sequence[Candidate]
    proposals: int
    top_k: int
    max_words: int
    max_turns: int
    rng: Callable[[], random.Random]
    kind: PromptKind = field(default_factory=lambda: kind_named(TEMPLATE))
    description: str = ""
    class_names: Sequence[str] = ()
    style: Literal["rich", "short"] | None = None
    wordings: Wordings = field(default_factory=built_in)
    state: dict[str, Any] = field(default_factory=dict)
    objective: Objective = "accuracy"
    free: int = 0

    @property
    def wanted(self) -> Wanted:
        """What every request asks for."""
        return Wanted(
            words=self.kind.words,
            proposals=self.proposals,
            max_words=self.max_words,
            objective=self.objective,
        )

    def unseen(self, texts: Iterable[str]) -> list[Candidate]:
        """Return the texts that are candidates and that the restart has not scored, each once, in order."""
        found: dict[str, Candidate] = {}
        for text in texts:
            try:
                candidate = self.kind.parse(text, max_words=self.max_words)
            except CandidateError:
                continue
            if candidate.key not in self.memory:
                found.setdefault(candidate.key, candidate)
        return list(found.values())


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the LLM; score the candidates in its answer. The round ends.

    Attributes:
        messages: The conversation so far.
        handles_skip: Whether the method gets feedback where no answer comes, and decides what is done next.
            Otherwise the next round makes the request again.
    """

    messages: Sequence[Message]
    handles_skip: bool = False


@dataclass(frozen=True, slots=True)
class Consult:
    """Ask the LLM for a text that is not a list of candidates. The round goes on.

    Attributes:
        messages: The conversation so far.
        handles_skip: As of ``Ask``.
    """

    messages: Sequence[Message]
    handles_skip: bool = False


@dataclass(frozen=True, slots=True)
class Propose:
    """Score candidates that the method has made itself. The round ends, unless they are free.

    Attributes:
        candidates: Candidates that the memory does not know; at most ``view.proposals``, unless they are
            free.
        source: The method that made them; None for the one that was chosen.
        free: Whether the round continues: it belongs to the next step.
    """

    candidates: Sequence[Candidate]
    source: str | None = None
    free: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """The outcome of a step.

    Attributes:
        text: The LLM's answer; empty after ``Propose``.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchMethod:
    """A method, with what it declares to the rest of the program.

    Attributes:
        summary: A few words for ``--help``.
        conversation: Returns the steps of one conversation, from the ranking as it stands.
        requests: The most requests of a round; 0 for a method that asks no LLM.
        mixed: Whether some of its rounds may make no request.
        uses_description: Whether its view has the user's description.
        uses_class_names: Whether its view has the class names.
        free_per_restart: The most free candidates of a restart, beside those of its rounds.
        free_per_round: The most free candidates of a round. Both only where there is a description.
    """

    summary: str
    conversation: Callable[[View], Steps]
    requests: int = 1
    mixed: bool = False
    uses_description: bool = False
    uses_class_names: bool = False
    free_per_restart: int = 0
    free_per_round: int = 0

    @property
    def asks_llm(self) -> bool:
        """Whether it needs an LLM."""
        return self.requests > 0


class Script:
    """The steps of one conversation, one at a time.

    A step stands until its feedback is there: a request without an answer is the first step of the next
    round, and the method does not notice, unless it wants to.

    Args:
        steps: The method's generator.
        most_requests: Requests that a round may make.
    """

    def __init__(self, steps: Steps, *, most_requests: int) -> None:
        self._steps = steps
        self._most_requests = most_requests
        self._step: Step | None = None
        self._feedback: Feedback | None = None
        self._over = False

    def next(self, requests: int) -> Step | None:
        """Return the step to do now, None where the method has ended its conversation.

        Args:
            requests: How many this round has made.

        Raises:
            TypeError: The method yields something else than a step, or more requests than it declares.
        """
        if not self._over and (self._step is None or self._feedback is not None):
            self._advance()
        if self._step is not None and not isinstance(self._step, Ask | Consult | Propose):
            raise TypeError(f"a method yields Ask, Consult or Propose, not {type(self._step).__name__}")
        if isinstance(self._step, Ask | Consult) and requests >= self._most_requests:
            raise TypeError(f"the method makes more than its {self._most_requests} requests a round")
        return self._step

    def take(self, feedback: Feedback) -> None:
        """Keep the outcome of the step until the next step is asked for."""
        self._feedback = feedback

    def skip(self) -> None:
        """Note that the step got no answer."""
        if isinstance(self._step, Ask | Consult) and self._step.handles_skip:
            self.take(Feedback(skipped=True))

    def _advance(self) -> None:
        feedback, self._feedback = self._feedback, None
        try:
            self._step = next(self._steps) if feedback is None else self._steps.send(feedback)
        except StopIteration:
            self._step, self._over = None, True


class Conversation:
    """The opening request and the latest rounds of a conversation with the LLM.

    Args:
        opening: The messages that open it; always kept.
        max_turns: How many rounds a request shows, the newest among them; older ones are left out, so that
            neither the cost of a request nor its length grows without bound.
    """

    def __init__(self, opening: Sequence[Message], *, max_turns: int) -> None:
        self._opening = tuple(opening)
        self._rounds: list[tuple[Message, Message]] = []
        self._max_turns = max_turns

    def add(self, answer: str, feedback: Message) -> None:
        """Add what the LLM answered, without its thinking, and the message on what came of it."""
        # Thinking first: of a long thought and a short answer, the cut must leave the answer.
        content = without_thinking(answer)[:MAX_ANSWER_CHARACTERS] or "(nothing)"
        self._rounds.append(({"role": "assistant", "content": content}, feedback))
        # The round to come is one of those that are shown.
        del self._rounds[: max(0, len(self._rounds) - (self._max_turns - 1))]

    def messages(self) -> tuple[Message, ...]:
        """Return what is sent now: the opening, and the latest rounds with what they scored."""
        return (*self._opening, *(message for each in self._rounds for message in each))


def shown(entries: Iterable[Entry], *, scores: bool = False) -> list[Outcome]:
    """Return candidates as a request shows them; without scores, as in the paper, unless asked for."""
    return [Outcome(entry.text, entry.value if scores else None) for entry in entries]
