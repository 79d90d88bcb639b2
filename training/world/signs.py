"""Draw numbers and letters in many ways: displays, dice, clocks, tallies, flags, Braille and others."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from string import ascii_lowercase

from PIL import Image, ImageDraw

from .art import Art, Form, figure, grid_of, text_mask
from .canvas import BIG, Colour, any_colour, contrast, disc, jitter, mask, polygon, settle, stroke
from .scene import CONCEPTS, DRAWINGS, Scene, value

_SEGMENTS, _PIPS, _ROMAN = (DRAWINGS["digit_forms"][name] for name in ("segments", "pips", "roman"))


def segments(scene: Scene, rng: Random, art: Art) -> Image.Image:
    """Draw a digital display."""
    lit = Image.new("RGBA", (BIG, BIG), (*jitter((24, 22, 24), rng, 18), 255))
    draw = ImageDraw.Draw(lit)
    colour = rng.choice(((255, 50, 40), (70, 255, 90), (90, 200, 255), (255, 190, 60), (230, 240, 230)))
    dim = tuple(c // 7 for c in colour)
    digits = [int(char) for char in str(value(scene.name))]
    wide, size = (44 if len(digits) == 1 else 36), rng.uniform(7, 11)
    for i, digit in enumerate(digits):
        x0 = 64 - wide / 2 + (0 if len(digits) == 1 else (-28, 28)[i])
        x1, ys = x0 + wide, (18, 64, 110)
        lines = {
            "a": (x0, ys[0], x1, ys[0]),
            "b": (x1, ys[0], x1, ys[1]),
            "c": (x1, ys[1], x1, ys[2]),
            "d": (x0, ys[2], x1, ys[2]),
            "e": (x0, ys[1], x0, ys[2]),
            "f": (x0, ys[0], x0, ys[1]),
            "g": (x0, ys[1], x1, ys[1]),
        }
        for key, (a, b, c, d) in lines.items():
            dx, dy = (5, 0) if b == d else (0, 5)
            draw.line(
                (a + dx, b + dy, c - dx, d - dy),
                fill=colour if key in _SEGMENTS[digit] else dim[:3],
                width=round(size),
            )
    return settle(lit, rng, turn=4, scale=(0.9, 1.0))


def pip_face(
    draw: ImageDraw.ImageDraw, x: float, y: float, size: float, number: int, colour: tuple[int, int, int]
) -> None:
    """Draw the pips of a face ``size`` pixels wide about a point."""
    for cell in _PIPS[number]:
        disc(draw, x + (cell % 3 - 1) * size * 0.29, y + (cell // 3 - 1) * size * 0.29, size * 0.105, colour)


def dice(scene: Scene, rng: Random, art: Art) -> Image.Image:
    """Draw one die, or two that add up."""
    number = value(scene.name)
    faces = [number] if number <= 6 else [number // 2 + number % 2, number // 2]
    if len(faces) == 2 and rng.random() < 0.5 and faces[0] < 6 and faces[1] > 1:
        faces = [faces[0] + 1, faces[1] - 1]
    rng.shuffle(faces)
    image = Image.new("RGBA", (BIG, BIG))
    body = jitter(
        rng.choice(((245, 245, 240), (245, 245, 240), (200, 40, 40), (40, 60, 150), (30, 30, 30))), rng, 10
    )
    for i, face in enumerate(faces):
        size = rng.uniform(80, 100) if len(faces) == 1 else 58
        die = Image.new("RGBA", (BIG, BIG))
        draw = ImageDraw.Draw(die)
        x = 64 if len(faces) == 1 else (34, 94)[i]
        y = 64 if len(faces) == 1 else 64 + rng.uniform(-20, 20)
        box = (x - size / 2, y - size / 2, x + size / 2, y + size / 2)
        draw.rounded_rectangle(box, radius=size * 0.17, fill=body, outline=(90, 90, 90), width=2)
        pip_face(draw, x, y, size, face, contrast(body, rng))
        image.alpha_composite(die.rotate(rng.uniform(-25, 25), Image.Resampling.BILINEAR, center=(x, y)))
    return settle(image, rng, turn=10)


def clock(scene: Scene, rng: Random, art: Art) -> Image.Image:
    """Draw the short hand at the first name, the long hand at the second."""
    image = Image.new("RGBA", (BIG, BIG))
    draw = ImageDraw.Draw(image)
    face = jitter(rng.choice(((245, 245, 235), (250, 250, 250), (40, 44, 60))), rng, 10)
    dark = contrast(face, rng)
    disc(draw, 64, 64, 60, any_colour(rng))
    disc(draw, 64, 64, 54, face)
    for i in range(12):
        (x0, y0), (x1, y1) = (polygon(64, 64, r, 12)[i] for r in (44, 52))
        draw.line((x0, y0, x1, y1), fill=dark, width=4 if i % 3 == 0 else 2)
    hands = ((value(scene.name), 25, 9), (value(scene.other), 45, 5))
    for hour, length, width in hands:
        angle = math.radians(30 * hour - 90)
        stroke(draw, [(64, 64), (64 + length * math.cos(angle), 64 + length * math.sin(angle))], width, dark)
    disc(draw, 64, 64, 5, dark)
    return settle(image, rng, turn=4, scale=(0.92, 1.05))


def _tally(scene: Scene, rng: Random, art: Art) -> Image.Image:
    image, draw = mask()
    number = value(scene.name)
    size, gap = rng.uniform(5, 8), rng.uniform(9, 11)
    rows = [number] if number <= 5 else [min(number, 10), max(0, number - 10)]
    y = 64 - 24 * (len([row for row in rows if row]) - 1)
    high = 28 if number > 5 else 56
    gap = gap if number > 5 else gap * 1.7
    for row in rows:
        groups = [5] * (row // 5) + ([row % 5] if row % 5 else [])
        x = 64 - (len(groups) - 1) * 27 - (gap * 1.5 if row >= 4 else gap * (row - 1) / 2)
        for group in groups:
            for i in range(min(group, 4)):
                top = x + i * gap + rng.gauss(0, 1.2)
                stroke(
                    draw,
                    [
                        (top, y - high / 2 - rng.random() * 5),
                        (top + rng.gauss(0, 2), y + high / 2 + rng.random() * 5),
                    ],
                    size,
                )
            if group == 5:
                stroke(draw, [(x - 6, y + high * 0.4), (x + 3 * gap + 6, y - high * 0.4)], size)
            x += 54
        y += 48
    return figure(image, rng)


def _roman(scene: Scene, rng: Random, art: Art) -> Image.Image:
    return figure(text_mask(_ROMAN[value(scene.name)], art.font("print", 80, rng), fill=0.86), rng)


def _binary(scene: Scene, rng: Random, art: Art) -> Image.Image:
    return figure(text_mask(f"{value(scene.name):b}", art.font("print", 80, rng), fill=0.86), rng)


def _count(scene: Scene, rng: Random, art: Art) -> Image.Image:
    number = value(scene.name)
    side = 40 if number <= 4 else 30 if number <= 9 else 25
    thing = art.cutout(scene.detail, rng).resize((side, side), Image.Resampling.BILINEAR)
    return grid_of(lambda: thing, number, side, rng)


NUMBER_FORMS: dict[str, Form] = {
    "tally": _tally,
    "roman": _roman,
    "binary": _binary,
    "segments": segments,
    "dice": dice,
    "clock": clock,
    "count": _count,
}


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


LETTER_FORMS: dict[str, Form] = {
    "hand": _hand,
    "morse": _morse,
    "braille": _braille,
    "semaphore": _semaphore,
    "flag": lambda scene, rng, _art: settle(signal_flag(scene.name, rng), rng, turn=8),
}
