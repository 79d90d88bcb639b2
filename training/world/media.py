"""Render a figure (RGBA) in a medium as a picture (RGB), and change it by a condition."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from .canvas import SIZE, Colour, any_colour, ground, jitter, light, mean, noise, paste

Medium = Callable[[Image.Image, str, Random], Image.Image]
_Pixels = NDArray[Any]


def _array(image: Image.Image) -> _Pixels:
    return np.asarray(image, dtype=np.float32)


def _image(pixels: _Pixels) -> Image.Image:
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _grey(figure: Image.Image) -> _Pixels:
    """Return the figure's brightness on white, 0 to 255."""
    rgba = _array(figure)
    alpha = rgba[..., 3] / 255
    return (rgba[..., :3] @ np.array((0.3, 0.59, 0.11), np.float32)) * alpha + 255 * (1 - alpha)


def _alpha(figure: Image.Image) -> _Pixels:
    return _array(figure)[..., 3] / 255


def _edges(figure: Image.Image) -> _Pixels:
    """Return edge strengths, 0 to 1: of the outline, and more weakly inside it."""
    grey, alpha = _grey(figure), 255 * _alpha(figure)
    out = np.zeros_like(grey)
    for plane, weight in ((alpha, 1.0), (grey, 0.7)):
        down = np.abs(np.diff(plane, axis=0, append=plane[-1:]))
        across = np.abs(np.diff(plane, axis=1, append=plane[:, -1:]))
        out = np.maximum(out, weight * np.maximum(down, across))
    return np.minimum(1, out / 70)


def _softened(plane: _Pixels) -> _Pixels:
    return _array(Image.fromarray(plane.astype(np.uint8)).filter(ImageFilter.BoxBlur(1)))


def _blend(base: _Pixels, colour: Colour | _Pixels, weight: _Pixels) -> _Pixels:
    return base + (np.asarray(colour, np.float32) - base) * weight[..., None]


