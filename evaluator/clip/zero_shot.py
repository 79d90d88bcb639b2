"""Classify and score n images of C classes with features [n, E] and class vectors [T, C, E]."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from .. import tally

CHUNK = 8192
SCALE = 100.0


@dataclass(frozen=True, slots=True)
class Labelled:
    """Images of one split."""

    features: Tensor  # [n, E], normalised
    labels: Tensor  # [n]
    classes: int
    left_out: tuple[str, ...] = ()  # what is wrong with each image that was left out
    paths: tuple[Path, ...] = ()  # the files, in the same order; empty if unknown
    image_set: str = ""  # content hash of the files; empty if unknown

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def empty(cls, classes: int) -> Labelled:
        return cls(torch.empty(0, 0), torch.empty(0, dtype=torch.long), classes)


def classifier(vectors: Tensor) -> Tensor:
    """Return an ensemble's classifier, built as in open_clip: [T, C, E] -> [C, E]."""
    mean = vectors.mean(dim=0)
    norm: Tensor = mean.norm(dim=1, keepdim=True)
    return mean / norm


def logits(split: Labelled, weights: Tensor, chunk: int = CHUNK) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield logits [m, C] and labels [m] of at most ``chunk`` images, on the device of the weights."""
    for start in range(0, len(split), chunk):
        part = split.features[start : start + chunk].to(weights.device, torch.float32)
        labels = split.labels[start : start + chunk].to(weights.device)
        yield (SCALE * part) @ weights.T, labels


def decide(split: Labelled, weights: Tensor) -> Tensor:
    """Return each image's class, the first of the largest logits: [n], on the CPU."""
    found = [values.argmax(dim=1).cpu() for values, _ in logits(split, weights)]
    return torch.cat(found) if found else split.labels.new_empty(0)


def grey_box(split: Labelled, weights: Tensor, logit_scale: float) -> tuple[float, float]:
    """Return the mean log-probability of the true class (nats), and its mean margin in logits."""
    logprob = margin = 0.0
    for values, labels in logits(split, weights):
        scaled = values * (logit_scale / SCALE)
        true = scaled.gather(1, labels[:, None])[:, 0]
        others = scaled.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
        # Some devices have no double precision, so sum on the CPU.
        logprob -= functional.cross_entropy(scaled, labels, reduction="none").cpu().double().sum().item()
        margin += (true - others).cpu().double().sum().item()
    return logprob / len(split), margin / len(split)


# Counting is left to NumPy: torch's small operations take longer, and each lets go of the interpreter lock
# for too short for another thread, such as the event loop's, to get it.


def correct(decisions: Tensor, split: Labelled) -> int:
    """Return the number of correctly classified images."""
    return tally.correct(decisions.numpy(), split.labels.numpy())


def class_mean(decisions: Tensor, split: Labelled) -> float:
    """Return the mean accuracy of the classes that have images."""
    return tally.class_mean(decisions.numpy(), split.labels.numpy(), split.classes)
