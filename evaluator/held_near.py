"""Learn from labelled images a linear classifier of image features that is held near the texts.

It starts from the classifier of texts, T [C, E], and learns W = T + D by cross-entropy on the labelled images
and their augmented copies. A distance from the texts has a price. Its metric is that of the features within
classes: a direction in which images of one class hardly differ is cheap. The result is the mean over several
prices, the texts alone among them, weighted by how likely each makes the images held out in cross-validation.
Each class counts the same, however many images it has.

The hold is the idea of CLAP (*A Closer Look at the Few-Shot Adaptation of Large Vision-Language Models*, CVPR
2024), the metric that of a Gaussian discriminant (*A Hard-to-Beat Baseline for Training-Free CLIP-Based
Adaptation*, ICLR 2024), the mean that of pseudo-BMA (*Using Stacking to Average Bayesian Predictive
Distributions*, 2018).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from inspect import unwrap
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor
from torch.nn import functional

from .scoring import ImageEvidence

if TYPE_CHECKING:
    from .head import ClassVectors
    from .tally import Labels

STRENGTHS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
"""The price of a mean squared distance from the texts, in logits, in the order in which they are tried."""
TEMPERATURES = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
"""Factors of a model's own logit scale."""
TEXTS_STAY = 0.5
"""The texts stay as they are if they have so large a share of the mean."""
SMALLEST_SHARE = 1e-4
"""Of the mean; smaller ones are left out."""
MOST_FOLDS = 3
STEPS = 15
"""Steps of L-BFGS at each strength; each starts where the stronger one ended."""


@dataclass(frozen=True, slots=True)
class LabelledFeatures:
    """Features of labelled images and of their augmented copies.

    Attributes:
        features: Each image first, then its copies, of length 1, zeros without features: [n, 1 + copies, E].
        labels: [n].
    """

    features: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def of_images(cls, features: ClassVectors, labels: Labels) -> Self:
        """Return images without copies: [n, E] and [n]."""
        return cls(torch.from_numpy(features)[:, None], torch.from_numpy(labels))

    def at(self, rows: Tensor) -> LabelledFeatures:
        """Return some of the images."""
        return LabelledFeatures(self.features[rows], self.labels[rows])

    @property
    def counts(self) -> Tensor:
        """How much each image counts: each class the same, all together as many as are independent: [n]."""
        images = torch.bincount(self.labels)
        shares = 1 / (images[self.labels] * (images > 0).sum())
        return shares / shares.square().sum()

    @property
    def halves(self) -> Tensor:
        """The shares of an image, which is half, and of its copies, which are the other: [1 + copies]."""
        versions = self.features.shape[1]
        shares = torch.full((versions,), 0.5 / max(1, versions - 1))
        shares[0] = 0.5 if versions > 1 else 1.0
        return shares

    @property
    def weights(self) -> Tensor:
        """The weights of all features, 1 in all: [n, 1 + copies]."""
        return self.halves * (self.counts / self.counts.sum())[:, None]


@dataclass(frozen=True, slots=True)
class HeldNear:
    """What was learned from images.

    Attributes:
        weights: One row for each class: [C, E]. An image belongs to the class with the largest product.
        strength: The price with the largest share; None if the texts were left as they are.
        scale: Turns products into logits whose softmax fits held-out images best.
        held_out: The logits of each labelled image by a classifier that had not seen it: [n, C].
    """

    weights: Tensor
    strength: float | None
    scale: float
    held_out: Tensor


def judge(
    classifiers: Sequence[ClassVectors], shots: LabelledFeatures, logit_scale: float
) -> list[ImageEvidence]:
    """Return what labelled images say of classifiers, by what each counts; one without features is wrong."""
    known, counts = shots.features[:, 0].any(dim=1), shots.counts
    judged = (evidence(shots, torch.from_numpy(vectors), logit_scale) for vectors in classifiers)
    return [
        ImageEvidence(tuple((right * known * counts).tolist()), tuple((logprob * counts).tolist()))
        for right, logprob in judged
    ]


def evidence(shots: LabelledFeatures, weights: Tensor, logit_scale: float) -> tuple[Tensor, Tensor]:
    """Return what labelled images say of a classifier [C, E], at the temperature that fits them best.

    Returns:
        For each image the share of correct decisions and the log-probability of its class, half of the image
        and half the mean of its copies: [n] each.
    """
    count, versions, _ = shots.features.shape
    logits = logit_scale * shots.features.float() @ weights.T
    labels = shots.labels[:, None].expand(count, versions)
    right = (logits.argmax(dim=2) == labels).float() @ shots.halves
    logprobs = (
        _logprob(factor * logits.flatten(0, 1), labels.flatten()).view(count, versions) @ shots.halves
        for factor in TEMPERATURES
    )
    return right, max(logprobs, key=lambda values: float(values @ shots.counts))


