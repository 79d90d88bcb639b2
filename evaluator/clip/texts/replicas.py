"""Several devices, one encoder: each holds a replica of the model and takes its share of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import torch
from torch import Tensor

from ...scoring import Rejection
from .text_encoder import TextEncoder, TextStatistics


class Encoder(Protocol):
    """Templates to class vectors."""

    def check(self, template: str) -> Rejection | None:
        """Return why the model cannot read the template, if so."""
        ...

    def vectors(self, templates: Sequence[str]) -> Tensor:
        """Return normalised embeddings [T, C, E]."""
        ...

    def statistics(self) -> TextStatistics:
        """Return a snapshot of the counts."""
        ...


class ReplicatedEncoder:
    """Deals the templates of a batch out to replicas on different devices, one thread each.

    The vectors come back to the first replica's device. A failure of one replica is the batch's failure.
    """

    def __init__(self, replicas: Sequence[TextEncoder]) -> None:
        self._replicas = tuple(replicas)
        self._pool = ThreadPoolExecutor(len(self._replicas), thread_name_prefix="replica")

    def check(self, template: str) -> Rejection | None:
        """Return why the model cannot read the template, if so."""
        return self._replicas[0].check(template)

    def vectors(self, templates: Sequence[str]) -> Tensor:
        """Return normalised embeddings [T, C, E], in the order of the templates."""
        share = -(-len(templates) // len(self._replicas))
        parts = [templates[i : i + share] for i in range(0, len(templates), share)]
        used = self._replicas[: len(parts)]
        done = list(self._pool.map(lambda replica, part: replica.vectors(part), used, parts))
        return torch.cat([part.to(done[0].device) for part in done])

    def statistics(self) -> TextStatistics:
        """Return the replicas' counts together."""
        found = [replica.statistics() for replica in self._replicas]
        return TextStatistics(
            found[0].path, sum(one.encoded for one in found), sum(one.recurring for one in found)
        )
