"""The run on disk: every paid answer, every score, and what they cost."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ...evaluator.scoring import Verdict
from ..errors import StoreExistsError, StoreMissingError
from ..llm.chat import ChatAnswer
from ..llm.cost import NO_BILL, NOTHING, Bill, Spent
from ..position import Position
from .disk import DATABASE_FILES, FILE_NAME, TextCache, canonical, inspect, translated
from .lock import check_regular, is_running, lock
from .manifest import MANIFEST, check_identity, check_manifest, new_manifest
from .records import (
    ANSWER,
    LOOKED_UP,
    MESSAGE,
    NOTE,
    SCORE,
    StoredAnswer,
    StoredScore,
    answer_key,
    answer_position,
    as_it_is,
    asked_key,
    read_row,
)
from .trust import SIGNATURES, signatures
from .writer import ACCOUNTS, USAGE, Account, Writer

if TYPE_CHECKING:
    from ...prompts.requests import Message

FOLDER = "store"
_BUILDING = f"{FOLDER}.new."
"""Name of a store until it is complete; the number of the process that makes it follows."""
_CREATING = threading.Lock()
"""One at a time: threads of a process would share a name."""
T = TypeVar("T")


def _usage(row: Any) -> Spent:
    return Spent(**row)


class Store:
    """A run directory's ``store/``; use it as a context manager. Make one by ``create`` or ``open``.

    Reads are synchronous and come from the disk. As no other process writes, all keys are known, and missing
    ones are not looked for. A write is all or nothing, and on the disk (SQLite's ``synchronous=FULL``) when
    its await returns; see ``agent.store.writer``. Cancelling the await does not undo it.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        check_regular(folder, *DATABASE_FILES)
        self._lock = lock(folder)
        with contextlib.ExitStack() as if_it_fails:
            if_it_fails.callback(self._lock.release)
            inspect(folder)
            with translated(folder):
                self._cache = TextCache(folder)
            if_it_fails.callback(self._cache.close)
            with translated(folder):
                self._manifest = check_manifest(self._cache.read(MANIFEST), folder.parent)
            spent = {account: self._spent(*rows) for account, rows in ACCOUNTS.items()}
            with translated(folder):
                keys = self._cache.keys(*LOOKED_UP)
            # Each thread has its own connection, and another thread than this one may use the run.
            self._cache.close()
            if_it_fails.pop_all()
        self._writer = Writer(self._cache, folder, spent, clock, keys)
        self._grown: Mapping[str, int] = {}
        # By restart, the messages of its latest request: the next one of a conversation repeats them.
        self._said: dict[int, frozenset[str]] = {}

    def _spent(self, used: str, reserved: str) -> Spent:
        # A killed process may have been billed for what it had reserved, so that counts as used.
        return (self._row(used, _usage) or NOTHING).plus(self._row(reserved, _usage) or NOTHING)

    @classmethod
    def create(cls, run_dir: Path, about: Mapping[str, Any]) -> Self:
        """Start a run: all of its store appears at once, or none of it. See ``new_manifest`` for ``about``.

        Raises:
            StoreExistsError: The directory holds a run already.
            StoreFullError: No room on the disk.
        """
        folder = run_dir / FOLDER
        building = run_dir / f"{_BUILDING}{os.getpid()}"
        with _CREATING, translated(run_dir):
            if folder.exists():
                raise StoreExistsError(
                    f"{run_dir} holds a run already; `resume` it, or choose another directory"
                )
            run_dir.mkdir(parents=True, exist_ok=True)
            _sweep(run_dir)
            try:
                with contextlib.closing(TextCache(building)) as cache:
                    signed = _signed(new_manifest(about), run_dir)
                    cache.write({MANIFEST: signed, USAGE: asdict(NOTHING)})
                _appear(building, folder)
            except BaseException:
                shutil.rmtree(building, ignore_errors=True)
                raise
        return cls(folder)

    @classmethod
    def open(cls, run_dir: Path) -> Self:
        """Open a run to resume it.

        Raises:
            StoreMissingError: There is no run in the directory.
            StoreLockedError: A live process works on it.
            StoreVersionError: Another version of the program made it.
            StoreCorruptError: It is torn, foreign, or holds a pickle.
        """
        if not (run_dir / FOLDER / FILE_NAME).is_file():
            raise StoreMissingError(f"{run_dir} holds no run: there is no {FOLDER}/{FILE_NAME} in it")
        return cls(run_dir / FOLDER)

    @property
    def manifest(self) -> Mapping[str, Any]:
        """What the run was created with, when, and by which version."""
        return self._manifest

    @property
    def grown(self) -> Mapping[str, int]:
        """What this session extends the run to; see ``grow``."""
        return self._grown

    def grow(self, more: Mapping[str, int]) -> None:
        """Set larger restarts, conversations or rounds; on disk with the next ``put_config``."""
        self._grown = dict(more)
        self._manifest = {**self._manifest, "identity": {**self._manifest["identity"], **more}}

    @property
    def unpaid(self) -> bool:
        """Whether no LLM has answered, nor charged for anything."""
        return not self.usage.calls and next(self.answers(), None) is None

    def correct(self, llm: Any) -> None:
        """Set the LLM of an unpaid run, if it is another one; on disk with the next ``put_config``."""
        if llm == self._manifest["identity"].get("llm"):
            return
        kept = {name: value for name, value in self._manifest["identity"].items() if name != "llm_content"}
        self._manifest = {**self._manifest, "identity": {**kept, "llm": llm}}

    async def put_config(self, config: Mapping[str, Any], unused: Collection[str] = ()) -> None:
        """Keep the settings of this session for the next one, signed except those that it does not use."""
        manifest = _signed({**self._manifest, "config": dict(config)}, self._folder.parent, unused)
        if manifest != self._manifest:
            self._manifest = manifest
            await self._writer.write({MANIFEST: manifest})

    def trust(self) -> None:
        """Sign the settings as they are, on disk when this returns; before anything else is written."""
        self._manifest = _signed(self._manifest, self._folder.parent)
        with translated(self._folder):
            self._cache.write({MANIFEST: self._manifest})
        self._cache.close()

    def check_identity(self, identity: Mapping[str, Any]) -> None:
        """Raise StoreMismatchError if an identity differs from ``manifest["identity"]``."""
        check_identity(self._manifest.get("identity", {}), identity)

    @property
    def usage(self) -> Spent:
        """All that the run has used for the LLM, and its time, including this session's so far."""
        return self._writer.usage

    @property
    def scorer_usage(self) -> Spent:
        """All that the run has used for a scorer behind an API."""
        return self._writer.scorer_usage

    def restart_clock(self) -> None:
        """Count active time from now on, and none of this session's so far."""
        self._writer.restart_clock()

    def answer(self, position: Position) -> StoredAnswer | None:
        """Return the journal's answer at a position, None if it is missing."""
        return self._known(answer_key(position), StoredAnswer.from_json)

    def answers(self) -> Iterator[tuple[Position, StoredAnswer]]:
        """Yield the whole journal in the order of positions."""
        for key, answer in self._rows(ANSWER, StoredAnswer.from_json):
            yield answer_position(key), answer

    async def put_answer(
        self,
        position: Position,
        request_hash: str,
        answer: ChatAnswer,
        bill: Bill = NO_BILL,
        messages: Sequence[Message] = (),
    ) -> None:
        """Write an answer, its cost and its request in one transaction.

        Raises:
            StoreError: The position is answered already, or the disk fails.
        """
        key = answer_key(position)
        rows = {key: StoredAnswer(request_hash, answer), **self._asked(position, messages)}
        await self._writer.write(rows, bill, new=key)

    def _asked(self, position: Position, messages: Sequence[Message]) -> dict[str, Any]:
        """Return rows for what was asked; each message of a conversation is kept once."""
        if not messages:
            return {}
        hashes = [sha256(canonical(one).encode()).hexdigest() for one in messages]
        known = self._said.get(position.restart, frozenset())
        self._said[position.restart] = frozenset(hashes)
        by_hash = dict(zip(hashes, messages, strict=True))
        new = {MESSAGE + one: dict(by_hash[one]) for one in by_hash if one not in known}
        return {asked_key(position): hashes, **new}

    def score(self, key: str) -> StoredScore | None:
        """Return the verdict on the template with that key, None if it was not scored."""
        return self._known(SCORE + key, StoredScore.from_json)

    def scores(self) -> Iterator[tuple[str, StoredScore]]:
        """Yield every (key, verdict) in key order."""
        for key, score in self._rows(SCORE, StoredScore.from_json):
            yield key.removeprefix(SCORE), score

    async def put_score(self, key: str, template: str, verdict: Verdict) -> None:
        """Write the evaluator's verdict on a template."""
        await self._writer.write({SCORE + key: StoredScore(template, verdict)})

    async def put_usage(self, bill: Bill, account: Account = "llm") -> None:
        """Write the cost of an attempt whose answer is not written with it."""
        await self._writer.write({}, bill, account=account)

    def note(self, name: str, read: Callable[[Any], T] = as_it_is) -> T | None:
        """Return a JSON value stored under a name, converted by ``read``; None if it is missing.

        Raises:
            StoreCorruptError: It has another shape.
        """
        return self._known(NOTE + name, read)

    async def put_note(self, name: str, value: Any) -> None:
        """Keep a small JSON value under a name."""
        await self.put_notes({name: value})

    async def put_notes(self, values: Mapping[str, Any]) -> None:
        """Keep several JSON values under their names, in one transaction."""
        await self._writer.write({NOTE + name: value for name, value in values.items()})

    def close(self) -> None:
        """Finish open writes and release the run. Safe to call twice."""
        if self._lock.is_locked:
            self._writer.close()
            self._cache.close()
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _known(self, key: str, read: Callable[[Any], T]) -> T | None:
        return self._row(key, read) if self._writer.has(key) else None

    def _row(self, key: str, read: Callable[[Any], T] = as_it_is) -> T | None:
        with translated(self._folder):
            row = self._cache.read(key)
        return None if row is None else read_row(self._folder, key, read, row)

    def _rows(self, prefix: str, read: Callable[[Any], T]) -> Iterator[tuple[str, T]]:
        with translated(self._folder):
            for key, row in self._cache.rows(prefix):
                yield key, read_row(self._folder, key, read, row)


def _signed(manifest: Mapping[str, Any], run_dir: Path, unused: Collection[str] = ()) -> dict[str, Any]:
    """Return a manifest with this user's signatures; nobody has checked what is unused."""
    before, now = manifest.get(SIGNATURES, {}), signatures(run_dir, manifest["config"])
    signed = {name: (before.get(name) if name in unused else now[name]) for name in now}
    return {**manifest, SIGNATURES: {name: one for name, one in signed.items() if one is not None}}


def _sweep(run_dir: Path) -> None:
    """Remove what killed processes had begun to make; keep what a live one is making."""
    for left in run_dir.glob(f"{_BUILDING}*"):
        maker = left.name.removeprefix(_BUILDING)
        # This process makes nothing yet: its number on a folder is that of an earlier process.
        if maker.isdecimal() and (int(maker) == os.getpid() or not is_running(int(maker))):
            shutil.rmtree(left)


def _appear(building: Path, folder: Path) -> None:
    try:
        building.rename(folder)
    except OSError as error:
        raise StoreExistsError(f"{folder.parent}: another process has just started a run here") from error
