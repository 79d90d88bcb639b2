"""Judge failures: whose fault one is, and what follows, by one table for all who ask.

The LLM's client, a scorer behind an API and the scoring queue each ask an *answerer* (an endpoint, a scorer)
for *items* (requests, questions about images, templates). Many a failure leaves open which of both is at
fault; then it counts what became of other items.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType


class NextStep(Enum):
    """The consequence of a failure."""

    RETRY = "retry"  # ask again after a while
    AGAIN = "again"  # ask again at once, in another form
    WAIT = "wait"  # ask again after the pause that the endpoint asks for
    SPLIT = "split"  # ask for the parts of the item
    HOLD = "hold"  # ask for other items first
    CONTROL = "control"  # ask for an item that was answered before, then judge again
    DROP = "drop"  # give the item up
    STOP = "stop"  # give the answerer up


class FailureKind(Enum):
    """The failures of an item, each with what happened."""

    # One attempt at an endpoint
    UNREACHABLE = "the network, a deadline or the server failed"
    UNCONNECTED = "nothing listens at the address"
    STUMBLED = "the server failed at a request in a form that it may not take"
    GARBLED = "the reply cannot be read"
    BUSY = "the endpoint asks for fewer requests"
    UNUSABLE = "a paid answer holds no text, or is a refusal by the model"
    CUT = "a paid answer was cut before its text began"
    ENDLESS = "the same, though the most tokens were allowed"
    ADAPTED = "the request has another form now, which may be answered"
    REFUSED = "the endpoint refuses the request"
    TOO_LONG = "the request is longer than the model's context"
    FLAGGED = "a content filter refuses the request"
    MISDIRECTED = "the endpoint does not take the key, the model or the address"
    CLOSED = "the account is empty, or the server is gone for good"
    # One answer of the LLM in a search
    UNREAD = "nothing can be read in an answer"
    # One request of a scorer behind an API
    EXHAUSTED = "all attempts at the question failed"
    QUESTION_REFUSED = "the endpoint refuses the question for what it holds"
    MISREAD = "the answer is not of the scorer's protocol"
    # One call of a scorer
    CRASHED = "the call raised an error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The rule for one kind of failure.

    Attributes:
        step: What follows; if that is open (None), the evidence decides whose fault it is.
        tries: Failures of one item that may pass, so that it is simply asked for again.
        unproven: Failures in a row after which an answerer that has never answered is at fault; 0 for never.
        tolerated: Failures in a row that do not yet make an answerer suspect that has answered.
        drop_after: Failures of one item after which it is at fault, if others are answered; 0 for never.
        stop: What follows if the answerer is at fault by the evidence.
        certain: The kind names the item as the reason, so that it holds before any answer too.
        answered: The answerer is well, and would answer the item in the same way again.
        unread: A reply came in which nothing can be read, so the item also counts as ``UNREAD``.
        sessions: Sessions of a run in which all attempts at an item end so before it is given up for good; 0
            if that says nothing about the item.
        closes: If the answerer is at fault, it can answer nothing any more.
    """

    step: NextStep | None = None
    tries: int = 0
    unproven: int = 0
    tolerated: int = 0
    drop_after: int = 1
    stop: NextStep = NextStep.STOP
    certain: bool = False
    answered: bool = False
    unread: bool = False
    sessions: int = 0
    closes: bool = False


_PASSING = Rule(step=NextStep.RETRY)
_ANSWERED = Rule(step=NextStep.DROP, answered=True, unread=True, sessions=1)
_UNUSABLE = replace(_ANSWERED, tries=3)
_MOST_REFUSED = 9

RULES: Mapping[FailureKind, Rule] = MappingProxyType(
    {
        FailureKind.UNREACHABLE: _PASSING,
        # After an answer it is an outage; before any, the address is wrong.
        FailureKind.UNCONNECTED: replace(_PASSING, unproven=4, closes=True),
        FailureKind.STUMBLED: Rule(step=NextStep.DROP, tries=1, sessions=1),
        FailureKind.GARBLED: replace(_PASSING, unread=True),
        FailureKind.BUSY: Rule(step=NextStep.WAIT),
        FailureKind.UNUSABLE: _UNUSABLE,
        FailureKind.CUT: _UNUSABLE,
        FailureKind.ENDLESS: _ANSWERED,
        FailureKind.ADAPTED: Rule(step=NextStep.AGAIN),
        # Perhaps the credit is exhausted: another session shows it.
        FailureKind.REFUSED: Rule(unproven=1, tolerated=_MOST_REFUSED, sessions=2),
        FailureKind.TOO_LONG: replace(_ANSWERED, step=None, unproven=1, tolerated=_MOST_REFUSED),
        FailureKind.FLAGGED: replace(_ANSWERED, step=None, tolerated=_MOST_REFUSED, certain=True),
        # A gateway slips now and then: a key that worked is tried twice more.
        FailureKind.MISDIRECTED: Rule(unproven=1, tolerated=2, drop_after=0, closes=True),
        FailureKind.CLOSED: Rule(step=NextStep.STOP, closes=True),
        # A default restart has 12 requests: the model had several chances in two conversations.
        FailureKind.UNREAD: Rule(unproven=4, tolerated=11),
        # A scorer's endpoint is given up by the length of its outage alone.
        FailureKind.EXHAUSTED: Rule(unproven=1, drop_after=2, stop=NextStep.RETRY),
        FailureKind.QUESTION_REFUSED: Rule(unproven=8, tolerated=7),
        FailureKind.MISREAD: Rule(step=NextStep.STOP, tries=2, unproven=8),
        FailureKind.CRASHED: Rule(tries=1, unproven=3, drop_after=3),
    }
)
"""The table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The facts that are known when an item has failed.

    Attributes:
        answers: The answerer has answered an item.
        failures: Failures of this item, this one included.
        in_a_row: Items that failed in a row, this one included.
        control: Whether another item was answered since this one failed; None if none was asked for.
        divisible: The item has parts that can be asked for by themselves.
    """

    answers: bool
    failures: int = 1
    in_a_row: int = 1
    control: bool | None = None
    divisible: bool = False


def judge(kind: FailureKind, evidence: Evidence) -> NextStep:
    """Return what follows from a failure: ``DROP`` if the item is at fault, ``STOP`` if the answerer is."""
    rule = RULES[kind]
    proven = evidence.answers or rule.certain
    # Somebody who has answered nothing would fail at everything: the settings are wrong.
    if not proven and 0 < rule.unproven <= evidence.in_a_row:
        return rule.stop
    if evidence.divisible:
        # The parts of parts are many: where every request is refused, a control shows it sooner.
        is_long = 0 < rule.tolerated < evidence.in_a_row
        return (
            NextStep.CONTROL if is_long and evidence.answers and evidence.control is None else NextStep.SPLIT
        )
    if evidence.failures <= rule.tries:
        return NextStep.RETRY
    if rule.step is not None:
        return rule.step
    if not proven:
        return NextStep.HOLD
    # It answers others, as far as is known; after a long row of failures a control decides, if there is an
    # item that was ever answered.
    if evidence.in_a_row <= rule.tolerated:
        answers_others: bool | None = True
    else:
        answers_others = evidence.control if evidence.answers else False
    if answers_others is None:
        return NextStep.CONTROL
    if not answers_others:
        return rule.stop
    return NextStep.RETRY if evidence.failures < rule.drop_after or not rule.drop_after else NextStep.DROP
