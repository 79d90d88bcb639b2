"""From a scene to pixels."""

from __future__ import annotations

from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from . import duo, letters, numbers, shapes
from .art import Art
from .canvas import SIZE, ground, paste
from .conditions import AFTER, BEFORE
from .glyphs import Form, figure, text_mask
from .media import LINE_MEDIA, MEDIA
from .scene import Scene

_FORMS: dict[str, dict[str, Form]] = {
    "numbers": numbers.FORMS,
    "letters": letters.FORMS,
    "colours": shapes.COLOUR_FORMS,
    "shapes": shapes.SHAPE_FORMS,
    "duo": duo.FORMS,
}


def _picture(scene: Scene, rng: Random, art: Art) -> Image.Image:
    """Draw the figure (RGBA) or whole picture (RGB) of a scene, before its medium."""
    if scene.family == "words":
        text = rng.choice((scene.name, scene.name.upper(), scene.name.title()))
        shape = text_mask(text, art.font(rng.choice(("print", "print", "hand")), 60, rng), fill=0.94)
        return figure(shape, rng, turn=5, scale=(0.95, 1.05))
    if scene.family in ("everyday", "senses"):
        key = scene.name if scene.family == "everyday" else f"{scene.name}/{scene.detail}"
        line = scene.medium in LINE_MEDIA and rng.random() < 0.4
        thing = art.cutout(key, rng, line=line)
        if rng.random() < 0.5:
            thing = thing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        side = rng.randint(44, 60)
        thing = duo.tint(
            thing.rotate(rng.uniform(-14, 14), Image.Resampling.BILINEAR).resize(
                (side, side), Image.Resampling.BOX
            ),
            rng,
        )
        placed = Image.new("RGBA", (SIZE, SIZE))
        placed.paste(thing, (rng.randint(0, SIZE - side), rng.randint(0, SIZE - side)))
        return placed
    return _FORMS[scene.family][scene.form](scene, rng, art)


def draw(scene: Scene, rng: Random, art: Art) -> NDArray[np.uint8]:
    """Draw the scene as pixels, uint8 [64, 64, 3]; the same scene and generator state give the same picture.

    Raises:
        KeyError: the art has no picture of what the scene shows.
    """
    picture = _picture(scene, rng, art)
    if picture.mode == "RGBA":
        if scene.condition in BEFORE:
            picture = BEFORE[scene.condition](picture, rng)
        picture = MEDIA[scene.medium](picture, scene.ground, rng)
    elif scene.condition in BEFORE:
        picture = paste(ground(scene.ground, rng), BEFORE[scene.condition](picture.convert("RGBA"), rng))
    if scene.condition in AFTER:
        picture = AFTER[scene.condition](picture, rng)
    return np.asarray(picture)
