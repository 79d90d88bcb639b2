"""Learn what likeness to the labelled images adds to a classifier: a kernel ridge regression.

A class of many kinds of things lies in no single direction of the features, but an image that is very like
a labelled one is of its class. The kernel is that of a Tip-Adapter, ``exp(-b (1 - cosine))``, where ``b`` is
1 over the median of ``1 - cosine`` of the labelled images. Its leave-one-out predictions, which are exact,
are added to the logits by which the classifier decided on images held out. What is learned is the mean over
several ridges and gains, and nothing added, each weighted by how likely it makes the labelled images, as in
``held_near``.

Half of it is added: images still to come may differ more from the labelled ones than those do from each
other (docs/results/tables.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .head import Likeness
from .held_near import LabelledFeatures

RIDGES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
GAINS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""Factors from what the regression predicts, about 1 for the class of an image, to logits."""
ADDED = 0.5
"""The share of what is learned that is added."""
MOST_IMAGES = 4096
"""With more, nothing is learned: the cost grows with the cube of their number."""


@dataclass(frozen=True, slots=True)
class LearnedLikeness:
    """What likeness adds, and what it added for the labelled images without themselves, in logits: [n, C]."""

    likeness: Likeness
    held_out: Tensor


def learn(held_out: Tensor, shots: LabelledFeatures, scale: float) -> LearnedLikeness | None:
    """Learn from labelled images; None if nothing should be added.

    Args:
        held_out: Logits of the images by a classifier that had not seen them: [n, C].
        shots: The labelled images, with their copies.
        scale: The classifier's factor from products to logits.
    """
    count, classes = held_out.shape
    if not 2 <= count <= MOST_IMAGES:
        return None
    logits, labels = held_out.double(), shots.labels
    keys = functional.normalize(shots.features.float().mean(dim=1), dim=1)
    distances = 1 - (keys @ keys.T).double()
    median = float(distances[~torch.eye(count, dtype=torch.bool)].median())
    if median < 1e-6:  # copies of one image
        return None
    sharpness = 1 / median
    counts = shots.counts.double()
    # Least squares in which each class counts the same: rows and columns times the roots of the weights.
    roots = (counts * count / counts.sum()).sqrt()[:, None]
    spectrum, vectors = torch.linalg.eigh(roots * (-sharpness * distances).exp() * roots.T)
    spectrum = spectrum.clamp_min(0)
    targets = roots * (functional.one_hot(labels, classes).double() - 1 / classes)
    projected = vectors.T @ targets

    def regression(ridge: float) -> tuple[Tensor, Tensor]:
        """Return the coefficients and the leave-one-out predictions of a ridge: [n, C] each."""
        shrunk = spectrum / (spectrum + ridge)
        own = (vectors.square() @ shrunk)[:, None].clamp_max(1 - 1e-6)
        left_out = (vectors @ (shrunk[:, None] * projected) - own * targets) / (1 - own)
        return roots * (vectors @ (projected / (spectrum + ridge)[:, None])), left_out / roots

    def likelihood(values: Tensor) -> Tensor:
        return -counts @ functional.cross_entropy(values, labels, reduction="none")

    fits = [regression(ridge) for ridge in RIDGES]
    likelihoods = [likelihood(logits)]
    likelihoods += [likelihood(logits + gain * left_out) for _, left_out in fits for gain in GAINS]
    shares = torch.stack(likelihoods).softmax(dim=0)
    if shares[0] >= ADDED:
        return None
    # The mean gain of each ridge.
    gains = ADDED * (shares[1:].view(len(RIDGES), len(GAINS)) * torch.tensor(GAINS).double()).sum(dim=1)
    values = torch.stack([gain * values for gain, (values, _) in zip(gains, fits, strict=True)]).sum(dim=0)
    added = torch.stack([gain * left_out for gain, (_, left_out) in zip(gains, fits, strict=True)]).sum(dim=0)
    return LearnedLikeness(Likeness(keys.numpy(), (values / scale).float().numpy(), sharpness), added.float())
