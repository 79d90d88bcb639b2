"""Rivals that are fine-tuned on frozen features: Tip-Adapter-F (ECCV 2022) and TaskRes (CVPR 2023).

Optimizers, learning rates and batches are those of the public code; an image is seen as itself or as one of
its augmented copies. What differs by data set there is chosen by the validation images, or from all labels by
folds: epochs, alpha and beta (every tenth of the authors') of Tip-Adapter-F, and the scale of TaskRes. Texts
count by the model's own logit scale. Training ends with the last epoch, not with the best one on test images.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from promptclimb.evaluator.clip.zero_shot import Labelled, classifier, correct
from promptclimb.evaluator.white_box import coop, tip_adapter

BATCH = 256
MOST_FOLDS = 5
ALPHA, BETA = 1.0, 5.5
"""Weight and sharpness of the cache while its keys are tuned."""
KEY_EPOCHS = (20, 100)
KEY_RATE, RESIDUAL_RATE = 1e-3, 2e-3
RESIDUAL_SCALES = (0.5, 0.1, 0.3, 0.7, 1.0)
"""The published one is first, which is that of equals."""

Logits = Callable[[Tensor], Tensor]
Fit = Callable[[Tensor, Tensor], Mapping[Any, Logits]]
"""Learns from images before their copies [n, 1 + copies, E] and labels [n]: by setting, logits of [m, E]."""


def tip_adapter_f(
    versions: Tensor, labels: Tensor, weights: Tensor, scale: float, seed: int
) -> Mapping[tuple[int, float, float], Logits]:
    """Tune the keys of a Tip-Adapter; the settings are (epochs, alpha, beta)."""

    def logits_of(keys: Tensor, alpha: float, beta: float) -> Logits:
        cache = Labelled(keys, labels, len(weights))
        return lambda features: (
            scale * features @ weights.T + alpha * tip_adapter.answers(features @ keys.T, cache, beta)
        )

    def tuned(epochs: int) -> Tensor:
        keys = functional.normalize(versions.mean(dim=1), dim=1).requires_grad_()
        rates = [KEY_RATE * (1 + math.cos(math.pi * epoch / epochs)) / 2 for epoch in range(epochs)]
        optimizer = torch.optim.AdamW([keys], eps=1e-4)
        _train(optimizer, logits_of(keys, ALPHA, BETA), versions, labels, rates, seed)
        return keys.detach()

    keys_by_epochs = {epochs: tuned(epochs) for epochs in KEY_EPOCHS}
    settings = product(KEY_EPOCHS, tip_adapter.ALPHAS, tip_adapter.BETAS[::10])
    return {(epochs, *both): logits_of(keys_by_epochs[epochs], *both) for epochs, *both in settings}


def task_residual(
    versions: Tensor, labels: Tensor, weights: Tensor, scale: float, epochs: int, seed: int
) -> Mapping[float, Logits]:
    """Learn a residual of the text classifier, from zero, for each scale of it."""

    def learned(alpha: float) -> Logits:
        residual = torch.zeros_like(weights, requires_grad=True)

        def logits(features: Tensor) -> Tensor:
            return scale * features @ classifier((weights + alpha * residual)[None]).T

        optimizer = torch.optim.Adam([residual], weight_decay=5e-4)
        _train(optimizer, logits, versions, labels, coop.learning_rates(RESIDUAL_RATE, epochs), seed)
        residual.requires_grad_(False)
        return logits

    return {alpha: learned(alpha) for alpha in RESIDUAL_SCALES}


def _train(
    optimizer: torch.optim.Optimizer,
    logits: Logits,
    versions: Tensor,
    labels: Tensor,
    rates: Sequence[float],
    seed: int,
) -> None:
    """Lower the cross-entropy, an epoch for each learning rate."""
    generator = torch.Generator().manual_seed(seed)
    for rate in rates:
        optimizer.param_groups[0]["lr"] = rate
        for rows in torch.randperm(len(labels), generator=generator).split(BATCH):
            drawn = torch.randint(versions.shape[1], (len(rows),), generator=generator)
            loss = functional.cross_entropy(logits(versions[rows, drawn]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def chosen_on_val(fit: Fit, versions: Tensor, labels: Tensor, val: Labelled) -> Logits:
    """Return the logits of the setting with most correct validation images."""
    fitted = fit(versions, labels)
    return max(fitted.values(), key=lambda logits: correct(logits(val.features).argmax(dim=1), val))


def chosen_by_folds(fit: Fit, versions: Tensor, labels: Tensor) -> Logits:
    """Return the logits, learned from all images, of the setting with the best log-probability by folds."""
    fold = folds(labels)
    loss: dict[Any, float] = {}
    for number in range(int(fold.max()) + 1):
        out = fold == number
        for setting, logits in fit(versions[~out], labels[~out]).items():
            own = functional.cross_entropy(logits(versions[out, 0]), labels[out], reduction="sum")
            loss[setting] = loss.get(setting, 0.0) + float(own)
    return fit(versions, labels)[min(loss, key=loss.__getitem__)]


def folds(labels: Tensor) -> Tensor:
    """Deal each class's images to as many folds as the rarest class has images, five at most: [n]."""
    count = min(MOST_FOLDS, int(torch.bincount(labels).min()))
    fold = torch.zeros_like(labels)
    for label in labels.unique():
        own = (labels == label).nonzero()[:, 0]
        fold[own] = torch.arange(len(own)) % count
    return fold
