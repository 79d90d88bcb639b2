"""Features of drawn pictures and of captions under a bundled CLIP, for benchmarks that look scores up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from promptclimb.evaluator.datasets.hand_made import imagenet_templates
from promptclimb.evaluator.pico import sets
from promptclimb.evaluator.pico.models import bundled_models
from promptclimb.prompts.template_kind import BUILT_IN
from training.model import encode_text, fast

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
BATCH = 250
VIEWS = 8
FRAMES = (
    "{m}", "a photo of {m}", "a picture of {m}", "this is {m}", "an image of {m}", "{m} on paper",
    "{m}, close up", "{m} on a table", "a small {m}", "one {m}", "{m} in black and white",
    "{m} on a white background", "a clear {m}", "{m}.", "a bad photo of {m}", "a drawing of {m}",
    "{m} seen from afar", "itap of {m}",
)  # fmt: skip
"""Captions around a template that matches the pictures."""


class Clip:
    """A bundled CLIP that gives unit features as arrays.

    Args:
        name: ``RN-pico`` or ``ViT-pico``.

    Attributes:
        logit_scale: The factor between cosine and logit.
    """

    def __init__(self, name: str) -> None:
        torch.set_num_threads(1)
        entry = next(entry for entry in bundled_models() if entry["name"] == name)
        open_clip.add_model_config(Path(entry["config"]))
        model, _, self._transform = open_clip.create_model_and_transforms(name, pretrained=entry["file"])
        self._model, self._tokenize = model.eval(), open_clip.get_tokenizer(name)
        self.logit_scale = float(model.logit_scale.detach().exp())

    @torch.no_grad()
    def pictures(self, found: Iterator[Image.Image]) -> Floats:
        """Return features of pictures: [pictures, E]."""
        parts = []
        while batch := list(islice(found, BATCH)):
            with fast():
                pixels = torch.stack([self._transform(one.convert("RGB")) for one in batch])
                parts.append(self._model.encode_image(pixels, normalize=True).float().numpy())
        return np.concatenate(parts)

    @torch.no_grad()
    def texts(self, templates: Sequence[str], classes: Sequence[str]) -> Floats:
        """Return features of every template filled with every class name: [T, C, E]."""
        parts = []
        for start in range(0, len(templates), 32):
            filled = [one.replace("{}", name) for one in templates[start : start + 32] for name in classes]
            tokens = self._tokenize(filled)
            tokens = tokens[:, : int(tokens.argmax(-1).max()) + 1]
            parts.append(encode_text(self._model, tokens).float().numpy())
        return np.concatenate(parts).reshape(len(templates), len(classes), -1)


def fresh(name: str, count: int, mark: str, *, tested: bool) -> Iterator[tuple[int, Image.Image]]:
    """Yield labels and pictures of a bundled set that no split of it holds, classes in turn.

    Args:
        name: The set.
        count: How many.
        mark: Identifies these pictures.
        tested: Whether they are drawn with what test pictures are drawn with, or with what few-shot ones are.
    """
    of = sets.spec(name)
    for number in range(count):
        label = number % len(of.classes)
        rng = Random(f"{name}/{mark}/{number}")
        scene = sets.scene_of(of, of.classes[label], rng)
        yield label, Image.fromarray(sets.draw(scene, rng, sets._art(tested)))


def augmented_copies(pictures: Iterable[Image.Image], rng: Random) -> Iterator[Image.Image]:
    """Yield views of each picture that mean the same: cut a little, other light; mirrored never (letters)."""
    for picture in pictures:
        whole = picture.convert("RGB")
        width, height = whole.size
        for _ in range(VIEWS):
            wide, high = (round(side * rng.uniform(0.75, 1.0)) for side in whole.size)
            left, top = rng.randint(0, width - wide), rng.randint(0, height - high)
            view = whole.crop((left, top, left + wide, top + high)).resize(
                whole.size, Image.Resampling.BICUBIC
            )
            view = ImageEnhance.Brightness(view).enhance(rng.uniform(0.8, 1.2))
            yield ImageEnhance.Contrast(view).enhance(rng.uniform(0.8, 1.2))


def features_of(clip: Clip, drawn: Iterator[tuple[int, Image.Image]]) -> tuple[Floats, Ints]:
    """Return features [n, E] and labels [n] of what is drawn."""
    labels: list[int] = []

    def pictures() -> Iterator[Image.Image]:
        for label, picture in drawn:
            labels.append(label)
            yield picture

    found = clip.pictures(pictures())
    return found, np.array(labels)


def classifier(vectors: Floats) -> Floats:
    """Return the classifier of an ensemble: [T, C, E] -> [C, E]."""
    mean = vectors.mean(0)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


@dataclass(frozen=True)
class Encoded:
    """One set under one model.

    Attributes:
        name: The set.
        templates: Built-in ones, and variations of those that match the pictures.
        texts: Their class vectors: [T, C, E].
        hand_made: Class vectors of the templates made by hand for this set.
        openai: Those of the 80 templates that OpenAI published for ImageNet.
        features: Of its pictures, by split: [n, E].
        views: Of augmented copies of the few-shot pictures, by split: [n, VIEWS, E].
        labels: By split: [n].
        scale: The factor between cosine and logit.
    """

    name: str
    templates: tuple[str, ...]
    texts: Floats
    hand_made: Floats
    openai: Floats
    features: Mapping[str, Floats]
    views: Mapping[str, Floats]
    labels: Mapping[str, Ints]
    scale: float

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.texts.shape[1]


def variations(matching: Sequence[str]) -> Iterator[str]:
    """Yield templates in frames, and with one word left out."""
    for one in matching:
        yield from (frame.replace("{m}", one) for frame in FRAMES)
        words = one.split()
        shorter = (" ".join(words[:i] + words[i + 1 :]) for i in range(len(words)))
        yield from (found for found in shorter if "{}" in found)


def encoded(name: str, clip: Clip, pictures: int, cache: Path | None) -> Encoded:
    """Draw and encode a set, or read it back from ``cache``."""
    file = None if cache is None else cache / f"{name}.npz"
    if file is None or not file.exists():
        of = sets.spec(name)
        templates = list(dict.fromkeys((*BUILT_IN, *variations(of.matching))))
        found = {"templates": np.array(templates), "text": clip.texts(templates, of.classes)}
        found["hand_made"] = clip.texts(of.matching, of.classes)
        found["openai"] = clip.texts(imagenet_templates(), of.classes)
        for split in ("train", "val", "test"):
            drawn = list(sets.pictures(name, split, pictures))
            found[f"{split}_y"] = np.array([of.classes.index(label) for label, _ in drawn])
            found[f"{split}_x"] = clip.pictures(picture for _, picture in drawn)
            if split != "test":
                copies = clip.pictures(augmented_copies((picture for _, picture in drawn), Random(name)))
                found[f"{split}_views"] = copies.reshape(len(drawn), VIEWS, -1)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez(file, **found)
    else:
        with np.load(file) as kept:
            found = {key: kept[key] for key in kept.files}
    return Encoded(
        name,
        tuple(map(str, found["templates"])),
        found["text"],
        found["hand_made"],
        found["openai"],
        {split: found[f"{split}_x"] for split in ("train", "val", "test")},
        {split: found[f"{split}_views"] for split in ("train", "val")},
        {split: found[f"{split}_y"] for split in ("train", "val", "test")},
        clip.logit_scale,
    )
