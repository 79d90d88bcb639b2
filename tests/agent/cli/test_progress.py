"""How a search stands, from its events: what it gained, what holds it up, and how long it may take."""

from __future__ import annotations

import io
import itertools
from dataclasses import replace

import pytest
from rich.console import Console

from promptclimb.agent.cli.display import Display
from promptclimb.agent.cli.progress import State
from promptclimb.agent.cli.sparkline import sparkline
from promptclimb.agent.events import (
    AnswerEmpty,
    AnswerReceived,
    BatchScored,
    ChatFailed,
    DefaultTemplateScored,
    Event,
    Paused,
    RetryScheduled,
    RoundFinished,
    SearchStarted,
    StartingTemplatesScored,
    TemplateScored,
    UsageChanged,
)
from promptclimb.agent.position import Position

STARTED = SearchStarted(
    run_dir="r", dataset="d", classes=3, model="m", llm="l", method="pn", restarts=1, rounds=10,
    resumed=False,
)  # fmt: skip
PLAIN = DefaultTemplateScored(template="a photo of a {}", train=0.375, val=None)
POOL = StartingTemplatesScored(position=Position(1), templates=5, best="a {}", train=0.5)
FAILED = ChatFailed(endpoint="l", error="RateLimitError", message="too many requests\x1b[2J", billed=False)
RETRY = RetryScheduled(endpoint="l", attempt=1, wait_s=12.4, reason="rate_limited")
USED = UsageChanged(
    calls=7, failed_calls=1, retries=1, prompt_tokens=900, completion_tokens=100, cost_usd=0.05,
    doubtful_tokens=0, left={"calls": 3.0},
)  # fmt: skip


def scored(number: int, train: float) -> TemplateScored:
    """A template of the first restart."""
    return TemplateScored(
        position=Position(1, 1, 1),
        template=f"{number} {{}}",
        train=train,
        val=None,
        improved=True,
        source="llm",
    )


def answered(*, replayed: bool = False) -> AnswerReceived:
    """An answer to the first restart."""
    return AnswerReceived(position=Position(1, 1, 1), replayed=replayed, prompt_tokens=1, completion_tokens=1)


def over(round: int, train: float = 0.625) -> RoundFinished:
    """An round that is over."""
    return RoundFinished(position=Position(1, 1, round), best="b {}", train=train)


def state_after(*events: Event) -> State:
    """What is known after events."""
    state = State()
    for event in events:
        state.take(event)
    return state


@pytest.mark.parametrize(
    ("values", "blocks"),
    [([], ""), ([0.5], "▁"), ([0.5, 0.5], "▁▁"), ([0.0, 0.5, 1.0], "▁▅█"), ([1.0, 0.0], "█▁")],
)
def test_a_course_is_a_line_of_blocks(values: list[float], blocks: str) -> None:
    """From the lowest to the highest."""
    assert sparkline(values) == blocks


@pytest.mark.parametrize("count", [31, 60, 1000])
def test_a_long_course_is_cut_to_its_width(count: int) -> None:
    """The first block is low, the last one the latest value."""
    line = sparkline([float(number) for number in range(count)], width=30)
    assert len(line) == 30
    assert (line[0], line[-1]) == ("▁", "█")


def test_the_best_so_far_its_course_and_its_gain() -> None:
    """Over plain and over the best starting template; in points where scores are accuracies."""
    state = state_after(STARTED, scored(1, 0.5), POOL)
    assert state.ahead == ["best so far 50.0% on train"]
    for event in (scored(2, 0.25), scored(3, 0.625), over(1)):
        state.take(event)
    assert state.ahead == ["best so far 62.5% on train ▁▁█", "+12.5 points over the best starting template"]
    other = state_after(STARTED, replace(POOL, train=5.0), scored(1, 5.0), scored(2, 7.5), over(1, 7.5))
    assert other.ahead[1] == "+2.5 over the best starting template"