def learn(texts: Tensor, shots: LabelledFeatures, logit_scale: float, *, seed: int = 0) -> HeldNear:
    """Learn from labelled images.

    Args:
        texts: The classifier to start from, with rows of length 1: [C, E].
        shots: The labelled images.
        logit_scale: The model's own factor from products to logits.
        seed: Divides the images into folds.
    """
    texts = texts.float().cpu()
    shots = LabelledFeatures(shots.features.float().cpu(), shots.labels.cpu())
    scale = logit_scale * _temperature(logit_scale * shots.features[:, 0] @ texts.T, shots)
    folds = _folds(shots.labels, len(texts), seed)
    number = int(folds.max()) + 1
    # Without a fold's images, its logits at each strength; first those of the texts alone.
    logits = torch.empty(1 + len(STRENGTHS), len(shots), len(texts))
    logits[0] = scale * shots.features[:, 0] @ texts.T
    for fold in range(number):
        held = folds == fold
        for index, weights in enumerate(_path(texts, shots.at(~held), scale, STRENGTHS), start=1):
            logits[index, held] = scale * shots.features[held, 0] @ weights.T
    # How likely each price makes the images held out.
    likelihoods = torch.stack(
        [
            (shots.counts * _logprob(_temperature(values, shots) * values, shots.labels)).double().sum()
            for values in logits
        ]
    )
    shares = likelihoods.softmax(dim=0)
    if shares[0] >= TEXTS_STAY:
        shares = functional.one_hot(torch.tensor(0), len(shares)).double()
    # The path leads through all prices before the last one with a share.
    count = int((shares[1:] > SMALLEST_SHARE).nonzero().max()) + 1 if shares[0] < 1 else 0
    weights = shares[0].float() * texts
    for share, learned in zip(
        shares[1:].float(), _path(texts, shots, scale, STRENGTHS[:count]), strict=False
    ):
        weights += share * learned
    held_out = torch.einsum("p,pnc->nc", shares.float(), logits)
    temperature = _temperature(held_out, shots)
    return HeldNear(
        weights=weights,
        strength=None if shares[0] == 1 else STRENGTHS[int(shares[1:].argmax())],
        scale=scale * temperature,
        held_out=temperature * held_out,
    )


def _path(
    texts: Tensor, shots: LabelledFeatures, scale: float, strengths: Sequence[float]
) -> Iterator[Tensor]:
    """Yield the weights [C, E] at each strength, each learned from where the one before ended."""
    if not len(strengths):
        return
    rows, row_weights = shots.features.flatten(0, 1), shots.weights.flatten()
    labels = shots.labels.repeat_interleave(shots.features.shape[1])
    metric = _metric(shots, len(texts))
    start, directions = scale * rows @ texts.T, scale * rows @ metric.T
    moved = torch.zeros_like(texts).requires_grad_()
    for strength in strengths:
        optimizer = _LBFGS([moved], max_iter=STEPS, line_search_fn="strong_wolfe")

        def loss(strength: float = strength) -> Tensor:
            moved.grad = None
            errors = functional.cross_entropy(start + directions @ moved.T, labels, reduction="none")
            distance = (scale * moved).square().sum() / len(texts)
            value = (row_weights * errors).sum() + strength * distance
            value.backward()  # type: ignore[no-untyped-call]
            return value

        with torch.enable_grad():
            optimizer.step(loss)  # type: ignore[no-untyped-call]
        yield texts + moved.detach() @ metric


class _LBFGS(torch.optim.LBFGS):
    """Without torch's compiler, which is imported for the first parameter otherwise, and takes seconds."""

    add_param_group = unwrap(torch.optim.Optimizer.add_param_group)


def _metric(images: LabelledFeatures, classes: int) -> Tensor:
    """Return the inverse square root of the features' covariance within classes, scaled: [E, E]."""
    rows, weights = images.features.flatten(0, 1), images.weights.flatten()
    labels = images.labels.repeat_interleave(images.features.shape[1])
    total = torch.zeros(classes).index_add_(0, labels, weights).clamp_min(1e-12)
    means = torch.zeros(classes, rows.shape[1]).index_add_(0, labels, rows * weights[:, None])
    residues = (rows - (means / total[:, None])[labels]) * weights.sqrt()[:, None]
    covariance = residues.T @ residues
    size, variance = len(covariance), float(covariance.trace()) / len(covariance)
    if variance < 1e-12:  # one image of each class and no copies
        return torch.eye(size)
    # Few images say little of so many directions; copies are no further images.
    free = max(1.0, float(images.counts.sum()) - int((torch.bincount(images.labels) > 0).sum()))
    shrinkage = size / (size + free)
    mixed = (1 - shrinkage) * covariance / variance + shrinkage * torch.eye(size)
    values, vectors = torch.linalg.eigh(mixed)
    root: Tensor = (vectors / values.sqrt()) @ vectors.T
    return root


def _folds(labels: Tensor, classes: int, seed: int) -> Tensor:
    """Deal the images of each class at random to folds, as evenly as possible; return the folds: [n]."""
    counts = torch.bincount(labels, minlength=classes)
    number = max(2, min(MOST_FOLDS, int(counts[counts > 1].min()) if (counts > 1).any() else 2))
    generator = torch.Generator().manual_seed(seed)
    folds = torch.empty_like(labels)
    for label in range(classes):
        own = (labels == label).nonzero()[:, 0]
        first = int(torch.randint(number, (1,), generator=generator))
        folds[own[torch.randperm(len(own), generator=generator)]] = (torch.arange(len(own)) + first) % number
    return folds


def _temperature(logits: Tensor, shots: LabelledFeatures) -> float:
    """Return the factor that makes the labels likeliest."""
    return max(TEMPERATURES, key=lambda factor: float(_logprob(factor * logits, shots.labels) @ shots.counts))


def _logprob(logits: Tensor, labels: Tensor) -> Tensor:
    return -functional.cross_entropy(logits, labels, reduction="none")
