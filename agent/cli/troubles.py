"""What holds a search up: failed attempts, retries and pauses, each with its reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ...evaluator.counts import counted
from ..events import AnswerReceived, ChatFailed, Event, Paused, RetryScheduled, WaitCapped

REASONS = {
    "rate_limited": "rate limit",
    "transient": "failure that may pass",
    "useless": "answer of no use",
}
"""Reasons of a retry, as the events call them, in words."""
_SHOWN = 100


@dataclass(slots=True)
class Troubles:
    """What has gone wrong on the way to the LLM, made of events alone.

    Attributes:
        now: What is waited for, and why; empty since an answer came.
        retries: Retries by reason.
        pauses: How often an endpoint asked for a pause.
    """

    now: str = ""
    retries: Counter[str] = field(default_factory=Counter)
    pauses: int = 0
    _why: str = ""

    def take(self, event: Event) -> None:
        """Learn from an event."""
        if isinstance(event, ChatFailed):
            self._why = f"{event.error}: {event.message}"[:_SHOWN]
        elif isinstance(event, RetryScheduled):
            reason = REASONS.get(event.reason, event.reason)
            self.retries[reason] += 1
            said = f" ({self._why})" if self._why else ""
            self.now = (
                f"{event.endpoint}: attempt {event.attempt + 1} in {event.wait_s:,.0f} s, {reason}{said}"
            )
        elif isinstance(event, Paused):
            self.pauses += 1
            self.now = f"{event.endpoint} asks for a pause of {event.wait_s:,.0f} s"
        elif isinstance(event, WaitCapped):
            self.now = (
                f"{event.endpoint} asks for {event.asked_s:,.0f} s; tried again in {event.wait_s:,.0f} s"
            )
        elif isinstance(event, AnswerReceived) and not event.replayed:
            self.now = ""

    @property
    def summary(self) -> str:
        """All of it in a few words; empty where all went well."""
        parts = []
        if count := self.retries.total():
            why = ", ".join(f"{number:,} {reason}" for reason, number in self.retries.most_common())
            parts.append(f"{counted(count, 'retry', 'retries')} ({why})")
        if self.pauses:
            parts.append(counted(self.pauses, "pause"))
        return ", ".join(parts)