def test_the_gain_over_plain_is_known_from_the_first_score_on() -> None:
    """In the panel, in lines, and in the line of ``--live``; of a black box's own numbers as they are."""
    state = state_after(STARTED, PLAIN, scored(1, 0.5), POOL)
    assert state.ahead == ["best so far 50.0% on train", "+12.5 points over the default template"]
    assert state.line.endswith("best so far 50.0% on train, +12.5 points over the default template")
    numbers = state_after(STARTED, replace(PLAIN, train=7.0), scored(1, 5.0), replace(POOL, train=5.0))
    assert numbers.ahead == ["best so far 5 on train", "-2 over the default template"]


def test_what_holds_it_up_is_said_with_its_reason() -> None:
    """While it waits, for what and why; afterwards, how often; answers of no use and the queue too."""
    state = state_after(STARTED, FAILED, RETRY)
    assert state.troubles.now.startswith(
        "l: attempt 2 in 12 s, rate limit (RateLimitError: too many requests"
    )
    state.take(Paused(endpoint="l", wait_s=30))
    assert state.troubles.now == "l asks for a pause of 30 s"
    state.take(answered(replayed=True))
    assert state.troubles.now
    for event in (answered(), AnswerEmpty(position=Position(1, 1, 1), cut=False)):
        state.take(event)
    state.take(BatchScored(templates=8, seconds=0.5, waiting=3))
    assert state.troubles.now == ""
    assert state.hindered == [
        "1 retry (1 rate limit), 1 pause",
        "1 of 2 answers without a template (50%)",
        "3 templates in the queue",
    ]


def test_the_time_left_is_that_of_what_was_measured_in_this_session() -> None:
    """What an earlier session did took no time now; before anything is measured nothing is said."""
    state = state_after(STARTED, answered(replayed=True), over(1), answered(replayed=True), over(2))
    assert state.minutes_left(5.0) == ""
    for event in (answered(), over(3)):
        state.take(event)
    assert state.minutes_left(10.0) == "about 70 s left"
    assert state.minutes_left(60.0) == "about 7 min left"
    for number in range(4, 11):
        state.take(over(number))
    assert state.minutes_left(60.0) == ""


@pytest.mark.parametrize("width", [80, 200])
def test_a_panel_has_all_of_it_at_any_width(width: int) -> None:
    """No line is wider than the terminal, nothing of it is lost, and no control character gets through."""
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=width, color_system=None)
    display = Display(console, clock=itertools.count().__next__)
    first = (STARTED, USED, PLAIN, scored(1, 0.5), POOL)
    for event in (*first, answered(), scored(2, 0.625), over(1), FAILED, RETRY):
        display(event)
    with console.capture() as captured:
        console.print(display._panel())
    lines = captured.get().splitlines()
    assert max(map(len, lines)) <= width
    text = " ".join(" ".join(lines).split())
    for part in (
        "1 of 10 rounds",
        "best so far 62.5% on train ▁█, +25.0 points over the default template, +12.5 points over "
        "the best starting template",
        "7 of 10 calls, 1 failed attempt, 1,000 tokens, $0.0500",
        "1 retry (1 rate limit)",
        "l: attempt 2 in 12 s, rate limit (RateLimitError: too many requests",
        " left",
    ):
        assert part in text
    assert "\x1b" not in text


def test_lines_without_a_terminal_have_it_too() -> None:
    """As in a log that somebody reads later; NO_COLOR changes nothing, as there is no colour in it."""
    stream = io.StringIO()
    ticks = itertools.count(step=6)
    display = Display(Console(file=stream, width=80), clock=lambda: float(next(ticks)))
    with display:
        for event in (
            STARTED,
            USED,
            PLAIN,
            scored(1, 0.5),
            POOL,
            answered(),
            scored(2, 0.625),
            over(1),
            FAILED,
            RETRY,
        ):
            display(event)
    last = stream.getvalue().splitlines()[-1]
    assert "7 of 10 calls" in last
    assert (
        "best 62.5% on train: b {} (+25.0 points over the default template, +12.5 points over the "
        "best starting template)" in last
    )
    assert "about " in last
    assert "l: attempt 2 in 12 s, rate limit" in last
    assert "\x1b" not in stream.getvalue()
