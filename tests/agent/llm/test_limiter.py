"""One endpoint's limiter, step by step: what each outcome and each header changes, and by how much."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.agent.events.types import Event, Paused
from promptclimb.agent.llm.limiter import (
    LONGEST_WAIT,
    SAMPLES,
    RateLimiter,
    RateLimits,
    StatedLimit,
    parse_moment,
    rate_limit_headers,
    retry_after,
    stated_limit,
)
from tests.fakes.limits import State
from tests.fakes.vendors import limit_headers


@pytest.fixture(autouse=True)
def middle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws are the middle of whatever is drawn from."""
    monkeypatch.setattr(random, "uniform", lambda low, high: (low + high) / 2)


class Bench:
    """A limiter with a clock to be set."""

    def __init__(self, limits: RateLimits) -> None:
        self.now = 1000.0
        self.events: list[Event] = []
        self.limiter = RateLimiter("one", limits, clock=lambda: self.now, emit=self.events.append)

    def answered(self, tokens: int, used: int) -> None:
        """One request, answered at once."""
        permit = self.limiter.admit(tokens)
        self.limiter.succeeded(permit, used)
        self.limiter.leave()

    @property
    def ceiling(self) -> int:
        return int(self.limiter._ceiling)


def refuse(bench: Bench, **why: bool) -> None:
    """One request, refused a moment after it left."""
    permit = bench.limiter.admit(1)
    bench.limiter.rate_limited(permit, **why)
    bench.limiter.leave()
    bench.now += 0.001


def test_each_refusal_halves_what_may_be_in_flight_down_to_one() -> None:
    """Once for all that were under way at that moment."""
    bench = Bench(RateLimits(concurrency=16))
    bench.answered(1, 1)
    permits = [bench.limiter.admit(1) for _ in range(3)]
    bench.now += 1
    late = bench.limiter.admit(1)
    for permit in (*permits, late):
        bench.limiter.rate_limited(permit)
        bench.limiter.leave()
    assert bench.ceiling == 8
    bench.now += 1
    ceilings = []
    for _ in range(5):
        refuse(bench)
        ceilings.append(bench.ceiling)
    assert ceilings == [4, 2, 1, 1, 1]


def test_a_reservation_follows_the_largest_of_recent_answers() -> None:
    """The largest share of the last 32, and five percent more; never more than all."""
    bench = Bench(RateLimits(tpm=6000, concurrency=9))

    def reserved() -> float:
        bench.now += 1000
        bench.limiter.admit(1000)
        bench.limiter.leave()
        return round(bench.limiter.delay(1000) * 100)

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
    assert bench.limiter.delay(1000) == pytest.approx(5.0)
    bench.now += 1000
    permit = bench.limiter.admit(1000)
    bench.limiter.rate_limited(permit)
    bench.now += 1
    assert bench.limiter.delay(1000) == 0.0


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    """Nor is there an event, for it changes nothing; one that is shorter than asked for says so."""
    bench = Bench(RateLimits())
    bench.limiter.pause(20.5, 20.0)
    bench.limiter.pause(3.0)
    assert (bench.limiter.delay(1), bench.events) == (20.5, [Paused(endpoint="one", wait_s=20.5)])
    bench.limiter.pause(120.5, 3600.0)
    assert bench.limiter.delay(1) == 120.5
    assert bench.events[1:] == [Paused(endpoint="one", asked_s=3600.0, wait_s=120.5)]
    bench.now += 200
    assert bench.limiter.delay(1) == 0.0


def test_after_a_pause_requests_go_one_by_one() -> None:
    """As many as may be in flight, a tenth of a second or so apart; after them all that may."""
    bench = Bench(RateLimits(concurrency=3))
    bench.answered(1, 1)
    bench.limiter.pause(5.0)
    bench.now += 100
    for _ in range(3):
        bench.limiter.admit(1)
        assert bench.limiter.delay(1) == pytest.approx(0.11)
        bench.limiter.leave()
        bench.now += 1
    bench.limiter.admit(1)
    assert bench.limiter.delay(1) == 0.0


def test_a_limit_that_is_learned_counts_what_is_under_way() -> None:
    """It was sent without being paced, and the endpoint has counted it."""
    bench = Bench(RateLimits(concurrency=9))
    permits = [bench.limiter.admit(600) for _ in range(3)]
    bench.limiter.read_headers(permits[0], {"x-ratelimit-limit-requests": "60"})
    assert bench.limiter.delay(600) == pytest.approx(3.0)
    bench.now += 1000
    bench.limiter.read_headers(permits[0], {"x-ratelimit-limit-tokens": "6000"})
    assert bench.limiter.delay(600) == pytest.approx(18.0)


def test_a_limit_that_was_set_is_not_raised() -> None:
    """A lower one paces from then on, and it may rise again up to the setting."""
    bench = Bench(RateLimits(rpm=60))
    permit = bench.limiter.admit(1)
    limits = []
    for stated in ("60", "100", "30", "30", "45", "500"):
        bench.limiter.read_headers(permit, {"x-ratelimit-limit-requests": stated})
        limits.append(bench.limiter._windows["requests"].limit)
    assert limits == [60, 60, 30, 30, 45, 60]


NOW = 1_700_000_000.0


