"""The searches of a study: start, resume or read each, within limits over all; one that fails stops alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar, TypeAlias

from ...evaluator.counts import counted, enumerated
from ...evaluator.errors import PromptclimbError, UsageError
from ..config.schema import SearchConfig
from ..errors import InterruptedRunError, KeyRejectedError, StoreError, StoreLockedError, StoreMismatchError
from ..llm.budget import LIMITS, Budget, Limits
from ..llm.cost import NOTHING, Spent
from ..results.result import SearchResult
from ..results.run_dir import STORE, read_result
from ..search.identity import known_identity
from ..search.inputs import fallen_back, pinned_evaluator
from ..search.run import SearchRun
from ..secrets import Scrubber, secrets_named_in
from ..store.run import Store
from .content_check import CurrentContent, content_of_run, refuse_other_content
from .grid import Cell

INTERRUPTED = "interrupted"
"""Reason of a run that a signal ended or prevented."""
NO_TEST = "finished, but its scorer reported no test accuracy"
_UNITS = dict(zip(LIMITS, ("request", "token", "US dollar", "minute"), strict=True))


@dataclass(frozen=True, slots=True)
class NotRun:
    """A run that was not started."""

    reason: str
    by_limit: bool = False
    status: ClassVar[str] = "not run"


@dataclass(frozen=True, slots=True)
class Stopped:
    """A run that an error or a signal ended without a result, with what it has used."""

    reason: str
    usage: Spent = NOTHING
    status: ClassVar[str] = "stopped"


SearchEnd: TypeAlias = SearchResult | NotRun | Stopped
"""How a search of a study ended."""


def stopped_search(error: Exception, usage: Spent = NOTHING) -> Stopped:
    """Return the outcome of a run that an error ended: the message on one line, without secrets."""
    said = " ".join(str(error).split()) or type(error).__name__
    return Stopped(Scrubber(secrets_named_in(os.environ)).scrub_quoted(said), usage)


def ends_all(error: Exception) -> bool:
    """Return whether an error concerns more than its run: a signal, a broken store, a foreign folder."""
    return isinstance(error, InterruptedRunError | StoreError) or type(error) is UsageError


class Refusals:
    """Endpoints that refused their key, and are not asked again."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}

    def of(self, config: SearchConfig) -> str | None:
        """Return why a search's endpoint is not asked; None where it may be."""
        return self._said.get(endpoint_of(config)) if config.needs_llm else None

    def note(self, config: SearchConfig, error: Exception, said: str) -> None:
        """Remember an error if it is a refused key."""
        if isinstance(error, KeyRejectedError) or isinstance(error.__cause__, KeyRejectedError):
            self._said[endpoint_of(config)] = f"its endpoint has refused another run: {said}"


def endpoint_of(config: SearchConfig) -> str:
    """Return a key of a search's LLM: its name and its endpoints."""
    return config.model_dump_json(include={"llm", "base_url", "endpoints"})


class SharedLimits:
    """The rest of a study's limits, for its next run.

    The usage of all other runs in the study's folder is subtracted, possibly billed attempts included. It is
    read only if there is a limit.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._reached: set[str] = set()

    @cached_property
    def _used(self) -> dict[Path, Spent]:
        return {
            store.parent: _stored_usage(store.parent) for store in sorted(self._folder.glob(f"*/{STORE}"))
        }

    def share(self, config: SearchConfig) -> SearchConfig:
        """Return a run's config with what the others leave of each limit."""
        return config.model_copy(update=self._left(config, others=True))

    def reached(self, config: SearchConfig) -> list[str]:
        """Return the limits that keep a search from starting or resuming; without an LLM only time does."""
        left = self._left(config)
        needed = LIMITS if fallen_back(config).needs_llm else ("max_minutes",)
        return [name for name in needed if name in left and (not left[name] or name in self._reached)]

    def after(self, config: SearchConfig, result: SearchResult) -> None:
        """Count what a search has used, and remember the limits that stopped it."""
        self.recount(config)
        if _is_limited(config):  # tokens or money may be left, but less than a request may need
            self._reached.update(_limits_of(result))

    def recount(self, config: SearchConfig) -> None:
        """Count what a search without a result has used."""
        assert config.run_dir is not None
        if _is_limited(config) and (config.run_dir / STORE).exists():
            self._used[config.run_dir] = _stored_usage(config.run_dir)

    def _left(self, config: SearchConfig, *, others: bool = False) -> dict[str, float]:
        if not _is_limited(config):
            return {}
        total = NOTHING
        for run_dir, used in self._used.items():
            if not others or run_dir != config.run_dir:
                total = total.plus(used)
        left = Budget(Limits.of(config), total, clock=lambda: 0.0).left()
        found = zip(LIMITS, (left.calls, left.tokens, left.cost_usd, left.minutes), strict=True)
        return {name: value for name, value in found if value is not None}


def _is_limited(config: SearchConfig) -> bool:
    return Limits.of(config) != Limits()


def _stored_usage(run_dir: Path) -> Spent:
    with Store.open(run_dir) as store:
        return store.usage


def _limits_of(result: SearchResult) -> list[str]:
    return [f"max_{limit}" for limit in result.limits]


