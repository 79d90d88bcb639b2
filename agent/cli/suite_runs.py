"""What suites by their options and by a file have in common: the folder, a run in it, and the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..config.schema import SearchConfig
from ..errors import ConfigError
from ..events import Bus
from ..results.result import NOTHING_USABLE, SearchResult
from ..results.run_dir import SUMMARY
from ..search.allowance import Allowance
from ..search.session import Session
from ..search.suite import Cell, NotRun, run_cell
from ..stop import Stop
from . import exit_codes


def make_folder(folder: Path) -> None:
    """Make a suite's folder.

    Raises:
        ConfigError: It cannot be made, or cannot be one.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"--suite-dir {folder}: it cannot be made ({error.strerror or error}); choose another folder"
        ) from error
    if (folder / SUMMARY).is_dir():
        raise ConfigError(f"--suite-dir {folder}: {SUMMARY} in it is a folder; choose another folder")


async def run_one(
    cell: Cell, allowance: Allowance, tell: Bus, stop: Stop, curve: tuple[int, ...] = ()
) -> SearchResult | NotRun:
    """Run one search within what the suite's limits leave.

    Args:
        cell: Which one.
        allowance: What they leave.
        tell: Hears of everything that happens.
        stop: Asks for a stop.
        curve: See ``Session``.
    """

    def opened(config: SearchConfig) -> Session:
        return Session(config=config, tell=tell, stop=stop, curve=curve)

    return await run_cell(cell, allowance, opened)


def exit_code(results: Sequence[SearchResult | NotRun]) -> int:
    """Return that nothing was usable where no search whose LLM answered got anything of it."""
    found = [one for one in results if isinstance(one, SearchResult) and one.llm.model is not None]
    answered = [one for one in found if one.usage.calls or one.usage.replayed]
    in_vain = bool(answered) and all(NOTHING_USABLE in one.notes for one in answered)
    return exit_codes.NOTHING_USABLE if in_vain else exit_codes.FINISHED
