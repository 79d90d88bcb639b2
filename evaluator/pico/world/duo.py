"""Two things in one picture, each in a role of its own: a cat, and the shadow of a dog."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .art import Art, text_mask
from .canvas import BIG, SIZE, disc, ground, ink, jitter, paste, settle
from .media import AFTER, chalk, sketch
from .scene import Scene

_Spot = tuple[float, float]
_FLIP = Image.Transpose.FLIP_LEFT_RIGHT


def _thing(name: str, side: int, rng: Random, art: Art) -> Image.Image:
    picture = art.cutout(name, rng)
    if rng.random() < 0.5:
        picture = picture.transpose(_FLIP)
    picture = picture.rotate(rng.uniform(-12, 12), Image.Resampling.BILINEAR)
    picture = picture.resize((side, side), Image.Resampling.BOX)
    return tint(picture, rng)


def tint(picture: Image.Image, rng: Random) -> Image.Image:
    """Return the picture with its channels randomly scaled a little."""
    table = [
        min(255, int(v * share)) for share in [rng.uniform(0.75, 1.2) for _ in range(3)] for v in range(256)
    ]
    return picture.point(table + list(range(256)))


def _on(base: Image.Image, thing: Image.Image, at: _Spot, shadow: float = 0) -> Image.Image:
    layer = Image.new("RGBA", base.size)
    layer.paste(thing, (round(at[0] - thing.width / 2), round(at[1] - thing.height / 2)))
    return paste(base, layer, shadow)


def _beside(scene: Scene, rng: Random, art: Art, change: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Draw both things side by side in random order, the second one changed."""
    base = ground(scene.ground, rng)
    side = rng.randint(29, 34)
    x = rng.choice((17, 47))
    first = _thing(scene.name, side, rng, art)
    second = change(_thing(scene.other, side, rng, art))
    base = _on(base, first, (x + rng.randint(-1, 1), rng.randint(20, 44)))
    return _on(base, second, (64 - x + rng.randint(-1, 1), rng.randint(20, 44)))


def _side(scene: Scene, rng: Random, art: Art) -> Image.Image:
    base = ground(scene.ground, rng)
    for name, x in ((scene.name, 17), (scene.other, 47)):
        base = _on(
            base,
            _thing(name, rng.randint(27, 33), rng, art),
            (x + rng.randint(-1, 1), rng.randint(20, 44)),
            0.4,
        )
    return base


def _distance(scene: Scene, rng: Random, art: Art) -> Image.Image:
    base = ground(scene.ground, rng)
    x = rng.choice((13, 51))
    base = _on(base, _thing(scene.other, rng.randint(19, 23), rng, art), (x, rng.randint(12, 18)))
    return _on(
        base,
        _thing(scene.name, rng.randint(42, 48), rng, art),
        (64 - x + (6 if x > 32 else -6) * 1.3, rng.randint(38, 42)),
        0.4,
    )


