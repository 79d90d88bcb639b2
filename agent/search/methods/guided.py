"""The default method: the LLM is told what the user knows of the pictures, and calls go where they pay.

The LLM is asked in a conversation with scores, or, where it is small, by short requests that stand by
themselves (``prompts.telling``). Where the pictures are described, or the LLM is small, a way that costs no
call shares the rounds of a restart: words of the description, or of form where there is none, in caption
frames (``combine``). A bandit gives the next round to the way that has brought more templates among the
best ten. A request that gets no answer has brought none, and the next round goes to the way that needs no
LLM. Where the LLM is told what the pictures show and scores cost next to nothing, words in frames are scored
beside its requests too, and a small one has every round (``in_frames``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ....prompts.measures import MEASURES
from ....prompts.telling import (
    BEST_REPEATED,
    BEST_SHOWN,
    WORST_SHOWN,
    Told,
    Wanted,
    next_turn,
    opening,
    short_request,
)
from ..bandit import Bandit
from ..conversation import Conversation
from .base import Ask, Consult, Feedback, Method, Propose, Step, Steps, View, shown
from .combine import METHOD as COMBINE
from .in_frames import as_described, beside_a_request, in_plain_words

AMONG = 10
"""A template that comes among so many best ones has paid."""
FIRST_ANSWERS = 3
"""Answers after which a model that was not known to be small is judged by their share of usable lines."""
LEAST_USABLE = 1 / 3


@dataclass(slots=True)
class _Known:
    """What a restart's conversations hand on.

    Attributes:
        bandit: What each way has brought.
        answers: Answers of the LLM.
        usable: Sum over them of the share of templates asked for that were new and could be scored.
        conversations: Conversations begun.
        described: Whether words of the description were scored beside a request.
        said_plainly: Whether the LLM has said the same in plain words.
        heard_of: Words that the LLM has used.
    """

    bandit: Bandit = field(default_factory=Bandit)
    answers: int = 0
    usable: float = 0.0
    conversations: int = 0
    described: bool = False
    said_plainly: bool = False
    heard_of: dict[str, None] = field(default_factory=dict)

    def heard(self, feedback: Feedback, wanted: int) -> None:
        """Take in an answer."""
        self.answers += 1
        self.usable += min(sum(one.score is not None for one in feedback.outcomes) / wanted, 1.0)

    @property
    def reads_little(self) -> bool:
        """Whether the model has shown that it cannot follow a conversation."""
        return self.answers >= FIRST_ANSWERS and self.usable / self.answers < LEAST_USABLE


@dataclass(slots=True)
class _Way:
    """One way of a conversation: its last step stands until something but a skip is feedback of it.

    Attributes:
        steps: What it wants done.
        feedback: What came of its last step.
    """

    steps: Steps
    feedback: Feedback | None = None
    _step: Step | None = None

    def step(self) -> Step:
        """Return what is to be done."""
        if self.feedback is not None:
            self._step = self.steps.send(self.feedback)
        elif self._step is None:
            self._step = next(self.steps)
        self.feedback = None
        return self._step


class Guided:
    """Ask the LLM, told what is known, or combine words, whichever has paid."""

    def conversation(self, view: View) -> Steps:
        """Deal out the rounds of one conversation."""
        known: _Known = view.kept.setdefault("guided", _Known())
        known.conversations += 1
        ways: dict[str, Callable[[], Steps]] = {
            "rich": lambda: _conversation(view, known),
            "short": lambda: _requests(view, known),
            "free": lambda: COMBINE.conversation(view),
        }
        begun: dict[str, _Way] = {}
        skipped = False
        while True:
            llm = "short" if view.style == "short" or (view.style is None and known.reads_little) else "rich"
            # Without a description there is nothing of the user's to combine, and a model that reads well
            # finds more by itself; a small one, told names alone, finds less than words of form do.
            arms = (llm, "free") if view.description or llm == "short" else (llm,)
            if skipped:
                arms = arms[-1:]
            elif llm == "short" and _scores_aside(view):
                arms = arms[:1]
            arm = known.bandit.choose(arms)
            if arm not in begun:
                begun[arm] = _Way(ways[arm]())
            # Only now, so that it sees what the other way has found meanwhile.
            step = begun[arm].step()
            before = {entry.key for entry in view.memory.best(AMONG)}
            feedback = yield step
            if isinstance(step, Consult) or (isinstance(step, Propose) and step.aside):
                begun[arm].feedback = None if feedback.skipped else feedback
                skipped = feedback.skipped
                continue
            skipped = feedback.skipped
            if not skipped:
                begun[arm].feedback = feedback
                if isinstance(step, Ask):
                    known.heard(feedback, view.proposals)
            came = sum(entry.key not in before for entry in view.memory.best(AMONG))
            known.bandit.learn(arm, min(came / view.proposals, 1.0))


def _conversation(view: View, known: _Known) -> Steps:
    yield from _described_once(view, known)
    wanted = Wanted(proposals=view.proposals, max_words=view.max_words, measure=MEASURES[view.objective])
    best, worst = view.memory.best(BEST_SHOWN), view.memory.worst(WORST_SHOWN)
    first = opening(
        view.wordings,
        _told(view),
        wanted,
        best=shown(best, scores=True),
        worst=shown(reversed(worst), scores=True),
        anew=known.conversations > 1,
    )
    conversation = Conversation(first, max_turns=view.max_turns)
    while True:
        feedback = yield Ask(conversation.messages(), gets_skip=True)
        if _scores_aside(view):
            yield from beside_a_request(view, feedback, known.heard_of)
        best = view.memory.best(BEST_REPEATED)
        pairs = best[0].score.confused if view.class_names else None
        turn = next_turn(
            view.wordings,
            wanted,
            outcomes=feedback.outcomes,
            best=shown(best, scores=True),
            confused=[(one.true, one.taken_for) for one in pairs or ()],
        )
        conversation.add(feedback.text, turn)


def _requests(view: View, known: _Known) -> Steps:
    yield from _described_once(view, known)
    if _scores_aside(view) and not known.said_plainly:
        yield from in_plain_words(view, known.heard_of)
        known.said_plainly = True
    while True:
        request = short_request(view.wordings, _told(view), proposals=view.proposals)
        feedback = yield Ask(request, gets_skip=True)
        if _scores_aside(view):
            yield from beside_a_request(view, feedback, known.heard_of)


def _described_once(view: View, known: _Known) -> Steps:
    if _scores_aside(view) and not known.described:
        known.described = True
        yield from as_described(view)


def _scores_aside(view: View) -> bool:
    """Return whether what costs no call is scored beside the requests."""
    return bool(view.description) and view.aside > 0


def _told(view: View) -> Told:
    return Told(
        description=view.description,
        class_names=view.class_names,
        angle=view.rng().choice(view.wordings.angles),
    )


METHOD: Method = Guided()
