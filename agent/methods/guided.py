"""The default method: the LLM gets the description and the class names, and requests go where they pay.

A large LLM is asked in a conversation with scores, a small one by short, independent requests
(``prompts.requests``). With a description or a small LLM, ``combine`` shares the rounds: it fills frames with
words of the description or the kind's fillers, without requests. A bandit gives the next round to the arm
that has brought more candidates among the best ten. A request without an answer counts as none, and the next
round goes to the arm without an LLM.

With a description and nearly free scores, free candidates are scored between requests: first words of the
description in frames, later also words of the answers, since a rejected line often has the right word. A
small LLM is first asked to rephrase the description in plain words, which the scorer is more likely to know,
and then for candidates; it gets every round.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ...prompts.requests import (
    BEST_REPEATED,
    BEST_SHOWN,
    WORST_SHOWN,
    Information,
    next_message,
    opening,
    plain_request,
    short_request,
)
from .base import Ask, Consult, Conversation, Feedback, Propose, Script, SearchMethod, Steps, View, shown
from .without_llm import combine, combined, phrases

AMONG = 10
"""A candidate among this many best ones counts as a reward."""
FIRST_ANSWERS = 3
"""Answers after which a model of unknown size is judged by its share of usable lines."""
LEAST_USABLE = 1 / 3
EXPLORATION = 0.5
"""Weight of the exploration bonus. UCB1's own, the root of 2, is for rewards that fill [0, 1]; here one
candidate in five among the best is already a good round."""
MOST_FREE = 25
"""Free candidates before a restart's first request of a style."""
FREE_AT_ONCE = 5
"""Free candidates scored together before their scores are learned from."""
AFTER_AN_ANSWER = 10
MOST_KEPT = 100
"""Words and phrases kept from answers."""


class Bandit:
    """UCB1 (Auer et al., Machine Learning 47, 2002); deterministic given the rewards."""

    def __init__(self) -> None:
        self._pulls: dict[str, int] = {}
        self._rewards: dict[str, float] = {}

    def choose(self, arms: Sequence[str]) -> str:
        """Return the arm to pull: each once in order, then the most promising; ties go to the first."""
        total = sum(self._pulls.get(arm, 0) for arm in arms)

        def promise(arm: str) -> float:
            pulls = self._pulls.get(arm, 0)
            if not pulls:
                return math.inf
            return self._rewards[arm] / pulls + EXPLORATION * math.sqrt(math.log(total) / pulls)

        return max(arms, key=promise)

    def learn(self, arm: str, reward: float) -> None:
        """Record the reward of a pull, in [0, 1]."""
        self._pulls[arm] = self._pulls.get(arm, 0) + 1
        self._rewards[arm] = self._rewards.get(arm, 0.0) + reward


@dataclass(slots=True)
class _State:
    """What one conversation of a restart leaves to the next.

    Attributes:
        answers: Answers so far.
        usable: The share of requested candidates that were new and could be scored, summed over all answers.
        conversations: Conversations so far, the current one included.
        described: Words of the description were scored as free candidates.
        rephrased: The LLM has rephrased the description in plain words.
        words: Words and phrases that the LLM used, the latest last.
    """

    bandit: Bandit = field(default_factory=Bandit)
    answers: int = 0
    usable: float = 0.0
    conversations: int = 0
    described: bool = False
    rephrased: bool = False
    words: dict[str, None] = field(default_factory=dict)

    @property
    def reads_little(self) -> bool:
        """Whether the model has shown that it cannot follow a conversation."""
        return self.answers >= FIRST_ANSWERS and self.usable / self.answers < LEAST_USABLE


def _guided(view: View) -> Steps:
    """Give each round of a conversation to the LLM or to frames, whichever has paid."""
    state: _State = view.state.setdefault("guided", _State())
    state.conversations += 1
    arms: dict[str, Callable[[], Steps]] = {
        "rich": lambda: _rich(view, state),
        "short": lambda: _short(view, state),
        "frames": lambda: combine(view),
    }
    scripts: dict[str, Script] = {}
    skipped = False
    while True:
        arm = state.bandit.choose(_open_arms(view, state, skipped=skipped))
        if arm not in scripts:
            scripts[arm] = Script(arms[arm](), most_requests=1)
        # Only now, so that it sees what the other arm has found meanwhile.
        step = scripts[arm].next(0)
        assert step is not None  # none of the arms ends
        best_before = {entry.key for entry in view.memory.best(AMONG)}
        feedback = yield step
        skipped = feedback.skipped
        if not skipped:  # else the step is repeated
            scripts[arm].take(feedback)
        if isinstance(step, Consult) or (isinstance(step, Propose) and step.free):
            continue  # the round goes on
        if isinstance(step, Ask) and not skipped:
            state.answers += 1
            scored = sum(outcome.score is not None for outcome in feedback.outcomes)
            state.usable += min(scored / view.proposals, 1.0)
        new_best = sum(entry.key not in best_before for entry in view.memory.best(AMONG))
        state.bandit.learn(arm, min(new_best / view.proposals, 1.0))


