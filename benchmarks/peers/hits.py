"""Which test images are correctly classified, as a text that is short enough for a row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def packed(right: Sequence[bool]) -> str:
    """Return decisions as text."""
    return np.packbits(np.array(right, dtype=bool)).tobytes().hex()


def unpacked(text: str, images: int) -> npt.NDArray[np.int8]:
    """Return what ``packed`` was made from, as 0 and 1."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8))[:images].astype(np.int8)