def _limits_reached(config: SearchConfig, names: Sequence[str]) -> str:
    amounts = [counted(getattr(config, name), _UNITS[name]).replace(".0 ", " ") for name in names]
    verb = f"limit of {amounts[0]}" if len(names) == 1 else f"limits of {enumerated(amounts)}"
    return f"the {verb} over the whole suite {'is' if len(names) == 1 else 'are'} reached"


def with_limits_of_all(config: SearchConfig, result: SearchResult) -> SearchResult:
    """Return a result that names the study's limit instead of its run's share of it."""
    names = [name for name in _limits_of(result) if getattr(config, name) is not None]
    return replace(result, stop_reason=_limits_reached(config, names)) if names else result


def is_done(cell: Cell, current: CurrentContent) -> bool:
    """Return whether a search is finished; raise UsageError if its folder is in use or has other content."""
    if (cell.run_dir / STORE).exists():
        with Store.open(cell.run_dir) as store, _same_settings(cell):
            manifest = store.manifest
            begun = pinned_evaluator(fallen_back(cell.config, manifest.notes))
            store.check_identity(known_identity(begun, manifest.identity))
        if (last := _last_result(cell)) is None or not last.complete:
            return False
        refuse_other_content(cell.run_dir, current.differences(begun, content_of_run(cell.run_dir, manifest)))
        return True
    check_free(cell, f"{STORE}.new.", "run")
    return False


def check_free(cell: Cell, own: str, what: str) -> None:
    """Refuse a folder without a run that holds more than unfinished files, which begin with ``own``."""
    if cell.run_dir.is_dir() and any(not one.name.startswith(own) for one in cell.run_dir.iterdir()):
        raise UsageError(
            f"--suite-dir {cell.run_dir.parent}: {cell.run_dir.name} in it is not empty and holds no {what}; "
            "move it away, or choose another folder"
        )


@contextmanager
def _same_settings(cell: Cell) -> Iterator[None]:
    """Name the suite's folder in errors about other settings."""
    try:
        yield
    except StoreMismatchError as error:
        raise UsageError(
            f"--suite-dir {cell.run_dir.parent}: {cell.run_dir.name} in it was started with other settings "
            f"({'; '.join(error.differences)}); give this suite its own folder with --suite-dir, or use the "
            "earlier settings"
        ) from error


async def run_search(
    cell: Cell, shared: SharedLimits, refusals: Refusals, opened: Callable[[SearchConfig], SearchRun]
) -> SearchEnd:
    """Start a search, resume it, or read its result.

    Limits in the cell's config are those over all runs. Errors that end the whole study are raised; what the
    run has is kept.
    """
    begun = (cell.run_dir / STORE).exists()
    limits = shared.reached(cell.config)
    reason = _limits_reached(cell.config, limits) if limits else refusals.of(cell.config)
    if reason is not None:
        if not begun:
            return NotRun(reason, by_limit=bool(limits))
        # A run without a result may have all its answers already; finishing it costs nothing.
        if (last := _last_result(cell)) is not None and last.status == "stopped":
            return replace(
                last, stop_reason=reason, limits=tuple(name.removeprefix("max_") for name in limits)
            )
    session = opened(shared.share(cell.config))
    try:
        with _same_settings(cell):
            result = await (session.resume(cell.run_dir) if begun else session.start())
    except StoreLockedError as error:
        return stopped_search(error)  # another process works on it, so its usage cannot be read
    except PromptclimbError as error:
        if ends_all(error):
            raise
        shared.recount(cell.config)
        stopped = stopped_search(error, _usage(cell))
        refusals.note(cell.config, error, stopped.reason)
        return stopped
    shared.after(cell.config, result)
    return with_limits_of_all(cell.config, result)


def end_so_far(cell: Cell) -> SearchEnd:
    """Return the current outcome of a search in an interrupted study, without running it."""
    if (last := _last_result(cell)) is not None:
        return last
    return Stopped(INTERRUPTED, _usage(cell)) if (cell.run_dir / STORE).exists() else NotRun(INTERRUPTED)


def _usage(cell: Cell) -> Spent:
    try:
        return _stored_usage(cell.run_dir)
    except StoreError:
        return NOTHING  # it failed before it had a store


def _last_result(cell: Cell) -> SearchResult | None:
    try:
        return read_result(cell.run_dir)
    except (OSError, ValueError):
        return None  # missing or torn


def why_in_no_mean(result: SearchResult) -> str | None:
    """Return why a result has no test accuracy; None where it has one."""
    if result.stop_reason is not None or result.why_not_evaluated is not None:
        return result.stop_reason or result.why_not_evaluated
    return NO_TEST if result.best.test is None else None


def how_to_resume(ends: Sequence[SearchEnd]) -> str | None:
    """Return a line on how to finish the other runs; None if all are finished."""
    by_limit = any(one.limits if isinstance(one, SearchResult) else _by_limit(one) for one in ends)
    failed = sum(isinstance(one, Stopped) for one in ends)
    if failed:
        higher = ", with higher limits," if by_limit else ""
        return (
            f"{counted(failed, 'run')} stopped with an error. Fix its cause, then run the same command"
            f"{higher or ' again'} to resume."
        )
    if by_limit:
        return "Everything is kept. Run the same command with higher limits to resume."
    if all(isinstance(one, SearchResult) and one.complete for one in ends):
        return None
    return "Everything is kept. Run the same command again to resume."


def _by_limit(one: NotRun | Stopped) -> bool:
    return isinstance(one, NotRun) and one.by_limit
