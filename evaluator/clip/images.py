"""Encode images once for each model and image set, and cache the features on disk.

Features are safetensors files, memory-mapped and written batch by batch, so that a large set never fills
memory. Augmented copies are cropped and lit differently, but not mirrored or rotated, which changes letters.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from io import FileIO
from itertools import islice
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import numpy as np
import safetensors
import torch
from PIL import Image, ImageEnhance
from torch import Tensor
from torch.nn import functional

from ..datasets.checks import HOW_TO_GO_ON, file_digest, image_set_hash
from ..datasets.pictures import open_rgb
from ..errors import DataError
from ..files import SeenFiles, replace_file, sweep
from ..spec import OpeningProgress, Report
from .models import LoadedModel

SCHEMA = 1
NAME = "features"


class BrokenFeaturesError(Exception):
    """The files are not what was written and must be made again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The content of a features file."""

    schema: int
    model: str
    preprocessing: str
    images: str
    # for each row the index of its image, in order; unreadable images have no row
    kept: tuple[int, ...]
    bad: tuple[tuple[int, str], ...]  # index and complaint of each unreadable image
    checksum: str


def feature_key(model: str, preprocessing: str, images: str) -> str:
    """Return the cache name of an image set's features under a model."""
    return hashlib.sha256("\0".join((str(SCHEMA), model, preprocessing, images)).encode()).hexdigest()[:32]


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest atomically."""
    replace_file(path, json.dumps(asdict(manifest), indent=1).encode())


def map_features(path: Path) -> Tensor:
    """Return features [n, E] as a view of their file."""
    with safetensors.safe_open(path, framework="pt") as file:
        features: Tensor = file.get_tensor(NAME)
    return features


def read_features(folder: Path, key: str) -> tuple[Tensor, Manifest] | None:
    """Return features [n, E] as a view of the file, and their manifest; None if missing."""
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
    """Return a hash of a tensor's bytes, type and shape."""
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
HEADER = 120
"""Bytes of the safetensors header, padded with blanks: the number of rows is known last."""


class FeatureFile:
    """Write features [m, E], float32, as they come; keep them in memory if the disk fails."""

    def __init__(self, folder: Path, key: str) -> None:
        self.failure: OSError | None = None
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
                self._file.close()  # Windows cannot move an open file
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


RECIPE = 1
"""Raise it with every change of the augmentation, so that cached copies are made again."""
LEAST_SIDE = 0.75
LIGHT = (0.8, 1.2)
LARGEST = 512
"""The shorter side, in pixels, before augmentation: above any model's input, and fast."""


def augmented_copies(picture: Image.Image, count: int, mark: str) -> Iterator[Image.Image]:
    """Yield ``count`` RGB copies, seeded by the file's hash ``mark``; fewer are the first of more."""
    rng = Random(f"views/{RECIPE}/{mark}")
    whole = _reduced(picture)
    width, height = whole.size
    for _ in range(count):
        wide, high = (max(1, round(side * rng.uniform(LEAST_SIDE, 1.0))) for side in whole.size)
        left, top = rng.randint(0, width - wide), rng.randint(0, height - high)
        view = whole.crop((left, top, left + wide, top + high)).resize(whole.size, Image.Resampling.BICUBIC)
        view = ImageEnhance.Brightness(view).enhance(rng.uniform(*LIGHT))
        yield ImageEnhance.Contrast(view).enhance(rng.uniform(*LIGHT))


