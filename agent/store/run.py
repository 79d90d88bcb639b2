"""The run on disk: every paid answer, every score, and what they cost."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, TypeVar

from ...evaluator.database import check_database_files, translated
from ...evaluator.errors import StoreCorruptError
from ...evaluator.scoring import Verdict
from ...prompts.requests import ChatMessage
from ..errors import StoreExistsError, StoreMissingError
from ..llm.chat import ChatAnswer
from ..position import NAMES, Position
from ..prices import NO_BILL, NOTHING, Bill, Spent
from .disk import (
    ACCOUNTS,
    FILE_NAME,
    USAGE,
    Account,
    StoredTexts,
    TextWriter,
    Writer,
)
from .lock import is_running, lock
from .records import (
    ANSWER,
    MANIFEST,
    MESSAGE,
    SCORE,
    SKIP,
    VALUE,
    RunManifest,
    StoredAnswer,
    StoredScore,
    answer_key,
    asked_key,
    canonical,
    from_json,
    key_position,
    new_manifest,
    read_manifest,
    read_row,
    reader,
)
from .trust import signatures

FOLDER = "store"
_BUILDING = f"{FOLDER}.new."
"""Name of a store until it is complete; the number of the process that makes it follows."""
_CREATING = threading.Lock()
"""One at a time: threads of a process would share a name."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A request at a position, and its outcome.

    ``messages`` is None if no answer came; ``skipped`` says why.
    """

    position: Position
    messages: tuple[dict[str, str], ...] | None = None
    answer: ChatAnswer | None = None
    skipped: str | None = None


def _folder_of(run_dir: Path) -> Path:
    if (run_dir / FOLDER).is_symlink():
        raise StoreCorruptError(f"{run_dir / FOLDER} is a symbolic link, which a run's store may not be")
    if not (run_dir / FOLDER / FILE_NAME).is_file():
        raise StoreMissingError(f"{run_dir} holds no run: there is no {FOLDER}/{FILE_NAME} in it")
    return run_dir / FOLDER


class StoreReader:
    """A run's store while another process may write it: takes no lock and writes nothing; a context manager.

    Raises:
        StoreMissingError: There is no run in the folder.
        StoreVersionError: Another version of the program made it.
        StoreCorruptError: It is torn, or foreign.
    """

    def __init__(self, run_dir: Path) -> None:
        with contextlib.ExitStack() as if_it_fails:
            self._open(_folder_of(run_dir), if_it_fails, reads_only=True)
            if_it_fails.pop_all()

    def _open(self, folder: Path, if_it_fails: contextlib.ExitStack, *, reads_only: bool) -> None:
        self._folder = folder
        self._texts = StoredTexts(folder, reads_only=reads_only)
        if_it_fails.callback(self._texts.close)
        text = self._texts.get(MANIFEST)
        manifest = text and read_row(folder, MANIFEST, json.loads, text)
        self._manifest = read_manifest(manifest, folder.parent)

    def close(self) -> None:
        """Let the run go."""
        self._texts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def manifest(self) -> RunManifest:
        return self._manifest

    def exchanges(self) -> Iterator[Exchange]:
        """Yield what was asked and answered, or skipped, in the order of positions; class names come last."""
        read_reason = from_json(lambda row: str(row["reason"]))
        read_message = from_json(lambda row: {"role": str(row["role"]), "content": str(row["content"])})
        keys = self._texts.keys(ANSWER, SKIP)
        entries = [(key_position(key, SKIP if key.startswith(SKIP) else ANSWER), key) for key in keys]
        for position, key in sorted(entries, key=lambda entry: (entry[0].restart == NAMES, entry)):
            if key.startswith(SKIP):
                yield Exchange(position=position, skipped=self._row(key, read_reason))
                continue
            stored = self._row(key, reader(StoredAnswer))
            hashes = self._row(asked_key(position), reader(tuple[str, ...]))
            messages = (self._row(MESSAGE + digest, read_message) for digest in hashes or ())
            yield Exchange(
                position=position,
                messages=tuple(filter(None, messages)),
                answer=None if stored is None else stored.answer,
            )

    def value(self, name: str, read: Callable[[Any], T] = lambda value: value) -> T | None:
        """Return a JSON value stored under a name, converted by ``read``; None if it is missing.

        Raises:
            StoreCorruptError: It has another shape.
        """
        return self._row(VALUE + name, from_json(read))

    def _row(self, key: str, read: Callable[[str], T]) -> T | None:
        text = self._texts.get(key)
        return None if text is None else read_row(self._folder, key, read, text)


class Store(StoreReader):
    """A run directory's ``store/``; use it as a context manager. Make one by ``create`` or ``open``.

    Reads are synchronous and come from the disk. A write is all or nothing, and on the disk (SQLite's
    ``synchronous=FULL``) when its await returns; see ``disk.Writer``. Cancelling the await does not undo it.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        check_database_files(folder / FILE_NAME)  # before a lock is left in the folder
        self._lock = lock(folder)
        with contextlib.ExitStack() as if_it_fails:
            if_it_fails.callback(self._lock.release)
            self._open(folder, if_it_fails, reads_only=False)
            spent = {account: self._spent(*rows) for account, rows in ACCOUNTS.items()}
            with translated(folder):
                writer = TextWriter(folder)
                writer.close()  # in this thread; the one that writes opens it again
            if_it_fails.pop_all()
        self._writer = Writer(writer, folder, spent, clock)
        # By restart, the messages of its latest request: the next one of a conversation repeats them.
        self._last_hashes: dict[int, frozenset[str]] = {}

    def _spent(self, used: str, reserved: str) -> Spent:
        # A killed process may have been billed for what it had reserved, so that counts as used.
        read = reader(Spent)
        return (self._row(used, read) or NOTHING).plus(self._row(reserved, read) or NOTHING)

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
            run_dir.mkdir(parents=True, exist_ok=True)
            _sweep(run_dir)
            try:
                with contextlib.closing(TextWriter(building)) as writer:
                    signed = _signed(new_manifest(about), run_dir).to_json()
                    writer.write({MANIFEST: canonical(signed), USAGE: canonical(asdict(NOTHING))})
                try:
                    building.rename(folder)
                except OSError as error:
                    raise StoreExistsError(
                        f"{run_dir}: another process has just started a run here"
                    ) from error
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
        return cls(_folder_of(run_dir))

    def change_identity(self, identity: Mapping[str, Any]) -> None:
        """Set what decides the result; on disk with the next ``put_config``."""
        self._manifest = self._manifest.model_copy(update={"identity": dict(identity)})

    @property
    def has_answers(self) -> bool:
        return bool(self._texts.keys(ANSWER))

    async def put_config(self, config: Mapping[str, Any], unused: Collection[str] = ()) -> None:
        """Keep the settings of this session for the next one, signed except those that it does not use."""
        changed = self._manifest.model_copy(update={"config": dict(config)})
        manifest = _signed(changed, self._folder.parent, unused)
        if manifest != self._manifest:
            self._manifest = manifest
            await self._writer.write({MANIFEST: manifest.to_json()})

    def trust(self) -> None:
        """Sign the settings as they are, on disk when this returns; before anything else is written."""
        self._manifest = _signed(self._manifest, self._folder.parent)
        self._writer.write_now({MANIFEST: canonical(self._manifest.to_json())})

    @property
    def usage(self) -> Spent:
        """All that the run has used for the LLM, and its time, including this session's so far."""
        return self._writer.usage

    @property
    def scorer_usage(self) -> Spent:
        return self._writer.scorer_usage

    def restart_clock(self) -> None:
        self._writer.restart_clock()

    def answer(self, position: Position) -> StoredAnswer | None:
        """Return the stored answer at a position, None if it is missing."""
        return self._row(answer_key(position), reader(StoredAnswer))

    def check_room(self) -> None:
        """Raise StoreFullError if the disk may have no room for another answer."""
        self._writer.check_room()

    async def put_answer(
        self,
        position: Position,
        request_hash: str,
        answer: ChatAnswer,
        bill: Bill = NO_BILL,
        messages: Sequence[ChatMessage] = (),
        values: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Write an answer, its cost, its request and JSON values by name in one transaction.

        Raises:
            StoreError: The position is answered already, or the disk fails.
        """
        key = answer_key(position)
        rows = {key: StoredAnswer(request_hash, answer), **self._asked(position, messages)}
        await self._writer.write(rows | _valued(values), bill, new=key)

    def _asked(self, position: Position, messages: Sequence[ChatMessage]) -> dict[str, Any]:
        """Return rows for what was asked; each message of a conversation is kept once."""
        if not messages:
            return {}
        hashes = [sha256(canonical(message).encode()).hexdigest() for message in messages]
        earlier_hashes = self._last_hashes.get(position.restart, frozenset())
        self._last_hashes[position.restart] = frozenset(hashes)
        by_hash = dict(zip(hashes, messages, strict=True))
        new = {MESSAGE + digest: dict(by_hash[digest]) for digest in by_hash if digest not in earlier_hashes}
        return {asked_key(position): hashes, **new}

    def score(self, template: str) -> Verdict | None:
        """Return the verdict on a template, None if it was not scored."""
        stored = self._row(SCORE + template, reader(StoredScore))
        return None if stored is None else stored.verdict

    async def put_score(self, template: str, verdict: Verdict) -> None:
        await self._writer.write({SCORE + template: StoredScore(template, verdict)})

    async def put_usage(self, bill: Bill, account: Account = "llm") -> None:
        """Write the cost of an attempt whose answer is not written with it."""
        await self._writer.write({}, bill, account=account)

    async def put_value(self, name: str, value: Any) -> None:
        await self.put_values({name: value})

    async def put_values(self, values: Mapping[str, Any]) -> None:
        """Keep several JSON values under their names, in one transaction."""
        await self._writer.write(_valued(values))

    def close(self) -> None:
        """Finish open writes and release the run. Safe to call twice."""
        if self._lock.is_locked:
            self._writer.close()
            self._texts.close()
            self._lock.release()


def _valued(values: Mapping[str, Any]) -> dict[str, Any]:
    return {VALUE + name: value for name, value in values.items()}


def _signed(manifest: RunManifest, run_dir: Path, unused: Collection[str] = ()) -> RunManifest:
    """Return a manifest with this user's signatures; nobody has checked what is unused."""
    before, now = manifest.signatures, signatures(run_dir, manifest.config)
    signed = {name: (before.get(name) if name in unused else now[name]) for name in now}
    kept = {name: text for name, text in signed.items() if text is not None}
    return manifest.model_copy(update={"signatures": kept})


def _sweep(run_dir: Path) -> None:
    """Remove what killed processes had begun to make; keep what a live one is making."""
    for left in run_dir.glob(f"{_BUILDING}*"):
        maker = left.name.removeprefix(_BUILDING)
        # This process makes nothing yet: its number on a folder is that of an earlier process.
        if maker.isdecimal() and (int(maker) == os.getpid() or not is_running(int(maker))):
            shutil.rmtree(left)
