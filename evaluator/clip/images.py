"""Encode images once for each model and image set, with a bounded number of decoding threads.

Augmented copies of an image show the same in another cut and another light. A template that is right about an
image only as it happens to be cut and lit is a worse choice than one that is right about its copies as well.
Nothing is mirrored or turned: a letter would be another one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Literal, NamedTuple, TypeVar

import torch
from PIL import Image, ImageEnhance
from torch import Tensor
from torch.nn import functional

from ..datasets.checks import HOW_TO_GO_ON, file_digest, image_set_hash
from ..datasets.pictures import open_rgb
from ..errors import DataError
from ..seen_files import SeenFiles
from ..spec import Progress, Report
from .feature_store import SCHEMA, BrokenFeaturesError, FeatureFile, Manifest, feature_key, read_features
from .models import LoadedModel

RECIPE = 1
"""Goes up with every change of what is done; features of copies made by another one are made again."""
LEAST_SIDE = 0.75
LIGHT = (0.8, 1.2)
LARGEST = 512
"""The shorter side, in pixels, of what is altered: larger than what a model looks at, and fast to work on."""


def augmented_copies(picture: Image.Image, count: int, mark: str) -> Iterator[Image.Image]:
    """Yield ``count`` RGB copies of a picture, each of its size, or of what it is reduced to.

    ``mark``, a hash of the file, decides the copies, so that an image has the same ones wherever it lies; of
    a smaller number the first ones are the same.
    """
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


OnBadImage = Literal["fail", "skip"]
AT_ONCE = 64
"""Files that a thread is given to hash."""
In = TypeVar("In")
Out = TypeVar("Out")


class _Wanted(NamedTuple):
    """What is encoded of each image: the image itself, or so many augmented copies of it."""

    views: int | None = None

    @property
    def name(self) -> str:
        """What the features are of, for the log."""
        return "images" if self.views is None else "augmented copies"

    def preprocessing(self, models: str) -> str:
        """Return all that is done to an image, the model's own preprocessing included."""
        return models if self.views is None else f"{self.views} views, recipe {RECIPE}; {models}"

    def pictures(self, image: Image.Image, digest: str) -> list[Image.Image]:
        """Return the pictures that an image gives."""
        return [image] if self.views is None else list(augmented_copies(image, self.views, digest))


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
        folder: Where features are kept.
        batch: Images encoded at once.
        workers: Threads that decode.
        seen: Knows the hash of a set of images that was read before.
        report: Called with a line about what is taken from the cache, rebuilt or left out.
        progress: Called with how many images of how many are done.
    """

    loaded: LoadedModel
    folder: Path
    batch: int = 64
    workers: int = 4
    on_bad_image: OnBadImage = "fail"
    seen: SeenFiles = field(default_factory=SeenFiles)
    report: Report = lambda _line: None
    progress: Progress = lambda _done, _of: None

    def features(self, paths: Sequence[Path]) -> Features:
        """Return features of the images, from the cache or encoded now."""
        return self._features(paths, _Wanted())

    def views(self, paths: Sequence[Path], count: int) -> Features:
        """Return features of augmented copies of the images, ``count`` rows an image."""
        return self._features(paths, _Wanted(count))

    def _features(self, paths: Sequence[Path], wanted: _Wanted) -> Features:
        digests: list[str] = []
        with ThreadPoolExecutor(self.workers, thread_name_prefix="decoder") as pool:

            def find() -> list[str]:
                digests[:] = _digests(pool, paths, self.workers)
                return [image_set_hash(digests)]

            images = "".join(self.seen.known("image set", paths, find))
            found = self._from_cache(images, wanted)
            if found is None:
                (images,) = find() if not digests else (image_set_hash(digests),)
                found = self._encode(pool, paths, digests, wanted)
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

    def _from_cache(self, images: str, wanted: _Wanted) -> tuple[Tensor, Manifest] | None:
        key = feature_key(self.loaded.key, wanted.preprocessing(self.loaded.preprocessing), images)
        try:
            found = read_features(self.folder, key)
        except BrokenFeaturesError as error:
            self.report(f"image features are made again: {error}")
            return None
        if found is not None:
            self.report(f"{wanted.name}: {len(found[0])} features from the cache")
        return found

    def _encode(
        self, pool: ThreadPoolExecutor, paths: Sequence[Path], digests: Sequence[str], wanted: _Wanted
    ) -> tuple[Tensor, Manifest]:
        images, preprocessing = image_set_hash(digests), wanted.preprocessing(self.loaded.preprocessing)
        with FeatureFile(self.folder, feature_key(self.loaded.key, preprocessing, images)) as file:
            kept, bad = self._fill(file, pool, list(zip(paths, digests, strict=True)), wanted)
            found = file.finish(
                Manifest(
                    schema=SCHEMA,
                    model=self.loaded.key,
                    preprocessing=preprocessing,
                    images=images,
                    kept=tuple(kept),
                    bad=tuple(bad),
                    checksum="",
                )
            )
        if file.failure is not None:
            why = file.failure.strerror
            self.report(f"image features are not kept: {self.folder} cannot be written ({why})")
        return found

    def _fill(
        self,
        file: FeatureFile,
        pool: ThreadPoolExecutor,
        images: Sequence[tuple[Path, str]],
        wanted: _Wanted,
    ) -> tuple[list[int], list[tuple[int, str]]]:
        """Encode all images into a file; return what a manifest calls ``kept`` and ``bad``."""
        kept: list[int] = []
        bad: list[tuple[int, str]] = []
        waiting: list[Tensor] = []
        each = wanted.views or 1

        def decode(image: tuple[Path, str]) -> list[Tensor] | DataError:
            return self._decode(*image, wanted)

        for index, found in enumerate(_ordered(pool, decode, images, max(1, self._window // each))):
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
                self.progress((index + 1) * each - len(waiting), len(images) * each)
        return kept, bad

    def _decode(self, path: Path, digest: str, wanted: _Wanted) -> list[Tensor] | DataError:
        try:
            return [self.loaded.preprocess(one) for one in wanted.pictures(open_rgb(path), digest)]
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


def _digests(pool: ThreadPoolExecutor, paths: Sequence[Path], workers: int) -> list[str]:
    """Return the hash of each file; many go to a thread at once, as handing over one costs more than it."""
    parts = [paths[start : start + AT_ONCE] for start in range(0, len(paths), AT_ONCE)]
    hashed = _ordered(pool, lambda part: [file_digest(path) for path in part], parts, 2 * workers)
    return [digest for part in hashed for digest in part]


def _ordered(
    pool: ThreadPoolExecutor, work: Callable[[In], Out], given: Sequence[In], window: int
) -> Iterator[Out]:
    """Yield results in order, with at most ``window`` begun and not yet taken."""
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
