"""Draw numbers in many ways: hand-drawn digits, displays, dice, clocks, tallies and others."""

from __future__ import annotations

import math
from random import Random
from typing import Any

from PIL import Image, ImageDraw

from .art import Art, Form, figure, grid_of, navon, text_mask
from .canvas import (
    BIG,
    Point,
    any_colour,
    contrast,
    disc,
    jitter,
    mask,
    polygon,
    settle,
    smooth,
    star,
    stroke,
)
from .scene import DRAWINGS, Scene, value

# Strokes in a unit square, y downwards; a digit has several ways of several strokes.
_Way = list[list[Point]]


def _arc(x: float, y: float, rx: float, ry: float, start: float, end: float, n: int) -> list[Point]:
    angles = [math.radians(start + (end - start) * i / (n - 1)) for i in range(n)]
    return [(x + rx * math.cos(a), y + ry * math.sin(a)) for a in angles]


def _stroke(given: Any) -> list[Point]:
    return _arc(*given["arc"]) if isinstance(given, dict) else [(x, y) for x, y in given]


DIGITS: dict[int, list[_Way]] = {
    int(digit): [[_stroke(one) for one in way] for way in ways] for digit, ways in DRAWINGS["digits"].items()
}


def draw_digit(
    draw: ImageDraw.ImageDraw, digit: int, box: tuple[float, float, float, float], rng: Random, width: float
) -> None:
    """Draw one handwritten digit into a box (left, top, right, bottom), ``width`` pixels a stroke."""
    left, top, right, bottom = box
    slant, wobble = rng.uniform(-0.25, 0.25), rng.uniform(0.01, 0.05)
    for path in rng.choice(DIGITS[digit]):
        points = [(x + rng.gauss(0, wobble), y + rng.gauss(0, wobble)) for x, y in path]
        placed = [
            (left + (x + slant * (0.5 - y)) * (right - left), top + y * (bottom - top)) for x, y in points
        ]
        stroke(draw, smooth(placed), width)


def digit_mask(
    digit: int,
    rng: Random,
    *,
    widths: tuple[float, float] = (0.6, 0.95),
    strokes: tuple[float, float] = (0.06, 0.15),
) -> Image.Image:
    """Draw a hand-drawn digit that fills most of a BIG mask; ``widths`` and ``strokes`` are ranges."""
    image, draw = mask()
    half = rng.uniform(*widths) * BIG * 0.8 / 2
    box = (BIG / 2 - half, BIG * 0.1, BIG / 2 + half, BIG * 0.9)
    draw_digit(draw, digit, box, rng, BIG * rng.uniform(*strokes))
    return image