def _apart(base: Image.Image, figure: Image.Image) -> Image.Image:
    """Return the base, lightened or darkened if the figure would not show on it."""
    red, green, blue, _ = figure.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))  # type: ignore[misc]
    own, under = light((red, green, blue)), light(mean(base))
    if abs(own - under) >= 55:
        return base
    if own > 120:
        return Image.eval(base, lambda v: v * 2 // 5)
    return Image.eval(base, lambda v: 130 + v * 125 // 255)


def photo(figure: Image.Image, kind: str, rng: Random) -> Image.Image:
    """Render as the figure on a ground, in some light."""
    base = _apart(ground(kind, rng), figure)
    picture = paste(base, figure, shadow=0.5)
    if rng.random() < 0.5:
        ramp = np.linspace(rng.uniform(0.7, 1), rng.uniform(0.9, 1.25), SIZE, dtype=np.float32)
        return _image(_array(picture) * (ramp[None, :, None] if rng.random() < 0.5 else ramp[:, None, None]))
    return picture


def clipart(figure: Image.Image, kind: str, rng: Random) -> Image.Image:
    """Render as the figure on white."""
    base = (255, 255, 255) if rng.random() < 0.6 else jitter((235, 235, 235), rng, 20)
    return paste(_apart(Image.new("RGB", (SIZE, SIZE), base), figure), figure)


def sketch(figure: Image.Image, kind: str, rng: Random) -> Image.Image:
    """Render as pencil lines on paper."""
    paper = 244 + 4 * noise(rng)[..., None] * np.ones(3, np.float32) - rng.uniform(0, 16)
    line = _edges(figure) * np.clip(0.9 + 0.25 * noise(rng), 0, 1)
    shade = np.clip((170 - _grey(figure)) / 170, 0, 1) * rng.uniform(0, 0.35)
    return _image(_blend(paper, (50, 50, 56), np.minimum(1, line + shade)))


def chalk(figure: Image.Image, kind: str, rng: Random) -> Image.Image:
    """Render as chalk on a blackboard."""
    base = _array(ground("blackboard", rng)) * rng.choice((1.0, 0.6))
    dust = np.clip(0.75 + 0.35 * noise(rng), 0, 1)
    full = rng.uniform(0.15, 0.5) * _alpha(figure)
    tint = jitter(rng.choice(((240, 240, 236), (240, 240, 236), (250, 220, 140), (250, 180, 190))), rng, 8)
    return _image(_blend(base, tint, np.maximum(_edges(figure), full) * dust))


def blueprint(figure: Image.Image, kind: str, rng: Random) -> Image.Image:
    """Render as white lines on blue."""
    base = np.zeros((SIZE, SIZE, 3), np.float32) + np.array(jitter((24, 70, 150), rng, 14), np.float32)
    step = rng.randint(7, 12)
    base[::step] += 22
    base[:, ::step] += 22
    return _image(_blend(base, (225, 235, 250), _edges(figure) * 0.95))


def neon(figure: Image.Image, kind: str, rng: Random) -> Image.Image:
    """Render as glowing tubes in the dark."""
    base = _array(ground(rng.choice(("night", "brick")), rng)) * 0.35
    line = Image.fromarray((_edges(figure) * 255).astype(np.uint8))
    glow = _array(line.filter(ImageFilter.BoxBlur(3))) / 255
    colour = rng.choice(((255, 60, 120), (60, 255, 160), (80, 170, 255), (255, 210, 60), (230, 80, 255)))
    lit = _blend(base, colour, np.minimum(1, 1.8 * glow))
    return _image(_blend(lit, (255, 255, 255), _array(line) / 255 * 0.75))


_HEAT = np.array(
    [(10, 10, 60), (80, 20, 140), (200, 40, 90), (250, 130, 30), (255, 230, 60), (255, 255, 230)], np.float32
)


def thermal(figure: Image.Image, kind: str, rng: Random) -> Image.Image:
    """Render as heat in false colours."""
    alpha = _alpha(figure)
    warm = alpha * (0.5 + 0.5 * (1 - _grey(figure) / 255)) + 0.12 + 0.02 * noise(rng)
    level = _softened(np.clip(warm, 0, 1) * 255) / 255 * (len(_HEAT) - 1)
    low = np.minimum(level.astype(int), len(_HEAT) - 2)
    share = (level - low)[..., None]
    return _image(_HEAT[low] * (1 - share) + _HEAT[low + 1] * share)


def pixel(figure: Image.Image, kind: str, rng: Random) -> Image.Image:
    """Render as few pixels and few colours."""
    side = rng.choice((16, 16, 20, 24))
    if rng.random() < 0.5:
        picture = clipart(figure, kind, rng)
    else:
        picture = paste(_apart(Image.new("RGB", (SIZE, SIZE), any_colour(rng)), figure), figure)
    small = picture.resize((side, side), Image.Resampling.BOX)
    few_colours = Image.eval(small, lambda v: min(255, v // 36 * 36 + 18))
    return few_colours.resize((SIZE, SIZE), Image.Resampling.NEAREST)


def stone(figure: Image.Image, kind: str, rng: Random) -> Image.Image:
    """Render as a relief in stone."""
    base = _array(ground("stone", rng))
    height = _softened(0.55 * 255 * _alpha(figure) + 0.45 * (255 - _grey(figure)))
    slope = np.roll(height, 2, 1) - height + np.roll(height, 2, 0) - height
    return _image(base + (np.clip(slope, -160, 160) * 0.6 - 12 * _alpha(figure))[..., None])


def embroidery(figure: Image.Image, kind: str, rng: Random) -> Image.Image:
    """Render as thread on cloth."""
    base = _array(ground("fabric", rng)) * 0.8 + 0.2 * np.array(any_colour(rng), np.float32)
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    thread = (14 * np.sin((x + y) * 1.57) + 14 * np.sign(np.sin(x * 1.05 - y * 0.5)))[..., None]
    coarse = figure.reduce(2).resize((SIZE, SIZE), Image.Resampling.NEAREST)
    return _image(_blend(base, _array(coarse)[..., :3] + thread, _alpha(coarse)))


def halftone(figure: Image.Image, kind: str, rng: Random) -> Image.Image:
    """Render as printed dots."""
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    pitch = rng.choice((1.6, 1.25))
    screen = 128 + 62 * (np.sin((x + y) * pitch) + np.sin((x - y) * pitch))
    dots = _grey(figure) < screen
    paper = np.array(jitter((246, 240, 222), rng, 8), np.float32)
    tone = np.array(rng.choice(((20, 20, 24), (180, 30, 40), (30, 50, 130))), np.float32)
    return _image(np.where(dots[..., None], tone, paper))


def graffiti(figure: Image.Image, kind: str, rng: Random) -> Image.Image:
    """Render as spray paint on bricks."""
    base = _array(ground("brick", rng))
    rgba = _array(figure)
    loud = np.clip((rgba[..., :3] - 128) * 1.5 + 128, 0, 255) // 64 * 80
    spray = np.clip(_alpha(figure) * (0.85 + 0.2 * noise(rng)), 0, 1)
    return _image(_blend(_blend(base, loud, spray), (15, 15, 20), _edges(figure) * 0.8))


def oil(figure: Image.Image, kind: str, rng: Random) -> Image.Image:
    """Render as thick paint."""
    picture = photo(figure, kind, rng).filter(ImageFilter.BoxBlur(1))
    strokes = 26 * np.sign(noise(rng, SIZE // 2)).repeat(2, 0).repeat(2, 1)
    return _image((_array(picture) // 28) * 28 + 14 + 0.5 * strokes[..., None])


def silhouette(figure: Image.Image, kind: str, rng: Random) -> Image.Image:
    """Render as black against the light."""
    top = np.array(jitter((250, 200, 120), rng, 40), np.float32)
    bottom = np.array(jitter((240, 130, 80), rng, 40), np.float32)
    ramp = np.linspace(0, 1, SIZE, dtype=np.float32)[:, None, None]
    base = top * (1 - ramp) + bottom * ramp + np.zeros((SIZE, SIZE, 3), np.float32)
    if rng.random() < 0.4:
        base[:] = rng.randint(200, 255)
    return _image(_blend(base, (12, 10, 14), np.minimum(1, 1.2 * _alpha(figure))))


def monochrome(figure: Image.Image, kind: str, rng: Random) -> Image.Image:
    """Render as a black and white photograph."""
    grey = photo(figure, kind, rng).convert("L")
    return Image.merge("RGB", (grey, grey, grey))


def sepia(figure: Image.Image, kind: str, rng: Random) -> Image.Image:
    """Render as an old photograph."""
    grey = _array(photo(figure, kind, rng).convert("L"))
    return _image(np.stack((grey * 0.95 + 30, grey * 0.8 + 12, grey * 0.6), -1) + 5 * noise(rng)[..., None])


def xray(figure: Image.Image, kind: str, rng: Random) -> Image.Image:
    """Render as an X-ray picture."""
    body = _alpha(figure) * (0.25 + 0.75 * np.abs(_grey(figure) - 128) / 128)
    soft = _softened(np.maximum(body, 0.6 * _edges(figure)) * 255)
    return _image(np.stack((soft * 0.75 + 6, soft * 0.9 + 12, soft + 24), -1))


def watercolour(figure: Image.Image, kind: str, rng: Random) -> Image.Image:
    """Render as thin paint on paper."""
    wet = figure.filter(ImageFilter.BoxBlur(1.5))
    paper = 247 + 3 * noise(rng)[..., None] * np.ones(3, np.float32)
    cloud = _array(_image((noise(rng, 8) + 3) * 40).resize((SIZE, SIZE))) / 255
    strength = _alpha(wet) * (0.5 + 0.6 * cloud).clip(0, 0.95)
    return _image(_blend(paper, _array(wet)[..., :3] * 0.85 + 36, strength))


MEDIA: dict[str, Medium] = {
    medium.__name__: medium
    for medium in (
        *(photo, clipart, sketch, chalk, blueprint, neon, thermal, pixel, stone, embroidery, halftone),
        *(graffiti, oil, silhouette, monochrome, sepia, xray, watercolour),
    )
}
# Media in which only outlines count: they may be copied from a line drawing.
LINE_MEDIA = ("sketch", "chalk", "blueprint", "neon", "stone", "silhouette")


Change = Callable[[Image.Image, Random], Image.Image]


def _small(figure: Image.Image, rng: Random) -> Image.Image:
    side = rng.randint(22, 32)
    out = Image.new("RGBA", (SIZE, SIZE))
    corner = (rng.randint(2, SIZE - side - 2), rng.randint(2, SIZE - side - 2))
    out.paste(figure.resize((side, side), Image.Resampling.BOX), corner)
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
    share = rng.uniform(0.18, 0.38)
    return picture.point([int(level * share) for level in range(256)] * 3)


def _bright(picture: Image.Image, rng: Random) -> Image.Image:
    lift = rng.uniform(90, 130)
    return picture.point([min(255, int(level * 0.75 + lift)) for level in range(256)] * 3)


def _noise(picture: Image.Image, rng: Random) -> Image.Image:
    grain = np.stack([noise(rng) for _ in range(3)], -1) * rng.uniform(28, 55)
    return Image.fromarray(np.clip(np.asarray(picture, np.float32) + grain, 0, 255).astype(np.uint8))


def _lowres(picture: Image.Image, rng: Random) -> Image.Image:
    side = rng.randint(14, 22)
    method = rng.choice((Image.Resampling.NEAREST, Image.Resampling.BILINEAR))
    return picture.resize((side, side), Image.Resampling.BOX).resize((SIZE, SIZE), method)


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
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape((x - r, y - r, x + r, y + r), fill=any_colour(rng))
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
    "blur": lambda picture, rng: picture.filter(ImageFilter.GaussianBlur(rng.uniform(1.5, 3))),
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
