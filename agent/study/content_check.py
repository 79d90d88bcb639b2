"""Check by content that finished runs were made on a suite's current data, texts and weights.

Resumed runs are checked when their data and model are opened. Finished runs are not opened again: their data
are read here, without a model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ...evaluator.datasets.checks import DataContent, content_of, file_digest
from ...evaluator.datasets.loading import known, load_data
from ...evaluator.errors import UsageError
from ...evaluator.files import user_path
from ...evaluator.open import open_evaluator
from ...evaluator.settings import with_current_names
from ..config.schema import SearchConfig
from ..results.details import read_details
from ..search.identity import pool_hash
from ..search.inputs import read_pool, read_wordings
from ..store.manifest import RunManifest
from ..store.run import StoreReader

SHOTS, WEIGHTS, TEST = "shots", "weights", "test"
"""Hashes by name; see ``EvaluatorInfo.content`` and, for ``TEST``, ``Decisions.image_set``."""
_OPENED = ("data", "data_root", "class_names", "few_shot_file", "columns", "model", "pretrained")
"""Settings that are places and decide an evaluator's fingerprint."""
_LOCAL = "local-dir:"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContent:
    """The content of a finished run; unknown fields are empty or None.

    ``config`` holds JSON values, ``labels`` the classes of the test images. Only a search has an
    ``identity``.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)
    identity: Mapping[str, Any] = field(default_factory=dict)
    labels: tuple[int, ...] | None = None
    classes: tuple[str, ...] = ()

    def differs(self, config: SearchConfig, name: str) -> bool:
        """Return whether a setting differs in a config; False if the earlier settings are unknown."""
        return bool(self.config) and config.to_public().get(name) != self.config.get(name)


class CurrentContent:
    """The current content; each data set and file is read once."""

    def __init__(self) -> None:
        self._data: dict[str, DataContent | UsageError] = {}
        self._fingerprints: dict[str, str] = {}
        self._file = cache(_file_hash)
        self._image = cache(file_digest)

    def differences(self, config: SearchConfig, run: RunContent) -> list[str]:
        """Return how a config's content differs from that of a finished run.

        Missing content counts as unchanged if its place is. All places in ``config`` are absolute.

        Raises:
            UsageError: A changed place cannot be used.
        """
        found = list(self._texts(config, run))
        if config.custom_scorer is not None:
            return [*found, *self._scorer(config, run)]
        moved = any(run.differs(config, name) for name in _OPENED)
        found += self._weights(config, run)
        now = self._content(config)
        if isinstance(now, UsageError):
            if moved:
                raise now
            return found
        found += [f"{what} of {config.data}" for what in _data_differences(now, run)]
        # A model in a folder has no hash of its own: only the fingerprint decides.
        if not found and config.model.startswith(_LOCAL) and run.differs(config, "model") and run.identity:
            found += self._by_fingerprint(config, run)
        return found

    def _texts(self, config: SearchConfig, run: RunContent) -> Iterator[str]:
        checks: Mapping[str, tuple[str, Callable[[], str]]] = {
            "initial": ("pool", lambda: pool_hash(read_pool(config))),
            "wordings": ("wordings", lambda: read_wordings(config).hash),
        }
        for name, (key, now) in checks.items() if run.identity else ():
            place = getattr(config, name)
            there = isinstance(place, Path) and (place.exists() or run.differs(config, name))
            if there and run.identity.get(key) not in (None, now()):
                yield f"the texts of {place}"

    def _scorer(self, config: SearchConfig, run: RunContent) -> Iterator[str]:
        if run.differs(config, "custom_scorer"):
            both = (str(one) for one in (run.config.get("custom_scorer"), config.custom_scorer))
            before, now = (one.rpartition(":")[0] for one in both)
            if self._file(Path(before)) is None or self._file(Path(before)) != self._file(Path(now)):
                yield f"the scorer {now} (it was {before})"

    def _weights(self, config: SearchConfig, run: RunContent) -> Iterator[str]:
        place = Path(config.pretrained)
        if config.model.startswith(_LOCAL) or not place.is_absolute():  # a tag
            return
        before, now = run.hashes.get(WEIGHTS), self._file(place)
        if before is None and run.differs(config, "pretrained"):
            before = self._file(Path(str(run.config.get("pretrained"))))
        if before is not None and now is not None and before != now:
            yield f"the weights {place}"

    def _by_fingerprint(self, config: SearchConfig, run: RunContent) -> Iterator[str]:
        spec = config.bare().model_copy(update={"ray": None})
        key = spec.model_dump_json()
        if key not in self._fingerprints:
            self._fingerprints[key] = open_evaluator(spec).info.fingerprint
        if self._fingerprints[key] != run.identity["fingerprint"]:
            yield "the content of data and model"

    def _content(self, config: SearchConfig) -> DataContent | UsageError:
        spec = config.bare()
        key = spec.model_dump_json(exclude={"model", "pretrained", "device"})
        if key not in self._data:
            try:
                self._data[key] = content_of(load_data(spec), self._image)
            except UsageError as error:
                self._data[key] = error
        return self._data[key]


def _file_hash(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _data_differences(now: DataContent, run: RunContent) -> Iterator[str]:
    if run.classes and run.classes != now.classes:
        yield "the class names"
        return
    if run.hashes.get(TEST) not in (None, now.test):
        yield "the test images"
    # Images that were left out have no labels.
    elif run.labels is not None and len(run.labels) == len(now.labels) and run.labels != now.labels:
        yield "the classes of test images"
    if run.hashes.get(SHOTS) not in (None, now.shots):
        yield "the few-shot images, their classes or the class names"


def content_of_run(run_dir: Path, manifest: RunManifest) -> RunContent:
    """Return what a finished search was made on, from its store's manifest and its details."""
    details = read_details(run_dir)
    decisions = None if details is None else details.decisions
    hashes = dict(manifest.content)
    if decisions is not None and decisions.image_set is not None:
        hashes[TEST] = decisions.image_set
    return RunContent(
        config=with_current_names(manifest.config, SearchConfig),
        hashes=hashes,
        identity=manifest.identity,
        labels=None if decisions is None else decisions.labels,
        classes=() if decisions is None else decisions.classes,
    )


def refuse_other_content(run_dir: Path, differences: Sequence[str]) -> None:
    """Refuse a finished run in a suite's folder that was made on other content."""
    if differences:
        raise UsageError(
            f"--suite-dir {run_dir.parent}: {run_dir.name} in it is finished, and was made on other content "
            f"({'; '.join(differences)}); give this suite its own folder with --suite-dir, or restore "
            "the earlier content"
        )


def with_absolute_data(configs: Sequence[SearchConfig]) -> list[SearchConfig]:
    """Return a suite's configs with relative data places that are gone made absolute.

    A relative path without a file is otherwise read as a name. It is a place if a run in the suite's folder
    was made on data there.
    """
    found: dict[str, str] = {}
    for config in configs:
        if config.data not in found and _may_be_gone(config) and (place := _place_of(config)) is not None:
            found[config.data] = place
    return [config.model_copy(update={"data": found.get(config.data, config.data)}) for config in configs]


def _may_be_gone(config: SearchConfig) -> bool:
    if config.custom_scorer is not None or Path(config.data).is_absolute():
        return False
    return all(one.name != config.data for one in known())


def _place_of(config: SearchConfig) -> str | None:
    """Return where a run's data lay if its config means the same place."""
    assert config.run_dir is not None
    with suppress(UsageError, OSError), StoreReader(config.run_dir) as stored:
        place = stored.manifest.config.get("data")
        return place if place == str(user_path(config.data, "--data")) else None
    return None
