"""Scores shared across runs, if the user asks for it.

Several processes may use one folder at once: SQLite orders their transactions, and concurrent results for a
key are equal. Keys say what a row was computed with, so runs on other data or another model never meet it.
"""

from __future__ import annotations

import asyncio
import functools
import json
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self, TypeVar

from ...evaluator.errors import ConfigError
from ...evaluator.scoring import NOT_A_NUMBER, Rejection, TemplateScorer, Verdict
from ..errors import StoreCorruptError, StoreVersionError
from ..versions import PROGRAM, program_version
from .disk import FILE_NAME, TextCache, inspect, translated
from .records import MANIFEST, StoredScore, canonical, read_row, reader, row_text

FORMAT = 1
"""Increases whenever earlier rows could be misread."""
_ABOUT = "shared"
T = TypeVar("T")


def check_cache(folder: Path | None) -> None:
    """Check that a folder can be a shared cache, or is one; None passes.

    Raises:
        ConfigError: It is a file, or cannot be written.
        StoreVersionError: Another version of the program made it.
        StoreCorruptError: It is torn, another program's or a run's, or holds a pickle.
        StoreError: It cannot be read.
    """
    if folder is None:
        return
    try:
        ancestor = next(path for path in (folder, *folder.parents) if path.exists())
        with tempfile.TemporaryFile(dir=ancestor):
            pass
    except OSError as error:
        raise ConfigError(
            f"`shared_cache = {folder}`: it cannot be written ({error.strerror or error}); choose "
            "another folder",
        ) from error
    if (folder / FILE_NAME).exists():
        SharedCache(folder).close()


class SharedCache:
    """A folder of scores, made if it is missing; a context manager.

    Raises:
        StoreVersionError: Another version of the program made it.
        StoreCorruptError: It is torn, another program's, or holds a pickle; nothing of it was loaded.
        StoreError: It cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        if (folder / FILE_NAME).exists():
            inspect(folder)
        with translated(folder):
            self._cache = TextCache(folder)
            if _ABOUT not in self._cache and MANIFEST not in self._cache:
                about = {"format": FORMAT, "program": program_version()}
                self._cache.write({_ABOUT: canonical(about)})
        self._folder = folder
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="shared-cache")
        try:
            text = self._cache.get(_ABOUT)
            _check(text and read_row(folder, _ABOUT, json.loads, text), folder)
        except BaseException:
            self.close()
            raise

    async def read(self, key: str, kind: type[T]) -> T | None:
        """Return a key's row as a value of a type; None if it is missing.

        Raises:
            StoreCorruptError: The row has another shape.
        """
        text = await self._run(functools.partial(self._cache.get, key))
        return None if text is None else read_row(self._folder, key, reader(kind), text)

    async def write(self, key: str, value: Any) -> None:
        """Keep a stored score or a JSON value; on disk when this returns."""
        await self._run(functools.partial(self._cache.write, {key: row_text(value)}))

    def close(self) -> None:
        self._worker.submit(self._cache.close)
        self._worker.shutdown()
        self._cache.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _run(self, job: Callable[[], T]) -> T:
        def safely() -> T:
            with translated(self._folder):
                return job()

        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._worker, safely))


def _check(about: Any, folder: Path) -> None:
    setting = f"`shared_cache = {folder}`"
    if not isinstance(about, dict) or "format" not in about:
        raise StoreCorruptError(f"{setting}: this is no shared cache; choose another folder")
    if about["format"] != FORMAT:
        maker = f"{PROGRAM} {about['program']}" if "program" in about else "another version"
        raise StoreVersionError(
            f"{setting}: a shared cache of format {about['format']}, made by {maker}; this is "
            f"{PROGRAM} {program_version()}, which uses format {FORMAT}: choose another folder",
        )


class SharedScorer:
    """A scorer that looks into the shared cache first, and adds new scores to it.

    ``space`` is what a score depends on besides the template: the evaluator's fingerprint, the objective.
    """

    def __init__(self, cache: SharedCache, scorer: TemplateScorer, space: str) -> None:
        self._cache = cache
        self._scorer = scorer
        self._space = space

    async def score(self, template: str) -> Verdict:
        """Score one template; if the scorer raises, store nothing."""
        key = f"score:{self._space}:{template}"
        if (known := await self._cache.read(key, StoredScore)) is not None:
            return known.verdict
        verdict = await self._scorer.score(template)
        # A score that is not a number here may be one elsewhere.
        if not isinstance(verdict, Rejection) or verdict.reason != NOT_A_NUMBER:
            await self._cache.write(key, StoredScore(template, verdict))
        return verdict
