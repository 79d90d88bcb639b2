"""Virtual time through every fault, in small; a longer one is in test_long_run_proofs."""

from __future__ import annotations

import pytest

from tests.fakes.soak import FAULTS, HANGS, SLOW, STRAY, soak


@pytest.mark.usefixtures("no_old_garbage")
def test_hundreds_of_turns_through_every_fault_hold_every_limit() -> None:
    """Calls, tokens, requests a minute and in flight are checked from outside after each turn; all end."""
    soaked = soak(400, seed=1)
    assert soaked.faults.keys() <= {*FAULTS, HANGS, SLOW, STRAY}
    assert len(soaked.faults) > 8
    assert {"RetryScheduled", "Paused", "AnswerTokensRaised"} <= soaked.events.keys()
    assert soaked.lost < 60
