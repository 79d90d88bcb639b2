"""The interface of a method: what it sees, what it asks for, and the feedback that it gets.

A method's ``conversation`` is a generator function. It yields a step and gets the outcome of that step back;
docs/design.md has an example. ``Ask`` and ``Propose`` end a round; ``Consult`` and free candidates do not.
The generator may return before the rounds are used up, which ends the conversation.

A method must depend on the view, its feedback and ``view.rng()`` alone: a resumed run replays it. A request
without an answer costs its round and is repeated in the next, unseen by the method unless its step says
``handles_skip``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from ...evaluator.scoring import Objective
from ...prompts.kinds import TEMPLATE, Candidate, CandidateError, PromptKind, kind_named
from ...prompts.replies import without_thinking
from ...prompts.requests import ChatMessage, Outcome, Wanted
from .memory import Entry, Memory

MAX_ANSWER_CHARACTERS = 4_000
"""Longer answers are cut before later requests repeat them: candidates are short, and tokens cost."""
TOP_K, MAX_TURNS = 15, 10
"""Candidates shown in a request, best and worst each; rounds of a conversation shown in one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A restart as its method sees it.

    Attributes:
        pool: Candidates that starting samples are drawn from.
        proposals: Candidates asked for per round.
        top_k: Candidates shown in a request, best and worst each.
        max_turns: Rounds of a conversation shown in a request.
        rng: Returns the random stream of the current round, from its beginning.
        description: What the user says about the images, one line; may be empty.
        class_names: By label; empty if unknown or not allowed. The method decides how many it shows.
        style: How to prompt the LLM; None if not known.
        state: Kept by the method from one conversation of the restart to the next.
        free: How many candidates may be scored in addition to a request, if scores cost next to nothing.
    """

    memory: Memory
    pool: Sequence[Candidate]
    proposals: int
    top_k: int
    max_turns: int
    rng: Callable[[], random.Random]
    kind: PromptKind = field(default_factory=lambda: kind_named(TEMPLATE))
    description: str = ""
    class_names: Sequence[str] = ()
    style: Literal["rich", "short"] | None = None
    state: dict[str, Any] = field(default_factory=dict)
    objective: Objective = "accuracy"
    free: int = 0

    @property
    def wanted(self) -> Wanted:
        return Wanted(
            words=self.kind.words,
            proposals=self.proposals,
            max_words=self.kind.max_words,
            objective=self.objective,
        )

    def unseen(self, texts: Iterable[str]) -> list[Candidate]:
        """Return the valid candidates that the restart has not scored, each once, in order."""
        unseen: dict[str, Candidate] = {}
        for text in dict.fromkeys(texts):
            try:
                candidate = self.kind.parse(text, max_words=self.kind.max_words)
            except CandidateError:
                continue
            if (key := candidate.key) not in self.memory:
                unseen.setdefault(key, candidate)
        return list(unseen.values())


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the LLM and score the candidates in its answer. Ends the round.

    Attributes:
        messages: The conversation so far.
        handles_skip: If no answer comes, the method gets feedback and decides what to do next, instead of
            repeating the request in the next round.
    """

    messages: Sequence[ChatMessage]
    handles_skip: bool = False


@dataclass(frozen=True, slots=True)
class Consult:
    """Ask the LLM for a text that is not a list of candidates. The round continues; fields as in ``Ask``."""

    messages: Sequence[ChatMessage]
    handles_skip: bool = False


@dataclass(frozen=True, slots=True)
class Propose:
    """Score candidates made by the method itself. Ends the round, unless they are free.

    Attributes:
        candidates: Not yet in the memory; at most ``view.proposals``, unless they are free.
        source: The method that made them; None for the one that was chosen.
        free: Whether the round continues with the next step.
    """

    candidates: Sequence[Candidate]
    source: str | None = None
    free: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """The outcome of a step.

    Attributes:
        text: The LLM's answer; empty after ``Propose``.
        outcomes: One per proposal; empty after ``Consult``.
        best_before: The best objective value before the proposals.
        skipped: No answer came; the other fields are empty.
    """

    text: str = ""
    outcomes: Sequence[Outcome] = ()
    best_before: float = 0.0
    skipped: bool = False


Step: TypeAlias = Ask | Consult | Propose
Steps: TypeAlias = Generator[Step, Feedback, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchMethod:
    """A method and what it declares.

    Attributes:
        summary: A few words for the help.
        conversation: Yields the steps of one conversation, starting from the current ranking.
        requests: Maximum requests per round; 0 for a method without an LLM.
        mixed: Whether some rounds may make no request.
        uses_description: Whether its view has the user's description.
        uses_class_names: Whether its view has the class names.
        free_per_restart: Maximum free candidates per restart, in addition to those of its rounds.
        free_per_round: Maximum free candidates per round. Both apply only with a description.
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
        return self.requests > 0


class Script:
    """The steps of one conversation; a step stays current until it gets feedback, also in the next round."""

    def __init__(self, steps: Steps, *, most_requests: int) -> None:
        self._steps = steps
        self._most_requests = most_requests
        self._step: Step | None = None
        self._feedback: Feedback | None = None
        self._over = False

    def next(self, requests: int) -> Step | None:
        """Return the current step, or None if the method has ended its conversation.

        ``requests`` is how many this round has made so far.

        Raises:
            TypeError: The method yields something other than a step, or more requests than it declares.
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
        opening: The first messages; always sent.
        max_turns: Rounds shown in a request, the newest included; this bounds its length and cost.
    """

    def __init__(self, opening: Sequence[ChatMessage], *, max_turns: int) -> None:
        self._opening = tuple(opening)
        self._rounds: list[tuple[ChatMessage, ChatMessage]] = []
        self._max_turns = max_turns

    def add(self, answer: str, feedback: ChatMessage) -> None:
        """Add the LLM's answer, without its thinking, and the feedback on it."""
        # Thinking first: the cut must keep the answer that follows a long thought.
        content = without_thinking(answer)[:MAX_ANSWER_CHARACTERS] or "(nothing)"
        self._rounds.append(({"role": "assistant", "content": content}, feedback))
        # The coming round counts as one of those shown.
        del self._rounds[: max(0, len(self._rounds) - (self._max_turns - 1))]

    def messages(self) -> tuple[ChatMessage, ...]:
        """Return the messages to send now: the opening and the latest rounds with their scores."""
        return (*self._opening, *(message for round_messages in self._rounds for message in round_messages))


def shown(entries: Iterable[Entry], *, scores: bool = False) -> list[Outcome]:
    """Return candidates as a request shows them; without scores by default, as in the paper."""
    if not scores:
        return [Outcome(entry.text) for entry in entries]
    return [Outcome(entry.text, entry.value, pictures=entry.score.images) for entry in entries]
