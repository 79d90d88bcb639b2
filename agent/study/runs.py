"""The searches of a study: start, resume or read each, within limits over all; one that fails stops alone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from ...evaluator.counts import counted
from ...evaluator.errors import PromptclimbError, StoreError, UsageError, reason_of
from ...evaluator.threads import in_thread
from ..config.schema import SearchConfig
from ..errors import InterruptedRunError, KeyRejectedError, StoreLockedError, StoreMismatchError
from ..limits import CALLS, COST, LIMIT_BY_KEY, LIMITS, MINUTES, TOKENS, RunLimit, why_spent
from ..llm.budget import Budget, Limits
from ..prices import NOTHING, Spent
from ..results.result import SearchResult
from ..results.run_dir import STORE, read_result
from ..search.bound import bound_of
from ..search.identity import known_identity
from ..search.inputs import pinned_evaluator
from ..search.opening import RunRequest
from ..search.run import resume_run, start_run
from ..secrets import Scrubber, secrets_named_in
from ..store.records import check_identity
from ..store.run import Store
from .grid import Cell

INTERRUPTED = "interrupted"
"""Reason of a run that a signal ended or prevented."""
NO_TEST = "finished, but its scorer reported no test accuracy"
_SOURCES = ("data", "class_names", "model", "pretrained", "custom_scorer", "initial")
"""Settings that may name files, whose contents decide a result."""


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


def stopped_by(error: Exception, usage: Spent = NOTHING) -> Stopped:
    """Return the outcome of a run that an error ended: the message on one line, without secrets."""
    return Stopped(Scrubber(secrets_named_in(os.environ)).scrub_quoted(reason_of(error)), usage)


def ends_all(error: Exception) -> bool:
    """Return whether an error concerns more than its run: a signal, a broken store, a foreign folder."""
    return isinstance(error, InterruptedRunError | StoreError) or type(error) is UsageError


def endpoint_of(config: SearchConfig) -> str:
    """Return a key of a search's LLM: its name and its address."""
    return config.model_dump_json(include={"llm", "base_url"})


