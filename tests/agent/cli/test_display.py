"""What a person sees of a search: a line now and then, or a panel; nothing that a terminal would obey."""

from __future__ import annotations

import io
import itertools
from dataclasses import replace

import pytest
from rich.console import Console

from promptclimb.agent.cli.display import Display
from promptclimb.agent.events import (
    AnswerTokensRaised,
    EndpointRemoved,
    EndpointResumed,
    EndpointSuspended,
    Event,
    GaveUp,
    ImagesEncoded,
    ListenerFailed,
    Noted,
    RestartFinished,
    RoundFinished,
    RoundSkipped,
    SearchStarted,
    SearchStopped,
    StartingTemplatesDrawn,
    StartingTemplatesScored,
    TemplateScored,
    UsageChanged,
    WaitCapped,
)
from promptclimb.agent.position import Position

EVIL = "\x1b[2J[bold]a {}[/bold]\r\n"
STARTED = SearchStarted(
    run_dir="r",
    dataset="d",
    classes=3,
    model="m",
    llm="l",
    method="pn",
    restarts=2,
    rounds=8,
    resumed=False,
)
POOL = StartingTemplatesScored(position=Position(1), templates=5, best=EVIL, train=0.5)


USED = UsageChanged(
    calls=7, failed_calls=0, retries=0, prompt_tokens=900, completion_tokens=100, cost_usd=0.05,
    doubtful_tokens=0,
    left={"calls": 3.0, "minutes": 2.5, "cost_usd": 0.45},
)  # fmt: skip


def over(round: int) -> RoundFinished:
    """An round of the first restart that is over."""
    return RoundFinished(position=Position(1, 1, round), best=EVIL, train=0.625)


def scored(number: int) -> TemplateScored:
    """A template of the first restart."""
    return TemplateScored(
        position=Position(1, 1, 1),
        template=f"{number} {{}}",
        train=0.5,
        val=None,
        improved=False,
        source="llm",
    )


def watched(*, terminal: bool) -> tuple[Display, io.StringIO]:
    """A display whose clock goes on by a second at each look."""
    stream = io.StringIO()
    ticks = itertools.count()
    console = Console(file=stream, force_terminal=terminal, width=100, color_system=None)
    return Display(console, clock=lambda: float(next(ticks))), stream


def test_lines_are_few_and_say_what_was_used_and_what_is_left() -> None:
    """Without a terminal a line comes at most every five seconds, whatever happens in between."""
    display, stream = watched(terminal=False)
    with display:
        for event in [STARTED, USED, POOL, *(scored(number) for number in range(40)), over(1)]:
            display(event)
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("searching d (3 classes) with m, LLM l, method pn: 2 restarts, 8 rounds")
    assert 4 <= len(lines) <= 1 + 65 / 5  # a line itself looks at the clock once more
    assert "7 of 10 calls, 1,000 tokens, $0.0500, 3 calls left, 2.5 minutes left, $0.4500 left" in lines[-1]


def test_a_template_of_two_restarts_counts_once() -> None:
    """The live count is that of the result: distinct templates."""
    display, stream = watched(terminal=False)
    for event in [STARTED, *map(scored, range(6)), *map(scored, range(6)), *[over(1)] * 6]:
        display(event)
    assert "6 templates scored" in stream.getvalue().splitlines()[-1]


def test_the_first_skip_of_each_reason_is_a_line_of_its_own() -> None:
    """On a terminal too, where what is shown for a moment would be lost."""
    for terminal in (False, True):
        display, stream = watched(terminal=terminal)
        for number in (1, 2):
            display(RoundSkipped(position=Position(1, 1, number), reason="http://h: answers 500"))
        assert stream.getvalue().count("is skipped: http://h: answers 500") == 1


def test_scores_that_are_no_accuracies_are_plain_numbers() -> None:
    """A black box may score with any number."""
    for terminal in (False, True):
        display, stream = watched(terminal=terminal)
        low = TemplateScored(
            position=Position(1), template="a {}", train=-7000.0, val=None, improved=True, source="initial"
        )
        with display:
            for event in [
                STARTED,
                low,
                StartingTemplatesScored(position=Position(1), templates=1, best="a {}", train=-7000.0),
            ]:
                display(event)
            for number in range(9):
                display(Noted(text=f"fact {number}"))
        assert "-7000" in stream.getvalue()
        assert "%" not in stream.getvalue()


