"""Remember what opening an evaluator found, for the next identical opening. Imports no torch."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ..datasets.loading import load_data, toy_model_notes
from ..datasets.values import FewShotData
from ..files import SeenFiles, cache_dir, seen_files, sweep, write_json
from ..scoring import EvaluatorInfo
from ..spec import EvaluatorSpec, Report

FORM = 2
"""Raise it with every change of what is stored or of an opening's notes."""
FRESH_S = 7 * 24 * 3600
_PACKAGES = ("torch", "open_clip_torch", "torchvision", "pillow", "numpy", "promptclimb")
_VARIABLES = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_OF_MODELS = frozenset({".json", ".safetensors", ".bin", ".pth", ".pt"})
"""Suffixes of files beside a model's own that may decide what it is: settings, preferred weights."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """An earlier opening: its info, and when it was (seconds since 1970)."""

    info: EvaluatorInfo
    when: float


_INFO = TypeAdapter(EvaluatorInfo)


@dataclass(frozen=True, slots=True)
class Opening:
    """An opening in progress; what it finds holds for the files as they were at its start.

    ``data`` hashes the data read; ``images`` and ``model`` are stamps of all images and of the model's files
    with those beside them, None if changes may go unseen.
    """

    path: Path
    data: str
    images: str | None
    weights: tuple[Path, ...]
    model: str | None

    @classmethod
    def begun(cls, spec: EvaluatorSpec, data: FewShotData, weights: Sequence[Path]) -> Opening:
        """Look at the files when an opening begins."""
        seen = seen_files(spec.cache_dir)
        return cls(_path(spec), _mark(data), _stamp(seen, data), tuple(weights), _model_stamp(seen, weights))

    def keep(self, info: EvaluatorInfo, *, now: Callable[[], float] = time.time) -> None:
        """Store the info, for ``recall``."""
        if self.images is None or self.model is None:
            return
        kept = {name: value for name, value in asdict(self).items() if name != "path"}
        kept["weights"] = [str(path) for path in self.weights]
        found = {"when": now(), "info": _INFO.dump_python(info, mode="json")}
        sweep(self.path.parent, FRESH_S)
        write_json(self.path, {**kept, **found})


def recall(spec: EvaluatorSpec, report: Report, *, now: Callable[[], float] = time.time) -> Remembered | None:
    """Return what the same opening gave here within ``FRESH_S``; None if data, images or weights changed."""
    try:
        kept = json.loads(_path(spec).read_text("utf-8"))
        found = Remembered(_INFO.validate_python(kept["info"]), float(kept["when"]))
        weights = [Path(name) for name in kept["weights"]]
        images, model, mark = kept["images"], kept["model"], kept["data"]
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        return None
    if not 0 <= now() - found.when <= FRESH_S:
        return None
    data, seen = load_data(spec), seen_files(spec.cache_dir)
    if _mark(data) != mark or _stamp(seen, data) != images or _model_stamp(seen, weights) != model:
        return None
    for note in (*data.chosen, *data.notes, *toy_model_notes(spec)):
        report(note)
    report(f"data and model are unchanged since they were opened {_ago(now() - found.when)}")
    return found


def _path(spec: EvaluatorSpec) -> Path:
    """Return an opening's file, named by all that decides it besides its files, with machine and versions."""
    decides = {
        "form": FORM,
        "spec": spec.model_dump(mode="json"),
        "root": os.environ.get("DATA"),
        "versions": [_version(package) for package in _PACKAGES],
        "machine": [platform.node(), os.cpu_count(), *map(os.environ.get, _VARIABLES)],
    }
    key = hashlib.blake2b(json.dumps(decides, sort_keys=True).encode(), digest_size=16).hexdigest()
    return (spec.cache_dir or cache_dir()) / "openings" / f"{key}.json"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _mark(data: FewShotData) -> str:
    """Return a hash of the data that was read, without image bytes and test labels."""
    facts = (data.name, data.classes, data.shots, data.seed, data.notes, data.chosen)
    items = [(str(item.path), item.label) for item in (*data.train, *data.val)]
    return hashlib.blake2b(repr((facts, items, data.test.size)).encode(), digest_size=16).hexdigest()


def _stamp(seen: SeenFiles, data: FewShotData) -> str | None:
    return seen.stamp([*(item.path for item in (*data.train, *data.val)), *data.test.paths])


def _model_stamp(seen: SeenFiles, weights: Sequence[Path]) -> str | None:
    try:
        beside = [path for file in weights for path in file.parent.iterdir() if path.suffix in _OF_MODELS]
    except OSError:  # the folder may not be listed
        return None
    return seen.stamp(sorted({*weights, *beside}))


def _ago(seconds: float) -> str:
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if (count := int(seconds // size)) > 0:
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    return "a moment ago"
