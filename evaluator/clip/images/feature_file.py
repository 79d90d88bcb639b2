"""Features on their way to disk, batch after batch, so that those of a large set never stand in memory."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import replace
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import torch
from torch import Tensor

from ...seen_files import sweep
from .features import NAME, Manifest, checksum, map_features, write_manifest

LEFT_S = 3600
"""Age of a part that nobody goes on with: its process was killed, or left in the middle."""
HEADER = 120
"""Bytes of safetensors' header, blank at its end: how many rows there will be is known last."""


class FeatureFile:
    """Takes features [m, E], float32, as they are made; what cannot be written is kept in memory instead.

    Args:
        folder: Where features are kept.
        key: Name of the file; see ``feature_key``.
    """

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
        """Add the rows [m, E] of the next images.

        Raises:
            OSError: They can no longer be written, and what was written cannot be read back.
        """
        if self._file is not None:
            try:
                self._write(rows.contiguous().numpy().tobytes(), 8 + HEADER + self._bytes)
            except OSError as error:
                self._go_on_in_memory(error)
        if self._file is None:
            self._in_memory.append(rows)
        self._shape = (self._shape[0] + len(rows), rows.shape[1])

    def finish(self, manifest: Manifest) -> tuple[Tensor, Manifest]:
        """Return all rows [n, E], a view of the file if there is one, and the manifest with their checksum.

        Raises:
            OSError: As for ``add``.
        """
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
