"""What pictures there are and how often: from chance to a scene."""

from __future__ import annotations

from itertools import accumulate
from random import Random

from . import duo, letters, shapes
from .art import Art
from .concepts import CONCEPTS, CORE, EVERYDAY, SENSES
from .conditions import AFTER, BEFORE
from .media import MEDIA
from .scene import NUMBERS, Scene

GROUNDS = [
    "paper",
    "wood",
    "grass",
    "sky",
    "sand",
    "brick",
    "snow",
    "stone",
    "fabric",
    "metal",
    "leaves",
    "plain",
    "scenery",
    "night",
    "water",
]
# How often each form is drawn, family by family; only the ratios matter.
WEIGHTS: dict[str, dict[str, float]] = {
    "everyday": {"thing": 22},
    "senses": {"thing": 3},
    "words": {"written": 3},
    "numbers": {
        "print": 1.5,
        "hand": 2,
        "scan": 4.5,
        "tally": 2,
        "roman": 1.5,
        "binary": 1.2,
        "word": 1,
        "segments": 0.8,
        "dice": 1.5,
        "domino": 2,
        "clock": 2.4,
        "frame": 0.8,
        "count": 1.5,
        "repeat": 2,
        "pair": 1.6,
        "navon": 1.2,
        "card": 0.8,
    },
    "letters": {
        "print": 1.6,
        "hand": 1.2,
        "mirror": 1,
        "turned": 1.3,
        "navon": 1.3,
        "cases": 1.6,
        "morse": 1.7,
        "braille": 1.7,
        "semaphore": 2,
        "flag": 1.2,
        "picture": 1,
    },
    "colours": {"stroop": 2.8, "field": 2.8, "border": 1.8, "patch": 0.8},
    "shapes": {"filled": 0.8, "outline": 0.8, "nested": 2.2, "navon": 1.4, "drawn": 1.6},
    "duo": {
        "side": 2,
        "distance": 2,
        "shadow": 2,
        "reflection": 2,
        "dream": 2,
        "tone": 2,
        "sketch": 2,
        "turned": 1.6,
        "blur": 1.6,
        "dark": 1.6,
        "label": 2.4,
        "wallpaper": 1.8,
    },
}
# The numbers that a form can show: first and second role, from and up to.
RANGES: dict[str, tuple[int, int, int, int]] = {
    "scan": (0, 9, 0, 9),
    "tally": (1, 12, 0, 0),
    "roman": (1, 12, 0, 0),
    "dice": (1, 12, 0, 0),
    "domino": (0, 9, 0, 9),
    "clock": (1, 12, 1, 12),
    "frame": (1, 10, 0, 0),
    "count": (1, 12, 0, 0),
    "repeat": (1, 10, 1, 9),
    "pair": (1, 9, 0, 9),
    "navon": (0, 9, 0, 9),
    "card": (1, 10, 0, 0),
}
# Forms with a second name in them.
TWO = {
    "numbers": {"domino", "clock", "repeat", "pair", "navon"},
    "letters": {"navon", "cases"},
    "colours": {"stroop", "field", "border"},
    "shapes": {"nested", "navon", "drawn"},
    "duo": set(duo.FORMS),
}
_MARKS = {
    "photo": 40,
    "clipart": 12,
    "chalk": 10,
    "neon": 6,
    "stone": 7,
    "embroidery": 5,
    "graffiti": 7,
    "pixel": 4,
    "blueprint": 4,
    "halftone": 3,
    "monochrome": 4,
}
_OBJECTS = {"photo": 68, "clipart": 15, "monochrome": 8, "sepia": 4, "watercolour": 3, "oil": 2}
_OBJECT_FORMS = {
    "segments",
    "dice",
    "domino",
    "clock",
    "frame",
    "count",
    "repeat",
    "card",
    "semaphore",
    "flag",
    "picture",
}
_OWN_MEDIA: dict[str, dict[str, float]] = {
    "tally": {"photo": 40, "chalk": 25, "stone": 25, "graffiti": 10},
    "roman": {"photo": 40, "stone": 40, "clipart": 10, "embroidery": 5, "neon": 5},
    "hand": {"photo": 60, "chalk": 25, "graffiti": 5, "clipart": 10},
    "morse": {"photo": 50, "clipart": 20, "blueprint": 10, "chalk": 10, "neon": 10},
    "braille": {"photo": 50, "stone": 25, "clipart": 15, "embroidery": 10},
    "binary": {"photo": 40, "clipart": 25, "blueprint": 15, "pixel": 10, "neon": 10},
    "navon": {"photo": 60, "clipart": 40},
}
_EVERYDAY_MEDIA = {name: 40 if name == "photo" else 5 for name in MEDIA}
_OFTEN = [*CORE, *EVERYDAY]
_ALL = list(CONCEPTS)
_CHOICES = [(family, form, weight) for family, forms in WEIGHTS.items() for form, weight in forms.items()]
_ODDS = list(accumulate(weight for _, _, weight in _CHOICES))
_PLAIN_NAMES = {
    "colours": list(shapes.COLOURS),
    "shapes": shapes.SHAPES,
    "letters": letters.LETTERS,
    "duo": CORE,
    "words": CORE,
}


