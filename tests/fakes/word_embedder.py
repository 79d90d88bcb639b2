"""An embedder without torch: an image's bytes are the word that it shows."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from promptclimb.evaluator.errors import DataError

DIMENSIONS = 8
BROKEN = b"broken"
"""An image that cannot be decoded."""


def image_of(word: str) -> str:
    """The data URL of an image that shows a word."""
    return f"data:image/png;base64,{base64.b64encode(word.encode()).decode()}"


class WordEmbedder:
    """Vectors from hashes; a text that holds an image's word has the largest logit for it.

    Attributes:
        gate: Requests wait until it is set.
        fails: Whether it raises.
    """

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.fails = False
        self.asked: list[tuple[str, ...]] = []

    async def texts(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        """A vector of each text."""
        await self.gate.wait()
        if self.fails:
            raise RuntimeError("secret of the model")
        return np.stack([_vector(text.encode()) for text in texts])

    async def images(self, files: Sequence[bytes]) -> np.ndarray[Any, Any]:
        """A vector of each image."""
        if BROKEN in files:
            raise DataError("an image cannot be decoded")
        return np.stack([_vector(file) for file in files])

    async def logits(self, file: bytes, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        """3 for texts with the image's word, 0 for others."""
        await self.images([file])
        await self.texts(texts)
        self.asked.append(tuple(texts))
        return np.array([3.0 * (file.decode("utf-8", "replace") in text) for text in texts], np.float32)


def _vector(content: bytes) -> np.ndarray[Any, Any]:
    drawn = np.frombuffer(hashlib.sha256(content).digest()[:DIMENSIONS], np.uint8).astype(np.float32) - 127.5
    found: np.ndarray[Any, Any] = drawn / np.linalg.norm(drawn)
    return found
