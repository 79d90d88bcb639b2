"""Images made small, for a page."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from ..errors import DataError
from ..illustrating import Thumbnail
from .readers.pictures import open_rgb

SIDE = 112
QUALITY = 80


def thumbnail(path: Path) -> Thumbnail | None:
    """Return an image as a small JPEG, at most ``SIDE`` pixels wide and high; None where it cannot be read.

    Nothing of the file but its pixels is kept: a photograph's tags may say where it was taken.
    """
    try:
        picture = open_rgb(path)
    except DataError:
        return None
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    Image.frombytes("RGB", picture.size, picture.tobytes()).save(
        buffer, "JPEG", quality=QUALITY, optimize=True
    )
    return Thumbnail(name=path.name, jpeg=buffer.getvalue())
