"""How a search stands, as far as its events tell."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...evaluator.counts import counted
from ..events import (
    ClimbFinished,
    Event,
    ImagesEncoded,
    IterationFinished,
    IterationSkipped,
    PoolScored,
    SearchStarted,
    TemplateScored,
    UsageChanged,
)
from ..results.figures import are_shares, score_text


@dataclass(slots=True)
class Standing:
    """How a climb stands."""

    iterations: int = 0
    skipped: int = 0
    best: str = ""
    train: float = 0.0
    done: bool = False


@dataclass(slots=True)
class State:
    """What the display knows; made of events alone."""

    started: SearchStarted | None = None
    usage: UsageChanged | None = None
    climbs: dict[int, Standing] = field(default_factory=dict)
    templates: set[str] = field(default_factory=set)
    percent: bool = True
    latest: str = ""
    opening: str = ""

    def take(self, event: Event) -> None:
        """Learns from an event."""
        if isinstance(event, SearchStarted):
            self.started = event
        elif isinstance(event, ImagesEncoded):
            self.opening = f"{event.done:,} of {event.of:,} images encoded"
        elif isinstance(event, UsageChanged):
            self.usage = event
        elif isinstance(event, TemplateScored):
            # Restarts may come upon the same template, and the result counts it once.
            self.templates.add(event.template)
            self.percent = self.percent and are_shares((event.train, event.val))
        elif isinstance(event, PoolScored | IterationFinished | ClimbFinished):
            self.latest = ""
            standing = self.climbs.setdefault(event.position.climb, Standing())
            standing.best, standing.train = event.best, event.train
            standing.iterations += isinstance(event, IterationFinished)
            standing.done = standing.done or isinstance(event, ClimbFinished)
        elif isinstance(event, IterationSkipped):
            standing = self.climbs.setdefault(event.position.climb, Standing())
            standing.iterations += 1
            standing.skipped += 1

    def score(self, value: float) -> str:
        """Return the text of a score."""
        return score_text(value, percent=self.percent) + ("%" if self.percent else "")

    @property
    def scored(self) -> int:
        """Distinct templates with a score."""
        return len(self.templates)

    @property
    def iterations(self) -> int:
        """Iterations that are over."""
        return sum(standing.iterations for standing in self.climbs.values())

    @property
    def best(self) -> Standing | None:
        """The climb that is ahead."""
        return max(self.climbs.values(), key=lambda standing: standing.train, default=None)

    @property
    def spent(self) -> list[str]:
        """What the calls have cost; nothing where no LLM is asked."""
        used = self.usage
        if self.started is not None and self.started.llm is None:
            return []
        if used is None:
            return ["0 calls"]
        parts = [counted(used.calls, "call")]
        if used.failed_calls:
            parts.append(counted(used.failed_calls, "failed attempt"))
        parts.append(f"{used.prompt_tokens + used.completion_tokens:,} tokens")
        aside = [f"{used.cached_tokens:,} cached"] if used.cached_tokens else []
        aside += [f"at most {used.doubtful_tokens:,} more"] if used.doubtful_tokens else []
        if aside:
            parts[-1] += f" ({', '.join(aside)})"
        if used.cost_usd:
            parts.append(f"${used.cost_usd:.4f}")
        return parts

    @property
    def left(self) -> list[str]:
        """What is left of each limit that was set."""
        return [_amount(name, value) for name, value in (self.usage.left if self.usage else {}).items()]


def _amount(name: str, value: float) -> str:
    if name.startswith("cost"):
        return f"${value:.4f}"
    return f"{value:,.1f} minutes" if name == "minutes" else f"{value:,.0f} {name}"
