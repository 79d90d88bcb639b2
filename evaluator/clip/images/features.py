"""Image features on disk: safetensors with a manifest, memory-mapped, checked whenever they are read."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import safetensors
import torch
from torch import Tensor

SCHEMA = 1
NAME = "features"


class BrokenFeaturesError(Exception):
    """The files are not what was written; they are to be made again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a features file holds.

    Attributes:
        schema: Version of this form.
        model: Content hash of the model.
        preprocessing: What was done to the images.
        images: Hash of the image set.
        kept: For each row the index of its image, in order; of an image that could not be read there is none.
        bad: Index and complaint of each that could not.
        checksum: Hash of the features' bytes.
    """

    schema: int
    model: str
    preprocessing: str
    images: str
    kept: tuple[int, ...]
    bad: tuple[tuple[int, str], ...]
    checksum: str


def feature_key(model: str, preprocessing: str, images: str) -> str:
    """Return one name for features of an image set under a model; differs when any of the three does."""
    return hashlib.sha256("\0".join((str(SCHEMA), model, preprocessing, images)).encode()).hexdigest()[:32]


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest at once or not at all.

    Raises:
        OSError: It cannot be written.
    """
    _replace(path, json.dumps(asdict(manifest), indent=1).encode())


def map_features(path: Path) -> Tensor:
    """Return features [n, E] as a view of their file.

    Raises:
        OSError: There is no such file.
        safetensors.SafetensorError: It is torn.
    """
    with safetensors.safe_open(path, framework="pt") as file:
        features: Tensor = file.get_tensor(NAME)
    return features


def read_features(folder: Path, key: str) -> tuple[Tensor, Manifest] | None:
    """Return features [n, E] as a view of the file, and their manifest; None where there are none.

    Raises:
        BrokenFeaturesError: The files are torn, or do not belong together.
    """
    data, notes = folder / f"{key}.safetensors", folder / f"{key}.json"
    if not data.is_file() or not notes.is_file():
        return None
    try:
        manifest = _read_manifest(notes)
        features = map_features(data)
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise BrokenFeaturesError(f"{data} cannot be read: {error}") from error
    named = feature_key(manifest.model, manifest.preprocessing, manifest.images)
    if named != key or features.ndim != 2 or len(features) != len(manifest.kept):
        raise BrokenFeaturesError(f"{notes} does not belong to {data}")
    if checksum(features) != manifest.checksum:
        raise BrokenFeaturesError(f"{data} has changed since it was written")
    return features, manifest


def checksum(features: Tensor) -> str:
    """Return hash of a tensor's bytes, type and shape."""
    found = hashlib.blake2b(f"{features.dtype}{list(features.shape)}".encode(), digest_size=16)
    found.update(features.contiguous().view(torch.uint8).numpy().data)
    return found.hexdigest()


def _read_manifest(path: Path) -> Manifest:
    found = json.loads(path.read_text(encoding="utf-8"))
    if found["schema"] != SCHEMA:
        raise ValueError(f"schema {found['schema']} instead of {SCHEMA}")
    found["kept"] = tuple(found["kept"])
    found["bad"] = tuple((index, complaint) for index, complaint in found["bad"])
    return Manifest(**found)


def _replace(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
