"""Numbers, drawn in the many ways that a number can be shown."""

from __future__ import annotations

from random import Random

from PIL import Image

from . import counters
from .art import Art
from .canvas import (
    BIG,
    any_colour,
    mask,
    stroke,
)
from .glyphs import Form, figure, grid_of, navon, text_mask
from .scene import Scene, value
from .strokes import digit_mask, draw_digit, scan

_ROMAN = ["N", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"]


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


def _navon(scene: Scene, rng: Random, art: Art) -> Image.Image:
    return navon(str(value(scene.name)), str(value(scene.other)), rng, art)


FORMS: dict[str, Form] = {
    "print": _print,
    "hand": _hand,
    "scan": _scan,
    "tally": _tally,
    "roman": _roman,
    "binary": _binary,
    "word": _word,
    "segments": counters.segments,
    "dice": counters.dice,
    "domino": counters.domino,
    "clock": counters.clock,
    "frame": counters.frame,
    "count": _count,
    "repeat": _repeat,
    "pair": _pair,
    "navon": _navon,
    "card": counters.card,
}
