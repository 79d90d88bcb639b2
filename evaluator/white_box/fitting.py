"""Fit one reference, then look at a split."""

from __future__ import annotations

import importlib
import time
from typing import cast

from ..clip.zero_shot import Labelled, correct
from ..predicting import Predictions
from .problem import Fit, Fitted, Problem
from .reference_options import MethodOptions
from .references import REFERENCES, WhiteBoxResult


def solve(name: str, problem: Problem, options: MethodOptions, *, split: str, seed: int) -> WhiteBoxResult:
    """Fit a reference to the shots of a problem and classify a split; see ``run``.

    Raises:
        DataError: The shots are too few for it.
        ModelError: The model cannot be used in this way.
    """
    fit = cast("Fit", importlib.import_module(f".{REFERENCES[name].module}", __package__).fit)
    started = time.perf_counter()
    fitted = fit(problem, options, seed=seed)
    seconds = time.perf_counter() - started
    problem.report(f"{name}: fitted in {seconds:.1f} s")
    seen = problem.split(split)
    decided = fitted.decide(seen)
    return WhiteBoxResult(
        name=name,
        train=_accuracy(fitted, problem.train),
        val=_accuracy(fitted, problem.val) if len(problem.val) else None,
        test=correct(decided, seen) / len(seen) if split == "test" else None,
        split=split,
        predictions=Predictions(tuple(seen.labels.tolist()), (tuple(decided.tolist()),)),
        chosen=fitted.chosen,
        trained=fitted.trained,
        seconds=seconds,
        content={**problem.content, split: seen.image_set},
    )


def _accuracy(fitted: Fitted, split: Labelled) -> float:
    return correct(fitted.decide(split), split) / len(split)
