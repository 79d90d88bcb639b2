"""Conditions: what is done to a finished picture (RGB), or to the figure before (RGBA)."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .canvas import SIZE, any_colour, noise

Change = Callable[[Image.Image, Random], Image.Image]


def _small(figure: Image.Image, rng: Random) -> Image.Image:
    side = rng.randint(22, 32)
    out = Image.new("RGBA", (SIZE, SIZE))
    out.paste(
        figure.resize((side, side), Image.Resampling.BOX),
        (rng.randint(2, SIZE - side - 2), rng.randint(2, SIZE - side - 2)),
    )
    return out


def _closeup(figure: Image.Image, rng: Random) -> Image.Image:
    side = rng.randint(34, 46)
    x, y = rng.randint(0, SIZE - side), rng.randint(0, SIZE - side)
    return figure.resize((SIZE, SIZE), Image.Resampling.BILINEAR, box=(x, y, x + side, y + side))


def _turned(figure: Image.Image, rng: Random) -> Image.Image:
    return figure.transpose(Image.Transpose.ROTATE_180)


def _tilted(figure: Image.Image, rng: Random) -> Image.Image:
    return figure.rotate(rng.choice((-1, 1)) * rng.uniform(35, 90), Image.Resampling.BILINEAR)


def _dark(picture: Image.Image, rng: Random) -> Image.Image:
    return picture.point([int(v * share) for share in [rng.uniform(0.18, 0.38)] for v in range(256)] * 3)


def _bright(picture: Image.Image, rng: Random) -> Image.Image:
    return picture.point(
        [min(255, int(v * 0.75 + lift)) for lift in [rng.uniform(90, 130)] for v in range(256)] * 3
    )


def _blur(picture: Image.Image, rng: Random) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(rng.uniform(1.5, 3)))


def _noise(picture: Image.Image, rng: Random) -> Image.Image:
    grain = np.stack([noise(rng) for _ in range(3)], -1) * rng.uniform(28, 55)
    return Image.fromarray(np.clip(np.asarray(picture, np.float32) + grain, 0, 255).astype(np.uint8))


def _lowres(picture: Image.Image, rng: Random) -> Image.Image:
    side = rng.randint(14, 22)
    way = rng.choice((Image.Resampling.NEAREST, Image.Resampling.BILINEAR))
    return picture.resize((side, side), Image.Resampling.BOX).resize((SIZE, SIZE), way)


def _rain(picture: Image.Image, rng: Random) -> Image.Image:
    out = Image.blend(picture, Image.new("RGB", picture.size, (110, 120, 135)), 0.3)
    draw = ImageDraw.Draw(out)
    for _ in range(rng.randint(25, 45)):
        x, y, long = rng.randint(0, SIZE), rng.randint(-8, SIZE), rng.randint(5, 10)
        draw.line((x, y, x - long // 3, y + long), fill=(200, 210, 225))
    return out


def _fog(picture: Image.Image, rng: Random) -> Image.Image:
    return Image.blend(picture, Image.new("RGB", picture.size, (205, 208, 212)), rng.uniform(0.55, 0.75))


def _snow(picture: Image.Image, rng: Random) -> Image.Image:
    out = Image.blend(picture, Image.new("RGB", picture.size, (225, 230, 240)), 0.25)
    draw = ImageDraw.Draw(out)
    for _ in range(rng.randint(35, 60)):
        x, y, r = rng.randint(0, SIZE), rng.randint(0, SIZE), rng.choice((0.6, 1, 1.4))
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(255, 255, 255))
    return out


def _clutter(picture: Image.Image, rng: Random) -> Image.Image:
    out = picture.copy()
    draw = ImageDraw.Draw(out)
    for _ in range(rng.randint(6, 11)):
        along, edge = rng.randint(0, SIZE), rng.choice((rng.randint(0, 12), rng.randint(SIZE - 12, SIZE)))
        x, y = (along, edge) if rng.random() < 0.5 else (edge, along)
        r = rng.randint(3, 8)
        (draw.ellipse if rng.random() < 0.5 else draw.rectangle)(
            (x - r, y - r, x + r, y + r), fill=any_colour(rng)
        )
    return out


def _fence(picture: Image.Image, rng: Random) -> Image.Image:
    out = picture.copy()
    draw = ImageDraw.Draw(out)
    colour = rng.choice(((40, 40, 44), (120, 90, 60), (200, 200, 205)))
    step = rng.randint(9, 14)
    for x in range(rng.randint(0, step), SIZE, step):
        draw.line((x, 0, x, SIZE), fill=colour, width=3)
    for y in (rng.randint(6, 16), rng.randint(44, 58)):
        draw.line((0, y, SIZE, y), fill=colour, width=2)
    return out


def _underwater(picture: Image.Image, rng: Random) -> Image.Image:
    out = Image.blend(picture, Image.new("RGB", picture.size, (20, 100, 150)), rng.uniform(0.45, 0.6))
    draw = ImageDraw.Draw(out)
    for _ in range(rng.randint(5, 10)):
        x, y, r = rng.randint(0, SIZE), rng.randint(0, SIZE), rng.randint(1, 3)
        draw.ellipse((x - r, y - r, x + r, y + r), outline=(180, 220, 235))
    return out


BEFORE: dict[str, Change] = {"small": _small, "closeup": _closeup, "turned": _turned, "tilted": _tilted}
AFTER: dict[str, Change] = {
    "dark": _dark,
    "bright": _bright,
    "blur": _blur,
    "noise": _noise,
    "lowres": _lowres,
    "rain": _rain,
    "fog": _fog,
    "snow": _snow,
    "clutter": _clutter,
    "fence": _fence,
    "underwater": _underwater,
}
CONDITIONS = (*BEFORE, *AFTER)
