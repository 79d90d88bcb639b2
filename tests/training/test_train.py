"""Training at toy size: a killed one is resumed and ends with the same weights."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from training.batches import Pictures, render
from training.loop import Recipe, TextTrainer, Trainer
from training.model import Vocabulary, build, token_ids
from training.world.art import Art
from training.world.scene import CONCEPTS, CORE, SENSES

pytestmark = pytest.mark.slow

PICTURES = 64
RECIPE = Recipe(name="RN-pico", steps=4, batch=16, save_every=3600.0)


@functools.cache
def plain_art() -> Art:
    """Art in which every thing is a coloured disc, so that nothing needs to be fetched."""
    names = [*CONCEPTS, *CORE, *(f"{name}/{kind}" for name, kinds in SENSES.items() for kind in kinds)]
    shipped = Art.shipped()
    rng = Random(0)
    discs = {name: [Image.new("RGBA", (72, 72), (*rng.randbytes(3), 255))] for name in names}
    return Art(discs, {}, shipped._fonts)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A few dozen rendered pictures in two shards."""
    folder = tmp_path_factory.mktemp("shards")
    return render(folder, PICTURES, seed=1, workers=1, shard=32, gather=plain_art)


@pytest.fixture(scope="module")
def pictures(shards: list[Path]) -> Pictures:
    """Those of them that models are taught from."""
    return Pictures(shards)


@pytest.fixture(scope="module")
def vocabulary(pictures: Pictures) -> Vocabulary:
    """The tokens of their captions."""
    return Vocabulary(token for text in pictures.captions(4, 1) for token in token_ids(text))


def _trainer(recipe: Recipe, pictures: Pictures, vocabulary: Vocabulary, folder: Path) -> Trainer:
    return Trainer(recipe, pictures, pictures, vocabulary, folder / recipe.name, folder / "export")


def test_a_killed_training_ends_with_the_same_weights(
    pictures: Pictures, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    """Stopped after two of four steps and started anew, it exports the weights of an uninterrupted one."""
    whole = _trainer(RECIPE, pictures, vocabulary, tmp_path / "whole")
    whole.run()
    first = _trainer(RECIPE, pictures, vocabulary, tmp_path / "cut")
    first.model.train()
    for _ in range(2):
        first._advance()
    first.keep()
    second = _trainer(RECIPE, pictures, vocabulary, tmp_path / "cut")
    assert second.step == 2
    second.run()
    weights = [load_file(tmp_path / name / "RN-pico" / "average.safetensors") for name in ("whole", "cut")]
    for key, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][key], atol=1e-4, rtol=1e-3, msg=key)


def test_a_text_tower_is_trained_for_a_locked_image_tower(
    pictures: Pictures, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    """The image tower stays to the bit, the loss falls, and a killed training ends with the same weights."""
    tower = save_tower(tmp_path)
    recipe = replace(RECIPE, name="ViT-pico", steps=30, image_tower=tower)

    def trainer(name: str) -> TextTrainer:
        folder = tmp_path / name
        return TextTrainer(recipe, pictures, pictures, vocabulary, folder / "state", folder / "export")

    whole = trainer("whole")
    fresh = whole.model.text_projection.detach().clone()
    losses = [whole._advance() for _ in range(30)]
    whole.keep()
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    cut = trainer("cut")
    for _ in range(2):
        cut._advance()
    cut.keep()
    again = trainer("cut")
    assert again.step == 2
    again.run()
    files = [load_file(tmp_path / name / "state" / "average.safetensors") for name in ("whole", "cut")]
    for key, value in files[0].items():
        torch.testing.assert_close(value, files[1][key], atol=1e-4, rtol=1e-3, msg=key)
    tower_weights = load_file(tower)
    assert not torch.equal(files[0]["text_projection"], fresh)
    for key, value in tower_weights.items():
        if key.startswith("visual."):
            assert torch.equal(files[0][key], value.float()), key


def save_tower(folder: Path) -> Path:
    """Write a fresh ViT-pico."""
    torch.manual_seed(7)
    path = folder / "tower.safetensors"
    save_file({key: value.contiguous() for key, value in build("ViT-pico").state_dict().items()}, path)
    return path