def _open_arms(view: View, state: _State, *, skipped: bool) -> Sequence[str]:
    llm = "short" if view.style == "short" or (view.style is None and state.reads_little) else "rich"
    # Without a description, frames help only a small model; a large one finds more by itself.
    arms = (llm, "frames") if view.description or llm == "short" else (llm,)
    if skipped:
        return arms[-1:]
    # Where scores are free, frames are scored beside a small model's requests. Where they cost, frames take
    # scores from a large one, which finds more with each, unless none of its answers could be used.
    if llm == "rich" and state.answers and not state.usable:
        return arms
    return arms[:1] if (llm == "short") == _scores_are_free(view) else arms


def _rich(view: View, state: _State) -> Steps:
    """Hold a conversation that shows candidates with their scores."""
    yield from _described_once(view, state)
    best, worst = view.memory.best(BEST_SHOWN), view.memory.worst(WORST_SHOWN)
    first = opening(
        view.kind.wordings,
        _information(view),
        view.wanted,
        best=shown(best, scores=True),
        worst=shown(reversed(worst), scores=True),
        anew=state.conversations > 1,
    )
    conversation = Conversation(first, max_turns=view.max_turns)
    while True:
        feedback = yield Ask(conversation.messages(), handles_skip=True)
        yield from _after_an_answer(view, state, feedback)
        best = view.memory.best(BEST_REPEATED)
        score = best[0].score
        # The scorer's answers may name classes, so they are shown only where the class names are.
        confused = score.confused if view.class_names else None
        examples = score.unreadable_examples if view.class_names else ()
        message = next_message(
            view.kind.wordings,
            view.wanted,
            outcomes=feedback.outcomes,
            best=shown(best, scores=True),
            confused=[(pair.true, pair.taken_for) for pair in confused or ()],
            unreadable=(score.unreadable, examples),
        )
        conversation.add(feedback.text, message)


def _short(view: View, state: _State) -> Steps:
    """Ask for candidates by requests that stand by themselves."""
    yield from _described_once(view, state)
    if _scores_are_free(view) and not state.rephrased:
        yield from _in_plain_words(view, state)
        state.rephrased = True
    while True:
        request = short_request(view.kind.wordings, _information(view), proposals=view.proposals)
        feedback = yield Ask(request, handles_skip=True)
        yield from _after_an_answer(view, state, feedback)


def _scores_are_free(view: View) -> bool:
    return bool(view.description) and view.free > 0


def _information(view: View) -> Information:
    return Information(
        description=view.description,
        class_names=view.class_names,
        angle=view.rng().choice(view.kind.wordings.angles),
    )


def _described_once(view: View, state: _State) -> Steps:
    """Score words of the description before the restart's first request."""
    if _scores_are_free(view) and not state.described:
        state.described = True
        words = phrases(view.description, view.class_names)
        yield from _in_frames(view, words, view.free)


def _in_plain_words(view: View, state: _State) -> Steps:
    """Score words in which the LLM rephrases the description: one round."""
    feedback = Feedback(skipped=True)
    while feedback.skipped:
        feedback = yield Consult(plain_request(view.kind.wordings, view.description), handles_skip=True)
    reply = view.kind.read(feedback.text)
    lines = [
        *(candidate.text for candidate in reply.candidates),
        *(refused.line for refused in reply.refused),
    ]
    words = _new_words(lines, view, state) or phrases(view.description, view.class_names)
    yield from _in_frames(view, words, view.free, ends_round=True)


def _after_an_answer(view: View, state: _State, feedback: Feedback) -> Steps:
    """Score words of the description and of all answers, including rejected lines of the last one."""
    if _scores_are_free(view):
        _new_words((outcome.text for outcome in feedback.outcomes), view, state)
        words = [*phrases(view.description, view.class_names), *state.words]
        yield from _in_frames(view, words, min(view.free, AFTER_AN_ANSWER))


def _new_words(lines: Iterable[str], view: View, state: _State) -> Sequence[str]:
    """Return words and phrases that the description does not have, and keep them in the state."""
    described = set(phrases(view.description))
    text = "; ".join(lines)
    if view.kind.slot:
        text = text.replace(view.kind.slot, ";")
    new = [phrase for phrase in phrases(text, view.class_names) if phrase not in described]
    for phrase in new:
        state.words.pop(phrase, None)  # the latest stand last
        state.words[phrase] = None
    for phrase in list(state.words)[:-MOST_KEPT]:
        del state.words[phrase]
    return new


def _in_frames(view: View, words: Sequence[str], count: int, *, ends_round: bool = False) -> Steps:
    """Score words in frames, a few at once; free, but for the last step where it ends the round."""
    rng = view.rng()
    for remaining in range(count, 0, -FREE_AT_ONCE):
        candidates = combined(view, words, rng, min(remaining, FREE_AT_ONCE))
        free = not ends_round or remaining > FREE_AT_ONCE
        yield Propose(candidates, source="combine", free=free)


GUIDED = SearchMethod(
    summary="an LLM sees description, class names and scores; in turns with combine",
    conversation=_guided,
    mixed=True,
    uses_description=True,
    uses_class_names=True,
    free_per_restart=2 * MOST_FREE,
    free_per_round=AFTER_AN_ANSWER,
)
