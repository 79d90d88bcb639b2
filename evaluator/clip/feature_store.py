"""Store image features on disk: safetensors with a manifest, memory-mapped, and checked when read."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass, replace
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import safetensors
import torch
from torch import Tensor

from ..seen_files import replace_file, sweep

SCHEMA = 1
NAME = "features"


class BrokenFeaturesError(Exception):
    """The files are not what was written; they are to be made again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a features file holds.

    Attributes:
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
    """Write a manifest at once or not at all."""
    replace_file(path, json.dumps(asdict(manifest), indent=1).encode())


def map_features(path: Path) -> Tensor:
    """Return features [n, E] as a view of their file."""
    with safetensors.safe_open(path, framework="pt") as file:
        features: Tensor = file.get_tensor(NAME)
    return features


def read_features(folder: Path, key: str) -> tuple[Tensor, Manifest] | None:
    """Return features [n, E] as a view of the file, and their manifest; None where there are none."""
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


LEFT_S = 3600
"""Age of an abandoned part: its process was killed, or left in the middle."""
HEADER = 120
"""Bytes of safetensors' header, blank at its end: how many rows there will be is known last."""


class FeatureFile:
    """Takes features [m, E], float32, as they are made; what cannot be written is kept in memory instead."""

    def __init__(self, folder: Path, key: str) -> None:
        self.failure: OSError | None = None
        """Why the features are not on disk, if they are not."""
        self._target = folder / f"{key}.safetensors"
        self._shape = (0, 0)
        self._in_memory: list[Tensor] = []
        self._file: FileIO | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            sweep(folder, LEFT_S, "*.part")
            handle, part = tempfile.mkstemp(dir=folder, prefix=self._target.name, suffix=".part")
            self._part, self._file = Path(part), FileIO(handle, "r+")
            self._write(bytes(8 + HEADER), 0)
        except OSError as error:
            self._go_on_in_memory(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drop()

    def add(self, rows: Tensor) -> None:
        """Add the rows [m, E] of the next images."""
        if self._file is not None:
            try:
                self._write(rows.contiguous().numpy().tobytes(), 8 + HEADER + self._bytes)
            except OSError as error:
                self._go_on_in_memory(error)
        if self._file is None:
            self._in_memory.append(rows)
        self._shape = (self._shape[0] + len(rows), rows.shape[1])

    def finish(self, manifest: Manifest) -> tuple[Tensor, Manifest]:
        """Return all rows [n, E], if possible a view of the file, and the manifest with their checksum."""
        if self._file is not None:
            try:
                self._write(self._header(), 0)
                os.fsync(self._file.fileno())
                self._file.close()  # Windows moves no open file
                self._part.replace(self._target)
                self._file = None
            except OSError as error:
                self._go_on_in_memory(error)
            else:
                return self._mapped(manifest)
        rows = torch.cat(self._in_memory) if self._in_memory else torch.empty(self._shape)
        return rows, replace(manifest, checksum=checksum(rows))

    def _mapped(self, manifest: Manifest) -> tuple[Tensor, Manifest]:
        rows = map_features(self._target)
        manifest = replace(manifest, checksum=checksum(rows))
        try:
            write_manifest(self._target.with_suffix(".json"), manifest)
        except OSError as error:
            self.failure = error
        return rows, manifest

    @property
    def _bytes(self) -> int:
        return 4 * self._shape[0] * self._shape[1]

    def _header(self) -> bytes:
        described = {"dtype": "F32", "shape": self._shape, "data_offsets": (0, self._bytes)}
        return HEADER.to_bytes(8, "little") + json.dumps({NAME: described}).encode().ljust(HEADER)

    def _write(self, content: bytes, place: int) -> None:
        assert self._file is not None
        self._file.seek(place)
        left = memoryview(content)
        while left:
            left = left[self._file.write(left) :]

    def _go_on_in_memory(self, failure: OSError) -> None:
        """Read back what was written, and keep it."""
        self.failure = failure
        if self._bytes:
            numbers = np.fromfile(self._part, np.float32, count=self._bytes // 4, offset=8 + HEADER)
            self._in_memory = [torch.from_numpy(numbers).reshape(self._shape)]
        self._drop()

    def _drop(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            self._part.unlink(missing_ok=True)
