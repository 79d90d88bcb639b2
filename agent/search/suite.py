"""Several searches in one go: data sets x methods x seeds, and what comes of them on average.

Every search has a folder of its own in the suite's folder. Started again, a suite goes on where it was:
finished searches are read, begun ones resumed. Its limits hold over all of them together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ...evaluator.errors import ConfigError, PromptclimbError, UsageError
from ...evaluator.open import check_openable
from ..config.schema import SearchConfig
from ..errors import StoreError, StoreLockedError, StoreMismatchError
from ..events.trackers.known import check_trackers
from ..llm.cost import NOTHING, Spent
from ..results.result import SearchResult
from ..results.run_dir import STORE, read_result
from ..store import Store
from .allowance import Allowance, names_of, said, told
from .inputs import fallen_back, known_identity, pinned_evaluator, read_pool, read_wordings
from .same_content import Contents, check_content, made_by
from .session import Session
from .unfinished import Found, NotRun, Refusals, Stopped, ends_all, stopped_by


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One search of a suite.

    Attributes:
        data: Its data set, as it was given.
        config: What it searches, its folder included.
    """

    data: str
    config: SearchConfig

    @property
    def run_dir(self) -> Path:
        """Its folder."""
        assert self.config.run_dir is not None
        return self.config.run_dir


def folder_name(data: str, method: str, seed: int) -> str:
    """Return a folder's name for one search."""
    name = "".join(
        character if character.isalnum() or character in "-_." else "-" for character in Path(data).name
    )
    return f"{name or 'data'}-{method}-seed{seed}"


def check_cells(cells: Sequence[Cell]) -> list[Cell]:
    """Make sure, before the first search begins, that none will be refused; nothing is made or paid.

    What is looked at is cheap: folders, settings, files, data sets and names. What is finished is let be.

    Returns:
        Those that are not finished.

    Raises:
        UsageError: One would be refused.
    """
    contents = Contents()
    waiting = [cell for cell in cells if not is_done(cell, contents)]
    check_given([cell.config for cell in waiting])
    # The methods of a suite share its data sets.
    specs = {(cell.config.data, cell.config.seed): cell.config for cell in waiting}
    check_openable(list(specs.values()))
    return waiting


def check_given(configs: Sequence[SearchConfig]) -> None:
    """Make sure that trackers, initial templates and wordings of searches can be used; each is read once.

    Raises:
        UsageError: One cannot.
    """
    for track in {config.track: None for config in configs}:
        check_trackers(track)
    for config in {(config.initial, config.initial_pool): config for config in configs}.values():
        read_pool(config)
    for config in {config.wordings: config for config in configs}.values():
        read_wordings(config)


def is_done(cell: Cell, contents: Contents) -> bool:
    """Return whether a search is finished, once its folder is known to be this suite's.

    Args:
        cell: Which one.
        contents: What its data and its files hold now.

    Raises:
        UsageError: The folder holds something else, or is in use; or its search was made on other content.
    """
    if (cell.run_dir / STORE).exists():
        with Store.open(cell.run_dir) as store, _own(cell):
            manifest = store.manifest
            begun = pinned_evaluator(fallen_back(cell.config, manifest.get("notes", {})))
            store.check_identity(known_identity(begun, manifest["identity"]))
        if (last := _last_result(cell)) is None or not last.complete:
            return False
        check_content(cell.run_dir, contents.differences(begun, made_by(cell.run_dir, manifest)))
        return True
    if cell.run_dir.exists():
        left = [path for path in cell.run_dir.iterdir() if not path.name.startswith(f"{STORE}.new.")]
        if left:
            raise ConfigError(
                f"--suite-dir {cell.run_dir.parent}: {cell.run_dir.name} in it is not empty and holds no "
                "run; move it away, or choose another folder"
            )
    return False


@contextmanager
def _own(cell: Cell) -> Iterator[None]:
    """Let a run with other settings be one of another suite.

    Raises:
        UsageError: It is.
    """
    try:
        yield
    except StoreMismatchError as error:
        raise UsageError(
            f"--suite-dir {cell.run_dir.parent}: {cell.run_dir.name} in it was started with other settings "
            f"({'; '.join(error.differences)}); give this suite a folder of its own by --suite-dir, or the "
            "settings of before"
        ) from error


async def run_cell(
    cell: Cell, allowance: Allowance, refusals: Refusals, opened: Callable[[SearchConfig], Session]
) -> Found:
    """Start the search of a cell, go on with it, or read its result; where it fails, the others go on.

    Args:
        cell: Which one; the limits in its config are the whole suite's.
        allowance: What they leave.
        refusals: Which endpoints need not be asked again; one more where this search is refused.
        opened: Makes the session of a config.

    Raises:
        UsageError: Its folder holds a search with other settings or of another version.
        PromptclimbError: A signal, or a store that cannot be used; what it has is kept.
    """
    begun = (cell.run_dir / STORE).exists()
    limits = allowance.reached(cell.config)
    reason = said(cell.config, *limits) if limits else refusals.of(cell.config)
    if reason is not None:
        if not begun:
            return NotRun(reason, by_limit=bool(limits))
        # One without a result may have all its answers; going through them costs nothing.
        if (last := _last_result(cell)) is not None and last.status == "stopped":
            return replace(last, stop_reason=reason, limits=names_of(limits))
    session = opened(allowance.share(cell.config))
    try:
        with _own(cell):
            result = await (session.resume(cell.run_dir) if begun else session.start())
    except StoreLockedError as error:
        # Somebody works on it by itself, so what it uses cannot be read before they are done.
        return stopped_by(error)
    except PromptclimbError as error:
        if ends_all(error):
            raise
        allowance.recount(cell.config)
        stopped = stopped_by(error, _usage(cell))
        refusals.note(cell.config, error, stopped.reason)
        return stopped
    allowance.after(cell.config, result)
    return told(cell.config, result)


def as_it_is(cell: Cell, reason: str) -> Found:
    """Return what there is of a search that is known to be this suite's; nothing is gone on with.

    Args:
        cell: Which one.
        reason: Why there is no result where there is none.
    """
    if (last := _last_result(cell)) is not None:
        return last
    return Stopped(reason, _usage(cell)) if (cell.run_dir / STORE).exists() else NotRun(reason)


def _usage(cell: Cell) -> Spent:
    """Return what a search without a result has used, as far as its store tells."""
    try:
        with Store.open(cell.run_dir) as store:
            return store.usage
    except StoreError:
        return NOTHING  # it failed before it had one


def _last_result(cell: Cell) -> SearchResult | None:
    try:
        return read_result(cell.run_dir)
    except (OSError, ValueError):
        return None  # missing or torn
