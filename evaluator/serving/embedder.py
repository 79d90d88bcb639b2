"""Embed texts and images with a CLIP model, gathered into passes and cached in bounded memory."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
import torch
from torch.nn import functional

from ..clip.images import middle
from ..clip.models import load_model, parse_devices
from ..clip.texts.text_encoder import TextEncoder
from ..datasets.pictures import rgb_from_bytes
from ..errors import DataError
from ..spec import EvaluatorSpec, Report

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
MOST_PIXELS = 40_000_000
"""Most pixels of an image that is decoded."""
MEMORY_BYTES = 64 * 2**20
"""Most bytes of cached vectors: of texts, and of images again."""
TEXTS_AT_ONCE = 1024
IMAGES_AT_ONCE = 32
"""On a GPU; a CPU encodes one by one, so that a vector never depends on its neighbours."""
UNREADABLE = (
    f"an image is not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file of at most "
    f"{MOST_PIXELS // 10**6} megapixels that can be decoded"
)

UnitVector: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
"""Normalised, [E]."""
In = TypeVar("In")


class ClipTowers:
    """A loaded model: texts and images to normalised vectors. Blocks; one thread at a time.

    Raises:
        ModelError: The model, its checkpoint or the device cannot be used.
    """

    def __init__(self, spec: EvaluatorSpec, report: Report) -> None:
        self._loaded = load_model(spec.model, spec.pretrained, parse_devices(spec.device)[0], report=report)
        self._texts = TextEncoder(
            self._loaded.model, self._loaded.tokenizer, ("thing",), self._loaded.context_length, report=report
        )
        self._together = 1 if self._loaded.device.type == "cpu" else IMAGES_AT_ONCE
        self._decoders = ThreadPoolExecutor(spec.workers, thread_name_prefix="decoder")

    @property
    def logit_scale(self) -> float:
        """The factor of cosines before the softmax."""
        return self._loaded.logit_scale

    @property
    def together(self) -> int:
        """How many images make one pass."""
        return self._together

    def problem(self, text: str) -> str | None:
        found = self._texts.check_name("{}", text)
        return None if found is None else found.message

    def embed_texts(self, texts: Sequence[str]) -> list[UnitVector | DataError]:
        """Return the vector of each text, or what is wrong with it."""
        problems = [self.problem(text) for text in texts]
        fitting = [text for text, problem in zip(texts, problems, strict=True) if problem is None]
        rows = iter(self._texts.named("{}", fitting).cpu().numpy()) if fitting else iter(())
        return [next(rows) if one is None else DataError(f"a text is too long: {one}") for one in problems]

    def embed_images(self, files: Sequence[bytes]) -> list[UnitVector | DataError]:
        """Return the vector of each image file, or what is wrong with it."""
        decoded = list(self._decoders.map(self._decode, files))
        inputs = [one for one in decoded if not isinstance(one, DataError)]
        rows = iter(self._forward(inputs)) if inputs else iter(())
        return [one if isinstance(one, DataError) else next(rows) for one in decoded]

    def close(self) -> None:
        self._decoders.shutdown(cancel_futures=True)

    def _decode(self, file: bytes) -> torch.Tensor | DataError:
        try:
            picture = rgb_from_bytes(file, formats=FORMATS, most_pixels=MOST_PIXELS)
            return self._loaded.preprocess(middle(picture))
        except DataError as error:
            wrong = DataError(UNREADABLE)
            wrong.__cause__ = error
            return wrong

    def _forward(self, inputs: Sequence[torch.Tensor]) -> UnitVector:
        model: Any = self._loaded.model
        padding = [inputs[-1]] * (-len(inputs) % self._together)
        stacked = torch.stack([*inputs, *padding]).to(self._loaded.device)
        with torch.inference_mode():
            found = [functional.normalize(model.encode_image(part).float(), dim=-1).cpu()
                     for part in torch.split(stacked, self._together)]  # fmt: skip
        return torch.cat(found)[: len(inputs)].numpy()


class _Gathered(Generic[In]):
    """Vectors by key: from memory, or from passes over all that is asked for while another pass runs."""

    def __init__(
        self,
        embed: Callable[[Sequence[In]], list[UnitVector | DataError]],
        pool: ThreadPoolExecutor,
        most: int,
        memory_bytes: int,
    ) -> None:
        self._embed, self._pool, self._most, self._memory_bytes = embed, pool, most, memory_bytes
        self._known: OrderedDict[Hashable, UnitVector] = OrderedDict()
        self._bytes = 0
        self._asked: dict[Hashable, tuple[In, asyncio.Future[UnitVector | DataError]]] = {}
        self._running: asyncio.Task[None] | None = None
        self.encoded = 0

    async def get(self, wanted: Mapping[Hashable, In]) -> dict[Hashable, UnitVector]:
        """Return the vector of each key; DataError for the first item that has none."""
        found: dict[Hashable, UnitVector] = {}
        waiting: dict[Hashable, asyncio.Future[UnitVector | DataError]] = {}
        for key, item in wanted.items():
            if (vector := self._known.get(key)) is not None:
                self._known.move_to_end(key)
                found[key] = vector
            else:
                future = asyncio.get_running_loop().create_future()
                waiting[key] = self._asked.setdefault(key, (item, future))[1]
        if waiting and self._running is None:
            self._running = asyncio.create_task(self._run())
        for key, future in waiting.items():
            # Shielded: others may wait for the same vector.
            vector_or_error = await asyncio.shield(future)
            if isinstance(vector_or_error, DataError):
                raise DataError(str(vector_or_error)) from vector_or_error
            found[key] = vector_or_error
        return found

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while todo := [one for one in self._asked.items() if not one[1][1].done()][: self._most]:
                items = [item for _key, (item, _future) in todo]
                try:
                    vectors = await loop.run_in_executor(self._pool, self._embed, items)
                except Exception as error:  # noqa: BLE001 - whoever waits gets it
                    for key, (_item, future) in todo:
                        del self._asked[key]
                        future.set_exception(error)
                    continue
                self.encoded += len(items)
                for (key, (_item, future)), vector in zip(todo, vectors, strict=True):
                    del self._asked[key]
                    future.set_result(vector)
                    if not isinstance(vector, DataError):
                        self._remember(key, vector)
        finally:
            self._running = None

    def _remember(self, key: Hashable, vector: UnitVector) -> None:
        self._known[key] = vector
        self._bytes += vector.nbytes
        while self._bytes > self._memory_bytes:
            self._bytes -= self._known.popitem(last=False)[1].nbytes


class Embedder:
    """Vectors of texts and images for an event loop; the model works in a thread of its own."""

    def __init__(self, towers: ClipTowers, memory_bytes: int = MEMORY_BYTES) -> None:
        self._towers = towers
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._texts = _Gathered(towers.embed_texts, self._pool, TEXTS_AT_ONCE, memory_bytes)
        self._images = _Gathered(
            towers.embed_images, self._pool, max(IMAGES_AT_ONCE, towers.together), memory_bytes
        )

    @property
    def logit_scale(self) -> float:
        return self._towers.logit_scale

    @property
    def encoded(self) -> tuple[int, int]:
        """How many texts and images went through the model so far."""
        return self._texts.encoded, self._images.encoded

    async def texts(self, texts: Sequence[str]) -> UnitVector:
        """Return normalised vectors, [n, E]; DataError if the model cannot read one."""
        keys = [_digest(text.encode("utf-8", "surrogatepass")) for text in texts]
        found = await self._texts.get(dict(zip(keys, texts, strict=True)))
        return np.stack([found[key] for key in keys])

    async def images(self, files: Sequence[bytes]) -> UnitVector:
        """Return normalised vectors of image files, [n, E]; DataError if one cannot be decoded."""
        keys = [_digest(file) for file in files]
        found = await self._images.get(dict(zip(keys, files, strict=True)))
        return np.stack([found[key] for key in keys])

    async def logits(self, file: bytes, texts: Sequence[str]) -> UnitVector:
        """Return the model's logits of an image for texts, [n]."""
        image, rows = await self.images([file]), await self.texts(texts)
        found: UnitVector = self.logit_scale * (rows @ image[0])
        return found

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._towers.close()


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()
