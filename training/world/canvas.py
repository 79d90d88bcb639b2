"""Drawing primitives: masks at twice the picture's size, grounds, ink, and pasting."""

from __future__ import annotations

import math
from functools import lru_cache
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from .scene import DRAWINGS

SIZE = 64
BIG = 2 * SIZE
Point = tuple[float, float]
Colour = tuple[int, int, int]
_GROUND = 112
_TEXTURES: dict[str, list[int]] = DRAWINGS["textures"]


def mask() -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """Return an empty mask of BIG pixels a side, and its drawing object."""
    image = Image.new("L", (BIG, BIG))
    return image, ImageDraw.Draw(image)


def settle(
    image: Image.Image,
    rng: Random,
    turn: float = 8,
    shift: float = 0.06,
    scale: tuple[float, float] = (0.85, 1.1),
) -> Image.Image:
    """Return a BIG mask or RGBA picture turned (degrees), sheared, scaled and shifted, SIZE a side."""
    angle = math.radians(rng.uniform(-turn, turn))
    across, down = rng.uniform(*scale), rng.uniform(*scale)
    shear = rng.uniform(-0.1, 0.1)
    cos, sin = math.cos(angle), math.sin(angle)
    a, b = cos / across, (sin + shear) / across
    d, e = -sin / down, cos / down
    centre = BIG / 2
    x, y = centre * (1 + rng.uniform(-shift, shift) * 2), centre * (1 + rng.uniform(-shift, shift) * 2)
    matrix = (a, b, centre - a * x - b * y, d, e, centre - d * x - e * y)
    return image.transform((BIG, BIG), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR).reduce(2)


def stroke(draw: ImageDraw.ImageDraw, points: list[Point], width: float, fill: int | Colour = 255) -> None:
    """Draw a line with round ends and joints."""
    size = max(1, round(width))
    draw.line(points, fill=fill, width=size, joint="curve")
    r = width / 2
    for x, y in (points[0], points[-1]):
        draw.ellipse((x - r, y - r, x + r, y + r), fill=fill)


def disc(draw: ImageDraw.ImageDraw, x: float, y: float, r: float, fill: int | Colour = 255) -> None:
    """Draw a filled circle."""
    draw.ellipse((x - r, y - r, x + r, y + r), fill=fill)


def star(x: float, y: float, r: float, points: int, inner: float, turn: float = -90) -> list[Point]:
    """Return the corners of a star (or, with inner = 1, of a polygon with twice as many)."""
    return [
        (x + math.cos(a) * q, y + math.sin(a) * q)
        for i in range(2 * points)
        for a, q in [(math.radians(turn + 180 * i / points), r if i % 2 == 0 else r * inner)]
    ]


def polygon(x: float, y: float, r: float, sides: int, turn: float = -90) -> list[Point]:
    """Return the corners of a regular polygon."""
    return [
        (x + math.cos(a) * r, y + math.sin(a) * r)
        for i in range(sides)
        for a in [math.radians(turn + 360 * i / sides)]
    ]


def ink(shape: Image.Image, colour: Colour) -> Image.Image:
    """Return a mask as an RGBA figure of one colour."""
    figure = Image.new("RGBA", shape.size, (*colour, 0))
    figure.putalpha(shape)
    return figure


def jitter(colour: Colour, rng: Random, by: int = 22) -> Colour:
    """Return a colour near to the given one."""
    red, green, blue = (min(255, max(0, c + rng.randint(-by, by))) for c in colour)
    return red, green, blue


def any_colour(rng: Random) -> Colour:
    """Return a random colour."""
    return rng.randrange(256), rng.randrange(256), rng.randrange(256)


def light(colour: Colour) -> float:
    """Return the luminance, 0 to 255."""
    return 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2]


def contrast(colour: Colour, rng: Random) -> Colour:
    """Return a colour that contrasts with the given one."""
    dark = light(colour) > 110
    base = rng.randint(0, 60) if dark else rng.randint(200, 255)
    return jitter((base, base, base), rng, 40)


@lru_cache(maxsize=1)
def noise_bank() -> NDArray[np.float32]:
    """Return unit noise to cut from: float32 [256, 256]."""
    return np.random.default_rng(5).standard_normal((256, 256)).astype(np.float32)