def test_what_is_spent_and_left_can_be_read_at_80_columns() -> None:
    """Nothing of it is cut off beside the bar."""
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80, color_system=None)
    display = Display(console, clock=itertools.count().__next__)
    used = UsageChanged(
        calls=1234, failed_calls=3, retries=2, prompt_tokens=123456, completion_tokens=234567, cost_usd=1.25,
        doubtful_tokens=42839, cached_tokens=100000,
        left={"calls": 3766.0, "tokens": 642000.0, "minutes": 92.5, "cost_usd": 3.45},
    )  # fmt: skip
    with display:
        for event in [STARTED, used, POOL, over(1)]:
            display(event)
    shown = " ".join(stream.getvalue().split())
    assert (
        "1,234 of 5,000 calls, 3 failed attempts, 358,023 tokens (100,000 cached, at most 42,839 more), "
        "$1.2500" in shown
    )
    assert "left: 3,766 calls, 642,000 tokens, 92.5 minutes, $3.4500" in shown
    assert "1 of 8 rounds" in shown


def test_without_an_llm_nothing_is_said_of_calls() -> None:
    """Nothing is asked, so nothing is spent."""
    display, stream = watched(terminal=False)
    for event in [replace(STARTED, llm=None), replace(USED, calls=0, left={}), POOL, *[over(1)] * 6]:
        display(event)
    last = stream.getvalue().splitlines()[-1]
    assert "calls" not in last
    assert "tokens" not in last


def test_the_clock_runs_from_the_start_of_the_search() -> None:
    """As that of the result does: to open data and model is no active time."""
    now = [0.0]
    stream = io.StringIO()
    display = Display(Console(file=stream, width=100), clock=lambda: now[0])
    now[0] = 3600.0
    display(STARTED)
    now[0] = 3665.0
    display(POOL)
    assert "[1:05]" in stream.getvalue()


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            EndpointRemoved(endpoint="http://h/v1", message="the endpoint answers 401: no", left=1),
            "http://h/v1 is not used any more (the endpoint answers 401: no); 1 endpoint left",
        ),
        (
            EndpointRemoved(endpoint="http://h/v1", message="no quota", left=0),
            "http://h/v1 is not used any more (no quota); no endpoint is left",
        ),
        (
            EndpointSuspended(endpoint="http://h/v1", message="the endpoint answers 500: no", wait_s=1.0),
            "http://h/v1 fails (the endpoint answers 500: no); the other endpoints are asked in its place",
        ),
        (EndpointResumed(endpoint="http://h/v1"), "http://h/v1 answers again"),
        (
            AnswerTokensRaised(endpoint="http://h/v1", before=512, now=2048),
            "http://h/v1 used up 512 tokens before an answer began: 2,048 are allowed there from now on "
            "(--answer-tokens)",
        ),
        (
            WaitCapped(endpoint="http://h/v1", asked_s=3600.0, wait_s=120.0),
            "http://h/v1 asks for a wait of 3,600 s; it is tried again in 120 s",
        ),
        (
            GaveUp(endpoint="http://h/v1", failing_s=1800.0, message="the endpoint answers 500: no"),
            "giving up: no call has succeeded for 1,800 s; the last error, from http://h/v1: the endpoint "
            "answers 500: no",
        ),
        (
            ListenerFailed(listener="Mine", error="KeyError: 'x'"),
            "the listener Mine failed and hears of nothing any more (KeyError: 'x')",
        ),
    ],
)
def test_what_happens_is_said_in_sentences(event: Event, line: str) -> None:
    """No event is shown as its fields."""
    display, stream = watched(terminal=False)
    display(event)
    assert stream.getvalue().strip() == line


def test_facts_and_stops_are_lines_of_their_own() -> None:
    """What is worth knowing is not lost between two ticks; what is waited for is said."""
    display, stream = watched(terminal=False)
    drawn = StartingTemplatesDrawn(position=Position(1), templates=1)
    for event in [Noted(text="a fact"), STARTED, drawn, SearchStopped(reason="7 calls")]:
        display(event)
    assert {"a fact", "restart 1: scoring 1 initial template", "stopping: 7 calls"} <= set(
        stream.getvalue().splitlines()
    )


def test_nothing_of_the_llm_reaches_the_terminal_as_a_command() -> None:
    """Neither escape sequences nor markup of a template are obeyed."""
    for terminal in (False, True):
        display, stream = watched(terminal=terminal)
        with display:
            for event in [ImagesEncoded(done=1, of=2), STARTED, POOL, over(1), *map(scored, range(12))]:
                display(event)
            display(RoundSkipped(position=Position(1, 1, 2), reason=EVIL))
            display(RestartFinished(position=Position(1), best=EVIL, train=0.5))
        shown = stream.getvalue()
        assert "\x1b[2J" not in shown
        assert "[bold]a {}[/bold]" in shown