def _shadow(scene: Scene, rng: Random, art: Art) -> Image.Image:
    wall = ground(rng.choice(("paper", "sand", "snow", "stone", "plain")), rng)
    wall = Image.eval(wall, lambda v: 110 + v * 145 // 255)
    dark = _thing(scene.other, rng.randint(40, 46), rng, art)
    layer = Image.new("RGBA", dark.size, (16, 14, 20, 0))
    layer.putalpha(dark.getchannel("A").point(lambda a: int(a * 0.85)).filter(ImageFilter.BoxBlur(0.7)))
    x = rng.choice((22, 42))
    wall = _on(wall, layer, (x, rng.randint(22, 26)))
    return _on(
        wall,
        _thing(scene.name, rng.randint(25, 30), rng, art),
        (64 - x + (8 if x < 32 else -8), rng.randint(46, 49)),
    )


def _reflection(scene: Scene, rng: Random, art: Art) -> Image.Image:
    base = ground(rng.choice(("sky", "leaves", "snow", "scenery")), rng)
    water = ground("water", rng)
    base.paste(water.crop((0, 32, 64, 64)), (0, 32))
    above = _thing(scene.name, rng.randint(29, 32), rng, art)
    below = _thing(scene.other, above.width, rng, art).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    wavy = np.asarray(below).copy()
    for row in range(0, wavy.shape[0], 2):
        wavy[row] = np.roll(wavy[row], rng.choice((-1, 0, 1)), 0)
    wavy[..., 3] = wavy[..., 3] * 0.72
    wavy[..., 0] = wavy[..., 0] * 0.75
    x = rng.randint(18, 46)
    base = _on(base, Image.fromarray(wavy), (x, 48))
    return _on(base, above, (x, 16))


def _dream(scene: Scene, rng: Random, art: Art) -> Image.Image:
    base = ground(scene.ground, rng)
    bubble = Image.new("L", (BIG, BIG))
    draw = ImageDraw.Draw(bubble)
    for x, y, r in (
        (64, 36, 34),
        (90, 40, 32),
        (78, 26, 26),
        (76, 52, 28),
        (104, 34, 22),
        (36, 78, 8),
        (26, 92, 5),
    ):
        disc(draw, x + 4, y, r)
    flip = rng.random() < 0.5
    bubble = bubble.transpose(_FLIP) if flip else bubble
    base = paste(base, ink(bubble.reduce(2), jitter((246, 246, 250), rng, 8)), 0.3)
    x = 64 - 41 if flip else 41
    base = _on(base, _thing(scene.other, rng.randint(27, 31), rng, art), (x, 20))
    return _on(
        base, _thing(scene.name, rng.randint(26, 30), rng, art), (64 - x - (7 if not flip else -7), 48), 0.3
    )


def _tone(scene: Scene, rng: Random, art: Art) -> Image.Image:
    def grey(thing: Image.Image) -> Image.Image:
        return thing.convert("LA").convert("RGBA")

    return _beside(scene, rng, art, grey)


def _sketch(scene: Scene, rng: Random, art: Art) -> Image.Image:
    base = ground(scene.ground, rng)
    half = Image.new("RGBA", (SIZE, SIZE))
    side = rng.randint(28, 31)
    half.paste(
        art.cutout(scene.other, rng, line=rng.random() < 0.3).resize(
            (2 * side, 2 * side), Image.Resampling.BILINEAR
        ),
        (32 - side, 32 - side),
    )
    drawing = rng.choice((sketch, sketch, chalk))(half, "paper", rng).resize((34, 34), Image.Resampling.BOX)
    x = rng.choice((17, 47))
    base.paste(drawing, (64 - x - 17, rng.randint(2, 28)))
    return _on(base, _thing(scene.name, rng.randint(28, 32), rng, art), (x, rng.randint(20, 44)), 0.4)


def _turned(scene: Scene, rng: Random, art: Art) -> Image.Image:
    return _beside(scene, rng, art, lambda thing: thing.transpose(Image.Transpose.ROTATE_180))


def _blur(scene: Scene, rng: Random, art: Art) -> Image.Image:
    def soft(thing: Image.Image) -> Image.Image:
        red, green, blue, _ = thing.resize((1, 1)).getpixel((0, 0))  # type: ignore[misc]
        room = Image.new("RGBA", (thing.width + 6, thing.height + 6), (red, green, blue, 0))
        room.paste(thing, (3, 3), thing)
        return room.filter(ImageFilter.BoxBlur(rng.uniform(1.8, 2.6)))

    return _beside(scene, rng, art, soft)


def _dark(scene: Scene, rng: Random, art: Art) -> Image.Image:
    picture = _side(scene, rng, art)
    night = AFTER["dark"](picture, rng)
    flip = rng.random() < 0.5
    picture.paste(night.crop((32, 0, 64, 64)), (32, 0))
    if not flip:
        return picture
    left = picture.crop((0, 0, 32, 64))
    picture.paste(picture.crop((32, 0, 64, 64)), (0, 0))
    picture.paste(left, (32, 0))
    return picture


def _label(scene: Scene, rng: Random, art: Art) -> Image.Image:
    text = rng.choice((scene.other, scene.other.upper(), scene.other.title()))
    font = art.font(rng.choice(("print", "print", "print", "hand")), 46, rng)
    word = ink(
        settle(text_mask(text, font, fill=0.96, high=0.34), rng, turn=2, shift=0.01, scale=(0.97, 1.03)),
        rng.choice(((20, 20, 24), (160, 20, 30), (20, 50, 140))),
    )
    base = ground(scene.ground, rng)
    top = rng.random() < 0.5
    draw = ImageDraw.Draw(base)
    edge = 11 if top else 53
    draw.rectangle((0, edge - 11, 63, edge + 11), fill=jitter((244, 242, 232), rng, 10))
    base.paste(word, (0, edge - 32), word)
    return _on(
        base, _thing(scene.name, rng.randint(36, 40), rng, art), (rng.randint(22, 42), 43 if top else 21)
    )


def _wallpaper(scene: Scene, rng: Random, art: Art) -> Image.Image:
    base = Image.new("RGB", (SIZE, SIZE), jitter((200, 196, 190), rng, 50))
    tile = _thing(scene.other, 15, rng, art)
    for row in range(4):
        for column in range(-1, 5):
            base.paste(tile, (column * 16 + (8 if row % 2 else 0), row * 16), tile)
    return _on(
        base,
        _thing(scene.name, rng.randint(33, 38), rng, art),
        (rng.randint(22, 42), rng.randint(24, 42)),
        0.6,
    )


FORMS: dict[str, Callable[[Scene, Random, Art], Image.Image]] = {
    "side": _side,
    "distance": _distance,
    "shadow": _shadow,
    "reflection": _reflection,
    "dream": _dream,
    "tone": _tone,
    "sketch": _sketch,
    "turned": _turned,
    "blur": _blur,
    "dark": _dark,
    "label": _label,
    "wallpaper": _wallpaper,
}
