"""Images to features: decoded by a bounded number of threads, encoded in batches, once per model and set."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from ...datasets.image_checks import HOW_TO_GO_ON
from ...datasets.readers.pictures import open_rgb
from ...errors import DataError
from ...spec import Progress, Report
from ..models.open_clip_model import LoadedModel
from .features import (
    SCHEMA,
    BrokenFeaturesError,
    Manifest,
    checksum,
    feature_key,
    image_set_hash,
    read_features,
    write_features,
)

OnBadImage = Literal["fail", "skip"]
Out = TypeVar("Out")


@dataclass(frozen=True, slots=True)
class Features:
    """Normalised features of an image set.

    Attributes:
        vectors: [n, E], float32, on the CPU, perhaps a view of a file.
        kept: For each row, the index of its image in the set.
        bad: What was wrong with each image that was left out.
        images: Hash of the image set.
    """

    vectors: Tensor
    kept: tuple[int, ...]
    bad: tuple[str, ...]
    images: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageEncoder:
    """Encodes image sets for one model.

    Attributes:
        loaded: The model.
        folder: Where features are kept.
        batch: Images encoded at once.
        workers: Threads that decode.
        on_bad_image: Whether an image that cannot be read ends everything or is left out.
        report: Told what is taken from the cache, rebuilt or left out.
        progress: Told how many images of how many are done.
    """

    loaded: LoadedModel
    folder: Path
    batch: int = 64
    workers: int = 4
    on_bad_image: OnBadImage = "fail"
    report: Report = lambda _line: None
    progress: Progress = lambda _done, _of: None

    def features(self, paths: Sequence[Path]) -> Features:
        """Return features of the images, from the cache or encoded now.

        Raises:
            DataError: An image cannot be read and ``on_bad_image`` is ``fail``, or none can.
        """
        with ThreadPoolExecutor(self.workers, thread_name_prefix="decoder") as pool:
            images = image_set_hash(list(_ordered(pool, _digest, paths, self._window)))
            found = self._from_cache(images) or self._encode(pool, paths, images)
        vectors, manifest = found
        bad = tuple(complaint for _, complaint in manifest.bad)
        if bad and self.on_bad_image == "fail":
            raise DataError(f"{bad[0]}; {HOW_TO_GO_ON}")
        if bad:
            more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
            self.report(f"images left out: {bad[0]}{more}")
        if not manifest.kept:
            raise DataError(f"none of the {len(paths)} images can be read; the first: {bad[0]}")
        return Features(vectors, manifest.kept, bad, images)

    @property
    def _window(self) -> int:
        return max(2 * self.workers, self.batch)

    def _from_cache(self, images: str) -> tuple[Tensor, Manifest] | None:
        key = feature_key(self.loaded.key, self.loaded.preprocessing, images)
        try:
            found = read_features(self.folder, key)
        except BrokenFeaturesError as error:
            self.report(f"image features are made again: {error}")
            return None
        if found is not None:
            self.report(f"images: {len(found[0])} features from the cache")
        return found

    def _encode(
        self, pool: ThreadPoolExecutor, paths: Sequence[Path], images: str
    ) -> tuple[Tensor, Manifest]:
        kept: list[int] = []
        bad: list[tuple[int, str]] = []
        parts: list[Tensor] = []
        waiting: list[Tensor] = []
        for index, picture in enumerate(_ordered(pool, self._decode, paths, self._window)):
            if isinstance(picture, DataError):
                if self.on_bad_image == "fail":
                    raise DataError(f"{picture}; {HOW_TO_GO_ON}") from picture
                bad.append((index, str(picture)))
            else:
                kept.append(index)
                waiting.append(picture)
            if len(waiting) == self.batch or (waiting and index + 1 == len(paths)):
                parts.append(self._forward(waiting))
                waiting = []
                self.progress(index + 1, len(paths))
        vectors = torch.cat(parts) if parts else torch.empty(0, 0)
        manifest = Manifest(
            schema=SCHEMA,
            model=self.loaded.key,
            preprocessing=self.loaded.preprocessing,
            images=images,
            kept=tuple(kept),
            bad=tuple(bad),
            checksum=checksum(vectors),
        )
        try:
            write_features(self.folder, vectors, manifest)
        except OSError as error:
            self.report(f"image features are not kept: {self.folder} cannot be written ({error.strerror})")
        return vectors, manifest

    def _decode(self, path: Path) -> Tensor | DataError:
        try:
            return self.loaded.preprocess(open_rgb(path))
        except DataError as error:
            return error

    def _forward(self, pictures: Sequence[Tensor]) -> Tensor:
        """Encode a batch: [B, 3, H, W] -> [B, E], normalised, float32, on the CPU."""
        model: Any = self.loaded.model
        # Every batch has the same size, so that an image's features do not depend on its neighbours' number.
        stacked = torch.stack([*pictures, *[pictures[-1]] * (self.batch - len(pictures))])
        with torch.inference_mode():
            encoded = model.encode_image(stacked.to(self.loaded.device))
            return functional.normalize(encoded.float(), dim=-1).cpu()[: len(pictures)]


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        # The decoder says what is wrong with it; here it only has to count as another image.
        return f"unreadable {path} {error.errno}"


def _ordered(
    pool: ThreadPoolExecutor, work: Callable[[Path], Out], paths: Sequence[Path], window: int
) -> Iterator[Out]:
    """Yield results in order, with at most ``window`` begun and not yet taken."""
    begun: deque[Future[Out]] = deque()
    try:
        for path in paths:
            begun.append(pool.submit(work, path))
            if len(begun) >= window:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        for future in begun:
            future.cancel()