def scan(digit: int, rng: Random) -> Image.Image:
    """Draw a digit as a coarse scan: 8x8 counts of 4x4 blocks of a 32x32 bitmap, ink white."""
    image = digit_mask(digit, rng, widths=(0.55, 1.0), strokes=(0.08, 0.17))
    if rng.random() < 0.5:
        image = image.rotate(rng.uniform(-12, 12), Image.Resampling.BILINEAR)
    cut = image.crop(image.getbbox())
    width = min(32, max(6, round(32 * cut.width / cut.height * rng.uniform(0.85, 1.15))))
    bitmap = Image.new("L", (32, 32))
    ink = cut.resize((width, 32), Image.Resampling.BOX).point(lambda v: 255 if v > 100 else 0)
    bitmap.paste(ink, ((32 - width) // 2 + rng.randint(-1, 1), 0))
    return bitmap.reduce(4)


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


def _pip_face(
    draw: ImageDraw.ImageDraw, x: float, y: float, size: float, number: int, colour: tuple[int, int, int]
) -> None:
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
        _pip_face(draw, x, y, size, face, contrast(body, rng))
        image.alpha_composite(die.rotate(rng.uniform(-25, 25), Image.Resampling.BILINEAR, center=(x, y)))
    return settle(image, rng, turn=10)


def domino(scene: Scene, rng: Random, art: Art) -> Image.Image:
    """Draw the first name's pips above the second's."""
    image = Image.new("RGBA", (BIG, BIG))
    draw = ImageDraw.Draw(image)
    body = jitter(rng.choice(((240, 238, 228), (30, 30, 32), (120, 30, 30))), rng, 10)
    pip = contrast(body, rng)
    draw.rounded_rectangle((34, 4, 94, 124), radius=8, fill=body, outline=(110, 110, 110), width=2)
    draw.line((40, 64, 88, 64), fill=pip, width=3)
    _pip_face(draw, 64, 34, 54, value(scene.name), pip)
    _pip_face(draw, 64, 94, 54, value(scene.other), pip)
    return settle(image, rng, turn=8)


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


def frame(scene: Scene, rng: Random, art: Art) -> Image.Image:
    """Draw counters in a frame of ten."""
    image = Image.new("RGBA", (BIG, BIG))
    draw = ImageDraw.Draw(image)
    paper, counter = jitter((250, 248, 240), rng, 8), any_colour(rng)
    draw.rectangle((4, 36, 124, 92), fill=paper)
    for i in range(10):
        x, y = 4 + 24 * (i % 5), 36 + 28 * (i // 5)
        draw.rectangle((x, y, x + 24, y + 28), outline=(40, 40, 40), width=2)
        if i < value(scene.name):
            disc(draw, x + 12, y + 14, 9, counter)
    return settle(image, rng, turn=6, scale=(0.92, 1.04))


def card(scene: Scene, rng: Random, art: Art) -> Image.Image:
    """Draw a playing card."""
    image = Image.new("RGBA", (BIG, BIG))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle(
        (24, 2, 104, 126), radius=8, fill=(250, 250, 248), outline=(120, 120, 120), width=2
    )
    red = rng.random() < 0.5
    colour = (200, 20, 30) if red else (20, 20, 24)
    number = value(scene.name)
    left = number if number <= 3 else 0
    columns = [(64, left)] if left else [(46, number // 2), (82, number // 2), (64, number % 2)]
    for x, count in columns:
        for i in range(count):
            y = 64 if count == 1 else 24 + 80 * i / (count - 1)
            if red:
                draw.polygon(polygon(x, y, 11, 4), fill=colour)
            else:
                draw.polygon(star(x, y, 12, 3, 0.45), fill=colour)
    font = art.font("print", 24, rng)
    label = "A" if number == 1 else str(number)
    draw.text((27, 2), label, font=font, fill=colour)
    draw.text((101, 126), label, font=font, fill=colour, anchor="rb")
    return settle(image, rng, turn=14, scale=(0.9, 1.02))


def _print(scene: Scene, rng: Random, art: Art) -> Image.Image:
    return figure(text_mask(str(value(scene.name)), art.font("print", 100, rng)), rng)


def _hand(scene: Scene, rng: Random, art: Art) -> Image.Image:
    number = value(scene.name)
    if number < 10 and rng.random() < 0.7:
        return figure(digit_mask(number, rng), rng, turn=12)
    if rng.random() < 0.4:
        return figure(text_mask(str(number), art.font("hand", 110, rng)), rng, turn=12)
    image, draw = mask()
    digits = [int(char) for char in str(number)]
    wide = 100 / len(digits)
    size = rng.uniform(7, 14)
    for i, digit in enumerate(digits):
        left = 14 + i * wide
        draw_digit(
            draw,
            digit,
            (left, 20 + rng.randint(-6, 6), left + wide * 0.9, 108 + rng.randint(-6, 6)),
            rng,
            size,
        )
    return figure(image, rng, turn=12)


def _scan(scene: Scene, rng: Random, art: Art) -> Image.Image:
    way = rng.choice(
        (
            Image.Resampling.NEAREST,
            Image.Resampling.BILINEAR,
            Image.Resampling.BICUBIC,
            Image.Resampling.LANCZOS,
        )
    )
    picture = scan(value(scene.name), rng).resize((BIG // 2, BIG // 2), way)
    if rng.random() < 0.35:
        picture = Image.eval(picture, lambda v: 255 - v)
    return Image.merge("RGB", (picture, picture, picture))


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


def _word(scene: Scene, rng: Random, art: Art) -> Image.Image:
    text = rng.choice((scene.name, scene.name.upper(), scene.name.title()))
    return figure(
        text_mask(text, art.font(rng.choice(("print", "print", "hand")), 60, rng), fill=0.94),
        rng,
        turn=5,
        scale=(0.95, 1.05),
    )


def _count(scene: Scene, rng: Random, art: Art) -> Image.Image:
    number = value(scene.name)
    side = 40 if number <= 4 else 30 if number <= 9 else 25
    thing = art.cutout(scene.detail, rng).resize((side, side), Image.Resampling.BILINEAR)
    return grid_of(lambda: thing, number, side, rng)


def _repeat(scene: Scene, rng: Random, art: Art) -> Image.Image:
    number = value(scene.name)
    side = 46 if number <= 2 else 36 if number <= 4 else 32 if number <= 9 else 27
    font = art.font("print", 90, rng)
    colour = any_colour(rng)
    glyph = (
        figure(text_mask(str(value(scene.other)), font), rng, turn=0, colour=colour)
        .crop((8, 8, 56, 56))
        .resize((side, side), Image.Resampling.BILINEAR)
    )
    return grid_of(lambda: glyph, number, side, rng)


def _pair(scene: Scene, rng: Random, art: Art) -> Image.Image:
    text = f"{value(scene.name)}{value(scene.other)}"
    return figure(text_mask(text, art.font("print", 90, rng), fill=0.92), rng)


FORMS: dict[str, Form] = {
    "print": _print,
    "hand": _hand,
    "scan": _scan,
    "tally": _tally,
    "roman": _roman,
    "binary": _binary,
    "word": _word,
    "segments": segments,
    "dice": dice,
    "domino": domino,
    "clock": clock,
    "frame": frame,
    "count": _count,
    "repeat": _repeat,
    "pair": _pair,
    "navon": lambda scene, rng, art: navon(str(value(scene.name)), str(value(scene.other)), rng, art),
    "card": card,
}
