"""One endpoint's limiter, step by step: what each outcome changes, and by how much."""

from __future__ import annotations

import math
import random

import pytest

from promptclimb.agent.errors import KeyRejectedError
from promptclimb.agent.events.types import Event, LimitLearned, Paused, WaitCapped
from promptclimb.agent.llm.limiter import SAMPLES, SLACKENING, RateLimiter, RateLimits


class Middle(random.Random):
    """Draws the middle of whatever is drawn from."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


class Bench:
    """A limiter with a clock to be set."""

    def __init__(self, limits: RateLimits) -> None:
        self.now = 1000.0
        self.events: list[Event] = []
        self.one = RateLimiter("one", limits, clock=lambda: self.now, rng=Middle(), emit=self.events.append)

    def answered(self, tokens: int, used: int) -> None:
        """One request, answered at once."""
        permit = self.one.admit(tokens)
        self.one.succeeded(permit, used)
        permit.leave()

    @property
    def ceiling(self) -> int:
        return self.one.places

    @property
    def paused_s(self) -> float:
        return pytest.approx(self.one.paused_s)  # type: ignore[no-any-return]


def refuse(bench: Bench, retry_after: float | None = None, **why: bool) -> None:
    """One request, refused a moment after it left."""
    permit = bench.one.admit(1)
    bench.one.refused(permit, retry_after, **why)
    permit.leave()
    bench.now += 0.001


@pytest.mark.parametrize(("concurrency", "first"), [(10, 4), (4, 4), (2, 2)])
def test_an_unknown_endpoint_is_not_stormed(concurrency: int, first: int) -> None:
    """Four at once until the first has come back, be it answered or not; then as many as are set."""
    bench = Bench(RateLimits(concurrency=concurrency))
    permits = [bench.one.admit(1) for _ in range(first)]
    bench.one.took_s.append(3.0)
    assert (bench.one.delay(1), bench.ceiling, bench.one.load()) == (math.inf, first, 3 * (first + 1) / first)
    permits[0].leave()
    permits[0].leave()
    assert (bench.one.delay(1), bench.ceiling) == (0.0, concurrency)
    assert bench.one.in_flight == first - 1
    assert bench.one.load() == 3 * first / concurrency


def test_a_refusal_as_first_outcome_leaves_it_careful() -> None:
    """It halves what it began with, and only success goes further."""
    bench = Bench(RateLimits(concurrency=10))
    refuse(bench)
    assert bench.ceiling == 2
    bench.one.admit(1).leave()
    assert bench.ceiling == 2


def test_each_refusal_halves_what_may_be_in_flight_down_to_one() -> None:
    """Once for all that were under way at that moment."""
    bench = Bench(RateLimits(concurrency=16))
    bench.answered(1, 1)
    permits = [bench.one.admit(1) for _ in range(3)]
    bench.now += 1
    late = bench.one.admit(1)
    for permit in (*permits, late):
        bench.one.refused(permit, None)
        permit.leave()
    assert bench.ceiling == 8
    bench.now += 1
    ceilings = []
    for _ in range(5):
        refuse(bench)
        ceilings.append(bench.ceiling)
    assert ceilings == [4, 2, 1, 1, 1]


def test_success_lets_it_grow_by_one_over_itself_up_to_the_setting() -> None:
    """So a round of as many requests as may be in flight adds about one."""
    bench = Bench(RateLimits(concurrency=6))
    bench.answered(1, 1)
    refuse(bench)
    expected, seen = 3.0, []
    for _ in range(15):
        expected = min(expected + 1 / expected, 6.0)
        bench.answered(1, 1)
        seen.append(bench.ceiling == int(expected))
    assert all(seen)
    assert bench.ceiling == 6


def test_a_failure_of_another_kind_stops_the_growth_for_ten_seconds() -> None:
    """And takes nothing away."""
    bench = Bench(RateLimits(concurrency=4))
    bench.answered(1, 1)
    refuse(bench)
    bench.one.failed()
    assert (bench.ceiling, bench.one.paused_s > 5) == (2, False)
    bench.now += 9.9
    for _ in range(5):
        bench.answered(1, 1)
    assert bench.ceiling == 2
    bench.now += 0.1
    for _ in range(5):
        bench.answered(1, 1)
    assert bench.ceiling > 2


def test_a_reservation_follows_the_largest_of_recent_answers() -> None:
    """The largest share of the last 32, and five percent more; never more than all."""
    bench = Bench(RateLimits(tpm=6000, concurrency=9))

    def reserved() -> float:
        bench.now += 1000
        bench.one.admit(1000).leave()
        return round(bench.one.delay(1000) * 100)

    assert reserved() == pytest.approx(1000, abs=1)
    bench.answered(1000, 200)
    bench.answered(1000, 100)
    assert reserved() == pytest.approx(210, abs=1)
    for _ in range(SAMPLES - 2):
        bench.answered(1000, 100)
    assert reserved() == pytest.approx(210, abs=1)
    bench.answered(1000, 100)
    assert reserved() == pytest.approx(105, abs=1)
    bench.answered(1000, 1300)
    bench.answered(0, 50)
    assert reserved() == pytest.approx(1000, abs=1)


def test_the_unused_rest_is_given_back() -> None:
    """A reservation is corrected to what was billed; a refused request was billed for nothing."""
    bench = Bench(RateLimits(tpm=6000, concurrency=9))
    bench.answered(1000, 500)
    assert bench.one.delay(1000) == pytest.approx(5.0)
    bench.now += 1000
    permit = bench.one.admit(1000)
    bench.one.refused(permit, 0.0)
    assert bench.one.delay(1000) == 0.0


def test_a_refusal_for_requests_says_nothing_of_tokens() -> None:
    """A reservation follows the answers as before."""
    bench = Bench(RateLimits(tpm=6000, concurrency=9))
    bench.answered(1000, 100)
    refuse(bench, 0.0)
    bench.now += 1000
    bench.answered(1000, 100)
    assert bench.one.delay(1000) == pytest.approx(1.0)


def test_a_request_of_next_to_nothing_is_one_token() -> None:
    """One at least, and no more than one."""
    for tokens in (0, 1):
        bench = Bench(RateLimits(tpm=60, concurrency=9))
        bench.one.admit(tokens)
        assert bench.one.delay(1) == pytest.approx(1.0)


def test_an_endpoint_that_refuses_for_tokens_may_count_what_was_asked_for() -> None:
    """Then all of it is reserved, and stays so, until success after success has shown otherwise."""
    bench = Bench(RateLimits(tpm=6000, concurrency=9))
    bench.answered(1000, 100)
    refuse(bench, 0.0, tokens=True)
    bench.now += 1000
    bench.answered(1000, 100)
    assert bench.one.delay(1000) == pytest.approx(10.0)
    bench.now += 1000
    bench.answered(1000, 100)
    assert bench.one.delay(1000) == pytest.approx(math.ceil(1000 * SLACKENING) / 100)
    for _ in range(5000):
        bench.now += 1000
        bench.answered(1000, 100)
    assert bench.one.delay(1000) == pytest.approx(1.0)


def test_pauses_of_its_own_double_with_each_refusal_up_to_half_a_minute() -> None:
    """From between half a second and one; a success begins anew."""
    bench = Bench(RateLimits(concurrency=16))
    bench.answered(1, 1)
    pauses = []
    for _ in range(8):
        bench.now += 1000
        refuse(bench)
        bench.now -= 0.001
        pauses.append(bench.one.paused_s)
    assert pauses == pytest.approx([0.75, 1.5, 3.0, 6.0, 12.0, 22.5, 22.5, 22.5])
    bench.now += 1000
    bench.answered(1, 1)
    refuse(bench)
    bench.now -= 0.001
    assert bench.paused_s == 0.75


@pytest.mark.parametrize(("asked", "wait"), [(5.0, 5.25), (20.0, 20.5), (120.0, 120.5), (121.0, 120.5)])
def test_a_pause_that_is_asked_for_is_made_and_a_little_more(asked: float, wait: float) -> None:
    """A tenth at most, and a second; beyond two minutes only those are made, and an event says so."""
    for fails in (False, True):
        bench = Bench(RateLimits())
        if fails:
            bench.one.failed(asked)
        else:
            bench.one.refused(bench.one.admit(1), asked)
        assert bench.paused_s == wait
        assert bench.one.delay(1) == pytest.approx(wait)
        (event,) = bench.events
        assert (event.endpoint, event.wait_s) == ("one", pytest.approx(wait))  # type: ignore[attr-defined]
        assert isinstance(event, WaitCapped if asked > 120 else Paused)
    bench.now += 200
    assert (bench.paused_s, bench.one.delay(1)) == (0.0, 0.0)


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    """Nor is there an event, for it changes nothing."""
    bench = Bench(RateLimits())
    bench.one.failed(20.0)
    bench.one.failed(20.0)
    bench.one.failed(3.0)
    bench.one.rest(20.5)
    assert (bench.paused_s, len(bench.events)) == (20.5, 1)
    bench.one.rest(30.0)
    assert (bench.paused_s, bench.events[1:]) == (30.0, [Paused(endpoint="one", wait_s=30.0)])


@pytest.mark.parametrize("rests", [False, True])
def test_after_a_pause_requests_go_one_by_one(rests: bool) -> None:
    """As many as may be in flight, a tenth of a second or so apart; after them all that may."""
    bench = Bench(RateLimits(concurrency=3))
    bench.answered(1, 1)
    if rests:
        bench.one.rest(5.0)
    else:
        bench.one.failed(5.0)
    bench.now += 100
    for _ in range(3):
        permit = bench.one.admit(1)
        assert bench.one.delay(1) == pytest.approx(0.11)
        permit.leave()
        bench.now += 1
    bench.one.admit(1)
    assert bench.one.delay(1) == 0.0


def test_a_limit_that_is_learned_counts_what_is_under_way() -> None:
    """It was sent without being paced, and the endpoint has counted it."""
    bench = Bench(RateLimits(concurrency=9))
    permits = [bench.one.admit(600) for _ in range(3)]
    bench.one.read_headers(permits[0], {"x-ratelimit-limit-requests": "60"})
    assert bench.one.delay(600) == pytest.approx(3.0)
    bench.now += 1000
    bench.one.read_headers(permits[0], {"x-ratelimit-limit-tokens": "6000"})
    assert bench.one.delay(600) == pytest.approx(18.0)
    assert bench.events == [
        LimitLearned(endpoint="one", limit="requests", value=60),
        LimitLearned(endpoint="one", limit="tokens", value=6000),
    ]


def test_a_limit_that_is_known_is_not_reported_again_and_one_that_was_set_is_not_raised() -> None:
    """A lower one paces from then on, and it may rise again up to the setting."""
    bench = Bench(RateLimits(rpm=60))
    permit = bench.one.admit(1)
    limits = []
    for said in ("60", "100", "30", "30", "45", "500"):
        bench.one.read_headers(permit, {"x-ratelimit-limit-requests": said})
        limits.append(bench.one.a_minute("requests"))
    assert limits == [60, 60, 30, 30, 45, 60]
    assert [event.value for event in bench.events if isinstance(event, LimitLearned)] == [30, 45, 60]
    bench.one.read_headers(
        permit, {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "20s"}
    )
    assert bench.one.delay(1) == pytest.approx(20.0)


def test_a_refusal_moves_away_from_the_edge_of_the_minute() -> None:
    """Every window of the endpoint keeps a larger distance from then on."""
    bench = Bench(RateLimits(rpm=1, tpm=10))
    refuse(bench, 0.0)
    bench.now = 1000.0
    assert bench.one.delay(10) == pytest.approx(61.0)


def test_an_endpoint_that_is_closed_or_too_small_is_never_asked() -> None:
    """A request that is just as large as a minute allows is not too large."""
    bench = Bench(RateLimits(tpm=100))
    assert (bench.one.fits(100), bench.one.fits(101), bench.one.limits.tpm) == (True, False, 100)
    assert (bench.one.delay(100), bench.one.delay(101)) == (0.0, math.inf)
    bench.one.closed = KeyRejectedError("no")
    assert bench.one.delay(1) == math.inf
    free = Bench(RateLimits())
    assert (free.one.fits(10**9), free.one.limits.tpm, free.one.delay(10**9)) == (True, None, 0.0)
