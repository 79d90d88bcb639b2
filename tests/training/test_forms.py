from __future__ import annotations

import json
from dataclasses import asdict, replace
from random import Random

import numpy as np
import pytest

from training import captions as grammar
from training.batches import WEIGHTS, sample
from training.captions import caption
from training.forms import scan
from training.world.art import Art
from training.world.media import CONDITIONS, MEDIA
from training.world.scene import NUMBERS, Scene, value
from training.world.scenes import TWO, compose, draw, names_of

FORMS = [
    (family, form)
    for family, forms in WEIGHTS.items()
    for form in forms
    if family not in ("everyday", "senses")
]
# The things that begin with a letter are drawn from art that is not shipped.
DRAWN = [each for each in FORMS if each != ("letters", "picture")]


@pytest.fixture(scope="module")
def art() -> Art:
    return Art.shipped()


def _scene(family: str, form: str, rng: Random) -> Scene:
    first, second = names_of(family, form)
    name = rng.choice(first)
    other = rng.choice([each for each in second if each != name]) if form in TWO.get(family, ()) else ""
    return compose(family, form, name, other, rng)


@pytest.mark.parametrize(("family", "form"), DRAWN)
def test_a_form_draws_the_same_picture_from_the_same_chance(art: Art, family: str, form: str) -> None:
    """A scene's pixels are 64x64 RGB, show something, and depend on scene and generator state alone."""
    scene = replace(_scene(family, form, Random(1)), condition="plain")
    picture = draw(scene, Random(2), art)
    assert picture.shape == (64, 64, 3)
    assert picture.dtype == np.uint8
    assert picture.std() > 2
    assert np.array_equal(picture, draw(scene, Random(2), art))
    # Other names, drawn with the same chance, give other pictures.
    first, second = names_of(family, form)
    two = form in TWO.get(family, ())
    scene = compose(family, form, first[2], second[3] if two else "", Random(4), "photo", "plain")
    changed = [compose(family, form, first[4], scene.other, Random(4), "photo", "plain")]
    if two:
        changed.append(replace(scene, other=second[5]))
    for each in changed:
        assert not np.array_equal(draw(scene, Random(5), art), draw(each, Random(5), art))


@pytest.mark.parametrize(
    "change", [*({"medium": name} for name in MEDIA), *({"condition": name} for name in CONDITIONS)]
)
def test_media_and_conditions_change_the_picture_and_have_names(art: Art, change: dict[str, str]) -> None:
    """Every medium and condition makes a picture of its own, and the grammar can name it."""
    scene = Scene("everyday", "thing", "cat", ground="wood")
    picture = draw(replace(scene, **change), Random(3), art)
    assert picture.std() > 2
    assert np.array_equal(picture, draw(scene, Random(3), art)) == (change == {"medium": "photo"})
    if "medium" in change:
        assert grammar.MEDIA[change["medium"]].noun
    else:
        assert grammar.CONDITIONS[change["condition"]].adjective
        assert grammar.CONDITIONS[change["condition"]].after


def test_every_form_has_phrases() -> None:
    """Each form can be named, and a form with two names in each of its roles and in both at once."""
    for family, form in FORMS:
        words = grammar.FORMS[f"{family}-{form}"]
        assert all("{}" in phrase and "[]" not in phrase for phrase in (*words.first, *words.soft))
        if form in TWO.get(family, ()):
            assert words.second
            assert all("[]" in phrase and "{}" not in phrase for phrase in words.second)
            assert all("[]" in phrase and "{}" in phrase for phrase in words.both)


def test_captions_name_what_is_drawn(art: Art) -> None:
    """A caption holds one of the scene's names, no open slot, and no more words than the models can read."""
    rng = Random(6)
    for _ in range(3000):
        scene = sample(rng, art)
        text = caption(scene, rng)
        names = [name for name in (scene.name, scene.other) if name]
        names += [str(value(name)) for name in names if name in NUMBERS]
        assert any(name in text for name in names), (scene, text)
        assert not set("{}[]@") & set(text)
        assert len(text.split()) <= 18


def test_a_caption_is_drawn_anew() -> None:
    """One scene has many captions, some of which say nothing of its form."""
    scene = Scene("numbers", "tally", "four", ground="wood")
    texts = {caption(scene, Random(i)) for i in range(300)}
    assert len(texts) > 60
    assert any("tally" in text for text in texts)
    assert "a photo of a four" in texts


def test_second_roles_are_captioned() -> None:
    """What casts the shadow and whose shadow it is are both named, each by its own words."""
    scene = Scene("duo", "shadow", "cat", "dog")
    texts = [caption(scene, Random(i)) for i in range(400)]
    assert any("shadow of a dog" in text for text in texts)
    assert not any("the shadow of a cat" in text for text in texts)
    assert any(text.rstrip(".") == "a photo of a cat" for text in texts)


def test_scenes_round_trip_through_json(art: Art) -> None:
    """A scene comes back from JSON as it was."""
    rng = Random(8)
    scenes = [sample(rng, art) for _ in range(200)]
    assert [Scene(**json.loads(json.dumps(asdict(scene)))) for scene in scenes] == scenes


def test_every_form_is_sampled(art: Art) -> None:
    """Chance leaves no form out."""
    rng = Random(9)
    seen = {(scene.family, scene.form) for scene in (sample(rng, art) for _ in range(6000))}
    assert seen == {(family, form) for family, forms in WEIGHTS.items() for form in forms}


def test_scans_are_coarse_and_fill_their_height() -> None:
    """A scanned digit has 8x8 pixels, with ink in its first and last row, as the real scans have."""
    for digit in range(10):
        pixels = np.asarray(scan(digit, Random(digit)))
        assert pixels.shape == (8, 8)
        assert pixels[0].any()
        assert pixels[-1].any()


def test_a_letter_stands_for_things_that_begin_with_it(art: Art) -> None:
    """The picture for a letter shows a thing whose name begins with it."""
    things = {compose("letters", "picture", "b", "", Random(i)).detail for i in range(60)}
    assert len(things) > 5
    assert all(thing.startswith("b") for thing in things)
    assert draw(Scene("letters", "picture", "b", detail="bee"), Random(1), art).std() > 2


def test_an_unknown_picture_is_refused(art: Art) -> None:
    """A name that the art has no picture of is said so."""
    with pytest.raises(KeyError, match="no picture of 'unicycle'"):
        draw(Scene("everyday", "thing", "unicycle"), Random(1), art)
