"""The drawn sets: small problems where a template's words decide what a class name means.

Pictures are drawn from cut-outs and fonts that no training image of the pico CLIPs shows.
Few-shot and test pictures use different fonts and, where possible, cut-outs. Needs only numpy and Pillow.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any

from PIL import Image

from .world.art import ASSETS, Art
from .world.scene import Scene
from .world.scenes import TWO, compose, draw, names_of

TRAIN, VAL, TEST = 40, 10, 1000
_TEST_FONTS = ("arvo", "work-sans", "delius", "sue-ellen-francisco")
_SHOT_FONTS = ("karla", "short-stack")


@dataclass(frozen=True, kw_only=True)
class Spec:
    """One bundled set."""

    title: str
    classes: tuple[str, ...]
    family: str
    form: str
    matching: tuple[str, ...]  # say what the pictures show
    contradicting: tuple[str, ...]  # say something else
    role: str = "first"  # which of the form's two names is the label: "first" or "second"
    # media of the pictures; random as in the world if empty
    media: tuple[str, ...] = ()
    # for ambiguous names, the sense that is drawn, by class; "" for a name that has one only
    senses: tuple[str, ...] = ()
    # what is drawn, by class, where the class names are other words for it
    shown: tuple[str, ...] = ()


def _spec(table: dict[str, Any], named: dict[str, list[str]]) -> Spec:
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in table.items()
    }
    if isinstance(table["classes"], str):
        values["classes"] = tuple(named[table["classes"]])
    return Spec(**values)


@lru_cache(maxsize=1)
def _sets() -> dict[str, Spec]:
    tables = tomllib.loads((ASSETS / "sets.toml").read_text(encoding="utf-8"))
    return {name: _spec(table, tables["names"]) for name, table in tables["sets"].items()}


def names() -> tuple[str, ...]:
    """Return the names of the bundled sets."""
    return tuple(_sets())


def spec(name: str) -> Spec:
    """Return the definition of a bundled set."""
    if name not in _sets():
        raise KeyError(f"no bundled set {name!r}; there are {', '.join(_sets())}")
    return _sets()[name]


def title(name: str) -> str:
    """Return one line on what the pictures of a bundled set show."""
    return spec(name).title


@lru_cache(maxsize=2)
def _art(tested: bool) -> Art:
    """Return the art of one part: parts share no font, and no picture of a name that has several."""
    return Art.shipped().part(1, _TEST_FONTS) if tested else Art.shipped().part(0, _SHOT_FONTS)


def scene_of(of: Spec, label: str, rng: Random) -> Scene:
    """Return a scene of a set that shows ``label``; a second name in it is another class."""
    index = of.classes.index(label)
    family, first, second = of.family, of.shown[index] if of.shown else label, ""
    if of.senses:
        second = of.senses[index]
        family = "senses" if second else "everyday"
    elif of.form in TWO.get(of.family, ()):
        allowed = names_of(of.family, of.form)[1 if of.role == "first" else 0]
        distractor = rng.choice([name for name in of.classes if name != label and name in allowed])
        first, second = (label, distractor) if of.role == "first" else (distractor, label)
    return compose(family, of.form, first, second, rng, rng.choice(of.media) if of.media else "")


def pictures(name: str, split: str, seed: int = 1) -> Iterator[tuple[str, Image.Image]]:
    """Yield a split's ("train", "val" or "test") class names and pictures, class by class."""
    of = spec(name)
    size = {"train": TRAIN, "val": VAL, "test": -(-TEST // len(of.classes))}[split]
    for label in of.classes:
        for index in range(size):
            rng = Random(f"{name}/{split}/{label}/{index}/{seed}")
            yield label, Image.fromarray(draw(scene_of(of, label, rng), rng, _art(split == "test")))
