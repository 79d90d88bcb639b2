"""Few-shot problems for a tiny model: of features near those of a text that nobody says, and of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from promptclimb.evaluator.clip.text_encoder import TextEncoder
from promptclimb.evaluator.clip.zero_shot import Labelled
from promptclimb.evaluator.spec import EvaluatorSpec
from promptclimb.evaluator.white_box.problem import Problem
from tests.fakes.tiny_clip import save_weights, tiny

NAMES = ("cat", "golden retriever", "oak tree", "St. Bernard (dog)", "7-up")
HIDDEN = ("seen through fog at night: one more {} of the old kind", "fog, night: {}!")
"""The first that the model has room for."""


@cache
def encoder_of(family: str, names: tuple[str, ...]) -> TextEncoder:
    """The encoder of a tiny model for some class names."""
    model, tokenizer = tiny(family)
    return TextEncoder(model, tokenizer, names, tokenizer.context_length)


def few_shots(
    family: str = "clip", *, shots: int = 4, val: int = 4, noise: float = 0.3, names: tuple[str, ...] = NAMES
) -> Problem:
    """Features of shots, of ``val`` validation and 40 test images a class, for a tiny model of a family."""
    encoder = encoder_of(family, names)
    hidden = next(text for text in HIDDEN if encoder.check(text) is None)
    vectors = encoder.vectors([hidden])[0].clone()
    centres = functional.normalize(vectors - vectors.mean(dim=0), dim=-1) + vectors.mean(dim=0)
    generator = torch.Generator().manual_seed(5)
    opened: list[str] = []

    def split(count: int) -> Labelled:
        labels = torch.arange(len(names)).repeat(count)
        spread = torch.randn(len(labels), centres.shape[1], generator=generator)
        features = functional.normalize(centres[labels] + noise * spread / spread.shape[1] ** 0.5, dim=-1)
        return Labelled(features, labels, len(names))

    train, validation, test = split(shots), split(val), split(40)

    def open_test() -> Labelled:
        assert not opened, "the test split is opened once"
        opened.append("test")
        return test

    return Problem(
        dataset="words",
        class_names=names,
        shots=shots,
        seed=1,
        logit_scale=100.0,
        encoder=encoder,
        train=train,
        val=validation,
        open_test=open_test,
    )


def draw(
    folder: Path,
    counts: Mapping[str, int],
    names: Sequence[str] = ("cat", "dog", "oak tree"),
    noise: int = 60,
) -> Path:
    """Pictures of one colour a class, with some noise: so many of each class in each split's folder."""
    rng = np.random.default_rng(3)
    for (split, count), (label, name) in product(counts.items(), enumerate(names)):
        class_folder = folder / split / name
        class_folder.mkdir(parents=True)
        shade = 180 * label // (len(names) - 1)
        for number in range(count):
            pixels = rng.integers(0, noise, (32, 32, 3)) + np.array([shade, 30, 180 - shade])
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(
                folder / split / name / f"{number}.png"
            )
    return folder


def pictures(folder: Path) -> EvaluatorSpec:
    """Pictures of three classes (4 train, 2 val, 6 test), and a tiny model."""
    draw(folder / "pictures", {"train": 4, "val": 2, "test": 6})
    return EvaluatorSpec(
        data=str(folder / "pictures"),
        model="tiny-clip",
        pretrained=str(save_weights("clip", folder / "clip.safetensors")),
        shots=4,
        device="cpu",
        cache_dir=folder / "cache",
    )
