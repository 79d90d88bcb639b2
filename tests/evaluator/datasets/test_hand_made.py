"""Templates to compare with."""

from __future__ import annotations

import pytest

from promptclimb.evaluator.datasets.hand_made import OPENAI, PLAIN, for_dataset, hand_made
from promptclimb.evaluator.datasets.loading import known
from promptclimb.evaluator.datasets.readers import bundled
from promptclimb.evaluator.datasets.readers.coop import ELEVEN

# How many templates OpenAI published for each data set.
PUBLISHED = {
    "caltech101": 34,
    "oxford_pets": 1,
    "stanford_cars": 8,
    "oxford_flowers": 1,
    "food101": 1,
    "fgvc_aircraft": 2,
    "sun397": 2,
    "dtd": 8,
    "eurosat": 3,
    "ucf101": 48,
}


@pytest.mark.parametrize("name", [entry.name for entry in known()])
def test_every_known_set_has_templates_of_its_own(name: str) -> None:
    """At least one, each with a slot, no two alike."""
    found = for_dataset(name)
    assert found["default template"] == (PLAIN,)
    assert len(set(found["hand-made"])) == len(found["hand-made"]) >= 1
    assert all("{}" in template for templates in found.values() for template in templates)


def test_openais_sets_have_their_published_sizes() -> None:
    """Ten sets here; ImageNet's is open_clip's own list."""
    assert {name: len(templates) for name, templates in OPENAI.items()} == PUBLISHED
    assert set(PUBLISHED) | {"imagenet"} == set(ELEVEN)
    assert len(hand_made("imagenet")) == 7


def test_open_clips_lists_are_open_clips() -> None:
    """The same texts that the library's functions give."""
    import open_clip

    found = for_dataset("a folder of mine")
    assert "hand-made" not in found
    pairs = (
        ("openai-imagenet", open_clip.OPENAI_IMAGENET_TEMPLATES, 80),
        ("simple-imagenet", open_clip.SIMPLE_IMAGENET_TEMPLATES, 7),
    )
    for name, functions, count in pairs:
        assert [text.replace("{}", "cat") for text in found[name]] == [make("cat") for make in functions]
        assert len(found[name]) == count


def test_the_templates_of_a_bundled_set_are_its_own() -> None:
    """Two sets of unlike pictures are described in unlike words."""
    first, second = bundled.names()[:2]
    assert not set(hand_made(first)) & set(hand_made(second))
