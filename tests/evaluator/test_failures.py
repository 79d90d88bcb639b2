"""The one table of failures: each row as it is read, and what holds for all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.evaluator.failures import RULES, Evidence, FailureKind, Fault, Judgement, NextStep, judge

Kind = FailureKind


@pytest.mark.parametrize(
    ("kind", "evidence", "step", "fault"),
    [
        (Kind.UNREACHABLE, Evidence(answers=False), NextStep.RETRY, Fault.ANSWERER),
        (Kind.BUSY, Evidence(answers=True), NextStep.WAIT, Fault.OPEN),
        (Kind.UNUSABLE, Evidence(answers=False, failures=3), NextStep.RETRY, Fault.OPEN),
        (Kind.UNUSABLE, Evidence(answers=True, failures=4), NextStep.DROP, Fault.ITEM),
        (Kind.ENDLESS, Evidence(answers=True), NextStep.DROP, Fault.ITEM),
        (Kind.UNREAD, Evidence(answers=False, in_a_row=4, control=False), NextStep.STOP, Fault.ANSWERER),
        (Kind.UNREAD, Evidence(answers=True, in_a_row=11, control=False), NextStep.DROP, Fault.ITEM),
        (Kind.UNREAD, Evidence(answers=True, in_a_row=12, control=False), NextStep.STOP, Fault.ANSWERER),
        (Kind.ADAPTED, Evidence(answers=False, in_a_row=9), NextStep.AGAIN, Fault.ITEM),
        (Kind.REFUSED, Evidence(answers=False), NextStep.STOP, Fault.ANSWERER),
        (Kind.REFUSED, Evidence(answers=True, in_a_row=9), NextStep.DROP, Fault.ITEM),
        (Kind.REFUSED, Evidence(answers=True, in_a_row=10, control=False), NextStep.STOP, Fault.ANSWERER),
        (Kind.TOO_LONG, Evidence(answers=False), NextStep.STOP, Fault.ANSWERER),
        (Kind.FLAGGED, Evidence(answers=False), NextStep.DROP, Fault.ITEM),
        (Kind.MISDIRECTED, Evidence(answers=False), NextStep.STOP, Fault.ANSWERER),
        (Kind.MISDIRECTED, Evidence(answers=True, in_a_row=2), NextStep.RETRY, Fault.OPEN),
        (Kind.MISDIRECTED, Evidence(answers=True, in_a_row=3, control=False), NextStep.STOP, Fault.ANSWERER),
        (Kind.CLOSED, Evidence(answers=True), NextStep.STOP, Fault.ANSWERER),
        (Kind.EXHAUSTED, Evidence(answers=False), NextStep.RETRY, Fault.ANSWERER),
        (Kind.EXHAUSTED, Evidence(answers=True), NextStep.CONTROL, Fault.OPEN),
        (Kind.EXHAUSTED, Evidence(answers=True, control=False), NextStep.RETRY, Fault.ANSWERER),
        (Kind.EXHAUSTED, Evidence(answers=True, control=True), NextStep.RETRY, Fault.OPEN),
        (Kind.EXHAUSTED, Evidence(answers=True, failures=2, control=True), NextStep.DROP, Fault.ITEM),
        (Kind.QUESTION_REFUSED, Evidence(answers=False, in_a_row=7), NextStep.HOLD, Fault.OPEN),
        (Kind.QUESTION_REFUSED, Evidence(answers=False, in_a_row=8), NextStep.STOP, Fault.ANSWERER),
        (Kind.QUESTION_REFUSED, Evidence(answers=True, divisible=True), NextStep.SPLIT, Fault.OPEN),
        (Kind.QUESTION_REFUSED, Evidence(answers=True, in_a_row=8), NextStep.CONTROL, Fault.OPEN),
        (Kind.MISREAD, Evidence(answers=True, failures=2), NextStep.RETRY, Fault.OPEN),
        (Kind.MISREAD, Evidence(answers=True, failures=3), NextStep.STOP, Fault.ANSWERER),
        (Kind.CRASHED, Evidence(answers=True, divisible=True), NextStep.SPLIT, Fault.OPEN),
        (Kind.CRASHED, Evidence(answers=True), NextStep.RETRY, Fault.OPEN),
        (Kind.CRASHED, Evidence(answers=True, failures=2), NextStep.CONTROL, Fault.OPEN),
        (Kind.CRASHED, Evidence(answers=True, failures=2, control=True), NextStep.RETRY, Fault.OPEN),
        (Kind.CRASHED, Evidence(answers=True, failures=3, control=True), NextStep.DROP, Fault.ITEM),
        (Kind.CRASHED, Evidence(answers=True, failures=2, control=False), NextStep.STOP, Fault.ANSWERER),
        (Kind.CRASHED, Evidence(answers=False, failures=2), NextStep.HOLD, Fault.OPEN),
        # Nothing was ever answered that could serve as a control.
        (Kind.FLAGGED, Evidence(answers=False, in_a_row=9), NextStep.DROP, Fault.ITEM),
        (Kind.FLAGGED, Evidence(answers=False, in_a_row=10), NextStep.STOP, Fault.ANSWERER),
        (Kind.NOT_A_NUMBER, Evidence(answers=False), NextStep.RETRY, Fault.OPEN),
        (Kind.NOT_A_NUMBER, Evidence(answers=True, failures=2), NextStep.DROP, Fault.ITEM),
    ],
)
def test_each_row_is_judged_as_it_is_declared(
    kind: FailureKind, evidence: Evidence, step: NextStep, fault: Fault
) -> None:
    """The evidence at each border of a rule."""
    assert judge(kind, evidence) == Judgement(fault, step)


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
def test_no_evidence_goes_unjudged_and_no_step_contradicts_its_fault(
    kind: FailureKind, evidence: Evidence
) -> None:
    """An item is dropped only if it is at fault, an answerer likewise; a control is asked for only once."""
    assert RULES.keys() == set(FailureKind)
    fault, step = judge(kind, evidence)
    assert step is not NextStep.DROP or fault is Fault.ITEM
    assert step is not NextStep.STOP or fault is Fault.ANSWERER
    assert step is not NextStep.CONTROL or (evidence.control is None and evidence.answers)
    assert step is not NextStep.SPLIT or evidence.divisible
