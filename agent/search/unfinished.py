"""What there is of a search of a suite that has no result, and what that says of the others."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from ...evaluator.errors import UsageError
from ..config.schema import SearchConfig
from ..errors import InterruptedRunError, KeyRejectedError, StoreError
from ..llm.usage import NOTHING, Usage
from ..results.result import UNOPENED, SearchResult
from ..secrets import Scrubber, secrets_named_in

INTERRUPTED = "interrupted"
"""Why there is nothing of a search that a signal ended, or that was to come after it."""
NO_TEST = "it is finished, and its evaluator told no accuracy on test"


@dataclass(frozen=True, slots=True)
class NotRun:
    """What there is of a search that was never begun.

    Attributes:
        reason: Which limit is reached, or what else stands in its way.
        by_limit: Whether it is a limit.
    """

    reason: str
    by_limit: bool = False
    status: ClassVar[str] = "not run"


@dataclass(frozen=True, slots=True)
class Stopped:
    """What there is of a search, or a fit, that came to no result: an error or a signal ended it.

    Attributes:
        reason: What was said.
        usage: What it has used.
    """

    reason: str
    usage: Usage = NOTHING
    status: ClassVar[str] = "stopped"

    @property
    def spent(self) -> dict[str, float]:
        """What it has used, by the names that tables have for it."""
        tokens = self.usage.prompt_tokens + self.usage.completion_tokens
        return {"calls": self.usage.calls, "tokens": tokens, "cost_usd": self.usage.cost_usd}


Found: TypeAlias = SearchResult | NotRun | Stopped
"""What came of a search."""


def stopped_by(error: Exception, usage: Usage = NOTHING) -> Stopped:
    """Return what an error leaves of a search: its message as a line without secrets."""
    said = " ".join(str(error).split()) or type(error).__name__
    return Stopped(Scrubber(secrets_named_in(os.environ)).scrub_quoted(said), usage)


def ends_all(error: Exception) -> bool:
    """Return whether an error is about more than the run that it came from.

    A signal, a store that cannot be read or written, and a folder of another suite are; what an endpoint, an
    evaluator, a data set or a model is at fault for is not.
    """
    return isinstance(error, InterruptedRunError | StoreError) or type(error) is UsageError


class Refusals:
    """Endpoints that have refused their key: who is refused once is not asked again."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}

    def of(self, config: SearchConfig) -> str | None:
        """Return why the LLM of a search need not be asked; None where nothing speaks against it."""
        return self._said.get(asked(config)) if config.needs_llm else None

    def note(self, config: SearchConfig, error: Exception, said: str) -> None:
        """Remember an error, if it is the refusal of a key."""
        if isinstance(error, KeyRejectedError) or isinstance(error.__cause__, KeyRejectedError):
            self._said[asked(config)] = f"its endpoint has refused another run: {said}"


def asked(config: SearchConfig) -> str:
    """Return what tells the LLM of a search from others: its name and its endpoints."""
    return config.model_dump_json(include={"llm", "base_url", "endpoints"})


def why_in_no_mean(result: SearchResult) -> str | None:
    """Return why a result has no test accuracy; None where it has one."""
    if result.stop_reason is not None or UNOPENED in result.notes:
        return result.stop_reason or str(result.notes[UNOPENED])
    return NO_TEST if result.best.test is None else None


def way_on(found: Sequence[Found]) -> str | None:
    """Return how to go on with what is left to do, in a line; None where nothing is."""
    by_limit = any(one.limits if isinstance(one, SearchResult) else _by_limit(one) for one in found)
    failed = sum(isinstance(one, Stopped) for one in found)
    if failed:
        runs = "a run" if failed == 1 else f"{failed:,} runs"
        mended = f"{runs} stopped with an error; once its cause is mended, the same command"
        return f"{mended}{', with higher limits,' if by_limit else ''} goes on from here"
    if by_limit:
        return "everything is kept; the same command, with higher limits, goes on from here"
    if all(isinstance(one, SearchResult) and one.complete for one in found):
        return None
    return "everything is kept; the same command goes on from here"


def _by_limit(one: NotRun | Stopped) -> bool:
    return isinstance(one, NotRun) and one.by_limit
