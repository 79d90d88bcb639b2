"""Rate-limit headers in the forms that vendors use, and in no form at all."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.agent.llm.limiter import (
    LONGEST_WAIT,
    StatedLimit,
    parse_moment,
    rate_limit_headers,
    retry_after,
    stated_limit,
)
from tests.fakes.limits import State
from tests.fakes.vendors import duration, limit_headers

NOW = 1_700_000_000.0


def now() -> float:
    """A fixed wall clock."""
    return NOW


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6m0s", 360), ("1.2s", 1.2), ("20ms", 0.02), ("1h2m3s", 3723), ("0s", 0), ("59.5", 59.5), ("0", 0),
        ("1700000060", 60), ("1700000060000", 60), ("2023-11-14T22:14:20Z", 60),
        ("2023-11-14T22:14:20+00:00", 60), ("2023-11-14 22:14:20", 60), ("Tue, 14 Nov 2023 22:14:20 GMT", 60),
        ("2023-11-14T22:13:10Z", 0), (" 7 ", 7),
    ],
)  # fmt: skip
def test_every_form_of_a_moment_is_read(text: str, seconds: float) -> None:
    """Durations, bare seconds, Unix times, ISO and HTTP dates; a moment just past is now."""
    assert parse_moment(text, now=now) == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        "", "-1", "-1s", "nan", "NaN", "inf", "Infinity", "1e5", "31536000", "1y", "9999-99-99",
        "soon", "10 s",
        "٣", "1_0", "0x10", "2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z", "٣s", "1" * 400, "1d1d",
    ],
)  # fmt: skip
def test_nonsense_is_no_moment(text: str) -> None:
    """Negative, not finite, beyond a day, long past, in foreign digits or garbage: not obeyed."""
    assert parse_moment(text, now=now) is None


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
        said = stated_limit(headers, kind)
        assert said.limit is None or said.limit >= 1
        assert said.remaining is None or said.remaining >= 0


@given(st.floats(0, 3600))
def test_durations_are_read_back_as_written(seconds: float) -> None:
    """What OpenAI's style writes is read to the precision that it has."""
    assert parse_moment(duration(seconds)) == pytest.approx(seconds, rel=0.02, abs=0.6)


@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
def test_vendors_with_headers_for_both_kinds(vendor: str) -> None:
    """Requests and tokens apart; times as durations or dates."""
    states = {"requests": State(600, 599, 30), "tokens": State(90000, 12345, 6)}
    headers = limit_headers(vendor, states)  # type: ignore[arg-type]
    for kind, state in states.items():
        said = stated_limit(headers, kind)  # type: ignore[arg-type]
        assert (said.limit, said.remaining) == (state.limit, state.remaining)
        assert said.full_in_s == pytest.approx(state.full_in_s, abs=0.5)


def test_limits_of_a_minute_are_read_by_their_longer_names() -> None:
    """Cerebras' and Mistral's; a limit of the day is not taken for one of the minute."""
    headers = {"x-ratelimit-limit-req-minute": "60", "x-ratelimit-remaining-req-minute": "59"}
    headers |= {"x-ratelimit-limit-tokens-minute": "90000", "x-ratelimit-limit-requests-day": "9"}
    assert stated_limit(headers, "requests") == StatedLimit(60, 59, None)
    assert stated_limit(headers, "tokens") == StatedLimit(90000, None, None)


def test_a_vendor_with_bare_headers_means_requests() -> None:
    """`x-ratelimit-limit` without a kind is about requests."""
    headers = limit_headers("plain", {"requests": State(60, 3, 1.5)})
    assert stated_limit(headers, "requests") == StatedLimit(60, 3, 1.5)
    assert stated_limit(headers, "tokens") == StatedLimit()


def test_the_window_of_the_drafts_headers_is_as_long_as_they_say() -> None:
    """Once nothing is left of it; other vendors' limits are those of a minute."""
    headers = {"ratelimit-limit": "1", "ratelimit-remaining": "0", "ratelimit-reset": "1"}
    assert stated_limit(headers, "requests") == StatedLimit(1, 0, 1, period_s=1)
    assert stated_limit(headers | {"ratelimit-remaining": "1"}, "requests").period_s is None
    others = {f"x-{name}": value for name, value in headers.items()}
    assert stated_limit(others, "requests") == StatedLimit(1, 0, 1)


def test_missing_and_nonsense_members_are_left_out_and_reported() -> None:
    """Each header stands on its own; what makes no sense is reported and not obeyed."""
    ignored: list[tuple[str, str]] = []
    headers = {"x-ratelimit-limit-requests": "-5", "x-ratelimit-remaining-requests": "4"}
    headers["x-ratelimit-reset-requests"] = "a year"
    said = stated_limit(headers, "requests", ignored=lambda name, value: ignored.append((name, value)))
    assert said == StatedLimit(None, 4, None)
    assert ignored == [("x-ratelimit-limit-requests", "-5"), ("x-ratelimit-reset-requests", "a year")]


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry-after": "3"}, 3), ({"retry-after": "0.5"}, 0.5), ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "x", "retry-after": "2"}, 2),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": formatdate(NOW + 30, usegmt=True)}, 30), ({"retry-after": "1m"}, 60), ({}, None),
        ({"retry-after": "-1"}, None), ({"retry-after": "31536000"}, None), ({"retry-after": "nan"}, None),
        ({"retry-after": datetime.fromtimestamp(NOW - 60, UTC).isoformat()}, 0),
        ({"x-ms-retry-after-ms": "1500"}, 1.5), ({"retry-after": "500ms"}, 0.5),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": f"{(NOW + 40) * 1000:.0f}"}, 40),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m2s"}, 62),
        ({"x-ratelimit-remaining-tokens": "5", "x-ratelimit-reset-tokens": "1m2s"}, None),
    ],
)  # fmt: skip
def test_retry_after_in_all_its_forms(headers: dict[str, str], wait: float | None) -> None:
    """Milliseconds first, then seconds or a date; nonsense is nothing."""
    assert retry_after(headers, now=now) == wait


def test_only_rate_limit_headers_are_kept() -> None:
    """Names in lower case, values cut; cookies and the rest do not travel on."""
    found = rate_limit_headers(
        {"Set-Cookie": "x", "X-RateLimit-Limit": "1" * 500, "Retry-After": "1", "Authorization": "k"}
    )
    assert set(found) == {"x-ratelimit-limit", "retry-after"}
    assert len(found["x-ratelimit-limit"]) < 70
