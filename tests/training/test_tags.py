"""Captions of the CLIPs that learned texts by others."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import numpy as np
import pytest

from promptclimb.evaluator.datasets.hand_made import imagenet_templates
from training.tags import TaggedPictures, templates_in_captions
from training.world.art import CUTOUT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One gathered picture, with braces in its name."""
    np.save(tmp_path / "pictures.npy", np.zeros((1, CUTOUT, CUTOUT, 4), np.uint8))
    texts = {"names": ["red {car}"], "keywords": ["vehicle"], "sentences": []}
    texts |= {"kind": "icons", "tinted": False}
    (tmp_path / "texts.jsonl").write_text(json.dumps(texts) + "\n")
    return tmp_path


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.5, 400, 600), (1.0, 1000, 1000)])
def test_a_share_of_captions_is_a_name_in_a_template(
    folder: Path, share: float, least: int, most: int
) -> None:
    """The others are names and keywords; every fourth of OpenAI's templates is in no caption."""
    pictures, rng = TaggedPictures(folder, share), Random(1)
    captions = [pictures.caption(0, rng) for _ in range(1000)]
    in_templates = [text for text in captions if text.replace("red {car}", "{}") in templates_in_captions()]
    assert least <= len(in_templates) <= most
    held_out = {template.format("red {car}") for template in imagenet_templates()[::4]}
    assert not held_out & set(captions)
    assert len(templates_in_captions()) == 2 * 60


def test_words_of_templates_are_known_to_the_model(folder: Path) -> None:
    """Twice each, as a word that stands once is left out of the vocabulary."""
    assert list(TaggedPictures(folder, 0.5).texts()).count("a bad photo of the .") == 2
    assert len(list(TaggedPictures(folder).texts())) == 2