def _pick(table: dict[str, float] | dict[str, int], rng: Random) -> str:
    return rng.choices(list(table), weights=list(table.values()))[0]


def names_of(family: str, form: str) -> tuple[list[str], list[str]]:
    """Return the names that a form can show in its first and in its second role."""
    if family == "numbers":
        low, high, second_low, second_high = RANGES.get(form, (0, 12, 0, 0))
        return NUMBERS[low : high + 1], NUMBERS[second_low : second_high + 1]
    names = _PLAIN_NAMES[family]
    if (family, form) == ("letters", "picture"):
        names = [name for name in names if letters.initial_things(name)]
    return names, names


def medium_for(family: str, form: str, rng: Random) -> str:
    """Return a medium that the form is seen in; "photo" for forms that are whole pictures already."""
    if family in ("everyday", "senses"):
        return _pick(_EVERYDAY_MEDIA, rng)
    if family in ("colours", "duo") or form == "scan":
        return "photo"
    if form in _OWN_MEDIA:
        return _pick(_OWN_MEDIA[form], rng)
    return _pick(_OBJECTS if form in _OBJECT_FORMS else _MARKS, rng)


def condition_for(family: str, form: str, rng: Random) -> str:
    """Return a condition of the picture, "plain" most often."""
    if rng.random() > (0.45 if family == "everyday" else 0.22):
        return "plain"
    if family == "everyday":
        return rng.choice((*BEFORE, *AFTER))
    if family in ("colours", "duo") or form == "scan":
        return rng.choice(
            ("noise", "blur", "fog", "lowres", "clutter", "rain")
            if family != "colours"
            else ("noise", "blur")
        )
    return rng.choice(tuple(AFTER))


def compose(
    family: str, form: str, name: str, other: str, rng: Random, medium: str = "", condition: str = ""
) -> Scene:
    """Return a scene of a given form and names; the rest by chance where it is not given."""
    detail = ""
    if form in ("count", "field"):
        detail = rng.choice(CORE)
    elif form == "picture":
        detail = rng.choice(letters.initial_things(name))
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
        rng.choice(GROUNDS),
        detail,
    )


# Forms that are too fine to learn at this size with the rest.
_UNTAUGHT = {
    "words": {"written"},
    "numbers": {"word", "navon", "frame", "card"},
    "letters": {"mirror", "turned", "navon", "cases", "picture"},
    "shapes": {"navon"},
    "duo": {"turned", "blur", "dark", "label"},
}


def shown(scene: Scene) -> bool:
    """Return whether the models are taught from such a scene."""
    if scene.family == "everyday":
        return scene.name in _OFTEN
    return scene.form not in _UNTAUGHT.get(scene.family, ())


def sample(rng: Random, art: Art) -> Scene:
    """Return one scene of the world, by chance."""
    family, form, _ = rng.choices(_CHOICES, cum_weights=_ODDS)[0]
    if family == "everyday":
        name = rng.choice(_OFTEN if rng.random() < 0.45 else _ALL)
        if not art.has(name):
            return sample(rng, art)
        return compose(family, form, name, "", rng)
    if family == "senses":
        return compose(family, form, rng.choice(list(SENSES)), "", rng)
    first, second = names_of(family, form)
    name = rng.choice(first)
    other = ""
    if form in TWO.get(family, ()):
        alike = rng.random() < 0.04
        other = name if alike and name in second else rng.choice([each for each in second if each != name])
    return compose(family, form, name, other, rng)
