"""Classify and score n images of C classes with features [n, E] and class vectors [T, C, E].

To classify with other names of single classes at the cost of those alone, ``RenamedClasses`` computes logits
for ``BLOCK`` classes at a time, always in the same shape. So the logit of an image and a text is the same
number in any place of any block, which is checked, and another name of one class needs its own column alone.
Decisions equal those of the whole, computed anew, bit for bit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from .. import tally
from ..head import Likeness

CHUNK = 8192
SCALE = 100.0
BLOCK = 16
"""Classes in a block: on a CPU a product with so many columns takes little longer than with one."""
MOST_NUMBERS = 2**23
"""Most numbers of renamed blocks that are cached, two per block and image."""

Names = tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Labelled:
    """Images of one split."""

    features: Tensor  # [n, E], normalised
    labels: Tensor  # [n]
    classes: int
    left_out: tuple[str, ...] = ()  # what is wrong with each image that was left out
    paths: tuple[Path, ...] = ()  # the files, in the same order; empty if unknown
    image_set: str = ""  # content hash of the files; empty if unknown
    kept: tuple[int, ...] = ()  # for each row, the index of its image among the files of ``image_set``

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


def products(features: Tensor, weights: Tensor, likeness: Likeness | None = None) -> Tensor:
    """Return the logits of features [n, E], on the device of the weights: [n, C]."""
    features = features.to(weights.device, torch.float32)
    values = (SCALE * features) @ weights.T
    if likeness is not None:
        values += SCALE * torch.from_numpy(likeness.added(features.cpu().numpy())).to(weights.device)
    return values


def logits(
    split: Labelled, weights: Tensor, likeness: Likeness | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield logits [m, C] and labels [m] of at most ``CHUNK`` images, on the device of the weights."""
    for start in range(0, len(split), CHUNK):
        labels = split.labels[start : start + CHUNK].to(weights.device)
        yield products(split.features[start : start + CHUNK], weights, likeness), labels


def decide(split: Labelled, weights: Tensor, likeness: Likeness | None = None) -> Tensor:
    """Return each image's class, the first of the largest logits: [n], on the CPU."""
    decisions = [values.argmax(dim=1).cpu() for values, _ in logits(split, weights, likeness)]
    return torch.cat(decisions) if decisions else split.labels.new_empty(0)


def within_5(split: Labelled, weights: Tensor, likeness: Likeness | None = None) -> float:
    """Return the share of images whose class is among those of the five largest logits."""
    five = [
        (values.topk(5).indices == labels[:, None]).any(dim=1).cpu()
        for values, labels in logits(split, weights, likeness)
    ]
    return float(torch.cat(five).double().mean())


def grey_box(split: Labelled, weights: Tensor, logit_scale: float) -> dict[str, float]:
    """Return the mean log-probability of the true class (nats), and its mean margin in logits."""
    logprob = margin = 0.0
    for values, labels in logits(split, weights):
        scaled = values * (logit_scale / SCALE)
        true = scaled.gather(1, labels[:, None])[:, 0]
        logits_of_others = scaled.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
        # Some devices have no double precision, so sum on the CPU.
        logprob -= functional.cross_entropy(scaled, labels, reduction="none").cpu().double().sum().item()
        margin += (true - logits_of_others).cpu().double().sum().item()
    return {"logprob": logprob / len(split), "margin": margin / len(split)}


# Counting is left to NumPy: torch's small operations take longer, and each lets go of the interpreter lock
# for too short for another thread, such as the event loop's, to get it.


def correct(decisions: Tensor, split: Labelled) -> int:
    """Return the number of correctly classified images."""
    return tally.correct(decisions.numpy(), split.labels.numpy())


