"""What a data set holds, by hashes: whether two are the same, wherever they lie."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .values import FewShotData, Item


@dataclass(frozen=True, slots=True, kw_only=True)
class DataContent:
    """A few-shot problem by its content.

    Attributes:
        classes: Class names, by label.
        shots: Hash of what a search looks at: images, their labels, and the class names.
        test: Hash of the test images, in order.
        labels: The label of each test image.
    """

    classes: tuple[str, ...]
    shots: str
    test: str
    labels: tuple[int, ...]


def content_of(data: FewShotData, digest: Callable[[Path], str]) -> DataContent:
    """Return what a data set holds; every image that is drawn, and every test image, is read.

    Nothing of it is for a search: the test split is compared with another one, and not scored.

    Args:
        data: As it was read.
        digest: ``file_digest``, or what remembers its answers.
    """

    def images(items: Sequence[Item]) -> str | None:
        return image_set_hash([digest(item.path) for item in items]) if items else None

    test = data.test.open()
    return DataContent(
        classes=tuple(data.classes),
        shots=shots_hash(data, images(data.train), images(data.val)),
        test=images(test) or "",
        labels=tuple(item.label for item in test),
    )


def shots_hash(data: FewShotData, train: str | None, val: str | None) -> str:
    """Return a hash of what a search looks at.

    Args:
        data: Tells labels and class names.
        train: ``image_set_hash`` of the training images.
        val: The same of the validation images; None where there are none.
    """
    labels = [item.label for item in (*data.train, *data.val)]
    return hashlib.sha256(repr((train, val, labels, tuple(data.classes))).encode()).hexdigest()


def image_set_hash(digests: Sequence[str]) -> str:
    """Return hash of an ordered set of images, from the hash of each."""
    return hashlib.blake2b("\n".join(digests).encode(), digest_size=16).hexdigest()


def file_digest(path: Path) -> str:
    """Return hash of a file's bytes; of one that cannot be read, a mark that is no other file's."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        # Who decodes it says what is wrong with it; here it only has to count as another image.
        return f"unreadable {path} {error.errno}"
