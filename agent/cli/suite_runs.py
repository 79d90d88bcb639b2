"""What suites by their options and by a file have in common: the folder, a run in it, and the exit code."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from filelock import BaseFileLock

from ...evaluator.errors import ConfigError, UsageError
from ..config.schema import SearchConfig
from ..errors import StoreError, StoreLockedError
from ..events import Bus
from ..llm.endpoints import check_endpoints
from ..results.result import NOTHING_USABLE, SearchResult
from ..search.allowance import Allowance
from ..search.run import SearchRun
from ..search.suite import Cell, run_cell
from ..search.unfinished import Found, Refusals, Stopped, asked
from ..stop import Stop
from ..store.lock import lock_folder, was_locked
from . import exit_codes
from .interrupts import interruptible, run_interruptible
from .output import json_alone, say, say_refused

T = TypeVar("T")


class Held:
    """A suite's folder, held while the suite looks at what is in it and works there; a context manager.

    One that was held before is held at once, before its runs are opened: two suites would take them from each
    other.

    Args:
        folder: The folder.
        files: What will be written into it in the end.

    Raises:
        StoreLockedError: Another suite is at work in it.
        ConfigError: It cannot be held.
    """

    def __init__(self, folder: Path, files: Sequence[str]) -> None:
        self._folder, self._files = folder, files
        self._lock: BaseFileLock | None = None

    def __enter__(self) -> Self:
        # Into one that was never held nothing is written before all is known to be well.
        if was_locked(self._folder):
            self._take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.release()

    def make(self) -> None:
        """Make it where there is none, and hold it.

        Raises:
            ConfigError: It cannot be made, or cannot be one.
            StoreLockedError: Another suite has made it just now.
        """
        _make_folder(self._folder, self._files)
        if self._lock is None:
            self._take()

    def _take(self) -> None:
        try:
            self._lock = lock_folder(self._folder)
        except StoreLockedError:
            raise
        except StoreError as error:
            raise ConfigError(f"--suite-dir {error}; choose another folder") from error


def made(
    run: Callable[[Stop], Awaitable[None]], write: Callable[[], T], left: Callable[[], None], *, as_json: bool
) -> T:
    """Make every run of a suite, and write down what there is, however that ends.

    Args:
        run: Makes them.
        write: Writes down what they came to.
        left: Writes down what is there where that ended too early, and says the way on.
        as_json: Whether standard output is for JSON alone.

    Returns:
        What ``write`` returned.
    """
    try:
        with json_alone(as_json):
            run_interruptible(run)
        with interruptible():
            return write()
    except UsageError:
        raise
    except BaseException:
        left()
        raise


def _make_folder(folder: Path, files: Sequence[str]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"--suite-dir {folder}: it cannot be made ({error.strerror or error}); choose another folder"
        ) from error
    for name in files:
        if (folder / name).is_dir():
            raise ConfigError(f"--suite-dir {folder}: {name} in it is a folder; choose another folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"--suite-dir {folder}: nothing can be written into it; choose another folder")


def check_llms(configs: Sequence[SearchConfig], allowance: Allowance) -> None:
    """Make sure, as far as it shows while nobody is asked, that the LLMs of unfinished searches can be.

    Args:
        configs: Of those searches.
        allowance: What the limits leave: what gets nothing any more asks nobody.

    Raises:
        ConfigError: A key is missing, or the local model cannot be used.
    """
    asking = [config for config in configs if config.needs_llm and not allowance.reached(config)]
    for config in {asked(config): config for config in asking}.values():
        check_endpoints(config, os.environ)


def say_refused_llms(configs: Sequence[SearchConfig], folder: Path) -> None:
    """Say of a dry run, at its end, that an LLM could not be asked: what it has printed holds without one.

    Args:
        configs: Of the searches that are not finished.
        folder: The suite's.
    """
    try:
        check_llms(configs, Allowance(folder))
    except UsageError as error:
        say_refused(str(error), "suite")


async def run_one(
    cell: Cell,
    allowance: Allowance,
    refusals: Refusals,
    emit: Bus,
    stop: Stop,
    curve: tuple[int, ...] = (),
) -> Found:
    """Run one search within what the suite's limits leave.

    Args:
        cell: Which one.
        allowance: What they leave.
        refusals: See ``run_cell``.
        emit: Hears of everything that happens.
        stop: Asks for a stop.
        curve: See ``SearchRun``.
    """

    def opened(config: SearchConfig) -> SearchRun:
        return SearchRun(config=config, emit=emit, stop=stop.part(), curve=curve)

    return await run_cell(cell, allowance, refusals, opened)


def say_unfinished(found: Found) -> None:
    """Say why there is no result of a search, at once: the others go on."""
    if not isinstance(found, SearchResult):
        say(f"{found.status}: {found.reason}")


def exit_code(results: Sequence[Found]) -> int:
    """Return that a run has failed; or that no search whose LLM answered got anything usable of it."""
    if any(isinstance(one, Stopped) for one in results):
        return exit_codes.FAILED
    found = [one for one in results if isinstance(one, SearchResult) and one.llm.model is not None]
    answered = [one for one in found if one.usage.calls or one.usage.replayed]
    in_vain = bool(answered) and all(NOTHING_USABLE in one.notes for one in answered)
    return exit_codes.NOTHING_USABLE if in_vain else exit_codes.FINISHED