class RenamedClasses:
    """The decisions of one template on one split, with renamed classes.

    Args:
        weights: The template's classifier with the original names: [C, E].
    """

    def __init__(self, split: Labelled, weights: Tensor) -> None:
        self._split = split
        self._weights = weights
        self._renamed: OrderedDict[Names, tuple[Tensor, Tensor]] = OrderedDict()
        # Of each block the two largest logits and their classes: [n, blocks] each.
        largest, labels, second, second_labels = (
            torch.stack(columns, dim=1)
            for columns in zip(
                *(self._two_largest(start) for start in range(0, len(weights), BLOCK)), strict=True
            )
        )
        self._largest, self._labels = largest, labels
        # The class of the largest logit of all, which a renamed class has to beat: [n].
        first = largest.argmax(dim=1, keepdim=True)
        self._best = labels.gather(1, first)[:, 0]
        self._best_value = largest.gather(1, first)[:, 0]
        # The largest but that one is in another block, or the second of the same.
        others = largest.scatter(1, first, second.gather(1, first))
        their_labels = labels.scatter(1, first, second_labels.gather(1, first))
        first = others.argmax(dim=1, keepdim=True)
        self._next, self._next_value = their_labels.gather(1, first)[:, 0], others.gather(1, first)[:, 0]
        alike = self._columns([weights[0]])
        self._columns_alike = bool((alike == alike[:, :1]).all())

    def decide_all(
        self, renamings: Sequence[Mapping[int, str]], vectors: Mapping[str, Tensor]
    ) -> list[Tensor]:
        """Return each image's class for each renaming, the first of the largest logits: [n], on the CPU.

        ``vectors`` has the text vector of each new name: [E].
        """
        decisions: dict[int, Tensor] = {}
        # Renamings of one class are decided for many at a time, by one new column each.
        single = [index for index, names in enumerate(renamings) if len(names) == 1 and self._columns_alike]
        for start in range(0, len(single), BLOCK):
            indices = single[start : start + BLOCK]
            renamed = [next(iter(renamings[index].items())) for index in indices]
            columns = self._columns([vectors[name] for _, name in renamed]).T.contiguous()  # [BLOCK, n]
            for index, (label, _), column in zip(indices, renamed, columns, strict=False):
                decisions[index] = self._with_column(label, column).cpu()
        for index, renaming in enumerate(renamings):
            if index not in decisions:
                decisions[index] = self._whole(renaming, vectors).cpu()
        return [decisions[index] for index in range(len(renamings))]

    def _with_column(self, label: int, column: Tensor) -> Tensor:
        """Return each image's class if one class has other logits [n]: [n]."""
        was_best = self._best == label
        rival = torch.where(was_best, self._next, self._best)
        value = torch.where(was_best, self._next_value, self._best_value)
        wins = (column > value) | ((column == value) & (rival > label))
        return torch.where(wins, label, rival)

    def _whole(self, renaming: Mapping[int, str], vectors: Mapping[str, Tensor]) -> Tensor:
        """Return each image's class with any renaming, by the blocks that it changes: [n]."""
        changed: dict[int, list[tuple[int, str]]] = {}
        for label, name in sorted(renaming.items()):
            changed.setdefault(label // BLOCK, []).append((label, name))
        largest, labels = self._largest, self._labels
        if changed:
            largest, labels = largest.clone(), labels.clone()
        for number, names in changed.items():
            largest[:, number], labels[:, number] = self._block(number * BLOCK, tuple(names), vectors)
        return labels.gather(1, largest.argmax(dim=1, keepdim=True))[:, 0]

    def _block(self, start: int, names: Names, vectors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the largest logit of each image in a renamed block, and its class."""
        if (largest_of_block := self._renamed.get(names)) is None:
            weights = self._weights[start : start + BLOCK].clone()
            for label, name in names:
                weights[label - start] = vectors[name]
            values = self._columns(list(weights))[:, : len(weights)]
            largest_of_block = self._renamed[names] = values.amax(dim=1), start + values.argmax(dim=1)
            if len(self._renamed) > 1 and 2 * len(self._renamed) * len(self._split) > MOST_NUMBERS:
                self._renamed.popitem(last=False)
        return largest_of_block

    def _two_largest(self, start: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        weights = self._weights[start : start + BLOCK]
        values = self._columns(list(weights))[:, : len(weights)]
        first = values.argmax(dim=1, keepdim=True)
        others = values.scatter(1, first, -torch.inf)
        return values.amax(dim=1), start + first[:, 0], others.amax(dim=1), start + others.argmax(dim=1)

    def _columns(self, vectors: Sequence[Tensor]) -> Tensor:
        """Return the logits of at most ``BLOCK`` class vectors, always as many columns: [n, BLOCK]."""
        weights = torch.stack(list(vectors))
        if len(vectors) == 1:
            weights = weights.expand(BLOCK, -1).contiguous()
        weights = functional.pad(weights, (0, 0, 0, BLOCK - len(weights)))
        columns = [values for values, _ in logits(self._split, weights)]
        return torch.cat(columns) if columns else weights.new_empty(0, BLOCK)
