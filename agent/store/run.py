"""The run on disk: every answer that was paid for, every score, and what they cost."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from agent.budget import NO_BILL, NOTHING, Bill, Usage
from agent.chat import ChatAnswer
from agent.errors import StoreCorruptError, StoreError, StoreExistsError, StoreMissingError
from agent.store.disk import FILE_NAME, TextCache, canonical, inspect, translated
from agent.store.identity import check_identity
from agent.store.lock import lock
from agent.store.types import Position, StoredAnswer, StoredScore, Verdict, answer_key, answer_position

FORMAT = 1
FOLDER = "store"
_MANIFEST, _USAGE, _RESERVED = "manifest", "usage", "reserved"
_ANSWER, _SCORE, _NOTE = "answer:", "score:", "note:"


class Store:
    """A run directory's `store/`; use it as a context manager.

    Reads are synchronous and come from the disk. A write is one transaction, made by one thread, and on the
    disk (SQLite's `synchronous=FULL`) when its await returns. Cancelling the await does not undo it: what was
    paid for is written. After a write has failed no other is tried, because a later one that succeeded would
    leave a hole.

    Make one by `create` or `open`.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._lock = lock(folder)
        self._failed: StoreError | None = None
        try:
            inspect(folder)
            with translated(folder):
                self._cache = TextCache(folder)
            self._manifest = self._read_manifest()
            self._usage = Usage(**(self._row(_USAGE) or {}))
            self._reserved = Usage(**(self._row(_RESERVED) or {}))
        except BaseException:
            self._lock.release()
            raise
        self._left_over, self._reserved = self._reserved, NOTHING
        self._opened = clock()
        self._usage = self._usage.plus(self._left_over)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store")

    @classmethod
    def create(cls, run_dir: Path, manifest: Mapping[str, Any]) -> Self:
        """Start a run: all of its store appears at once, or none of it.

        Args:
            run_dir: The run directory; made if it is missing.
            manifest: JSON values that say what this run is; its "identity" is what decides the result.

        Raises:
            StoreExistsError: The directory holds a run already.
            StoreFullError: No room on the disk.
        """
        folder = run_dir / FOLDER
        if folder.exists():
            raise StoreExistsError(f"{run_dir} holds a run already; `resume` it, or choose another directory")
        aside = run_dir / f"{FOLDER}.new.{os.getpid()}"
        with translated(run_dir):
            run_dir.mkdir(parents=True, exist_ok=True)
            for left in run_dir.glob(f"{FOLDER}.new.*"):
                shutil.rmtree(left)
            with contextlib.closing(TextCache(aside)) as cache:
                cache.write({_MANIFEST: {"format": FORMAT, **manifest}, _USAGE: asdict(NOTHING)})
            try:
                aside.rename(folder)
            except OSError as error:
                raise StoreExistsError(f"{run_dir}: another process has just started a run here") from error
        return cls(folder)

    @classmethod
    def open(cls, run_dir: Path) -> Self:
        """Go on with a run.

        Raises:
            StoreMissingError: There is no run in the directory.
            StoreLockedError: A live process works on it.
            StoreCorruptError: It is torn, foreign, or holds a pickle.
        """
        if not (run_dir / FOLDER / FILE_NAME).is_file():
            raise StoreMissingError(f"{run_dir} holds no run: there is no {FOLDER}/{FILE_NAME} in it")
        return cls(run_dir / FOLDER)

    @property
    def manifest(self) -> Mapping[str, Any]:
        """What the run was created with."""
        return self._manifest

    def check_identity(self, identity: Mapping[str, Any]) -> None:
        """Compare with `manifest["identity"]`.

        Raises:
            StoreMismatchError: They differ; it says in what.
        """
        check_identity(self._manifest.get("identity", {}), identity)

    @property
    def usage(self) -> Usage:
        """All that the run has used, this stretch's time up to now included."""
        return replace(self._usage, active_s=self._usage.active_s + self._clock() - self._opened)

    @property
    def left_over(self) -> Usage:
        """What a killed process had reserved and not settled; perhaps billed, so it counts as used."""
        return self._left_over

    def answer(self, position: Position) -> StoredAnswer | None:
        """The journal's answer at a position, None if there is none."""
        row = self._row(answer_key(position))
        return None if row is None else _stored_answer(row)

    def answers(self) -> Iterator[tuple[Position, StoredAnswer]]:
        """The whole journal in the order of positions."""
        for key, row in self._rows(_ANSWER):
            yield answer_position(key), _stored_answer(row)

    async def put_answer(
        self,
        position: Position,
        request_hash: str,
        answer: ChatAnswer,
        bill: Bill = NO_BILL,
    ) -> None:
        """Write an answer and what it cost, in one transaction.

        Raises:
            StoreError: The position is answered already, or the disk fails.
        """
        key = answer_key(position)
        row = {"v": FORMAT, "request": request_hash, "answer": answer.to_json()}
        await self._submit({key: row}, bill, new=True)

    def score(self, key: str) -> StoredScore | None:
        """What the evaluator said of the template with that normal form, None if it was not asked."""
        row = self._row(_SCORE + key)
        return None if row is None else StoredScore.from_json(row)

    def scores(self) -> Iterator[tuple[str, StoredScore]]:
        """Every (normal form, verdict), in the order of the normal forms."""
        for key, row in self._rows(_SCORE):
            yield key.removeprefix(_SCORE), StoredScore.from_json(row)

    async def put_score(self, key: str, template: str, verdict: Verdict) -> None:
        """Write what the evaluator said of a template."""
        await self._submit({_SCORE + key: {"v": FORMAT, **StoredScore(template, verdict).to_json()}})

    async def put_usage(self, bill: Bill) -> None:
        """Write what an attempt cost that gave no answer."""
        await self._submit({}, bill)

    async def put_reserved(self, reserved: Usage) -> None:
        """Write down what an attempt may cost at most, before it is made."""
        await self._submit({}, Bill(reserved=NOTHING.minus(reserved)))

    def note(self, name: str) -> Any:
        """A small JSON value kept by name, None if there is none."""
        return self._row(_NOTE + name)

    async def put_note(self, name: str, value: Any) -> None:
        """Keep a small JSON value by name."""
        await self._submit({_NOTE + name: value})

    def close(self) -> None:
        """Finish what is being written and let the run go. Safe to call twice."""
        if self._lock.is_locked:
            self._writer.submit(self._cache.close)
            self._writer.shutdown()
            self._cache.close()
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock.is_locked and self._failed is None:
            # The time of a stretch counts even where its last minutes wrote nothing.
            with contextlib.suppress(StoreError):
                self._writer.submit(self._commit, {}, NO_BILL, new=False).result()
        self.close()

    def _row(self, key: str) -> Any:
        with translated(self._folder):
            return self._cache.read(key)

    def _rows(self, prefix: str) -> Iterator[tuple[str, Any]]:
        with translated(self._folder):
            yield from self._cache.rows(prefix)

    async def _submit(self, rows: dict[str, Any], bill: Bill | None = None, *, new: bool = False) -> None:
        job = functools.partial(self._commit, rows, bill or NO_BILL, new=new)
        future = asyncio.get_running_loop().run_in_executor(self._writer, job)
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(future)

    def _commit(self, rows: dict[str, Any], bill: Bill, *, new: bool) -> None:
        if self._failed is not None:
            raise self._failed
        for key in rows if new else ():
            if self._row(key) is not None:
                raise StoreError(f"{key} is in the journal already")
        total = self._usage.plus(bill.usage)
        reserved = self._reserved.minus(bill.reserved)
        written = replace(total, active_s=total.active_s + self._clock() - self._opened)
        try:
            with translated(self._folder):
                self._cache.write({**rows, _USAGE: asdict(written), _RESERVED: asdict(reserved)})
        except StoreError as error:
            self._failed = error
            raise
        self._usage, self._reserved = total, reserved

    def _read_manifest(self) -> Mapping[str, Any]:
        manifest = self._row(_MANIFEST)
        if not isinstance(manifest, dict) or "format" not in manifest:
            raise StoreCorruptError(f"{self._folder} has no manifest; it is not a run's store")
        if manifest["format"] != FORMAT:
            raise StoreCorruptError(
                f"{self._folder} has format {canonical(manifest['format'])}, not {FORMAT}"
            )
        return manifest


def _stored_answer(row: Mapping[str, Any]) -> StoredAnswer:
    return StoredAnswer(row["request"], ChatAnswer.from_json(row["answer"]))
