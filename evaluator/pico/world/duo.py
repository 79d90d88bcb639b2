"""Two things in one picture, each in a role of its own: a cat, and the shadow of a dog."""

from __future__ import annotations

from random import Random

from PIL import Image, ImageDraw

from .art import Art, Form
from .canvas import BIG, SIZE, disc, ground, ink, jitter, paste
from .scene import Scene

_Spot = tuple[float, float]
_FLIP = Image.Transpose.FLIP_LEFT_RIGHT


def cutout_of(name: str, side: int, rng: Random, art: Art) -> Image.Image:
    """Return a picture of a thing, ``side`` pixels a side, a little turned and tinted, perhaps mirrored."""
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


def put(base: Image.Image, thing: Image.Image, at: _Spot, shadow: float = 0) -> Image.Image:
    """Return the base with a thing at a point of it."""
    layer = Image.new("RGBA", base.size)
    layer.paste(thing, (round(at[0] - thing.width / 2), round(at[1] - thing.height / 2)))
    return paste(base, layer, shadow)


def side(scene: Scene, rng: Random, art: Art) -> Image.Image:
    """Draw both things side by side."""
    base = ground(scene.ground, rng)
    for name, x in ((scene.name, 17), (scene.other, 47)):
        thing = cutout_of(name, rng.randint(27, 33), rng, art)
        base = put(base, thing, (x + rng.randint(-1, 1), rng.randint(20, 44)), 0.4)
    return base


def _dream(scene: Scene, rng: Random, art: Art) -> Image.Image:
    base = ground(scene.ground, rng)
    bubble = Image.new("L", (BIG, BIG))
    draw = ImageDraw.Draw(bubble)
    cloud = ((64, 36, 34), (90, 40, 32), (78, 26, 26), (76, 52, 28), (104, 34, 22), (36, 78, 8), (26, 92, 5))
    for x, y, r in cloud:
        disc(draw, x + 4, y, r)
    flip = rng.random() < 0.5
    bubble = bubble.transpose(_FLIP) if flip else bubble
    base = paste(base, ink(bubble.reduce(2), jitter((246, 246, 250), rng, 8)), 0.3)
    x = 64 - 41 if flip else 41
    base = put(base, cutout_of(scene.other, rng.randint(27, 31), rng, art), (x, 20))
    dreamer = cutout_of(scene.name, rng.randint(26, 30), rng, art)
    return put(base, dreamer, (64 - x - (7 if not flip else -7), 48), 0.3)


def _wallpaper(scene: Scene, rng: Random, art: Art) -> Image.Image:
    base = Image.new("RGB", (SIZE, SIZE), jitter((200, 196, 190), rng, 50))
    tile = cutout_of(scene.other, 15, rng, art)
    for row in range(4):
        for column in range(-1, 5):
            base.paste(tile, (column * 16 + (8 if row % 2 else 0), row * 16), tile)
    thing = cutout_of(scene.name, rng.randint(33, 38), rng, art)
    return put(base, thing, (rng.randint(22, 42), rng.randint(24, 42)), 0.6)


FORMS: dict[str, Form] = {"side": side, "dream": _dream, "wallpaper": _wallpaper}
