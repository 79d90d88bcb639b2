"""Compose scenes, and draw their pixels."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from . import signs, things
from .art import Art, Form
from .canvas import SIZE, ground, paste
from .media import AFTER, BEFORE, LINE_MEDIA, MEDIA
from .scene import CORE, DRAWINGS, NUMBERS, SENSES, Scene

TWO: dict[str, list[str]] = {**DRAWINGS["two"], "duo": list(DRAWINGS["weights"]["duo"])}
"""Forms that hold two names, by family."""
_MEDIA: dict[str, Any] = DRAWINGS["media"]
_CONDITIONS_OF_WHOLE_PICTURES = ("noise", "blur", "fog", "lowres", "clutter", "rain")
_EVERYDAY_MEDIA = {name: 40 if name == "photo" else 5 for name in MEDIA}
_PLAIN_NAMES = {
    "colours": list(things.COLOURS),
    "shapes": things.SHAPES,
    "letters": signs.LETTERS,
    "duo": CORE,
    "words": CORE,
}


def _pick(table: dict[str, float] | dict[str, int], rng: Random) -> str:
    return rng.choices(list(table), weights=list(table.values()))[0]


def names_of(family: str, form: str) -> tuple[list[str], list[str]]:
    """Return the names that a form can show in its first and in its second role."""
    if family == "numbers":
        low, high, second_low, second_high = DRAWINGS["ranges"].get(form, (0, 12, 0, 0))
        return NUMBERS[low : high + 1], NUMBERS[second_low : second_high + 1]
    names = _PLAIN_NAMES[family]
    if (family, form) == ("letters", "picture"):
        names = [name for name in names if signs.initial_things(name)]
    return names, names


def medium_for(family: str, form: str, rng: Random) -> str:
    """Return a medium for the form; "photo" for forms that are whole pictures already."""
    if family in ("everyday", "senses"):
        return _pick(_EVERYDAY_MEDIA, rng)
    if family in ("colours", "duo") or form == "scan":
        return "photo"
    if form in _MEDIA["own"]:
        return _pick(_MEDIA["own"][form], rng)
    return _pick(_MEDIA["objects" if form in _MEDIA["object_forms"] else "marks"], rng)


def condition_for(family: str, form: str, rng: Random) -> str:
    """Return a condition of the picture, "plain" most often."""
    if rng.random() > (0.45 if family == "everyday" else 0.22):
        return "plain"
    if family == "everyday":
        return rng.choice((*BEFORE, *AFTER))
    if family in ("colours", "duo") or form == "scan":
        choices = ("noise", "blur") if family == "colours" else _CONDITIONS_OF_WHOLE_PICTURES
        return rng.choice(choices)
    return rng.choice(tuple(AFTER))


def compose(
    family: str, form: str, name: str, other: str, rng: Random, medium: str = "", condition: str = ""
) -> Scene:
    """Return a scene of a given form and names; the rest is random if not given."""
    detail = ""
    if form in ("count", "field"):
        detail = rng.choice(CORE)
    elif form == "picture":
        detail = rng.choice(signs.initial_things(name))
    elif family == "senses":
        detail = other or rng.choice(list(SENSES[name]))
        other = ""
    medium = medium or medium_for(family, form, rng)
    return Scene(
        family,
        form,
        name,
        other,
        medium,
        condition or condition_for(family, form, rng),
        rng.choice(DRAWINGS["grounds"]),
        detail,
    )


FORMS: dict[str, dict[str, Form]] = {
    "numbers": signs.NUMBER_FORMS,
    "letters": signs.LETTER_FORMS,
    "colours": things.COLOUR_FORMS,
    "shapes": things.SHAPE_FORMS,
    "duo": things.DUO_FORMS,
}
"""Forms by family and name; ``training.forms`` adds those that no bundled set shows."""


def _picture(scene: Scene, rng: Random, art: Art) -> Image.Image:
    """Draw the figure (RGBA) or whole picture (RGB) of a scene, before its medium."""
    if scene.family in ("everyday", "senses"):
        key = scene.name if scene.family == "everyday" else f"{scene.name}/{scene.detail}"
        line = scene.medium in LINE_MEDIA and rng.random() < 0.4
        thing = art.cutout(key, rng, line=line)
        if rng.random() < 0.5:
            thing = thing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        side = rng.randint(44, 60)
        thing = thing.rotate(rng.uniform(-14, 14), Image.Resampling.BILINEAR)
        thing = things.tint(thing.resize((side, side), Image.Resampling.BOX), rng)
        placed = Image.new("RGBA", (SIZE, SIZE))
        placed.paste(thing, (rng.randint(0, SIZE - side), rng.randint(0, SIZE - side)))
        return placed
    return FORMS[scene.family][scene.form](scene, rng, art)


def draw(scene: Scene, rng: Random, art: Art) -> NDArray[np.uint8]:
    """Draw the scene: uint8 [64, 64, 3]; deterministic for a generator state."""
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
