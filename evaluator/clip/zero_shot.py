"""Features and class vectors to decisions, and decisions to scores.

n images, C classes, E dimensions, T templates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

CHUNK = 8192
SCALE = 100.0


@dataclass(frozen=True, slots=True)
class Labelled:
    """Images of one split: features [n, E] normalised, labels [n], number of classes."""

    features: Tensor
    labels: Tensor
    classes: int

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class GreyBox:
    """Means over images of values read from logits: log-probability of the true class (nats), and margin."""

    logprob: float
    margin: float


@dataclass(frozen=True, slots=True)
class Confusion:
    """How many images of one class were taken for another; classes by label."""

    true: int
    taken_for: int
    images: int


def classifier(vectors: Tensor) -> Tensor:
    """The classifier of an ensemble, as open_clip builds it: [T, C, E] -> [C, E]."""
    mean = vectors.mean(dim=0)
    norm: Tensor = mean.norm(dim=1, keepdim=True)
    return mean / norm


def logits(split: Labelled, weights: Tensor, chunk: int = CHUNK) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits [m, C] and labels [m] of at most ``chunk`` images at a time, on the device of the weights."""
    for start in range(0, len(split), chunk):
        part = split.features[start : start + chunk].to(weights.device, torch.float32)
        labels = split.labels[start : start + chunk].to(weights.device)
        yield (SCALE * part) @ weights.T, labels


def decide(split: Labelled, weights: Tensor) -> Tensor:
    """The class of each image, the first of the largest logits: [n], on the CPU."""
    found = [values.argmax(dim=1).cpu() for values, _ in logits(split, weights)]
    return torch.cat(found) if found else split.labels.new_empty(0)


def grey_box(split: Labelled, weights: Tensor, logit_scale: float) -> GreyBox:
    """Log-probability of the true class, and its cosine minus the best other one's times ``logit_scale``."""
    logprob = margin = 0.0
    for values, labels in logits(split, weights):
        scaled = values * (logit_scale / SCALE)
        true = scaled.gather(1, labels[:, None])[:, 0]
        others = scaled.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
        # Summed on the CPU: some devices have no double precision.
        logprob -= functional.cross_entropy(scaled, labels, reduction="none").cpu().double().sum().item()
        margin += (true - others).cpu().double().sum().item()
    return GreyBox(logprob / len(split), margin / len(split))


def close_calls(split: Labelled, weights: Tensor, tolerance: float) -> int:
    """Images whose two best classes lie within ``tolerance`` in cosine: rounding might turn them."""
    if weights.shape[0] < 2:
        return 0
    count = 0
    for values, _ in logits(split, weights):
        best = values.topk(2, dim=1).values
        count += int((best[:, 0] - best[:, 1] < tolerance * SCALE).sum())
    return count


def correct(decisions: Tensor, split: Labelled) -> int:
    """Images told right."""
    return int((decisions == split.labels).sum())


def per_class(decisions: Tensor, split: Labelled) -> list[float | None]:
    """Accuracy of each class; None for a class without images."""
    labels = split.labels
    right = torch.bincount(labels[decisions == labels], minlength=split.classes).tolist()
    of = torch.bincount(labels, minlength=split.classes).tolist()
    return [hit / size if size else None for hit, size in zip(right, of, strict=True)]


def class_mean(decisions: Tensor, split: Labelled) -> float:
    """Mean of the accuracies of the classes that have images."""
    found = [accuracy for accuracy in per_class(decisions, split) if accuracy is not None]
    return sum(found) / len(found)


def confusions(decisions: Tensor, split: Labelled, top: int = 10) -> list[Confusion]:
    """The pairs of classes most often confused; ties by label."""
    labels = split.labels
    wrong = decisions != labels
    pairs, counts = torch.unique(labels[wrong] * split.classes + decisions[wrong], return_counts=True)
    found = [
        Confusion(pair // split.classes, pair % split.classes, count)
        for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True)
    ]
    return sorted(found, key=lambda one: (-one.images, one.true, one.taken_for))[:top]


def agreement(one: Tensor, other: Tensor) -> float:
    """Share of images that two templates decide alike."""
    return float((one == other).double().mean())
