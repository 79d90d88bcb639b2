"""Learn a classifier from labelled images: held near the texts, and with likeness to the images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from . import held_near, likeness
from .head import Head
from .scoring import LearnedClassifier

if TYPE_CHECKING:
    from .head import ClassVectors
    from .held_near import LabelledFeatures


def learn_classifier(
    texts: ClassVectors, shots: LabelledFeatures, logit_scale: float, *, seed: int
) -> LearnedClassifier:
    """Learn from the labelled images that have features.

    Args:
        texts: The class vectors to start from, with rows of length 1: [C, E].
        shots: The labelled images; those without features count as wrong.
        logit_scale: The model's own factor from products to logits.
        seed: Divides the images into folds.
    """
    has_features = shots.features[:, 0].any(dim=1)
    images = shots.at(has_features)
    if not len(images):
        unchanged = (False,) * len(shots)
        return LearnedClassifier(
            head=Head(texts), images=0, strength=None, scale=logit_scale, held_out=unchanged
        )
    near_texts = held_near.learn(torch.from_numpy(texts), images, logit_scale, seed=seed)
    added, held_out = None, near_texts.held_out
    if near_texts.strength is not None:
        added = likeness.learn(held_out, images, near_texts.scale)
        held_out = held_out if added is None else held_out + added.held_out
    right = torch.zeros_like(has_features)
    right[has_features] = held_out.argmax(dim=1) == images.labels
    return LearnedClassifier(
        head=Head(near_texts.weights.numpy(), None if added is None else added.likeness),
        images=int(has_features.sum()),
        strength=near_texts.strength,
        scale=near_texts.scale,
        held_out=tuple(right.tolist()),
    )
