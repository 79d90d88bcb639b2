"""The one table of failures: each row as it is read, and what holds for all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.evaluator.failures import RULES, Evidence, FailureKind, NextStep, judge

Kind = FailureKind


@pytest.mark.parametrize(
    ("kind", "evidence", "step"),
    [
        (Kind.UNREACHABLE, Evidence(answers=False), NextStep.RETRY),
        (Kind.STUMBLED, Evidence(answers=False), NextStep.RETRY),
        (Kind.STUMBLED, Evidence(answers=False, failures=2), NextStep.DROP),
        (Kind.BUSY, Evidence(answers=True), NextStep.WAIT),
        (Kind.UNUSABLE, Evidence(answers=False, failures=3), NextStep.RETRY),
        (Kind.UNUSABLE, Evidence(answers=True, failures=4), NextStep.DROP),
        (Kind.ENDLESS, Evidence(answers=True), NextStep.DROP),
        (Kind.UNREAD, Evidence(answers=False, in_a_row=4, control=False), NextStep.STOP),
        (Kind.UNREAD, Evidence(answers=True, in_a_row=11, control=False), NextStep.DROP),
        (Kind.UNREAD, Evidence(answers=True, in_a_row=12, control=False), NextStep.STOP),
        (Kind.ADAPTED, Evidence(answers=False, in_a_row=9), NextStep.AGAIN),
        (Kind.REFUSED, Evidence(answers=False), NextStep.STOP),
        (Kind.REFUSED, Evidence(answers=True, in_a_row=9), NextStep.DROP),
        (Kind.REFUSED, Evidence(answers=True, in_a_row=10, control=False), NextStep.STOP),
        (Kind.TOO_LONG, Evidence(answers=False), NextStep.STOP),
        (Kind.FLAGGED, Evidence(answers=False), NextStep.DROP),
        (Kind.MISDIRECTED, Evidence(answers=False), NextStep.STOP),
        (Kind.MISDIRECTED, Evidence(answers=True, in_a_row=2), NextStep.RETRY),
        (Kind.MISDIRECTED, Evidence(answers=True, in_a_row=3, control=False), NextStep.STOP),
        (Kind.CLOSED, Evidence(answers=True), NextStep.STOP),
        (Kind.EXHAUSTED, Evidence(answers=False), NextStep.RETRY),
        (Kind.EXHAUSTED, Evidence(answers=True), NextStep.CONTROL),
        (Kind.EXHAUSTED, Evidence(answers=True, control=False), NextStep.RETRY),
        (Kind.EXHAUSTED, Evidence(answers=True, control=True), NextStep.RETRY),
        (Kind.EXHAUSTED, Evidence(answers=True, failures=2, control=True), NextStep.DROP),
        (Kind.QUESTION_REFUSED, Evidence(answers=False, in_a_row=7), NextStep.HOLD),
        (Kind.QUESTION_REFUSED, Evidence(answers=False, in_a_row=8), NextStep.STOP),
        (Kind.QUESTION_REFUSED, Evidence(answers=True, divisible=True), NextStep.SPLIT),
        (Kind.QUESTION_REFUSED, Evidence(answers=True, in_a_row=8), NextStep.CONTROL),
        (Kind.QUESTION_REFUSED, Evidence(answers=True, in_a_row=8, divisible=True), NextStep.CONTROL),
        (
            Kind.QUESTION_REFUSED,
            Evidence(answers=True, in_a_row=8, divisible=True, control=True),
            NextStep.SPLIT,
        ),
        (Kind.MISREAD, Evidence(answers=True, failures=2), NextStep.RETRY),
        (Kind.MISREAD, Evidence(answers=True, failures=3), NextStep.STOP),
        (Kind.CRASHED, Evidence(answers=True, divisible=True), NextStep.SPLIT),
        (Kind.CRASHED, Evidence(answers=True), NextStep.RETRY),
        (Kind.CRASHED, Evidence(answers=True, failures=2), NextStep.CONTROL),
        (Kind.CRASHED, Evidence(answers=True, failures=2, control=True), NextStep.RETRY),
        (Kind.CRASHED, Evidence(answers=True, failures=3, control=True), NextStep.DROP),
        (Kind.CRASHED, Evidence(answers=True, failures=2, control=False), NextStep.STOP),
        (Kind.CRASHED, Evidence(answers=False, failures=2), NextStep.HOLD),
        # Nothing was ever answered that could serve as a control.
        (Kind.FLAGGED, Evidence(answers=False, in_a_row=9), NextStep.DROP),
        (Kind.FLAGGED, Evidence(answers=False, in_a_row=10), NextStep.STOP),
    ],
)
def test_each_row_is_judged_as_it_is_declared(kind: FailureKind, evidence: Evidence, step: NextStep) -> None:
    """The evidence at each border of a rule."""
    assert judge(kind, evidence) is step


@given(
    st.sampled_from(FailureKind),
    st.builds(
        Evidence,
        answers=st.booleans(),
        failures=st.integers(1, 20),
        in_a_row=st.integers(1, 20),
        control=st.sampled_from([None, True, False]),
        divisible=st.booleans(),
    ),
)
def test_no_evidence_goes_unjudged(kind: FailureKind, evidence: Evidence) -> None:
    """A control is asked for only once, and parts only where there are some."""
    assert RULES.keys() == set(FailureKind)
    step = judge(kind, evidence)
    assert step is not NextStep.CONTROL or (evidence.control is None and evidence.answers)
    assert step is not NextStep.SPLIT or evidence.divisible
