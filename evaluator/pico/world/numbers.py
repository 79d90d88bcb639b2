"""Draw numbers in many ways: displays, dice, clocks, tallies and others."""

from __future__ import annotations

import math
from random import Random

from PIL import Image, ImageDraw

from .art import Art, Form, figure, grid_of, text_mask
from .canvas import BIG, any_colour, contrast, disc, jitter, mask, polygon, settle, stroke
from .scene import DRAWINGS, Scene, value

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


FORMS: dict[str, Form] = {
    "tally": _tally,
    "roman": _roman,
    "binary": _binary,
    "segments": segments,
    "dice": dice,
    "clock": clock,
    "count": _count,
}