def noise(rng: Random, size: int = SIZE) -> NDArray[np.float32]:
    """Return a random crop of the noise: float32 [size, size]."""
    y, x = rng.randrange(256 - size + 1), rng.randrange(256 - size + 1)
    return noise_bank()[y : y + size, x : x + size]


def _soft(gen: np.random.Generator, scale: float, channels: int = 1) -> NDArray[np.float32]:
    cells = max(2, int(_GROUND / scale))
    raw = gen.standard_normal((cells, cells, channels)).astype(np.float32)
    planes = [
        np.asarray(Image.fromarray(raw[..., c]).resize((_GROUND, _GROUND), Image.Resampling.BICUBIC))
        for c in range(channels)
    ]
    return np.stack(planes, -1)


def _texture(kind: str, gen: np.random.Generator) -> NDArray[Any]:
    y: NDArray[Any]
    x: NDArray[Any]
    y, x = np.mgrid[0:_GROUND, 0:_GROUND].astype(np.float32)
    cloud = _soft(gen, 18)[..., 0]
    grain = gen.standard_normal((_GROUND, _GROUND)).astype(np.float32)
    if kind == "wood":
        rings: NDArray[Any] = 16 * np.sin(y / gen.uniform(2, 5) + 2.5 * cloud) + 5 * grain
        rings += 12 * np.sign(np.sin(y / 9))
        return rings
    if kind == "brick":
        row = (y // 12).astype(int)
        mortar = (y % 12 < 2) | ((x + 10 * (row % 2)) % 22 < 2)
        return np.where(mortar, 60, 0) + 8 * grain + 10 * cloud
    if kind in ("water", "sky"):
        return (10 * np.sin(y / 4 + 2 * cloud) if kind == "water" else 22 * cloud) + 3 * grain
    if kind in ("grass", "leaves"):
        return 18 * grain + 22 * _soft(gen, 5)[..., 0]
    if kind == "night":
        return np.where(gen.random((_GROUND, _GROUND)) < 0.008, 190, 0) + 6 * cloud
    if kind == "fabric":
        return 14 * np.sign(np.sin(x * 1.6)) * np.sign(np.sin(y * 1.6)) + 8 * cloud
    if kind == "metal":
        return 12 * np.repeat(gen.standard_normal((_GROUND, 1)), _GROUND, 1) + 12 * cloud
    return 6 * grain + 9 * cloud


@lru_cache(maxsize=1)
def _bank() -> dict[str, list[Image.Image]]:
    bank: dict[str, list[Image.Image]] = {}
    gen = np.random.default_rng(3)
    for kind, colour in _TEXTURES.items():
        bank[kind] = []
        for _ in range(10):
            if kind == "scenery":
                pixels = gen.uniform(60, 200, 3) + 46 * _soft(gen, 26, 3) + 12 * _soft(gen, 7, 3)
            elif kind == "plain":
                pixels = gen.uniform(0, 255, 3) + 5 * _soft(gen, 40, 3)
            else:
                pixels = np.array(colour) + gen.normal(0, 13, 3) + _texture(kind, gen)[..., None]
            bank[kind].append(Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)))
    return bank


def ground(kind: str, rng: Random) -> Image.Image:
    """Return a piece of a ground, SIZE pixels a side, RGB."""
    texture = rng.choice(_bank()[kind])
    x, y = rng.randrange(_GROUND - SIZE), rng.randrange(_GROUND - SIZE)
    piece = texture.crop((x, y, x + SIZE, y + SIZE))
    if kind == "plain":
        return Image.blend(piece, Image.new("RGB", piece.size, any_colour(rng)), 0.8)
    return piece.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else piece


def mean(image: Image.Image) -> Colour:
    """Return the image's mean colour."""
    red, green, blue = image.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))  # type: ignore[misc]
    return red, green, blue


def paste(base: Image.Image, figure: Image.Image, shadow: float = 0) -> Image.Image:
    """Paste the figure (RGBA) on the base (RGB), with a soft shadow of the given strength (0 to 1)."""
    out = base.copy()
    if shadow:
        alpha = figure.getchannel("A").filter(ImageFilter.BoxBlur(2)).point(lambda a: int(a * shadow))
        out.paste((0, 0, 0), (2, 3), alpha)
    out.paste(figure, (0, 0), figure)
    return out
