"""Which failures are tried again, how often, and after how long."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.errors import (
    BadRequestError,
    BudgetSpentError,
    KeyRejectedError,
    ModelNotFoundError,
    QuotaSpentError,
    RateLimitedError,
    RequestFailedError,
    RequestTooLargeError,
    TransientChatError,
    UnusableAnswerError,
)
from promptclimb.agent.llm.retry import FailureKind, RetryPolicy, classify, retrying
from tests.fakes.clock import virtual_time

POLICY = RetryPolicy()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TransientChatError("x"), "transient"),
        (RateLimitedError("x"), "rate_limited"),
        *[(UnusableAnswerError("x", reason=why), "unusable") for why in ("length", "refusal", "no_content")],
        *[
            (UnusableAnswerError("x", reason=why), "transient")
            for why in ("bad_json", "not_json", "no_choices")
        ],
        *[(each("x"), "no") for each in (KeyRejectedError, ModelNotFoundError, BadRequestError)],
        *[(each("x"), "no") for each in (QuotaSpentError, RequestTooLargeError, ValueError)],
        (BudgetSpentError("x", limit="calls"), "no"),
        (asyncio.CancelledError(), "no"),
    ],
)
def test_each_failure_is_classified(error: BaseException, kind: FailureKind) -> None:
    """A pure function of the error; fatal ones and those of others are never tried again."""
    assert classify(error) == kind


@given(st.integers(1, 50), st.integers(0, 2**32))
def test_waits_have_full_jitter_within_the_bound(attempt: int, seed: int) -> None:
    """Between nothing and the exponential bound, never above the longest wait."""
    wait = POLICY.wait_s(attempt, None, random.Random(seed))
    assert 0 <= wait <= min(POLICY.longest_wait_s, 2.0 ** (attempt - 1))


@given(st.floats(0, 1e6), st.integers(0, 2**32))
def test_the_endpoints_wait_is_obeyed_up_to_a_cap(asked: float, seed: int) -> None:
    """No less than asked, unless too much is asked; a little more, so that not all come back at once."""
    wait = POLICY.wait_s(1, asked, random.Random(seed))
    least = min(asked, POLICY.longest_asked_s)
    assert least <= wait <= least + 1


async def run(
    errors: list[Exception], policy: RetryPolicy = POLICY
) -> tuple[str, list[tuple[int, float, str]]]:
    """Attempts that fail with these errors, then succeed: the result and the reported retries."""
    retries: list[tuple[int, float, str]] = []

    async def attempt(number: int) -> str:
        await asyncio.sleep(0)
        if number <= len(errors):
            raise errors[number - 1]
        return f"attempt {number}"

    result = await retrying(
        attempt,
        policy,
        rng=random.Random(0),
        on_retry=lambda *retry: retries.append(retry),
    )
    return result, retries


@virtual_time
async def test_it_goes_on_until_an_attempt_succeeds() -> None:
    """Failed attempts are reported with the wait that follows, and time passes by those waits alone."""
    result, retries = await run([TransientChatError("x"), RateLimitedError("y", retry_after=5.0)])
    assert result == "attempt 3"
    assert [(number, kind) for number, _, kind in retries] == [(1, "transient"), (2, "rate_limited")]
    assert asyncio.get_running_loop().time() == pytest.approx(sum(wait for _, wait, _ in retries))
    assert retries[1][1] >= 5


@virtual_time
async def test_the_attempts_are_capped() -> None:
    """After the last attempt the step fails, from the last error."""
    last = TransientChatError("the last")
    with pytest.raises(RequestFailedError, match="8 attempts: the last") as caught:
        await run([TransientChatError("x")] * 7 + [last])
    assert caught.value.__cause__ is last
    assert caught.value.attempts == 8


@virtual_time
async def test_paid_and_unusable_answers_have_a_smaller_cap() -> None:
    """A model that refuses is not paid ten times."""
    with pytest.raises(RequestFailedError) as caught:
        await run([UnusableAnswerError("no", reason="refusal")] * 10)
    assert caught.value.attempts == POLICY.unusable_attempts
    assert caught.value.answered


@virtual_time
async def test_the_total_time_is_capped() -> None:
    """Long attempts use up the patience before their number does."""
    slow = TransientChatError("slow")
    slow.took_s = 250.0
    with pytest.raises(RequestFailedError) as caught:
        await run([slow] * 10)
    assert caught.value.attempts == 3


@virtual_time
async def test_a_fatal_error_is_raised_at_once_and_as_it_is() -> None:
    """No attempt follows one, and no other error covers it."""
    fatal = KeyRejectedError("no")
    with pytest.raises(KeyRejectedError) as caught:
        await run([fatal])
    assert caught.value is fatal
    assert asyncio.get_running_loop().time() == 0


@virtual_time
async def test_cancelling_ends_the_waiting() -> None:
    """A task that waits for its next attempt can be cancelled."""
    task = asyncio.create_task(run([TransientChatError("x")] * 9))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


class Longest(random.Random):
    """Draws the upper end of whatever is drawn from."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Shortest(random.Random):
    """Draws the lower end of whatever is drawn from."""

    def uniform(self, a: float, b: float) -> float:
        return a


