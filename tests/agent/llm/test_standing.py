"""What a refusal means depends on what its endpoint has shown before."""

from __future__ import annotations

import random
from typing import Any, cast

import pytest

from promptclimb.agent.errors import (
    BadRequestError,
    ChatError,
    ContextTooLongError,
    FlaggedRequestError,
    KeyRejectedError,
    ModelNotFoundError,
    QuotaSpentError,
    RateLimitedError,
    RequestFailedError,
    TransientChatError,
)
from promptclimb.agent.llm.limiter import RateLimiter, RateLimits
from promptclimb.agent.llm.pool import SINGLE_REFUSALS, UNFIT_REQUESTS, Endpoint, Member


def shown(*, has_answered: bool = False) -> Member:
    """An endpoint that has answered, or not."""
    limiter = RateLimiter("one", RateLimits(), clock=lambda: 0.0, rng=random.Random(0))
    endpoint = Endpoint(name="one", client=cast("Any", None))
    return Member(endpoint, limiter, clock=lambda: 0.0, has_answered=has_answered)


@pytest.mark.parametrize("kind", [KeyRejectedError, ModelNotFoundError, BadRequestError, QuotaSpentError])
def test_before_any_answer_a_refusal_is_what_it_says(kind: type[ChatError]) -> None:
    """The settings are wrong, and the user is to mend them."""
    error = kind("no", status=400)
    assert shown().judged(error) is error


def test_an_answer_of_an_earlier_session_counts() -> None:
    """Where a run was cut off makes no difference to what the next refusal means."""
    standing = shown(has_answered=True)
    assert isinstance(standing.judged(FlaggedRequestError("no", status=400)), RequestFailedError)
    assert isinstance(standing.judged(KeyRejectedError("no", status=401)), TransientChatError)


@pytest.mark.parametrize("kind", [KeyRejectedError, ModelNotFoundError])
def test_a_stray_refusal_is_asked_again(kind: type[ChatError]) -> None:
    """After answers, a few in a row may be a slip; a key that is really revoked ends it."""
    standing = shown()
    standing.answered(longer=False)
    for _ in range(2):
        for _ in range(SINGLE_REFUSALS):
            taken = standing.judged(kind("no", status=401))
            assert isinstance(taken, TransientChatError)
            assert taken.status == 401
        standing.answered(longer=False)
    errors = [kind("no") for _ in range(SINGLE_REFUSALS + 1)]
    assert [standing.judged(error) is error for error in errors] == [False] * SINGLE_REFUSALS + [True]


@pytest.mark.parametrize(
    ("kind", "certain"),
    [(BadRequestError, False), (ContextTooLongError, True), (FlaggedRequestError, True)],
)
def test_a_refused_request_is_given_up(kind: type[ChatError], certain: bool) -> None:
    """For good where what was asked is named as the reason; many in a row mean that all are refused."""
    standing = shown()
    standing.answered(longer=False)
    for _ in range(UNFIT_REQUESTS):
        taken = standing.judged(kind("no", status=400))
        assert isinstance(taken, RequestFailedError)
        assert (taken.answered, taken.refused) == (certain, not certain)
    last = kind("no", status=400)
    assert standing.judged(last) is last


@pytest.mark.parametrize(
    "error", [QuotaSpentError("none left"), RateLimitedError("slow"), TransientChatError("x")]
)
def test_other_failures_are_what_they_are(error: ChatError) -> None:
    """Whatever was answered before."""
    standing = shown()
    standing.answered(longer=False)
    assert standing.judged(error) is error
