"""Cross-modal linear probe: texts are shots too. Half of each batch is images, half texts.

Z. Lin, S. Yu, Z. Kuang, D. Pathak, D. Ramanan: Multimodality Helps Unimodality: Cross-Modal Few-Shot Learning
with Multimodal Models, CVPR 2023; the figures are those of the public code.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional

from ..clip.zero_shot import SCALE, Labelled, classifier, decide
from .problem import Fitted, Problem
from .references import CrossModalOptions

SETTINGS = tuple(product((1e-3, 1e-4), (0.0, 1e-2, 1e-4)))
"""Learning rates and weight decays, trained in parallel."""
BATCHES = (8, 32)
WARM_UP, WARM_UP_LR = 50, 1e-5
LOOK_EVERY = 100


@dataclass(frozen=True, slots=True)
class TrainedHead:
    """The best head so far on the validation images."""

    right: int
    weights: Tensor
    setting: tuple[float, float]
    step: int
    batch: int


def fit(problem: Problem, options: CrossModalOptions, *, seed: int) -> Fitted:
    """Train heads from the text classifier on, and take the best on the validation images; see ``Fit``."""
    templates = problem.templates(options.texts)
    vectors = problem.text_features(templates)  # [T, C, E]
    count, classes, width = vectors.shape
    texts = Labelled(vectors.reshape(-1, width), torch.arange(classes).repeat(count), classes)
    sizes = [size for size in BATCHES if size // 2 < min(len(texts), len(problem.train))]
    # If images or texts are too few for half a batch, use all of them.
    halves = [size // 2 for size in sizes] or [min(len(texts), len(problem.train))]
    begin = classifier(vectors)
    heads = [
        train(begin, (problem.train, texts), problem.val, half=half, steps=options.steps, seed=seed)
        for half in halves
    ]
    best = max(heads, key=lambda head: head.right)
    lr, decay = best.setting
    chosen = {"lr": lr, "weight_decay": decay, "batch": best.batch, "step": best.step}
    return Fitted(
        decide=lambda split: decide(split, best.weights),
        chosen=chosen | {"templates": list(templates)},
        trained=best.weights.numel(),
    )


def train(
    begin: Tensor,
    shots: tuple[Labelled, Labelled],
    val: Labelled,
    *,
    half: int,
    steps: int,
    seed: int,
) -> TrainedHead:
    """Train one head per pair in ``SETTINGS`` on the same batches; return the first of the best on val.

    All start from the classifier ``begin``, [C, E]; ``shots`` are images and texts, ``half`` of a batch each;
    ``val`` is checked every hundredth step.
    """
    generator = torch.Generator().manual_seed(seed)
    streams = [batches(split, half, generator) for split in shots]
    weights = begin.expand(len(SETTINGS), -1, -1).clone()  # [S, C, E]
    heads = list(weights)
    optimizer = torch.optim.AdamW(
        [{"params": [head], "weight_decay": decay} for head, (_, decay) in zip(heads, SETTINGS, strict=True)]
    )
    best = TrainedHead(-1, begin, SETTINGS[0], 0, 2 * half)
    for step in range(steps):
        # Half a batch of images and half a batch of texts.
        halves = [next(stream) for stream in streams]
        features = torch.cat([features for features, _ in halves])  # [B, E]
        labels = torch.cat([labels for _, labels in halves])  # [B]
        gradients = gradient(weights, features, labels)
        for group, head, slope, (lr, _) in zip(
            optimizer.param_groups, heads, gradients, SETTINGS, strict=True
        ):
            group["lr"], head.grad = rate(lr, step, steps), slope
        optimizer.step()
        if step % LOOK_EVERY == 0:
            best = better(best, weights, val, step=step + 1)
    return best


def gradient(weights: Tensor, features: Tensor, labels: Tensor) -> Tensor:
    """Return the gradient of the mean cross-entropy of heads [S, C, E] on features [B, E]: [S, C, E]."""
    logits = SCALE * torch.einsum("sce,be->sbc", weights, features)
    wrong = logits.softmax(dim=-1) - functional.one_hot(labels, weights.shape[1])
    return torch.einsum("sbc,be->sce", wrong, features) * (SCALE / len(labels))


def rate(lr: float, step: int, steps: int) -> float:
    """Return the learning rate of a step: 50 rising from 1e-5, then a cosine from ``lr`` towards 0."""
    if step < WARM_UP:
        return WARM_UP_LR if step == 0 else lr * step / WARM_UP
    return lr * (1 + math.cos(math.pi * (step - WARM_UP) / steps)) / 2


def batches(split: Labelled, size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches forever, reshuffled each epoch; an incomplete batch is dropped."""
    while True:
        order = torch.randperm(len(split), generator=generator)
        for number in range(len(split) // size):
            chosen = order[number * size : (number + 1) * size]
            yield split.features[chosen], split.labels[chosen]


def better(best: TrainedHead, weights: Tensor, val: Labelled, *, step: int) -> TrainedHead:
    """Return the best head so far."""
    decided = torch.einsum("sce,ne->snc", weights, val.features).argmax(dim=-1)  # [S, n]
    right = (decided == val.labels).sum(dim=1)
    index = int(right.argmax())
    if int(right[index]) <= best.right:
        return best
    return TrainedHead(int(right[index]), weights[index].clone(), SETTINGS[index], step, best.batch)
