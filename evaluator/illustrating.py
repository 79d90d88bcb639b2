"""What an evaluator may show besides: the pictures themselves, small. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small picture of an image.

    Attributes:
        name: The image's file name.
        jpeg: The picture, as a JPEG file.
    """

    name: str
    jpeg: bytes


@runtime_checkable
class Illustrator(Protocol):
    """What an evaluator of images may do besides: show some of them, and say which set they are."""

    def image_set(self, split: str) -> str:
        """Return a content hash of the images of ``train``, ``val`` or ``test``, which opens it, in order."""
        ...

    def thumbnails(self, split: str, places: Sequence[int]) -> Sequence[Thumbnail | None]:
        """Return small pictures of some images of a split, which opens it.

        Args:
            split: Which images.
            places: Their places in the order of ``Predictions.labels``.

        Returns:
            One for each place; None for an image that is no longer there.
        """
        ...
