"""Letters, drawn in the many ways that a letter can be shown."""

from __future__ import annotations

import math
from random import Random

from PIL import Image, ImageDraw

from .art import Art
from .canvas import BIG, any_colour, disc, jitter, mask, settle, stroke
from .concepts import CONCEPTS
from .flags import signal_flag
from .glyphs import Form, figure, navon, text_mask
from .scene import Scene

LETTERS = list("bcdefghjklmnprstvwyz")
_MORSE = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyz",
        [
            ".-",
            "-...",
            "-.-.",
            "-..",
            ".",
            "..-.",
            "--.",
            "....",
            "..",
            ".---",
            "-.-",
            ".-..",
            "--",
            "-.",
            "---",
            ".--.",
            "--.-",
            ".-.",
            "...",
            "-",
            "..-",
            "...-",
            ".--",
            "-..-",
            "-.--",
            "--..",
        ],
        strict=True,
    )
)
_BRAILLE = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyz",
        [
            "1",
            "12",
            "14",
            "145",
            "15",
            "124",
            "1245",
            "125",
            "24",
            "245",
            "13",
            "123",
            "134",
            "1345",
            "135",
            "1234",
            "12345",
            "1235",
            "234",
            "2345",
            "136",
            "1236",
            "2456",
            "1346",
            "13456",
            "1356",
        ],
        strict=True,
    )
)
# Arms of a flag signaller in eighths of a turn from straight down, clockwise as the viewer sees it.
_SEMAPHORE = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyz",
        [
            "10",
            "20",
            "30",
            "40",
            "50",
            "60",
            "70",
            "12",
            "13",
            "46",
            "14",
            "15",
            "16",
            "17",
            "23",
            "24",
            "25",
            "26",
            "27",
            "34",
            "35",
            "47",
            "56",
            "57",
            "36",
            "67",
        ],
        strict=True,
    )
)
_NAMED: dict[str, list[str]] = {}
for _name in CONCEPTS:
    _NAMED.setdefault(_name[0], []).append(_name)


def initial_things(letter: str) -> list[str]:
    """Return the things whose names begin with a letter."""
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
    return settle(signal_flag(scene.name, rng), rng, turn=8)


def _picture(scene: Scene, rng: Random, art: Art) -> Image.Image:
    return art.cutout(scene.detail, rng).resize((BIG // 2, BIG // 2), Image.Resampling.BILINEAR)


FORMS: dict[str, Form] = {
    "print": _print,
    "hand": _hand,
    "mirror": _mirror,
    "turned": _turned,
    "navon": _navon,
    "cases": _cases,
    "morse": _morse,
    "braille": _braille,
    "semaphore": _semaphore,
    "flag": _flag,
    "picture": _picture,
}
