"""Logistic regression on features."""

from __future__ import annotations

import importlib
from dataclasses import replace
from types import ModuleType

import pytest
import torch

from promptclimb.evaluator.clip.zero_shot import Labelled, correct
from promptclimb.evaluator.errors import DataError
from promptclimb.evaluator.white_box.references import LinearProbeOptions
from tests.fakes.few_shots import NAMES, few_shots


@pytest.fixture
def linear_probe() -> ModuleType:
    """The module, which takes two seconds to import scikit-learn."""
    return importlib.import_module("promptclimb.evaluator.white_box.linear_probe")


def test_classes_that_lie_apart_are_separated(linear_probe: ModuleType) -> None:
    """Every image, of every split."""
    problem = few_shots(noise=0.05)
    fitted = linear_probe.fit(problem, LinearProbeOptions(), seed=1)
    for name in ("train", "val", "test"):
        split = problem.split(name)
        assert correct(fitted.decide(split), split) == len(split)
    assert fitted.trained == len(NAMES) * 33


def test_the_c_that_is_found_is_one_of_the_best(linear_probe: ModuleType) -> None:
    """No C of the wide search does better on val than the one that is taken."""
    problem = few_shots(noise=1.0)
    best_c = linear_probe.search(problem.train, problem.val)
    scores = [
        linear_probe.trained(problem.train, c).score(problem.val.features.numpy(), problem.val.labels.numpy())
        for c in (*linear_probe.WIDE, best_c)
    ]
    assert 1e-7 <= best_c <= 1e7
    assert scores[-1] >= max(scores[:-1]) - 0.1


def test_a_c_that_is_given_needs_no_validation_images(linear_probe: ModuleType) -> None:
    """It is taken as it is. One class alone cannot be learned."""
    empty = Labelled(torch.empty(0, 32), torch.empty(0, dtype=torch.long), len(NAMES))
    problem = replace(few_shots(), val=empty)
    assert linear_probe.fit(problem, LinearProbeOptions(c=2), seed=1).chosen == {"c": 2.0}
    alone = Labelled(problem.train.features[:1], problem.train.labels[:1], len(NAMES))
    with pytest.raises(DataError, match="two classes"):
        linear_probe.fit(replace(problem, train=alone), LinearProbeOptions(c=2), seed=1)
