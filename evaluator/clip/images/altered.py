"""Altered views of an image: what shows the same in another cut and another light.

A template that is right about an image only as it happens to be cut and lit is a worse choice than one that
is right about its views as well. Nothing is mirrored or turned: a letter would be another one.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from PIL import Image, ImageEnhance

RECIPE = 1
"""Goes up with every change of what is done; features of views made by another one are made again."""
LEAST_SIDE = 0.75
LIGHT = (0.8, 1.2)
LARGEST = 512
"""The shorter side, in pixels, of what is altered: above all that a model looks at, and fast to work on."""


def altered_views(picture: Image.Image, count: int, mark: str) -> Iterator[Image.Image]:
    """Yield views of a picture, each of its size, or of what it is reduced to.

    Args:
        picture: RGB.
        count: How many; of a smaller number the first ones are the same.
        mark: Decides the views; a hash of the file, so that an image has the same ones wherever it lies.
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
