"""Whether a finished search, or a fitted reference, was made on what a suite names now: by content.

Settings tell names and places apart as far as they are names; a file or a folder decides by its content. Of
what goes on, that is found when it is opened. What is finished is opened no more, so its data are read here,
and no model is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...evaluator.errors import UsageError
from ...evaluator.open import open_evaluator
from ...evaluator.user_paths import user_path
from ..config.schema import SearchConfig
from ..results.details import read_details
from ..store.look import Look
from .inputs import pool_hash, read_pool, read_wordings

if TYPE_CHECKING:
    from ...evaluator.datasets.checks import DataContent

CONTENT = "content"
"""Where a store's manifest has the hashes; one of before has none."""
SHOTS, WEIGHTS, TEST = "shots", "weights", "test"
"""Hashes by name; see ``EvaluatorInfo.content``, and ``Decisions.image_set`` for the last one."""
_OPENED = ("data", "data_root", "class_names", "few_shot_file", "columns", "model", "pretrained")
"""Settings of which a fingerprint is, where they are places."""
_LOCAL = "local-dir:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What is known of what something finished was made on.

    Attributes:
        config: Its settings, as JSON values; empty where they are not known.
        hashes: By name.
        identity: That of a search; empty for anything else.
        labels: Of the test images; None where they are not known.
        classes: Class names; empty where they are not known.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)
    identity: Mapping[str, Any] = field(default_factory=dict)
    labels: tuple[int, ...] | None = None
    classes: tuple[str, ...] = ()


class Contents:
    """What is there now; each data set and file is read once, however much is compared with it."""

    def __init__(self) -> None:
        self._data: dict[str, DataContent | UsageError] = {}
        self._digests: dict[Path, str] = {}
        self._files: dict[Path, str | None] = {}
        self._fingerprints: dict[str, str] = {}

    def differences(self, config: SearchConfig, made: Made) -> list[str]:
        """Return in what the content of a config differs from what something was made on.

        What is not there any more contradicts nothing, as long as it is looked for where it was.

        Args:
            config: The settings of today, their places absolute.
            made: What is finished.

        Raises:
            UsageError: What is named now is at another place than before, and cannot be used.
        """
        found = list(self._of_texts(config, made))
        if config.evaluator is not None:
            return [*found, *self._of_scorer(config, made)]
        moved = bool(made.config) and any(_moved(config, made, name) for name in _OPENED)
        found += self._of_weights(config, made)
        now = self._content(config)
        if isinstance(now, UsageError):
            if moved:
                raise now
            return found
        found += [f"{what} of {config.data}" for what in _of_data(now, made)]
        # A run of before there were hashes of parts tells of all at once, and so does a model in a folder.
        folder = config.model.startswith(_LOCAL) and _moved(config, made, "model")
        if not found and moved and (folder or not made.hashes.get(SHOTS)) and "fingerprint" in made.identity:
            found += self._of_all(config, made)
        return found

    def _of_texts(self, config: SearchConfig, made: Made) -> Iterator[str]:
        """Yield which of the files of a search have other texts."""
        if not made.identity:
            return
        checks: Mapping[str, tuple[str, Callable[[], str]]] = {
            "initial": ("pool", lambda: pool_hash(read_pool(config))),
            "wordings": ("wordings", lambda: read_wordings(config).hash),
        }
        for name, (key, now) in checks.items():
            place = getattr(config, name)
            if not isinstance(place, Path) or (not place.exists() and not _moved(config, made, name)):
                continue
            if made.identity.get(key) not in (None, now()):
                yield f"the texts of {place}"

    def _of_scorer(self, config: SearchConfig, made: Made) -> Iterator[str]:
        """Yield the file of an evaluator of the user's own that is another one at another place."""
        if made.config and _moved(config, made, "evaluator"):
            both = (str(one) for one in (made.config.get("evaluator"), config.evaluator))
            before, now = (one.rpartition(":")[0] for one in both)
            if self._file(Path(before)) is None or self._file(Path(before)) != self._file(Path(now)):
                yield f"the evaluator {now} (it was {before})"

    def _of_weights(self, config: SearchConfig, made: Made) -> Iterator[str]:
        before, place = made.hashes.get(WEIGHTS), _weights(config)
        if place is None:
            return
        if before is None and made.config and _moved(config, made, "pretrained"):
            before = self._file(Path(str(made.config.get("pretrained"))))
        now = self._file(place)
        if before is not None and now is not None and before != now:
            yield f"the weights {place}"

    def _of_all(self, config: SearchConfig, made: Made) -> Iterator[str]:
        spec = config.bare().model_copy(update={"ray": None})
        key = spec.model_dump_json()
        if key not in self._fingerprints:
            self._fingerprints[key] = open_evaluator(spec).info.fingerprint
        if self._fingerprints[key] != made.identity["fingerprint"]:
            yield "the content of data and model"

    def _content(self, config: SearchConfig) -> DataContent | UsageError:
        from ...evaluator.datasets.checks import content_of
        from ...evaluator.datasets.loading import load_data

        spec = config.bare()
        key = spec.model_dump_json(exclude={"model", "pretrained", "device"})
        if key not in self._data:
            try:
                self._data[key] = content_of(load_data(spec), self._digest)
            except UsageError as error:
                self._data[key] = error
        return self._data[key]

    def _digest(self, path: Path) -> str:
        from ...evaluator.datasets.checks import file_digest

        if path not in self._digests:
            self._digests[path] = file_digest(path)
        return self._digests[path]

    def _file(self, path: Path) -> str | None:
        """Return a hash of a file; None where there is none."""
        if path not in self._files:
            try:
                with path.open("rb") as file:
                    self._files[path] = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError:
                self._files[path] = None
        return self._files[path]


