"""Encode images once for each model and image set, and cache the features on disk.

Features are safetensors files, memory-mapped, with a manifest in their header; text vectors are kept alike.
Augmented copies are cropped and lit differently, but not mirrored or rotated, which changes letters.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, Literal, TypeVar

import safetensors
import torch
from PIL import Image, ImageEnhance
from pydantic import TypeAdapter
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from ..datasets.checks import HOW_TO_GO_ON, file_digest, image_set_hash, looked_at, note_on_unusable
from ..datasets.pictures import open_rgb
from ..errors import DataError
from ..files import SeenFiles, replacing, sweep
from ..regular_files import irregular
from ..spec import Report
from .models import LoadedModel, ModelFacts

SCHEMA: Literal[2] = 2
NAME, MANIFEST = "features", "manifest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The content of a features file."""

    schema: Literal[2]
    model: str
    preprocessing: str
    images: str  # a hash of the image set, or of the texts
    # for each row the index of its image, in order; unreadable images have no row
    kept: tuple[int, ...]
    bad: tuple[tuple[int, str], ...]  # index and complaint of each unreadable image
    checksum: str = ""

    @property
    def key(self) -> str:
        return feature_key(self.model, self.preprocessing, self.images)


_MANIFEST = TypeAdapter(Manifest)


def feature_key(model: str, preprocessing: str, images: str) -> str:
    """Return the cache name of an image set's features under a model."""
    return hashlib.sha256("\0".join((str(SCHEMA), model, preprocessing, images)).encode()).hexdigest()[:32]


def read_features(data: Path, key: str, what: str, report: Report) -> tuple[Tensor, Manifest] | None:
    """Return features [n, E] as a view of the file, and their manifest.

    None if it is missing, or is not what was written and must be made again, which is reported of ``what``.
    """
    try:
        return _features_in(data, key)
    except DataError as error:
        report(f"{what} are made again: {error}")
        return None


def _features_in(data: Path, key: str) -> tuple[Tensor, Manifest] | None:
    if (kind := irregular(data)) is not None:
        raise DataError(f"{data} is {kind}, not a file")
    if not data.is_file():
        return None
    try:
        with safetensors.safe_open(data, framework="pt") as file:
            manifest = _MANIFEST.validate_json((file.metadata() or {})[MANIFEST], strict=True)
            features: Tensor = file.get_tensor(NAME)
    except (OSError, ValueError, KeyError, safetensors.SafetensorError) as error:
        raise DataError(f"{data} cannot be read: {error}") from error
    if manifest.key != key or features.ndim != 2 or len(features) != len(manifest.kept):
        raise DataError(f"the manifest in {data} is of other images")
    if _checksum(features) != manifest.checksum:
        raise DataError(f"{data} has changed since it was written")
    return features, manifest