@pytest.fixture
def wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is NOW."""
    monkeypatch.setattr(time, "time", lambda: NOW)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6m0s", 360), ("1.2s", 1.2), ("20ms", 0.02), ("1h2m3s", 3723), ("0s", 0), ("59.5", 59.5), ("0", 0),
        ("1700000060", 60), ("1700000060000", 60), ("2023-11-14T22:14:20Z", 60),
        ("2023-11-14T22:14:20+00:00", 60), ("2023-11-14 22:14:20", 60), ("Tue, 14 Nov 2023 22:14:20 GMT", 60),
        ("2023-11-14T22:13:10Z", 0), (" 7 ", 7),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("wall_clock")
def test_every_form_of_a_moment_is_read(text: str, seconds: float) -> None:
    """Durations, bare seconds, Unix times, ISO and HTTP dates; a moment just past is now."""
    assert parse_moment(text) == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        "", "-1", "-1s", "nan", "NaN", "inf", "Infinity", "1e5", "31536000", "1y", "9999-99-99",
        "soon", "10 s",
        "٣", "1_0", "0x10", "2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z", "٣s", "1" * 400, "1d1d",
    ],
)  # fmt: skip
@pytest.mark.usefixtures("wall_clock")
def test_nonsense_is_no_moment(text: str) -> None:
    """Negative, not finite, beyond a day, long past, in foreign digits or garbage: not obeyed."""
    assert parse_moment(text) is None


@given(st.text(max_size=60))
def test_no_text_makes_reading_raise(text: str) -> None:
    """Any text is a wait between 0 and a day, or nothing; in every header."""
    wait = parse_moment(text)
    assert wait is None or 0 <= wait <= LONGEST_WAIT
    names = ("retry-after", "retry-after-ms", "x-ratelimit-limit-requests", "x-ratelimit-remaining-tokens")
    headers = rate_limit_headers(dict.fromkeys((*names, "x-ratelimit-reset"), text))
    asked = retry_after(headers)
    assert asked is None or 0 <= asked <= LONGEST_WAIT
    for kind in ("requests", "tokens"):
        stated = stated_limit(headers, kind)
        assert stated.limit is None or stated.limit >= 1
        assert stated.remaining is None or stated.remaining >= 0


@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
def test_vendors_with_headers_for_both_kinds(vendor: str) -> None:
    """Requests and tokens apart; times as durations or dates."""
    states = {"requests": State(600, 599, 30), "tokens": State(90000, 12345, 6)}
    headers = limit_headers(vendor, states)  # type: ignore[arg-type]
    for kind, state in states.items():
        stated = stated_limit(headers, kind)  # type: ignore[arg-type]
        assert (stated.limit, stated.remaining) == (state.limit, state.remaining)
        assert stated.full_in_s == pytest.approx(state.full_in_s, abs=0.5)


@pytest.mark.parametrize(
    ("headers", "requests", "tokens"),
    [
        # Cerebras' and Mistral's, and a limit of the day
        ({"limit-req-minute": 60, "remaining-req-minute": 59}, StatedLimit(60, 59), StatedLimit()),
        ({"limit-tokens-minute": 90000, "limit-requests-day": 9}, StatedLimit(), StatedLimit(90000)),
        # without a kind they are about requests
        ({"limit": 60, "remaining": 3, "reset": 1.5}, StatedLimit(60, 3, 1.5), StatedLimit()),
        ({"limit-requests": -5, "remaining-requests": 4}, StatedLimit(None, 4), StatedLimit()),
        ({"reset-requests": "a year"}, StatedLimit(), StatedLimit()),
    ],
)
def test_limits_under_other_names(
    headers: dict[str, object], requests: StatedLimit, tokens: StatedLimit
) -> None:
    """Each header stands on its own; what makes no sense is not obeyed."""
    named = {f"x-ratelimit-{name}": str(value) for name, value in headers.items()}
    assert (stated_limit(named, "requests"), stated_limit(named, "tokens")) == (requests, tokens)


def test_of_the_drafts_headers_the_wait_is_read_and_no_limit() -> None:
    """Its window may have any length."""
    headers = {"ratelimit-limit": "1", "ratelimit-remaining": "0", "ratelimit-reset": "1"}
    assert stated_limit(headers, "requests") == StatedLimit(None, 0, 1)
    assert retry_after(headers) == 1


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry-after": "3"}, 3), ({"retry-after": "0.5"}, 0.5), ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "x", "retry-after": "2"}, 2),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30), ({"retry-after": "nan"}, None), ({}, None),
        ({"x-ms-retry-after-ms": "1500"}, 1.5), ({"retry-after": "500ms"}, 0.5),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": f"{(NOW + 40) * 1000:.0f}"}, 40),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m2s"}, 62),
        ({"x-ratelimit-remaining-tokens": "5", "x-ratelimit-reset-tokens": "1m2s"}, None),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("wall_clock")
def test_retry_after_in_all_its_forms(headers: dict[str, str], wait: float | None) -> None:
    """Milliseconds first, then seconds or a date; nonsense is nothing."""
    assert retry_after(headers) == wait


def test_only_rate_limit_headers_are_kept() -> None:
    """Names in lower case, values cut; cookies and the rest do not travel on."""
    kept = rate_limit_headers(
        {"Set-Cookie": "x", "X-RateLimit-Limit": "1" * 500, "Retry-After": "1", "Authorization": "k"}
    )
    assert set(kept) == {"x-ratelimit-limit", "retry-after"}
    assert len(kept["x-ratelimit-limit"]) < 70
