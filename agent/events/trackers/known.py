"""Trackers by name: how ``--track`` chooses them, and what they need."""

from __future__ import annotations

import errno
import importlib.util
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from ....evaluator.counts import how_to_install
from ....evaluator.errors import UsageError
from ....evaluator.files import user_path
from ....evaluator.settings import near

NONE = "none"
"""Ends tracking when a tracked run is resumed."""


@dataclass(frozen=True, slots=True)
class KnownTracker:
    """A tracker that can be chosen.

    Attributes:
        sink: Module and class in this package.
        packages: What the extra makes importable.
        path: Kind of path that may follow the name after a colon, unless it is an address; empty for no path.
    """

    sink: tuple[str, str]
    extra: str
    packages: tuple[str, ...]
    path: Literal["file", "folder", ""] = "file"


TRACKERS: Mapping[str, KnownTracker] = {
    "mlflow": KnownTracker(("mlflow_runs", "MlflowRuns"), "mlflow", ("mlflow", "sqlalchemy", "alembic")),
    "trackio": KnownTracker(("wandb", "TrackioRuns"), "trackio", ("trackio",), ""),
    "wandb": KnownTracker(("wandb", "WandbRuns"), "wandb", ("wandb",), ""),
    "tensorboard": KnownTracker(
        ("tensorboard", "TensorboardFiles"), "tensorboard", ("tensorboardX",), "folder"
    ),
    "otel": KnownTracker(("otel", "OtelSpans"), "otel", ("opentelemetry.sdk", "opentelemetry.exporter.otlp")),
}


def parse_track(value: Any) -> tuple[str, ...] | None:
    """Return the parts ``NAME`` or ``NAME:PLACE``, or None for ``none``.

    Raises:
        ValueError: A name is unknown or stands twice, or a place holds credentials.
    """
    if value is None:
        return None
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or not all(isinstance(part, str) for part in given):
        raise ValueError(f"it must be text, names from {', '.join(TRACKERS)}")
    parts = [part.strip() for part in given]
    if parts in ([NONE], []):
        return None
    names = [part.partition(":")[0] for part in parts]
    for part, name in zip(parts, names, strict=True):
        if name not in TRACKERS:
            raise ValueError(
                f"unknown tracker {name!r}{near(name, TRACKERS)}; known are {', '.join(TRACKERS)}"
            )
        if names.count(name) > 1:
            raise ValueError(f"{name} stands twice")
        if _has_credentials(place_of(part)):
            raise ValueError(f"{name}: give no credentials in the address; its variables are for that")
    return tuple(_absolute(part, name) for part, name in zip(parts, names, strict=True))


def _absolute(part: str, name: str) -> str:
    """Return a choice with an absolute path, the same wherever the run is resumed."""
    if not _is_path(place := place_of(part), name):
        return part
    return f"{name}:{user_path(place, f'--track {name}')}"


def _is_path(place: str, name: str) -> bool:
    return bool(place and TRACKERS[name].path) and "://" not in place and place != "databricks"


def place_of(chosen: str) -> str:
    """Return the part after the tracker's name; empty if there is no such part."""
    return chosen.partition(":")[2]


def _has_credentials(place: str) -> bool:
    try:
        parts = urlsplit(place)
    except ValueError:
        return False
    return "@" in parts.netloc or bool(parts.query)


def check_trackers(chosen: tuple[str, ...] | None) -> None:
    """Check, without loading, that trackers are installed and can write; raise UsageError if not."""
    for one in chosen or ():
        name = one.partition(":")[0]
        if not all(map(_is_there, TRACKERS[name].packages)):
            raise UsageError(f"--track {name} needs {how_to_install(TRACKERS[name].extra)}")
        if _is_path(place := place_of(one), name):
            try:
                _check_place(Path(place), is_folder=TRACKERS[name].path == "folder")
            except OSError as error:
                raise UsageError(
                    f"--track {one}: it cannot be written ({error.strerror or error}); choose another place"
                ) from error


def _check_place(path: Path, *, is_folder: bool) -> None:
    """Raise OSError if a file, or files in a folder, cannot be written; leave nothing behind."""
    if path.exists() and not is_folder:
        # Not opened: a named pipe would be waited for.
        if path.is_dir() or not os.access(path, os.W_OK):
            raise _failure(errno.EISDIR if path.is_dir() else errno.EACCES)
        return
    folder = path if is_folder else path.parent
    there = next(one for one in (folder, *folder.parents) if one.exists())
    if not there.is_dir():
        raise _failure(errno.ENOTDIR)
    with tempfile.TemporaryFile(dir=there):
        pass


def _failure(code: int) -> OSError:
    return OSError(code, os.strerror(code))


def _is_there(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # not even the package above it
        return False