def _reduced(picture: Image.Image) -> Image.Image:
    scale = LARGEST / min(picture.size)
    if scale >= 1:
        return picture
    width, height = (max(1, round(side * scale)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)


MOST_SLENDER = 100
"""Longer side over the shorter one: models scale the shorter side up, and then cut out the middle."""


def middle(picture: Image.Image) -> Image.Image:
    """Return a picture, or the middle of one so slender that scaling it up would fill memory."""
    longest = MOST_SLENDER * min(picture.size)
    if max(picture.size) <= longest:
        return picture
    left, top = ((side - min(side, longest)) // 2 for side in picture.size)
    return picture.crop((left, top, left + min(picture.width, longest), top + min(picture.height, longest)))


OnBadImage = Literal["fail", "skip"]
AT_ONCE = 64
In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True, slots=True)
class Features:
    """Normalised features of an image set."""

    vectors: Tensor  # [n, E], float32, on the CPU, perhaps a view of a file
    kept: tuple[int, ...]  # for each row, the index of its image in the set
    bad: tuple[str, ...]  # what is wrong with each image that was left out
    images: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageEncoder:
    """Encodes image sets for one model."""

    loaded: LoadedModel
    folder: Path
    batch: int = 64
    workers: int = 4
    on_bad_image: OnBadImage = "fail"
    seen: SeenFiles = field(default_factory=SeenFiles)
    report: Report = lambda _line: None
    progress: OpeningProgress = lambda *_given: None

    def features(self, paths: Sequence[Path]) -> Features:
        return self._features(paths, None)

    def views(self, paths: Sequence[Path], count: int) -> Features:
        """Return features of augmented copies of the images, ``count`` rows an image."""
        return self._features(paths, count)

    def batches(self, paths: Iterable[Path]) -> Iterator[tuple[list[tuple[Path, DataError | None]], Tensor]]:
        """Yield up to ``batch`` images with what is wrong with each, and features of the readable ones.

        Nothing is cached and any number of images may follow; ``on_bad_image`` does not apply.
        """
        with ThreadPoolExecutor(self.workers, thread_name_prefix="decoder") as pool:
            window = max(2 * self.workers, self.batch)
            decoded = _ordered(pool, lambda path: (path, self._decode(path, "", None)), paths, window)
            while part := list(islice(decoded, self.batch)):
                pictures = [one for _, found in part if not isinstance(found, DataError) for one in found]
                bad = [(path, found if isinstance(found, DataError) else None) for path, found in part]
                yield bad, self._forward(pictures) if pictures else torch.empty(0, 0)

    def _features(self, paths: Sequence[Path], views: int | None) -> Features:
        digests: list[str] = []
        with ThreadPoolExecutor(self.workers, thread_name_prefix="decoder") as pool:

            def find() -> list[str]:
                digests[:] = _digests(pool, paths, self.workers)
                return [image_set_hash(digests)]

            images = "".join(self.seen.known("image set", paths, find))
            found = self._from_cache(images, views)
            if found is None:
                (images,) = find() if not digests else (image_set_hash(digests),)
                found = self._encode(pool, list(zip(paths, digests, strict=True)), images, views)
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

    def _preprocessing(self, views: int | None) -> str:
        own = self.loaded.preprocessing
        return own if views is None else f"{views} views, recipe {RECIPE}; {own}"

    def _from_cache(self, images: str, views: int | None) -> tuple[Tensor, Manifest] | None:
        try:
            key = feature_key(self.loaded.key, self._preprocessing(views), images)
            found = read_features(self.folder, key)
        except BrokenFeaturesError as error:
            self.report(f"image features are made again: {error}")
            return None
        if found is not None:
            what = "images" if views is None else "augmented copies"
            self.report(f"{what}: {len(found[0])} features from the cache")
        return found

    def _encode(
        self, pool: ThreadPoolExecutor, images: Sequence[tuple[Path, str]], image_set: str, views: int | None
    ) -> tuple[Tensor, Manifest]:
        kept: list[int] = []
        bad: list[tuple[int, str]] = []
        waiting: list[Tensor] = []
        each, preprocessing = views or 1, self._preprocessing(views)
        window = max(1, max(2 * self.workers, self.batch) // each)
        with FeatureFile(self.folder, feature_key(self.loaded.key, preprocessing, image_set)) as file:
            for index, found in enumerate(
                _ordered(pool, lambda one: self._decode(*one, views), images, window)
            ):
                if isinstance(found, DataError):
                    if self.on_bad_image == "fail":
                        raise DataError(f"{found}; {HOW_TO_GO_ON}") from found
                    bad.append((index, str(found)))
                else:
                    kept += [index] * len(found)
                    waiting += found
                while len(waiting) >= self.batch or (waiting and index + 1 == len(images)):
                    file.add(self._forward(waiting[: self.batch]))
                    waiting = waiting[self.batch :]
                    self.progress((index + 1) * each - len(waiting), len(images) * each, views is not None)
            manifest = Manifest(
                schema=SCHEMA,
                model=self.loaded.key,
                preprocessing=preprocessing,
                images=image_set,
                kept=tuple(kept),
                bad=tuple(bad),
                checksum="",
            )
            features = file.finish(manifest)
        if file.failure is not None:
            why = file.failure.strerror
            self.report(f"image features are not kept: {self.folder} cannot be written ({why})")
        return features

    def _decode(self, path: Path, digest: str, views: int | None) -> list[Tensor] | DataError:
        try:
            whole = open_rgb(path)
            image = middle(whole)
            if image is not whole and views is None:
                size = f"{whole.width} x {whole.height} pixels"
                self.report(f"images: only the middle of {path} counts, {size} are too slender")
            pictures = [image] if views is None else augmented_copies(image, views, digest)
            return [self.loaded.preprocess(one) for one in pictures]
        except DataError as error:
            return error

    def _forward(self, pictures: Sequence[Tensor]) -> Tensor:
        """Encode a batch: [B, 3, H, W] -> [B, E], normalised, float32, on the CPU."""
        model: Any = self.loaded.model
        # Equal batch sizes keep an image's features independent of the other images.
        stacked = torch.stack([*pictures, *[pictures[-1]] * (self.batch - len(pictures))])
        with torch.inference_mode():
            encoded = model.encode_image(stacked.to(self.loaded.device))
            return functional.normalize(encoded.float(), dim=-1).cpu()[: len(pictures)]


def _digests(pool: ThreadPoolExecutor, paths: Sequence[Path], workers: int) -> list[str]:
    """Return the hash of each file; a task takes many, as handing over one costs more than hashing it."""
    parts = [paths[start : start + AT_ONCE] for start in range(0, len(paths), AT_ONCE)]
    hashed = _ordered(pool, lambda part: [file_digest(path) for path in part], parts, 2 * workers)
    return [digest for part in hashed for digest in part]


def _ordered(
    pool: ThreadPoolExecutor, work: Callable[[In], Out], given: Iterable[In], window: int
) -> Iterator[Out]:
    """Yield results in order, with at most ``window`` tasks begun and not yet taken."""
    begun: deque[Future[Out]] = deque()
    try:
        for one in given:
            begun.append(pool.submit(work, one))
            if len(begun) >= window:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        for future in begun:
            future.cancel()
