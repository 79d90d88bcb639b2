"""Features of drawn pictures and of captions under a bundled CLIP, for benchmarks that look scores up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from benchmarks.common import few_images
from promptclimb.evaluator.pico.models import bundled_models
from training import sets
from training.model import encode_text, fast

Floats = NDArray[np.float32]
BATCH = 250
VIEWS = 8
MOST_VAL_SHOTS = 4


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
    def pictures(self, pictures: Iterator[Image.Image]) -> Floats:
        """Return features of pictures: [pictures, E]."""
        features = []
        while batch := list(islice(pictures, BATCH)):
            with fast():
                pixels = torch.stack([self._transform(picture.convert("RGB")) for picture in batch])
                features.append(self._model.encode_image(pixels, normalize=True).float().numpy())
        return np.concatenate(features)

    @torch.no_grad()
    def texts(self, templates: Sequence[str], classes: Sequence[str]) -> Floats:
        """Return features of every template filled with every class name: [T, C, E]."""
        features = []
        for start in range(0, len(templates), 32):
            batch = templates[start : start + 32]
            tokens = self._tokenize([template.replace("{}", name) for template in batch for name in classes])
            tokens = tokens[:, : int(tokens.argmax(-1).max()) + 1]
            features.append(encode_text(self._model, tokens).float().numpy())
        return np.concatenate(features).reshape(len(templates), len(classes), -1)


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


def features_of(data: str, model: str, clip: Clip, cache: Path | None) -> Mapping[str, Floats]:
    """Draw and encode a bundled set with augmented copies of its few-shot images; see ``encoded``."""
    return encoded(data, sets.spec(data).classes, partial(sets.pictures, data), model, clip, cache)


def encoded(
    data: str,
    classes: Sequence[str],
    pictures_of: Callable[[str], Iterable[tuple[str, Image.Image]]],
    model: str,
    clip: Clip,
    cache: Path | None,
) -> Mapping[str, Floats]:
    """Encode a set with augmented copies of its few-shot images, or read it back from ``cache``.

    Args:
        data: Its name.
        classes: Class names by label.
        pictures_of: Gives the class names and pictures of a split.
        model: The name of the CLIP, for the cached file.
        clip: The CLIP.
        cache: A folder, or None.

    Returns:
        By split: features ``train_x`` [n, E], labels ``train_y`` [n], copies ``train_views`` [n, VIEWS, E].
    """
    file = None if cache is None else cache / f"{model}-{data}.npz"
    if file is not None and file.exists():
        with np.load(file) as kept:
            return {key: kept[key] for key in kept.files}
    features: dict[str, Floats] = {}
    for split in ("train", "val", "test"):
        labelled = list(pictures_of(split))
        features[f"{split}_y"] = np.array([classes.index(label) for label, _ in labelled])
        features[f"{split}_x"] = clip.pictures(picture for _, picture in labelled)
        if split != "test":
            copies = clip.pictures(augmented_copies((picture for _, picture in labelled), Random(data)))
            features[f"{split}_views"] = copies.reshape(len(labelled), VIEWS, -1)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, **features)
    return features


def few_shots_of(features: Mapping[str, Floats], shots: int, draw: int) -> tuple[Floats, Floats, Floats]:
    """Draw few-shot images of ``encoded`` features, those of training before those of validation.

    Returns:
        Features [n, E], those of the copies [n, VIEWS, E], and labels [n].
    """
    rng = Random(draw)
    few = {
        split: few_images(features[f"{split}_y"], most, rng)
        for split, most in (("train", shots), ("val", min(MOST_VAL_SHOTS, shots)))
    }
    images, views, labels = (
        np.concatenate([features[f"{split}_{kind}"][indices] for split, indices in few.items()])
        for kind in ("x", "views", "y")
    )
    return images, views, labels
