"""Tip-Adapter without training: a cache of the shots complements the text classifier.

The texts have the model's own logit scale, which is the authors' 100 for OpenAI's models.

R. Zhang et al.: Tip-Adapter: Training-free Adaption of CLIP for Few-shot Classification, ECCV 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from ..clip.zero_shot import CHUNK, Labelled, correct
from .problem import Fitted, Problem
from .references import TipAdapterOptions

# The authors' grid: 200 values of beta and 20 of alpha, from 0.1 to short of 13.
_FIRST, _LAST = 0.1, 13.0
BETAS = tuple(_FIRST + step * (_LAST - _FIRST) / 200 for step in range(200))
ALPHAS = tuple(_FIRST + step * (_LAST - _FIRST) / 20 for step in range(20))


def fit(problem: Problem, options: TipAdapterOptions, *, seed: int) -> Fitted:
    """Build the cache; search alpha and beta if ``tuned``; see ``Fit``."""
    templates = problem.templates(options.texts)
    weights = problem.zero_shot(templates)
    cache = problem.train
    if problem.versions is not None:  # a key is the mean of an image's versions, as in the authors' code
        cache = replace(cache, features=functional.normalize(problem.versions.float().mean(dim=1), dim=1))
    alpha, beta, scale = options.alpha, options.beta, problem.logit_scale
    if options.tuned:
        alpha, beta = search(problem.val, cache, weights, scale)

    def decided(split: Labelled) -> Tensor:
        chunks = torch.split(split.features.float(), CHUNK)
        return torch.cat(
            [logits(chunk, cache, weights, scale, alpha, beta).argmax(dim=1) for chunk in chunks]
        )

    chosen = {"alpha": alpha, "beta": beta, "templates": list(templates)}
    return Fitted(decide=decided, chosen=chosen, trained=2 if options.tuned else 0)


def logits(
    features: Tensor, cache: Labelled, weights: Tensor, scale: float, alpha: float, beta: float
) -> Tensor:
    """Return scale f w + alpha exp(-beta (1 - f k)) v for features f [n, E], keys k and values v: [n, C]."""
    return scale * features @ weights.T + alpha * answers(features @ cache.features.T, cache, beta)


def answers(affinity: Tensor, cache: Labelled, beta: float) -> Tensor:
    """Return the cache's logits for images with affinities [n, m] to its own: [n, C]."""
    values = functional.one_hot(cache.labels, cache.classes).float()
    return (-beta * (1 - affinity)).exp() @ values


def search(
    val: Labelled,
    cache: Labelled,
    weights: Tensor,
    scale: float,
    alphas: Sequence[float] = ALPHAS,
    betas: Sequence[float] = BETAS,
) -> tuple[float, float]:
    """Return the alpha and beta with most correct validation images, the smallest of equals."""
    affinity = val.features @ cache.features.T
    text = scale * val.features @ weights.T
    best, chosen = -1, (alphas[0], betas[0])
    for beta in betas:
        cached = answers(affinity, cache, beta)
        for alpha in alphas:
            right = correct((text + alpha * cached).argmax(dim=1), val)
            if right > best:
                best, chosen = right, (alpha, beta)
    return chosen
