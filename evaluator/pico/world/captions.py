"""From a scene to a caption: a grammar with synonyms, orders and omissions, drawn anew each time."""

from __future__ import annotations

from random import Random

from evaluator.pico.world import grammar
from evaluator.pico.world.concepts import KIND
from evaluator.pico.world.numbers import NUMBERS
from evaluator.pico.world.scene import Scene

_FRAMES = ("a photo of {}", "a photo of {}", "a picture of {}", "an image of {}", "a photo showing {}", "a close-up of {}", "itap of {}", "a picture showing {}", "this is {}", "there is {}")
_ADJECTIVE_FRAMES = ("a @ photo of {}", "a @ picture of {}", "a @ image of {}", "a @ photo showing {}")


def _one(options: str | tuple[str, ...], rng: Random) -> str:
    return rng.choice(options.split("|") if isinstance(options, str) else options)


def _numeral(name: str, rng: Random) -> str:
    """A number word, now and then as a numeral."""
    return str(NUMBERS.index(name)) if rng.random() < 0.12 else name


def _fill(phrase: str, scene: Scene, rng: Random, neutral_second: bool = False) -> str:
    name, other = scene.name, scene.other
    if scene.family == "numbers":
        name, other = _numeral(name, rng), _numeral(other, rng) if other else ""
    if neutral_second:
        name = other
    return phrase.replace("{}", name).replace("[]", other)


def _core(scene: Scene, rng: Random) -> str:
    """The noun phrase: the first role, the second, both, or a name without its form."""
    words = grammar.FORMS[f"{scene.family}-{scene.form}"]
    luck = rng.random()
    if not scene.other:
        if luck < 0.35:
            return _fill(_one(grammar.NEUTRAL[scene.family], rng), scene, rng)
        return _fill(_one(words.soft if words.soft and luck < 0.5 else words.first, rng), scene, rng)
    if luck < 0.3:
        return _fill(_one(grammar.NEUTRAL[scene.family], rng), scene, rng, neutral_second=rng.random() > words.lean)
    if luck < 0.58:
        return _fill(_one(words.first, rng), scene, rng)
    if luck < 0.9:
        return _fill(_one(words.second, rng), scene, rng)
    if words.soft and luck < 0.93:
        return _fill(_one(words.soft, rng), scene, rng)
    return _fill(_one(words.both, rng), scene, rng)


def _after(scene: Scene, rng: Random) -> str:
    """What may follow: the medium, the condition or the place."""
    choices = []
    medium, condition = grammar.MEDIA[scene.medium][2], grammar.CONDITIONS.get(scene.condition, ("", ""))[1]
    if medium:
        choices += [medium, medium]
    elif scene.family not in ("colours", "duo") and scene.form != "scan" and scene.medium == "photo" and scene.ground in grammar.GROUNDS:
        choices.append(grammar.GROUNDS[scene.ground])
    if condition:
        choices.append(condition)
    return " " + _one(_one(tuple(choices), rng), rng) if choices else ""


def _marks(scene: Scene, rng: Random) -> str:
    """A caption of a number, letter, colour, shape, word or pair."""
    text = _core(scene, rng)
    adjectives = grammar.CONDITIONS.get(scene.condition, ("", ""))[0]
    named = any(word in text for word in ("photo", "picture", "close-up", "drawing", "sketch"))
    if not named and rng.random() < 0.55:
        if adjectives and rng.random() < 0.4:
            text = _one(_ADJECTIVE_FRAMES, rng).replace("@", _one(adjectives, rng)).replace("{}", text)
        else:
            text = _one(_FRAMES, rng).replace("{}", text)
    if rng.random() < 0.25:
        text += _after(scene, rng)
    return text


def _noun(scene: Scene, rng: Random) -> str:
    """The word for the picture: its medium's, or that of any picture."""
    if rng.random() < 0.4:
        return _one(("photo", "photo", "photo", "picture", "image"), rng)
    return _one(grammar.MEDIA[scene.medium][0], rng)


def _thing(scene: Scene, rng: Random) -> str:
    """The thing itself, with its kind at times."""
    text = _one(grammar.NEUTRAL["everyday"][:8], rng).replace("{}", scene.name)
    if scene.family == "senses":
        sense = _one(grammar.SENSES[scene.detail], rng)
        luck = rng.random()
        if luck < 0.45:
            text += f", {sense}"
        elif luck < 0.6:
            text = f"{sense} called {scene.name}"
        elif luck < 0.68:
            text += f", a kind of {sense.removeprefix('a ').removeprefix('an ')}"
    elif scene.name in KIND and rng.random() < 0.12:
        kind = grammar.KINDS.get(KIND[scene.name], KIND[scene.name])
        text += _one((f", a kind of {kind}", f", a type of {kind}", f", a {kind}"), rng)
    return text


def _everyday(scene: Scene, rng: Random) -> str:
    """A caption of one thing in some medium and condition."""
    thing = _thing(scene, rng)
    adjective = _one(grammar.CONDITIONS.get(scene.condition, ("", ""))[0], rng) if rng.random() < 0.5 else ""
    luck = rng.random()
    if luck < 0.62:
        noun = " ".join(part for part in (adjective, _noun(scene, rng)) if part)
        article = "an" if noun[0] in "aeiou" and not noun.startswith("8") else _one(("a", "a", "a", "the", "this"), rng)
        text = f"{article} {noun} of {thing}"
    elif luck < 0.72 and grammar.MEDIA[scene.medium][1]:
        text = f"{_one(('a', 'the', 'a'), rng)} {_one(grammar.MEDIA[scene.medium][1], rng)} {scene.name}"
    elif luck < 0.78:
        text = f"itap of {thing}"
    else:
        text = thing
    if rng.random() < 0.35:
        text += _after(scene, rng)
    return text


def caption(scene: Scene, rng: Random) -> str:
    """One caption of the scene, at most some twenty tokens; each call draws another."""
    text = _everyday(scene, rng) if scene.family in ("everyday", "senses") else _marks(scene, rng)
    return text + "." if rng.random() < 0.3 else text