def _checksum(features: Tensor) -> str:
    """Return a hash of a tensor's bytes, type and shape."""
    digest = hashlib.blake2b(f"{features.dtype}{list(features.shape)}".encode(), digest_size=16)
    digest.update(features.contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


LEFT_S = 3600


def write_features(target: Path, features: Tensor, manifest: Manifest) -> str:
    """Write features [n, E] and their manifest with their checksum; return why that failed, or nothing."""
    manifest = replace(manifest, checksum=_checksum(features))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep(target.parent, LEFT_S, "*.part")
        with replacing(target) as draft:
            save_file(
                {NAME: features.contiguous()}, draft, {MANIFEST: _MANIFEST.dump_json(manifest).decode()}
            )
    except (OSError, safetensors.SafetensorError) as error:
        return getattr(error, "strerror", "") or str(error)
    return ""


RECIPE = 1
"""Raise it with every change of the augmentation, so that cached copies are made again."""
LEAST_SIDE = 0.75
LIGHT = (0.8, 1.2)
LARGEST = 512
"""The shorter side, in pixels, before augmentation: above any model's input, and fast."""


def augmented_copies(picture: Image.Image, count: int, mark: str) -> Iterator[Image.Image]:
    """Yield ``count`` RGB copies, seeded by the file's hash ``mark``; fewer are the first of more."""
    rng = Random(f"views/{RECIPE}/{mark}")
    scale = LARGEST / min(picture.size)
    if scale < 1:
        reduced = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        picture = picture.resize(reduced, Image.Resampling.BICUBIC, reducing_gap=3.0)
    width, height = picture.size
    for _ in range(count):
        wide, high = (max(1, round(side * rng.uniform(LEAST_SIDE, 1.0))) for side in picture.size)
        left, top = rng.randint(0, width - wide), rng.randint(0, height - high)
        cut = picture.crop((left, top, left + wide, top + high))
        copy = cut.resize(picture.size, Image.Resampling.BICUBIC)
        copy = ImageEnhance.Brightness(copy).enhance(rng.uniform(*LIGHT))
        yield ImageEnhance.Contrast(copy).enhance(rng.uniform(*LIGHT))


MOST_SLENDER = 100
"""Longer side over the shorter one: models scale the shorter side up, and then cut out the middle."""


def middle(picture: Image.Image) -> Image.Image:
    """Return a picture, or the middle of a picture so slender that scaling it up would fill memory."""
    longest = MOST_SLENDER * min(picture.size)
    if max(picture.size) <= longest:
        return picture
    left, top = ((side - min(side, longest)) // 2 for side in picture.size)
    return picture.crop((left, top, left + min(picture.width, longest), top + min(picture.height, longest)))


OnBadImage = Literal["fail", "skip"]
Source = TypeVar("Source", bound=Path | Image.Image)
In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True, slots=True)
class Features:
    """Normalised features of an image set."""

    vectors: Tensor  # [n, E], float32, on the CPU, a view of a file if they were cached
    kept: tuple[int, ...]  # for each row, the index of its image in the set
    bad: tuple[str, ...]  # what is wrong with each image that was left out
    images: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageEncoder:
    """Encodes image sets for one model."""

    facts: ModelFacts
    load: Callable[[], LoadedModel]  # called where an image must be encoded
    folder: Path
    batch: int = 64
    workers: int = 4
    on_bad_image: OnBadImage = "fail"
    seen: SeenFiles = field(default_factory=SeenFiles)
    report: Report = lambda _line: None
    progress: Callable[[int], None] = lambda _images: None  # how many more are encoded, copies included

    def features(self, paths: Sequence[Path], copies: int = 0, *, kind: str = "images") -> Features:
        """Return features of images, or of ``copies`` augmented copies of each; from the cache if possible.

        A note on unreadable ones calls them ``kind``.

        Raises:
            DataError: No image can be read, or one cannot and ``on_bad_image`` is ``fail``.
        """
        digests: list[str] = []
        with ThreadPoolExecutor(self.workers, thread_name_prefix="decoder") as pool:

            def hash_images() -> list[str]:
                digests[:] = looked_at(file_digest, paths)
                return [image_set_hash(digests)]

            # Files that are as they were are not read again, as long as their features are in the cache.
            images = "".join(self.seen.known("image set", paths, hash_images))
            features = self._from_cache(images, copies)
            if features is None:
                (images,) = [image_set_hash(digests)] if digests else hash_images()
                features = self._encode(pool, list(zip(paths, digests, strict=True)), images, copies)
        vectors, manifest = features
        bad = tuple(complaint for _, complaint in manifest.bad)
        if bad:
            unusable = [(paths[index], text) for index, text in manifest.bad]
            self.report(note_on_unusable(unusable, len(paths), kind, skip=self.on_bad_image == "skip"))
        if not manifest.kept:
            raise DataError(f"none of the {len(paths)} images can be read; the first: {bad[0]}")
        return Features(vectors, manifest.kept, bad, images)

    def batches(
        self, paths: Iterable[Source]
    ) -> Iterator[tuple[list[tuple[Source, DataError | None]], Tensor]]:
        """Yield up to ``batch`` images with what is wrong with each, and features of the readable ones.

        Nothing is cached and any number of images may follow; ``on_bad_image`` does not apply.
        """
        with ThreadPoolExecutor(self.workers, thread_name_prefix="decoder") as pool:
            loaded, window = self.load(), max(2 * self.workers, self.batch)
            decoded = _ordered(pool, lambda path: (path, self._decode(loaded, path, "", 0)), paths, window)
            while batch := list(islice(decoded, self.batch)):
                images: list[tuple[Source, DataError | None]] = []
                inputs: list[Tensor] = []
                for path, result in batch:
                    error = result if isinstance(result, DataError) else None
                    images.append((path, error))
                    inputs += result if isinstance(result, list) else []
                yield images, self._forward(loaded, inputs) if inputs else torch.empty(0, 0)

    def _preprocessing(self, copies: int) -> str:
        own = self.facts.preprocessing
        return f"{copies} views, recipe {RECIPE}; {own}" if copies else own

    def _from_cache(self, images: str, copies: int) -> tuple[Tensor, Manifest] | None:
        key = feature_key(self.facts.key, self._preprocessing(copies), images)
        features = read_features(self.folder / f"{key}.safetensors", key, "image features", self.report)
        if features is not None:
            vectors, manifest = features
            self.progress(len(vectors) + len(manifest.bad) * (copies or 1))
        return features

    def _encode(
        self, pool: ThreadPoolExecutor, images: Sequence[tuple[Path, str]], image_set: str, copies: int
    ) -> tuple[Tensor, Manifest]:
        """Encode images, given with their digests, and write their features."""
        rows: list[Tensor] = []
        kept: list[int] = []
        bad: list[tuple[int, str]] = []
        waiting: list[Tensor] = []  # decoded inputs that do not fill a batch yet
        versions, preprocessing, loaded = copies or 1, self._preprocessing(copies), self.load()
        window = max(1, max(2 * self.workers, self.batch) // versions)
        decoded = _ordered(pool, lambda image: self._decode(loaded, *image, copies), images, window)
        encoded = 0
        for index, result in enumerate(decoded):
            if isinstance(result, DataError):
                if self.on_bad_image == "fail":
                    raise DataError(f"{result}; {HOW_TO_GO_ON}") from result
                bad.append((index, str(result)))
            else:
                kept += [index] * len(result)
                waiting += result
            while len(waiting) >= self.batch or (waiting and index + 1 == len(images)):
                rows.append(self._forward(loaded, waiting[: self.batch]))
                waiting = waiting[self.batch :]
                before, encoded = encoded, (index + 1) * versions - len(waiting)
                self.progress(encoded - before)
        if left := len(images) * versions - encoded:  # the last ones are broken
            self.progress(left)
        features = torch.cat(rows) if rows else torch.empty(0, 0)
        manifest = Manifest(
            schema=SCHEMA,
            model=self.facts.key,
            preprocessing=preprocessing,
            images=image_set,
            kept=tuple(kept),
            bad=tuple(bad),
        )
        if why := write_features(self.folder / f"{manifest.key}.safetensors", features, manifest):
            self.report(f"image features are not kept: {self.folder} cannot be written ({why})")
        return features, manifest

    def _decode(
        self, loaded: LoadedModel, path: Path | Image.Image, digest: str, copies: int
    ) -> list[Tensor] | DataError:
        """Return the model's inputs [3, H, W] of an image, or of its augmented copies."""
        try:
            whole = open_rgb(path)
            image = middle(whole)
            if image is not whole and not copies:
                size = f"{whole.width} x {whole.height} pixels"
                self.report(f"images: only the middle of {path} counts, {size} are too slender")
            pictures = augmented_copies(image, copies, digest) if copies else [image]
            return [loaded.preprocess(picture) for picture in pictures]
        except DataError as error:
            return error

    def _forward(self, loaded: LoadedModel, inputs: Sequence[Tensor]) -> Tensor:
        """Encode a batch: [B, 3, H, W] -> [B, E], normalised, float32, on the CPU."""
        model: Any = loaded.model
        # Equal batch sizes keep an image's features independent of the other images.
        stacked = torch.stack([*inputs, *[inputs[-1]] * (self.batch - len(inputs))])
        with torch.inference_mode():
            encoded = model.encode_image(stacked.to(loaded.device))
            return functional.normalize(encoded.float(), dim=-1).cpu()[: len(inputs)]


def _ordered(
    pool: ThreadPoolExecutor, work: Callable[[In], Out], items: Iterable[In], window: int
) -> Iterator[Out]:
    """Yield results in order, with at most ``window`` tasks begun and not yet taken."""
    begun: deque[Future[Out]] = deque()
    try:
        for item in items:
            begun.append(pool.submit(work, item))
            if len(begun) >= window:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        for future in begun:
            future.cancel()
