"""What a small CLIP is trained to lower: CLIP's own loss, and two ways of learning from another CLIP."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

NEARNESS = 8.0  # about what "CLIP-KD" (arXiv 2307.12732) found best for its mean squared error


def contrastive(logits: Tensor, text_of: Tensor) -> Tensor:
    """Return CLIP's loss for logits [pictures, distinct texts], where pictures may share a text.

    Args:
        logits: Scaled similarities.
        text_of: The column of each picture's text, [pictures].
    """
    texts = torch.zeros_like(logits).scatter_(1, text_of[:, None], 1.0).T
    to_pictures = (functional.log_softmax(logits.T, dim=-1) * texts).sum(-1) / texts.sum(-1)
    return (functional.cross_entropy(logits, text_of) - to_pictures.mean()) / 2


def nearness(student: Tensor, teacher: Tensor) -> Tensor:
    """Return how far the student's unit features lie from the teacher's, weighted to go with other losses."""
    return NEARNESS * (1 - (student * teacher).sum(-1)).mean()


def imitation(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return Kullback-Leibler divergence of the student's logits from the teacher's, rows and columns."""
    return sum(
        functional.kl_div(
            functional.log_softmax(x, -1),
            functional.log_softmax(y, -1),
            log_target=True,
            reduction="batchmean",
        )
        for x, y in ((logits, wanted), (logits.T, wanted.T))
    ) / torch.tensor(2.0)
