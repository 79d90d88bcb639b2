"""Write captions for a scene by a grammar with synonyms; its words are in phrases.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from .world.scene import KIND, NUMBERS, Scene

_TABLES: dict[str, Any] = tomllib.loads((Path(__file__).parent / "phrases.toml").read_text(encoding="utf-8"))


class FormWords(NamedTuple):
    """The phrases of one form; ``{}`` is the name in its first role, ``[]`` in its second.

    Vague phrases name no form and mean the first role at rate ``lean``.
    """

    first: tuple[str, ...]
    second: tuple[str, ...]
    both: tuple[str, ...]
    soft: tuple[str, ...]
    lean: float


class Naming(NamedTuple):
    """How a medium or a condition is named: as a noun ("sketch"), as an adjective, and after the name."""

    noun: tuple[str, ...]
    adjective: tuple[str, ...]
    after: tuple[str, ...]


def _words(table: dict[str, Any]) -> FormWords:
    first, second, both, soft = (tuple(table.get(key, ())) for key in ("first", "second", "both", "soft"))
    return FormWords(first, second, both, soft, float(table.get("lean", 0.5)))


def _naming(table: dict[str, list[str]]) -> Naming:
    return Naming(*(tuple(table.get(key, ())) for key in ("noun", "adjective", "after")))


def _lists(table: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {key: tuple(phrases) for key, phrases in table.items()}


FORMS: dict[str, FormWords] = {form: _words(table) for form, table in _TABLES["forms"].items()}
NEUTRAL = _lists(_TABLES["neutral"])
MEDIA: dict[str, Naming] = {medium: _naming(table) for medium, table in _TABLES["media"].items()}
CONDITIONS: dict[str, Naming] = {
    condition: _naming(table) for condition, table in _TABLES["conditions"].items()
}
GROUNDS = _lists(_TABLES["grounds"])
KINDS: dict[str, str] = dict(_TABLES["kinds"])
SENSES = _lists(_TABLES["senses"])
UNNAMED = Naming((), (), ())


def _condition(scene: Scene) -> Naming:
    return CONDITIONS.get(scene.condition, UNNAMED)


def _numeral(name: str, rng: Random) -> str:
    return str(NUMBERS.index(name)) if rng.random() < 0.12 else name


def _fill(phrase: str, scene: Scene, rng: Random, neutral_second: bool = False) -> str:
    first, second = scene.name, scene.other
    if scene.family == "numbers":
        first, second = _numeral(first, rng), _numeral(second, rng) if second else ""
    return phrase.replace("{}", second if neutral_second else first).replace("[]", second)


def _core(scene: Scene, rng: Random) -> str:
    """Return the noun phrase: the first role, the second, both, or a name without its form."""
    words = FORMS[f"{scene.family}-{scene.form}"]
    neutral = NEUTRAL[scene.family]
    luck = rng.random()
    if not scene.other:
        if luck < 0.35:
            return _fill(rng.choice(neutral), scene, rng)
        return _fill(rng.choice(words.soft if words.soft and luck < 0.5 else words.first), scene, rng)
    if luck < 0.3:
        return _fill(rng.choice(neutral), scene, rng, neutral_second=rng.random() > words.lean)
    if luck < 0.58:
        return _fill(rng.choice(words.first), scene, rng)
    if luck < 0.9:
        return _fill(rng.choice(words.second), scene, rng)
    return _fill(rng.choice(words.soft if words.soft and luck < 0.93 else words.both), scene, rng)


def _places(scene: Scene) -> tuple[str, ...]:
    """Return phrases for where a number, letter or shape is drawn."""
    if scene.family in ("colours", "duo") or scene.form == "scan" or scene.medium != "photo":
        return ()
    return GROUNDS.get(scene.ground, ())


def _after(scene: Scene, rng: Random) -> str:
    medium = MEDIA[scene.medium].after
    options = [medium, medium] if medium else [_places(scene)]
    choices = [phrases for phrases in (*options, _condition(scene).after) if phrases]
    return " " + rng.choice(rng.choice(choices)) if choices else ""


def _marks(scene: Scene, rng: Random) -> str:
    text = _core(scene, rng)
    adjectives = _condition(scene).adjective
    if not any(word in text for word in _TABLES["framed"]) and rng.random() < 0.55:
        if adjectives and rng.random() < 0.4:
            text = (
                rng.choice(_TABLES["adjective_frames"])
                .replace("@", rng.choice(adjectives))
                .replace("{}", text)
            )
        else:
            text = rng.choice(_TABLES["frames"]).replace("{}", text)
    if rng.random() < 0.25:
        text += _after(scene, rng)
    return text


def _noun(scene: Scene, rng: Random) -> str:
    if rng.random() < 0.4:
        return rng.choice(("photo", "photo", "photo", "picture", "image"))
    return rng.choice(MEDIA[scene.medium].noun)


def _sense(scene: Scene, text: str, rng: Random) -> str:
    """Return an ambiguous name, with or without its sense."""
    sense = rng.choice(SENSES[scene.detail])
    luck = rng.random()
    if luck < 0.45:
        return f"{text}, {sense}"
    if luck < 0.6:
        return f"{sense} called {scene.name}"
    if luck < 0.68:
        return f"{text}, a kind of {sense.removeprefix('a ').removeprefix('an ')}"
    return text


def _thing(scene: Scene, rng: Random) -> str:
    text = rng.choice(NEUTRAL["everyday"]).replace("{}", scene.name)
    if scene.family == "senses":
        return _sense(scene, text, rng)
    if scene.name in KIND and rng.random() < 0.12:
        kind = KINDS.get(KIND[scene.name], KIND[scene.name])
        text += rng.choice((f", a kind of {kind}", f", a type of {kind}", f", a {kind}"))
    return text


def _pictured(scene: Scene, thing: str, rng: Random) -> str:
    adjectives = _condition(scene).adjective
    adjective = rng.choice(adjectives) + " " if adjectives and rng.random() < 0.5 else ""
    noun = adjective + _noun(scene, rng)
    article = "an" if noun[0] in "aeiou" else rng.choice(("a", "a", "a", "the", "this"))
    return f"{article} {noun} of {thing}"


def _everyday(scene: Scene, rng: Random) -> str:
    thing = _thing(scene, rng)
    adjectives = MEDIA[scene.medium].adjective
    luck = rng.random()
    if luck < 0.62:
        text = _pictured(scene, thing, rng)
    elif luck < 0.72 and adjectives:
        text = f"{rng.choice(('a', 'the', 'a'))} {rng.choice(adjectives)} {scene.name}"
    else:
        text = f"itap of {thing}" if luck < 0.78 else thing
    if rng.random() < 0.35:
        text += _after(scene, rng)
    return text


def caption(scene: Scene, rng: Random) -> str:
    """Return a random caption of the scene, at most about twenty tokens."""
    text = _everyday(scene, rng) if scene.family in ("everyday", "senses") else _marks(scene, rng)
    return text + "." if rng.random() < 0.3 else text