def test_the_bound_of_a_wait_doubles_with_each_failure() -> None:
    """From a second to a minute, where it stays however often it fails."""
    waits = [POLICY.wait_s(attempt, None, Longest()) for attempt in (*range(1, 9), 5000)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert [POLICY.wait_s(attempt, None, Shortest()) for attempt in (1, 8)] == [0, 0]
    assert POLICY.wait_s(1, 5.0, Shortest()) == 5.0
    assert [POLICY.wait_s(attempt, 5.0, Longest()) for attempt in (1, 2)] == [6, 6]
    assert POLICY.wait_s(1, 500.0, Longest()) == 121.0


def test_the_patience_is_that_of_the_config() -> None:
    """Attempts, seconds in all and seconds for one."""
    config = SearchConfig(data="fake", method="random", retry_attempts=5, retry_seconds=77, request_timeout=9)
    policy = RetryPolicy.of(config)
    assert (policy.attempts, policy.total_s, policy.attempt_s) == (5, 77, 9)


async def failing(policy: RetryPolicy, *errors: Exception, took_s: float = 0.0) -> RequestFailedError:
    """What comes of attempts that fail with these errors in turn; nobody listens."""

    async def attempt(number: int) -> None:
        error = errors[(number - 1) % len(errors)]
        error.took_s = took_s  # type: ignore[attr-defined]
        raise error

    with pytest.raises(RequestFailedError) as caught:
        await retrying(attempt, policy, rng=Longest())
    return caught.value


@virtual_time
async def test_waits_and_attempts_use_up_the_time_together() -> None:
    """Waits of 1, 2 and 4 s make 7; with attempts of 2 s that is reached after two waits."""
    patient = RetryPolicy(attempts=100, total_s=7.0)
    assert (await failing(patient, TransientChatError("x"))).attempts == 4
    assert asyncio.get_running_loop().time() == 7
    assert (await failing(patient, TransientChatError("x"), took_s=2.0)).attempts == 3
    assert asyncio.get_running_loop().time() == 7 + 3
    patient = RetryPolicy(attempts=100, total_s=7.5)
    assert (await failing(patient, TransientChatError("x"))).attempts == 5
    assert (await failing(RetryPolicy(attempts=100, total_s=0.5), TransientChatError("x"))).attempts == 2


@virtual_time
async def test_how_to_wait_can_be_said() -> None:
    """Waits go through what is given, and no other time passes."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def attempt(number: int) -> int:
        if number < 4:
            raise TransientChatError("x")
        return number

    assert await retrying(attempt, POLICY, rng=Longest(), sleep=sleep) == 4
    assert (waits, asyncio.get_running_loop().time()) == ([1, 2, 4], 0)


@virtual_time
async def test_only_answers_that_were_given_count_as_answered() -> None:
    """All that were allowed have to have been the model's own, be it because no more were allowed at all."""
    once, twice = RetryPolicy(attempts=1), RetryPolicy(attempts=2)
    refused, down = UnusableAnswerError("no", reason="refusal"), TransientChatError("down")
    assert (await failing(twice, refused)).answered
    assert not (await failing(twice, refused, down)).answered
    assert not (await failing(twice, down)).answered
    assert not (await failing(POLICY, down)).answered
    failed = await failing(once, down)
    assert (failed.attempts, str(failed)) == (1, "no usable answer in 1 attempt: down")


@virtual_time
async def test_what_is_no_failure_of_the_endpoint_passes_as_it_is() -> None:
    """A fault of the program, or a limit that is reached."""
    for error in (ValueError("ours"), BudgetSpentError("7 calls", limit="calls")):
        with pytest.raises(type(error)) as caught:
            await run([error])
        assert caught.value is error


@pytest.mark.parametrize(("local", "seconds"), [(True, 1200.0), (False, 30.0)])
def test_a_local_answer_under_way_is_not_thrown_away_on_a_busy_machine(local: bool, seconds: float) -> None:
    """It would begin from nothing again; a scorer behind an API has its own time."""
    policy = RetryPolicy.of(SearchConfig(llm="local", request_timeout=30), local=local)
    assert policy.attempt_s == seconds
