"""What a person sees of a search: a line now and then, or a panel; nothing that a terminal would obey."""

from __future__ import annotations

import io
import itertools

from promptclimb.agent.cli.display import Progress
from promptclimb.agent.events.kinds import (
    ClimbFinished,
    ImagesEncoded,
    Noted,
    PoolDrawn,
    PoolScored,
    SearchStarted,
    SearchStopped,
    StepFinished,
    StepSkipped,
    TemplateScored,
)
from promptclimb.agent.llm.budget import Usage
from rich.console import Console

EVIL = "\x1b[2J[bold]a {}[/bold]\r\n"
STARTED = SearchStarted(
    run_dir="r", dataset="d", classes=3, model="m", llm="l", method="pn", climbs=2, steps=8, resumed=False
)
POOL = PoolScored(climb=1, templates=5, best=EVIL, train=0.5)


def step(iteration: int) -> StepFinished:
    """A turn of climb 1 that is over."""
    return StepFinished(climb=1, reset=1, iteration=iteration, best=EVIL, train=0.625)


def scored(number: int) -> TemplateScored:
    """A template of climb 1."""
    return TemplateScored(
        climb=1, reset=1, iteration=1, template=f"{number} {{}}", train=0.5, val=None, improved=False
    )


def watched(*, terminal: bool) -> tuple[Progress, io.StringIO]:
    """A display whose clock goes on by a second at each look."""
    stream = io.StringIO()
    ticks = itertools.count()
    console = Console(file=stream, force_terminal=terminal, width=100, color_system=None)
    used = Usage(calls=7, prompt_tokens=900, completion_tokens=100, picodollars=5 * 10**10)
    left = {"calls": 3.0, "minutes": 2.5, "cost_usd": 0.45}
    return Progress(console, gauge=lambda: (used, left), clock=lambda: float(next(ticks))), stream


def test_lines_are_few_and_say_what_was_used_and_what_is_left() -> None:
    """Without a terminal a line comes at most every five seconds, whatever happens in between."""
    progress, stream = watched(terminal=False)
    with progress:
        for event in [STARTED, POOL, *(scored(number) for number in range(40)), step(1)]:
            progress(event)
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("searching d (3 classes) with m, LLM l, method pn: 2 climbs, 8 turns")
    assert 4 <= len(lines) <= 1 + 65 / 5  # a line itself looks at the clock once more
    assert "7 calls, 1,000 tokens, $0.0500, 3 calls left, 2.5 minutes left, $0.4500 left" in lines[-1]


def test_facts_and_stops_are_lines_of_their_own() -> None:
    """What is worth knowing is not lost between two ticks; what is waited for is said."""
    progress, stream = watched(terminal=False)
    drawn = PoolDrawn(climb=1, templates=1)
    for event in [Noted(text="a fact"), STARTED, drawn, SearchStopped(reason="7 calls")]:
        progress(event)
    assert {"a fact", "climb 1: scoring 1 initial template", "stopping: 7 calls"} <= set(
        stream.getvalue().splitlines()
    )


def test_nothing_of_the_llm_reaches_the_terminal_as_a_command() -> None:
    """Neither escape sequences nor markup of a template are obeyed."""
    for terminal in (False, True):
        progress, stream = watched(terminal=terminal)
        with progress:
            for event in [ImagesEncoded(done=1, of=2), STARTED, POOL, step(1), *map(scored, range(12))]:
                progress(event)
            progress(StepSkipped(climb=1, reset=1, iteration=2, reason=EVIL))
            progress(ClimbFinished(climb=1, best=EVIL, train=0.5))
        shown = stream.getvalue()
        assert "\x1b[2J" not in shown
        assert "[bold]a {}[/bold]" in shown