def placed(configs: Sequence[SearchConfig]) -> list[SearchConfig]:
    """Return the configs of a suite, with the places of data sets that lie no more where they were.

    A relative path at which nothing lies is taken for a name. Where a run in the suite's folder was made on
    data at that very place, it is the place that is meant.

    Args:
        configs: Each with its folder, which need not be there.
    """
    found: dict[str, str] = {}
    for config in configs:
        if config.data not in found and _may_be_gone(config) and (place := _place_of(config)) is not None:
            found[config.data] = place
    return [config.model_copy(update={"data": found.get(config.data, config.data)}) for config in configs]


def _may_be_gone(config: SearchConfig) -> bool:
    from ...evaluator.datasets.loading import known

    if config.evaluator is not None or Path(config.data).is_absolute():
        return False
    return all(one.name != config.data for one in known())


def _place_of(config: SearchConfig) -> str | None:
    """Return where the data of a run lay, if its config says the same place in other words."""
    assert config.run_dir is not None
    with suppress(UsageError, OSError), Look(config.run_dir) as look:
        place = look.manifest["config"].get("data")
        return place if place == str(user_path(config.data, "--data")) else None
    return None


def check_content(run_dir: Path, differences: Sequence[str]) -> None:
    """Let what was made on other content be of another suite.

    Args:
        run_dir: Its folder, in that of the suite.
        differences: In what it differs.

    Raises:
        UsageError: It does.
    """
    if differences:
        raise UsageError(
            f"--suite-dir {run_dir.parent}: {run_dir.name} in it is finished, and was made on other content "
            f"({'; '.join(differences)}); give this suite a folder of its own by --suite-dir, or put back "
            "what was there"
        )


def made_by(run_dir: Path, manifest: Mapping[str, Any]) -> Made:
    """Return what a finished search was made on, as its store and its details tell it."""
    details = read_details(run_dir)
    seen = None if details is None else details.decisions
    known = manifest.get(CONTENT)
    hashes = dict(known) if isinstance(known, Mapping) else {}
    if seen is not None and seen.image_set is not None:
        hashes[TEST] = seen.image_set
    return Made(
        config=manifest["config"],
        hashes=hashes,
        identity=manifest["identity"],
        labels=None if seen is None else seen.labels,
        classes=() if seen is None else seen.classes,
    )


def _of_data(now: DataContent, made: Made) -> Iterator[str]:
    if made.classes and made.classes != now.classes:
        yield "the class names"
        return
    if made.hashes.get(TEST) not in (None, now.test):
        yield "the test images"
    # Of images that were left out there are no labels.
    elif made.labels is not None and len(made.labels) == len(now.labels) and made.labels != now.labels:
        yield "the classes of test images"
    if made.hashes.get(SHOTS) not in (None, now.shots):
        yield "the few-shot images, their classes or the class names"


def _moved(config: SearchConfig, made: Made, name: str) -> bool:
    return bool(config.to_public().get(name) != made.config.get(name))


def _weights(config: SearchConfig) -> Path | None:
    """Return the file of weights that a config names; None where it names a tag."""
    if config.model.startswith(_LOCAL) or not Path(config.pretrained).is_absolute():
        return None
    return Path(config.pretrained)