class SharedLimits:
    """The rest of a study's limits, for its next run.

    The usage of all other runs in the study's folder is subtracted, possibly billed attempts included. It is
    read only if there is a limit. Of several runs at once each is limited to its upper bound, so together
    they keep the limits; one whose bound is unknown, or more than is left, has the rest to itself.

    ``jobs`` is how many runs there are at once; they share the limits per minute and the requests in flight.
    ``refused`` has why an endpoint that refused its key is not asked again.
    """

    def __init__(self, folder: Path, jobs: int = 1) -> None:
        self._folder = folder
        self._jobs = jobs
        self.refused: dict[str, str] = {}
        self._reached: set[str] = set()
        self._granted: dict[Path, Mapping[str, float]] = {}
        self._changed = asyncio.Condition()
        self._order = asyncio.Lock()

    @cached_property
    def _usage(self) -> dict[Path, Spent]:
        stores = sorted(self._folder.glob(f"*/{STORE}"))
        return {store.parent: _stored_usage(store.parent) for store in stores}

    def share(self, config: SearchConfig) -> SearchConfig:
        """Return a run's config with what the others leave of each limit."""
        return _with_limits(config, self.left(config, without=config.run_dir))

    @asynccontextmanager
    async def turn(self, config: SearchConfig, *, whole: bool) -> AsyncIterator[tuple[SearchConfig, bool]]:
        """Wait until a run may begin; yield its config with what it may use, and whether that is only a part.

        ``whole``: it gets all that is left, and runs alone.
        """
        if self._jobs == 1 or not self._binding(config):
            yield self._paced(self.share(config)), False
            return
        run_dir = config.run_dir
        assert run_dir is not None
        bound = await in_thread(lambda: bound_of(config))
        most = {CALLS.key: bound.calls, TOKENS.key: bound.tokens, COST.key: bound.cost_usd, MINUTES.key: None}

        def fits() -> bool:
            amounts = [(most[key], left) for key, left in self._rest(config).items()]
            return not whole and all(amount is not None and amount <= left for amount, left in amounts)

        async with self._order, self._changed:  # runs begin in the study's order
            await self._changed.wait_for(lambda: not self._granted or fits())
            is_part, rest = fits(), self._rest(config)
            granted = {key: most[key] or 0 for key in rest} if is_part else rest
            self._granted[run_dir] = granted
        try:
            yield _with_limits(self._paced(config), granted), is_part
        finally:
            async with self._changed:
                del self._granted[run_dir]
                self._changed.notify_all()

    def _paced(self, config: SearchConfig) -> SearchConfig:
        """Return a config with its part of the limits per minute and of the requests in flight."""
        if self._jobs == 1:
            return config

        def part(limit: float | None) -> float | None:
            return None if limit is None else limit / self._jobs

        in_flight = max(1, config.concurrency // self._jobs)
        return config.model_copy(
            update={"rpm": part(config.rpm), "tpm": part(config.tpm), "concurrency": in_flight}
        )

    def _rest(self, config: SearchConfig) -> dict[str, float]:
        """Return what a run may use of each limit, by its key, beside those that have begun."""
        return {
            key: left - sum(granted.get(key, 0) for granted in self._granted.values())
            for key, left in self.left(config, without=config.run_dir).items()
        }

    def reached(self, config: SearchConfig) -> list[str]:
        """Return the keys of the limits that keep a search from going on; without an LLM only time does."""
        left, binding = self.left(config), self._binding(config)
        return [limit.key for limit in binding if not left[limit.key] or limit.key in self._reached]

    def _binding(self, config: SearchConfig) -> list[RunLimit]:
        """Return the limits that a search may reach."""
        limits = LIMITS if config.needs_llm else (MINUTES,)
        return [limit for limit in limits if getattr(config, limit.setting) is not None]

    def after(self, config: SearchConfig, result: SearchResult, *, is_part: bool) -> None:
        """Count what a search has used, and remember the limits that stopped it."""
        self.recount(config)
        # Tokens or money may be left, but less than a request may need.
        if _is_limited(config) and not is_part:
            self._reached.update(result.limits)

    def recount(self, config: SearchConfig) -> None:
        """Count what a search without a result has used."""
        assert config.run_dir is not None
        if _is_limited(config) and (config.run_dir / STORE).exists():
            self._usage[config.run_dir] = _stored_usage(config.run_dir)

    def left(self, config: SearchConfig, *, without: Path | None = None) -> dict[str, float]:
        """Return what the runs leave of each limit, by its key; ``without`` one of them."""
        if not _is_limited(config):
            return {}
        total = NOTHING
        for run_dir, usage in self._usage.items():
            if run_dir != without:
                total = total.plus(usage)
        return Budget(Limits.of(config), total, clock=lambda: 0.0).left()


def _with_limits(config: SearchConfig, amounts: Mapping[str, float]) -> SearchConfig:
    """Return a config with other limits, by their keys."""
    return config.model_copy(update={LIMIT_BY_KEY[key].setting: amount for key, amount in amounts.items()})


def _is_limited(config: SearchConfig) -> bool:
    return Limits.of(config) != Limits()


def _stored_usage(run_dir: Path) -> Spent:
    with Store.open(run_dir) as store:
        return store.usage


def _limits_reached(config: SearchConfig, keys: Sequence[str], left: Mapping[str, float]) -> str:
    """Return which limits are reached, or leave no room for a request; ``left`` is what is left of each."""
    limits = [LIMIT_BY_KEY[key] for key in keys]
    texts = {limit.key: limit.text(getattr(config, limit.setting)) for limit in limits}
    near = [text for key, text in texts.items() if left.get(key)]
    reached = [text for key, text in texts.items() if not left.get(key)]
    return why_spent(reached, near, over=" over the whole suite")


def with_limits_of_all(config: SearchConfig, result: SearchResult) -> SearchResult:
    """Return a result that names the study's limit instead of its run's share of it."""
    keys = [
        limit.key
        for limit in LIMITS
        if limit.key in result.limits and getattr(config, limit.setting) is not None
    ]
    return replace(result, stop_reason=_limits_reached(config, keys, result.budget)) if keys else result


def is_done(cell: Cell) -> bool:
    """Return whether a search is finished; raise UsageError if its folder is in use or another run's.

    The files of a finished run are not read again: other places are refused, changes in place are not seen.
    """
    check_no_link(cell)
    if not (cell.run_dir / STORE).exists():
        check_free(cell, f"{STORE}.new.", "run")
        return False
    with Store.open(cell.run_dir) as store, same_settings(cell):
        manifest = store.manifest
        config = pinned_evaluator(cell.config)
        check_identity(manifest.identity, known_identity(config, manifest.identity))
        if (result := _last_result(cell)) is None or not result.complete:
            return False
        check_identity(sources(manifest.config), sources(config.to_public()))
    return True


def sources(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that name files or may do so; a number of starting templates is none."""
    return {name: value for name in _SOURCES if isinstance(value := settings.get(name), str)}


def refuse_folder(cell: Cell, problem: str, remedy: str) -> UsageError:
    """Return the error of a run's folder that cannot be used."""
    return UsageError(
        f'`suite_dir = "{cell.run_dir.parent}"`: {cell.run_dir.name} in it {problem}; give this '
        f"suite its own folder, or {remedy}",
    )


def check_no_link(cell: Cell) -> None:
    """Refuse a folder that is a link: a study may come from somebody else, and would write through it."""
    if cell.run_dir.is_symlink():
        raise refuse_folder(cell, "is a symbolic link", "move it away")


def check_free(cell: Cell, unfinished: str, content: str) -> None:
    """Refuse a folder without a run that holds more than files whose names begin with ``unfinished``."""
    if cell.run_dir.is_dir() and any(not file.name.startswith(unfinished) for file in cell.run_dir.iterdir()):
        raise refuse_folder(cell, f"is not empty and holds no {content}", "move it away")


@contextmanager
def same_settings(cell: Cell) -> Iterator[None]:
    """Name the suite's folder in errors about other settings."""
    try:
        yield
    except StoreMismatchError as error:
        problem = f"was started with other settings ({'; '.join(error.differences)})"
        raise refuse_folder(cell, problem, "use the earlier settings") from error


async def run_search(
    cell: Cell, shared: SharedLimits, opened: Callable[[SearchConfig], RunRequest]
) -> SearchEnd:
    """Start a search, resume it, or read its result.

    Limits in the cell's config are those over all runs. Errors that end the whole study are raised; what the
    run has is kept.
    """
    for whole in (False, True):
        async with shared.turn(cell.config, whole=whole) as (config, is_part):
            end = await _search(cell, config, shared, opened, is_part=is_part)
        if not is_part or not isinstance(end, SearchResult) or not end.limits:
            break
        # Attempts that failed and were billed took more than its bound: now it has all that is left.
    return end


async def _search(
    cell: Cell,
    config: SearchConfig,
    shared: SharedLimits,
    opened: Callable[[SearchConfig], RunRequest],
    *,
    is_part: bool,
) -> SearchEnd:
    has_begun = (cell.run_dir / STORE).exists()
    limits, endpoint = shared.reached(cell.config), endpoint_of(cell.config)
    reason = shared.refused.get(endpoint) if cell.config.needs_llm else None
    if limits:
        reason = _limits_reached(cell.config, limits, shared.left(cell.config))
    if reason is not None:
        if not has_begun:
            return NotRun(reason, by_limit=bool(limits))
        # A run without a result may have all its answers already; finishing it costs nothing.
        if (last := _last_result(cell)) is not None and last.status == "stopped":
            return replace(last, stop_reason=reason, limits=tuple(limits))
    request = opened(config)
    try:
        with same_settings(cell):
            result = await (resume_run(request, cell.run_dir) if has_begun else start_run(request))
    except StoreLockedError as error:
        return stopped_by(error)  # another process works on it, so its usage cannot be read
    except PromptclimbError as error:
        if ends_all(error):
            raise
        shared.recount(cell.config)
        stopped = stopped_by(error, _usage(cell))
        if isinstance(error, KeyRejectedError) or isinstance(error.__cause__, KeyRejectedError):
            shared.refused[endpoint] = f"its endpoint has refused another run: {stopped.reason}"
        return stopped
    shared.after(cell.config, result, is_part=is_part)
    return with_limits_of_all(cell.config, result)


def end_so_far(cell: Cell) -> SearchEnd:
    """Return the current outcome of a search in an interrupted study, without running it."""
    if (result := _last_result(cell)) is not None:
        return result
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


def how_to_resume(ends: Sequence[SearchEnd]) -> str | None:
    """Return a line on how to finish the other runs; None if all are finished."""
    by_limit = any(
        bool(end.limits) if isinstance(end, SearchResult) else isinstance(end, NotRun) and end.by_limit
        for end in ends
    )
    failed = sum(isinstance(end, Stopped) for end in ends)
    if failed:
        change = ", with higher limits," if by_limit else " again"
        return (
            f"{counted(failed, 'run')} stopped with an error. Fix its cause, then run the same command"
            f"{change} to resume."
        )
    if by_limit:
        return "Everything is kept. Run the same command with higher limits to resume."
    if all(isinstance(end, SearchResult) and end.complete for end in ends):
        return None
    return "Everything is kept. Run the same command again to resume."
