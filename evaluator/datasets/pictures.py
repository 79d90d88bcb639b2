"""Open any image file as upright RGB of 8 bits, and make thumbnails."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import DataError, reason_of
from ..scoring import Thumbnail

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")
"""Pillow's names of the formats that are read."""
WHITE = (255, 255, 255, 255)
UNREAD_PHOTOGRAPHS = frozenset({".heic", ".heif", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raw"})
"""Photograph formats that Pillow does not read."""
SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N")


@cache
def readable_formats() -> tuple[str, ...]:
    """Return those of ``FORMATS`` that this Pillow has; pass them to every ``Image.open``.

    Pillow goes by content, not by name, and another format may start a program: EPS runs Ghostscript.
    """
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def open_rgb(path: Path | str | Image.Image) -> Image.Image:
    """Return an image as RGB: EXIF rotation applied, 16 bits scaled to 8, alpha on white, first frame.

    It is given by its file, or is one of Pillow's.

    Raises:
        DataError: It cannot be read as an image, or exceeds Pillow's limit against decompression bombs.
    """
    try:
        with ExitStack() as stack:
            image = (
                path
                if isinstance(path, Image.Image)
                else stack.enter_context(Image.open(path, formats=readable_formats()))
            )
            # Pillow only warns up to twice the limit; warning filters are not thread-safe.
            width, height = image.size
            if Image.MAX_IMAGE_PIXELS is not None and width * height > Image.MAX_IMAGE_PIXELS:
                raise Image.DecompressionBombError(
                    f"{width} x {height} pixels are more than {Image.MAX_IMAGE_PIXELS}"
                )
            image.load()
            return to_rgb(ImageOps.exif_transpose(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"the image {path} is too large to be opened safely: {error}") from error
    except UnidentifiedImageError as error:
        raise DataError(f"{path} is not an image that can be read; convert, replace or remove it") from error
    except FileNotFoundError as error:
        raise DataError(f"the image {path} does not exist") from error
    except MemoryError as error:
        raise DataError(f"the image {path} does not fit into memory") from error
    except Exception as error:  # Pillow raises anything on a torn file
        raise DataError(
            f"the image {path} cannot be read ({reason_of(error)}); replace or remove it"
        ) from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Return an image of any mode as RGB."""
    if image.mode == "RGB":
        return image
    if image.mode in SIXTEEN_BIT or image.mode in {"I", "F"}:
        return _scaled(np.asarray(image)).convert("RGB")
    if image.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in image.info:
        shown = image.convert("RGBA")
        ground = Image.new("RGBA", shown.size, WHITE)
        return Image.alpha_composite(ground, shown).convert("RGB")
    return image.convert("RGB")


def _scaled(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Image.Image:
    """Return wide grey values as 8 bits: 16-bit values by their top byte, others by their own range."""
    wide = values.astype(np.float64)
    if bad := int((~np.isfinite(wide)).sum()):
        raise ValueError(f"{bad:,} of {wide.size:,} values are NaN or infinite")
    low, high = float(wide.min()), float(wide.max())
    if values.dtype.kind != "f" and low >= 0 and 255 < high <= 65535:
        return Image.fromarray((wide / 257.0).round().astype(np.uint8))
    if low >= 0 and high <= 1 and values.dtype.kind == "f":
        low, high = 0.0, 1.0
    elif low >= 0 and high <= 255:
        low, high = 0.0, 255.0
    span = (high - low) or 1.0
    return Image.fromarray(((wide - low) / span * 255.0).round().astype(np.uint8))


SIDE = 112
QUALITY = 80


def thumbnails(paths: Sequence[Path], image_indices: Sequence[int]) -> list[Thumbnail | None]:
    """Return thumbnails of the images at these indices; None for one that is missing or unreadable."""
    return [thumbnail(paths[index]) if index < len(paths) else None for index in image_indices]


def thumbnail(path: Path) -> Thumbnail | None:
    """Return a JPEG of at most ``SIDE`` pixels a side, without tags (a place, say); None if unreadable."""
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
