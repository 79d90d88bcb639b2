"""Linear probe: logistic regression on image features, without texts.

A. Radford et al.: Learning Transferable Visual Models From Natural Language Supervision, ICML 2021 (A.3); the
search for C follows CoOp's public code.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from ..clip.zero_shot import Labelled
from ..errors import DataError
from .problem import Fitted, Problem
from .references import LinearProbeOptions

WIDE = (1e6, 1e4, 1e2, 1.0, 1e-2, 1e-4, 1e-6)
STEPS = 8
MAX_ITER = 1000


def fit(problem: Problem, options: LinearProbeOptions, *, seed: int) -> Fitted:
    """Choose C on the validation images and fit; see ``Fit``."""
    if len(set(problem.train.labels.tolist())) < 2:
        raise DataError(f"linear-probe needs two classes with images, and {problem.dataset} has one left")
    c = search(problem.train, problem.val) if options.c is None else options.c
    model = trained(problem.train, c)

    def decided(split: Labelled) -> torch.Tensor:
        return torch.from_numpy(model.predict(split.features.numpy())).long()

    return Fitted(decide=decided, chosen={"c": c}, trained=model.coef_.size + model.intercept_.size)


def search(train: Labelled, val: Labelled) -> float:
    """Return a C: the best of seven, then eight halvings of the range around it, as in CoOp's code."""
    accuracy_by_c: dict[float, float] = {}

    def accuracy(c: float) -> float:
        if c not in accuracy_by_c:
            accuracy_by_c[c] = float(trained(train, c).score(val.features.numpy(), val.labels.numpy()))
        return accuracy_by_c[c]

    peak = max(WIDE, key=accuracy)
    left, right = math.log10(peak) - 1, math.log10(peak) + 1
    best = peak
    for _ in range(STEPS):
        middle = (left + right) / 2
        if accuracy(10**left) < accuracy(10**right):
            best, left = 10**right, middle
        else:
            best, right = 10**left, middle
    return best


def trained(train: Labelled, c: float) -> Any:
    """Return scikit-learn's logistic regression of the labels on the features."""
    model = LogisticRegression(C=c, max_iter=MAX_ITER)
    with warnings.catch_warnings():
        # With almost no penalty, separable data has no optimum; stopping early is the published behaviour.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(train.features.numpy(), train.labels.numpy())
