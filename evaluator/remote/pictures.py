"""Turn image files into what is sent to an API: upright RGB of a bounded size, as PNG or JPEG."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image

from ..datasets.checks import fault_of, file_digest, looked_at
from ..datasets.pictures import open_rgb
from ..files import SeenFiles

RECIPE = 1
"""Raise it with every change of what is sent for a file: labels are asked for again."""
SMALL = 128
"""Longest side, in pixels, of images that are sent as PNG: they are small files, and JPEG would blur them."""
FEW_COLOURS = 256
"""Most colours of larger images that are sent as PNG: drawings, which JPEG blurs and PNG keeps small."""
QUALITY = 92
MOST_HELD = 512
"""Encoded images held in memory: some 64 MiB of photographs."""


@dataclass(frozen=True, slots=True)
class SentPicture:
    """An image as it is sent."""

    media_type: str
    base64: str
    width: int
    height: int

    @property
    def data_url(self) -> str:
        return f"data:{self.media_type};base64,{self.base64}"


def encode(image: Image.Image, side: int, *, compress_level: int = 9) -> SentPicture:
    """Return an RGB image whose longer side is at most ``side`` pixels; it is never scaled up.

    PNG where that is small and JPEG would show, else JPEG, which takes a tenth of the bytes for photographs.
    Tags (a place, a colour profile) are left out. The same pixels give the same bytes.
    """
    image = image.copy()
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    bare = Image.frombytes("RGB", image.size, image.tobytes())
    buffer = io.BytesIO()
    if max(bare.size) <= SMALL or bare.getcolors(FEW_COLOURS) is not None:
        bare.save(buffer, "PNG", compress_level=compress_level)
        kind = "image/png"
    else:
        bare.save(buffer, "JPEG", quality=QUALITY, subsampling=0)
        kind = "image/jpeg"
    return SentPicture(kind, base64.b64encode(buffer.getvalue()).decode("ascii"), *bare.size)


class PictureReader:
    """Reads image files as they are sent; holds a bounded number of them in memory.

    Args:
        side: Longest side, in pixels, of an image that is sent.
        seen: Keeps findings on unchanged files between runs.
    """

    def __init__(self, side: int, seen: SeenFiles | None = None) -> None:
        self.side = side
        self._seen = seen or SeenFiles()
        self._encoded = lru_cache(maxsize=MOST_HELD)(lambda path: encode(open_rgb(path), side))

    def picture(self, path: Path) -> SentPicture:
        """Return an image as it is sent.

        Raises:
            DataError: The file cannot be read.
        """
        return self._encoded(path)

    def content(self, digest: str) -> str:
        """Return what identifies an image as it is sent, from the hash of its file."""
        return f"{digest}/{self.side}/{RECIPE}"

    def digests(self, paths: Sequence[Path]) -> list[str]:
        return self._seen.known("image digests", paths, lambda: looked_at(file_digest, paths))

    def complaints(self, paths: Sequence[Path]) -> list[str]:
        """Return what is wrong with each image; an empty text if nothing is."""
        return self._seen.known("image complaints", paths, lambda: looked_at(fault_of, paths))
