"""Draw letters in many ways."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from string import ascii_lowercase

from PIL import Image, ImageDraw

from .art import Art, Form, figure, text_mask
from .canvas import BIG, Colour, any_colour, disc, jitter, mask, settle, stroke
from .scene import CONCEPTS, DRAWINGS, Scene

_SIDE = 96
_Colours = tuple[Colour, ...]
_PAINT: dict[str, Colour] = {name: (r, g, b) for name, (r, g, b) in DRAWINGS["paint"].items()}


def _rows(draw: ImageDraw.ImageDraw, colours: _Colours) -> None:
    step = _SIDE / len(colours)
    for i, colour in enumerate(colours):
        draw.rectangle((0, i * step, _SIDE, (i + 1) * step), fill=colour)


def _columns(draw: ImageDraw.ImageDraw, colours: _Colours) -> None:
    step = _SIDE / len(colours)
    for i, colour in enumerate(colours):
        draw.rectangle((i * step, 0, (i + 1) * step, _SIDE), fill=colour)


def _diamond(draw: ImageDraw.ImageDraw, colours: _Colours) -> None:
    draw.polygon([(48, 4), (92, 48), (48, 92), (4, 48)], fill=colours[-1])


def _quarters(draw: ImageDraw.ImageDraw, colours: _Colours) -> None:
    draw.rectangle((48, 0, 96, 48), fill=colours[-1])
    draw.rectangle((0, 48, 48, 96), fill=colours[-1])


def _checks(draw: ImageDraw.ImageDraw, colours: _Colours) -> None:
    for i in range(16):
        if (i + i // 4) % 2:
            x, y = i % 4 * 24, i // 4 * 24
            draw.rectangle((x, y, x + 23, y + 23), fill=colours[-1])


def _saltire(draw: ImageDraw.ImageDraw, colours: _Colours) -> None:
    draw.line((0, 0, 96, 96), fill=colours[-1], width=18)
    draw.line((96, 0, 0, 96), fill=colours[-1], width=18)


def _cross(draw: ImageDraw.ImageDraw, colours: _Colours) -> None:
    draw.rectangle((0, 38, 96, 58), fill=colours[-1])
    draw.rectangle((38, 0, 58, 96), fill=colours[-1])


def _inset(draw: ImageDraw.ImageDraw, colours: _Colours) -> None:
    draw.rectangle((30, 30, 65, 65), fill=colours[-1])


def _nest(draw: ImageDraw.ImageDraw, colours: _Colours) -> None:
    for i, colour in enumerate(colours[1:]):
        edge = 18 * (i + 1)
        draw.rectangle((edge, edge, 95 - edge, 95 - edge), fill=colour)


def _stripes(draw: ImageDraw.ImageDraw, colours: _Colours) -> None:
    for i in range(-96, 96, 32):
        draw.polygon([(i, 96), (i + 16, 96), (i + 112, 0), (i + 96, 0)], fill=colours[-1])


def _gores(draw: ImageDraw.ImageDraw, colours: _Colours) -> None:
    sides = (((0, 0), (96, 0)), ((96, 0), (96, 96)), ((0, 96), (96, 96)), ((0, 0), (0, 96)))
    for colour, side in zip(colours, sides, strict=True):
        draw.polygon([*side, (48, 48)], fill=colour)


_LAYOUTS: dict[str, Callable[[ImageDraw.ImageDraw, _Colours], None]] = {
    "rows": _rows,
    "columns": _columns,
    "diamond": _diamond,
    "quarters": _quarters,
    "checks": _checks,
    "saltire": _saltire,
    "cross": _cross,
    "inset": _inset,
    "nest": _nest,
    "stripes": _stripes,
    "gores": _gores,
}


def signal_flag(letter: str, rng: Random) -> Image.Image:
    """Draw the flag of a letter at its pole: RGBA, BIG pixels a side."""
    layout, painted = DRAWINGS["flags"][letter].split()
    colours = tuple(_PAINT[name] for name in painted)
    flag = Image.new("RGBA", (_SIDE, _SIDE), (*jitter(colours[0], rng, 8), 255))
    if layout in _LAYOUTS:
        _LAYOUTS[layout](ImageDraw.Draw(flag), colours)
    image = Image.new("RGBA", (BIG, BIG))
    image.paste(flag, (18, 14))
    ImageDraw.Draw(image).line((14, 6, 14, 128), fill=jitter((90, 70, 50), rng), width=5)
    return image


LETTERS = list(DRAWINGS["letters"]["shown"])
_MORSE, _BRAILLE, _SEMAPHORE = (
    dict(zip(ascii_lowercase, DRAWINGS["letters"][code].split(), strict=True))
    for code in ("morse", "braille", "semaphore")
)
_NAMED: dict[str, list[str]] = {}
for _name in CONCEPTS:
    _NAMED.setdefault(_name[0], []).append(_name)


def initial_things(letter: str) -> list[str]:
    """Return the things whose names begin with a letter."""
    return _NAMED.get(letter, [])


def random_case(letter: str, rng: Random) -> str:
    """Return a letter, as a capital more often than not."""
    return letter.upper() if rng.random() < 0.65 else letter


def _hand(scene: Scene, rng: Random, art: Art) -> Image.Image:
    return figure(text_mask(random_case(scene.name, rng), art.font("hand", 110, rng)), rng, turn=12)


def _morse(scene: Scene, rng: Random, art: Art) -> Image.Image:
    image, draw = mask()
    code = _MORSE[scene.name]
    size = rng.uniform(12, 17)
    widths = [0 if sign == "." else 19 for sign in code]
    gap = 12
    x = 64 - (sum(widths) + (gap + 8) * (len(code) - 1)) / 2
    for sign, width in zip(code, widths, strict=True):
        if sign == ".":
            disc(draw, x, 64, size / 2 + 1)
        else:
            stroke(draw, [(x, 64), (x + width, 64)], size)
        x += width + gap + 8
    return figure(image, rng, turn=6)


def _braille(scene: Scene, rng: Random, art: Art) -> Image.Image:
    image, draw = mask()
    hollow = rng.random() < 0.7
    for dot in range(1, 7):
        x, y = (44 if dot <= 3 else 84), 24 + 40 * ((dot - 1) % 3)
        if str(dot) in _BRAILLE[scene.name]:
            disc(draw, x, y, 13)
        elif hollow:
            draw.ellipse((x - 9, y - 9, x + 9, y + 9), outline=150, width=2)
    return figure(image, rng)


def _semaphore(scene: Scene, rng: Random, art: Art) -> Image.Image:
    image = Image.new("RGBA", (BIG, BIG))
    draw = ImageDraw.Draw(image)
    coat = any_colour(rng)
    disc(draw, 64, 40, 10, jitter((220, 180, 150), rng))
    draw.rounded_rectangle((54, 50, 74, 92), radius=6, fill=coat)
    draw.line((58, 90, 56, 124), fill=(40, 40, 60), width=8)
    draw.line((70, 90, 72, 124), fill=(40, 40, 60), width=8)
    for direction in _SEMAPHORE[scene.name]:
        angle = math.radians(90 + 45 * int(direction))
        dx, dy = math.cos(angle), math.sin(angle)
        stroke(draw, [(64, 58), (64 + 34 * dx, 58 + 34 * dy)], 6, coat)
        a, b = (64 + 32 * dx, 58 + 32 * dy), (64 + 56 * dx, 58 + 56 * dy)
        px, py = -dy * 20, dx * 20
        draw.polygon([a, b, (b[0] + px, b[1] + py)], fill=(215, 40, 40))
        draw.polygon([a, (a[0] + px, a[1] + py), (b[0] + px, b[1] + py)], fill=(245, 215, 60))
    return settle(image, rng, turn=5)


FORMS: dict[str, Form] = {
    "hand": _hand,
    "morse": _morse,
    "braille": _braille,
    "semaphore": _semaphore,
    "flag": lambda scene, rng, _art: settle(signal_flag(scene.name, rng), rng, turn=8),
}
