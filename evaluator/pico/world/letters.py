"""Letters, drawn in the many ways that a letter can be shown."""

from __future__ import annotations

import math
from random import Random

from PIL import Image, ImageDraw

from evaluator.pico.world.art import Art
from evaluator.pico.world.canvas import BIG, any_colour, disc, jitter, mask, settle, stroke
from evaluator.pico.world.concepts import CONCEPTS
from evaluator.pico.world.glyphs import figure, navon, text_mask
from evaluator.pico.world.numbers import Form
from evaluator.pico.world.scene import Scene

LETTERS = list("bcdefghjklmnprstvwyz")
_MORSE = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyz",
        ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --..".split(),
        strict=True,
    )
)
_BRAILLE = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyz",
        "1 12 14 145 15 124 1245 125 24 245 13 123 134 1345 135 1234 12345 1235 234 2345 136 1236 2456 1346 13456 1356".split(),
        strict=True,
    )
)
# Arms of a flag signaller in eighths of a turn from straight down, clockwise as the viewer sees it.
_SEMAPHORE = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyz",
        "10 20 30 40 50 60 70 12 13 46 14 15 16 17 23 24 25 26 27 34 35 47 56 57 36 67".split(),
        strict=True,
    )
)
_W, _K, _B, _R, _Y = (245, 245, 245), (20, 20, 24), (30, 60, 160), (210, 30, 40), (245, 210, 40)
# Signal flags: layout and colours, outermost or topmost first.
_FLAGS: dict[str, tuple[str, tuple[tuple[int, int, int], ...]]] = {
    "b": ("plain", (_R,)), "c": ("rows", (_B, _W, _R, _W, _B)), "d": ("rows", (_Y, _B, _B, _Y)), "e": ("rows", (_B, _R)),
    "f": ("diamond", (_W, _R)), "g": ("columns", (_Y, _B, _Y, _B, _Y, _B)), "h": ("columns", (_W, _R)), "j": ("rows", (_B, _W, _B)),
    "k": ("columns", (_Y, _B)), "l": ("quarters", (_Y, _K)), "m": ("saltire", (_B, _W)), "n": ("checks", (_B, _W)),
    "p": ("inset", (_B, _W)), "r": ("cross", (_R, _Y)), "s": ("inset", (_W, _B)), "t": ("columns", (_R, _W, _B)),
    "v": ("saltire", (_W, _R)), "w": ("nest", (_B, _W, _R)), "y": ("stripes", (_Y, _R)), "z": ("gores", (_Y, _B, _R, _K)),
}  # fmt: skip
_NAMED: dict[str, list[str]] = {}
for _name in CONCEPTS:
    _NAMED.setdefault(_name[0], []).append(_name)


def initial_things(letter: str) -> list[str]:
    """The things whose names begin with a letter."""
    return _NAMED.get(letter, [])


def _case(letter: str, rng: Random) -> str:
    return letter.upper() if rng.random() < 0.65 else letter


def _print(scene: Scene, rng: Random, art: Art) -> Image.Image:
    return figure(text_mask(_case(scene.name, rng), art.font("print", 100, rng)), rng)


def _hand(scene: Scene, rng: Random, art: Art) -> Image.Image:
    return figure(text_mask(_case(scene.name, rng), art.font("hand", 110, rng)), rng, turn=12)


def _mirror(scene: Scene, rng: Random, art: Art) -> Image.Image:
    return _print(scene, rng, art).transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def _turned(scene: Scene, rng: Random, art: Art) -> Image.Image:
    return _print(scene, rng, art).transpose(Image.Transpose.ROTATE_180)


def _navon(scene: Scene, rng: Random, art: Art) -> Image.Image:
    return navon(scene.name.upper(), scene.other.upper(), rng, art)


def _cases(scene: Scene, rng: Random, art: Art) -> Image.Image:
    return figure(text_mask(scene.name.upper() + scene.other, art.font("print", 90, rng), fill=0.92), rng)


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
    for place in _SEMAPHORE[scene.name]:
        angle = math.radians(90 + 45 * int(place))
        dx, dy = math.cos(angle), math.sin(angle)
        stroke(draw, [(64, 58), (64 + 34 * dx, 58 + 34 * dy)], 6, coat)
        a, b = (64 + 32 * dx, 58 + 32 * dy), (64 + 56 * dx, 58 + 56 * dy)
        px, py = -dy * 20, dx * 20
        draw.polygon([a, b, (b[0] + px, b[1] + py)], fill=(215, 40, 40))
        draw.polygon([a, (a[0] + px, a[1] + py), (b[0] + px, b[1] + py)], fill=(245, 215, 60))
    return settle(image, rng, turn=5)


def _flag(scene: Scene, rng: Random, art: Art) -> Image.Image:
    layout, colours = _FLAGS[scene.name]
    image = Image.new("RGBA", (BIG, BIG))
    flag = Image.new("RGBA", (96, 96), (*jitter(colours[0], rng, 8), 255))
    draw = ImageDraw.Draw(flag)
    last = colours[-1]
    if layout in ("rows", "columns"):
        step = 96 / len(colours)
        for i, colour in enumerate(colours):
            box = (0, i * step, 96, (i + 1) * step) if layout == "rows" else (i * step, 0, (i + 1) * step, 96)
            draw.rectangle(box, fill=colour)
    elif layout == "diamond":
        draw.polygon([(48, 4), (92, 48), (48, 92), (4, 48)], fill=last)
    elif layout == "quarters":
        draw.rectangle((48, 0, 96, 48), fill=last)
        draw.rectangle((0, 48, 48, 96), fill=last)
    elif layout == "checks":
        for i in range(16):
            if (i + i // 4) % 2:
                draw.rectangle((i % 4 * 24, i // 4 * 24, i % 4 * 24 + 23, i // 4 * 24 + 23), fill=last)
    elif layout == "saltire":
        draw.line((0, 0, 96, 96), fill=last, width=18)
        draw.line((96, 0, 0, 96), fill=last, width=18)
    elif layout == "cross":
        draw.rectangle((0, 38, 96, 58), fill=last)
        draw.rectangle((38, 0, 58, 96), fill=last)
    elif layout in ("inset", "nest"):
        for i, colour in enumerate(colours[1:]):
            edge = (30 if layout == "inset" else 18 * (i + 1)) + (0 if i == 0 else 0)
            draw.rectangle((edge, edge, 95 - edge, 95 - edge), fill=colour)
    elif layout == "stripes":
        for i in range(-96, 96, 32):
            draw.polygon([(i, 96), (i + 16, 96), (i + 112, 0), (i + 96, 0)], fill=last)
    elif layout == "gores":
        for colour, corner in zip(colours, (((0, 0), (96, 0)), ((96, 0), (96, 96)), ((0, 96), (96, 96)), ((0, 0), (0, 96))), strict=True):
            draw.polygon([*corner, (48, 48)], fill=colour)
    image.paste(flag, (18, 14))
    ImageDraw.Draw(image).line((14, 6, 14, 128), fill=jitter((90, 70, 50), rng), width=5)
    return settle(image, rng, turn=8)


def _picture(scene: Scene, rng: Random, art: Art) -> Image.Image:
    return art.cutout(scene.detail, rng).resize((BIG // 2, BIG // 2), Image.Resampling.BILINEAR)


FORMS: dict[str, Form] = {
    "print": _print, "hand": _hand, "mirror": _mirror, "turned": _turned, "navon": _navon, "cases": _cases, "morse": _morse,
    "braille": _braille, "semaphore": _semaphore, "flag": _flag, "picture": _picture,
}  # fmt: skip
