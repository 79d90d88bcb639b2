"""Events in words, for those that are worth a line of their own."""

from __future__ import annotations

from ...evaluator.counts import counted
from ..events import (
    AnswerTokensRaised,
    EndpointRemoved,
    EndpointResumed,
    EndpointSuspended,
    Event,
    GaveUp,
    ListenerFailed,
    Noted,
    SearchStarted,
    SearchStopped,
    UsageMissing,
    WaitCapped,
)


def sentence(event: Event) -> str | None:
    """Return an event as a line for people; None for one that is not worth a line."""
    match event:
        case Noted():
            return event.text
        case SearchStarted():
            return _opening(event)
        case SearchStopped():
            return f"stopping: {event.reason}"
        case UsageMissing():
            return (
                f"{event.endpoint} does not report how many tokens its answers cost: "
                "each counts against limits with the most that it can have cost"
            )
        case EndpointRemoved():
            left = f"{counted(event.left, 'endpoint')} left" if event.left else "no endpoint is left"
            return f"{event.endpoint} is not used any more ({event.message}); {left}"
        case EndpointSuspended():
            return f"{event.endpoint} fails ({event.message}); the other endpoints are asked in its place"
        case EndpointResumed():
            return f"{event.endpoint} answers again"
        case AnswerTokensRaised():
            return (
                f"{event.endpoint} used up {event.before:,} tokens before an answer began: "
                f"{event.now:,} are allowed there from now on (--answer-tokens)"
            )
        case WaitCapped():
            return (
                f"{event.endpoint} asks for a wait of {event.asked_s:,.0f} s; "
                f"it is tried again in {event.wait_s:,.0f} s"
            )
        case GaveUp():
            return (
                f"giving up: no call has succeeded for {event.failing_s:,.0f} s; "
                f"the last error, from {event.endpoint}: {event.message}"
            )
        case ListenerFailed():
            return f"the listener {event.listener} failed and hears of nothing any more ({event.error})"
    return None


def _opening(event: SearchStarted) -> str:
    who = f"LLM {event.llm}" if event.llm else "no LLM"
    verb = "going on with" if event.resumed else "searching"
    # A black box need not say of what it is made.
    classes = f" ({event.classes} classes)" if event.classes else ""
    return (
        f"{verb} {event.dataset}{classes} with {event.model}, {who}, method {event.method}: "
        f"{counted(event.restarts, 'restart')}, {counted(event.rounds, 'round')}, in {event.run_dir}"
    )
