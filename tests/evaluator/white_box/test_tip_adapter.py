"""Tip-Adapter against its formula, written out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from promptclimb.evaluator.clip.zero_shot import correct, decide
from promptclimb.evaluator.datasets.hand_made import imagenet_templates
from promptclimb.evaluator.scoring import DEFAULT_TEMPLATE
from promptclimb.evaluator.white_box import tip_adapter as tip
from promptclimb.evaluator.white_box.references import TipAdapterOptions
from tests.fakes.few_shots import few_shots


def test_logits_are_the_formulas() -> None:
    """Image by image and shot by shot, in float64."""
    problem = few_shots()
    test, train = problem.split("test"), problem.train
    weights = problem.zero_shot(["a photo of a {}"])
    logits = tip.logits(test.features, train, weights, 30.0, 1.7, 5.5)
    f, w, keys = (np.asarray(each, dtype=np.float64) for each in (test.features, weights, train.features))
    for image in range(0, len(f), 37):
        expected = 30 * w @ f[image]
        for key, label in zip(keys, train.labels.tolist(), strict=True):
            expected[label] += 1.7 * np.exp(-5.5 * (1 - f[image] @ key))
        np.testing.assert_allclose(logits[image].numpy(), expected, atol=1e-4)


def test_a_cache_without_weight_is_the_text_classifier() -> None:
    """And with much of it, the shots decide."""
    problem = few_shots(noise=0.1)
    test = problem.split("test")
    plain = decide(test, problem.zero_shot(["a photo of a {}"]))
    without = tip.fit(problem, TipAdapterOptions(alpha=0, texts="plain"), seed=1)
    assert torch.equal(without.decide(test), plain)
    with_it = tip.fit(problem, TipAdapterOptions(alpha=1000), seed=1)
    assert correct(with_it.decide(test), test) > correct(plain, test)
    assert with_it.chosen == {"alpha": 1000.0, "beta": 5.5, "templates": ["a photo of a {}"]}
    assert with_it.trained == 0


def test_a_key_is_the_mean_of_an_images_versions() -> None:
    """With copies that are other images, the logits are those of a cache of the means."""
    problem = few_shots()
    versions = torch.stack([problem.train.features, problem.train.features.flip(0)], dim=1)
    fitted = tip.fit(replace(problem, versions=versions), TipAdapterOptions(), seed=1)
    cache = replace(problem.train, features=functional.normalize(versions.sum(dim=1), dim=1))
    test = problem.split("test")
    weights = problem.zero_shot(problem.templates("hand-made"))
    assert torch.equal(
        fitted.decide(test),
        tip.logits(test.features, cache, weights, problem.logit_scale, 1.0, 5.5).argmax(dim=1),
    )


def test_the_text_classifier_may_be_that_of_published_templates() -> None:
    """Those of OpenAI's list that the model can read; a set without templates of its own has the default."""
    problem = few_shots()
    published = problem.templates("openai-imagenet")
    assert len(published) > 60
    assert set(published) <= set(imagenet_templates())
    assert problem.templates("hand-made") == problem.templates("plain") == (DEFAULT_TEMPLATE,)
    fitted = tip.fit(problem, TipAdapterOptions(alpha=0, texts="openai-imagenet"), seed=1)
    test = problem.split("test")
    assert torch.equal(fitted.decide(test), decide(test, problem.zero_shot(published)))


def test_the_grid_is_the_authors() -> None:
    """200 values of beta, 20 of alpha, from 0.1 in equal steps that end short of 13."""
    assert (len(tip.BETAS), len(tip.ALPHAS), tip.BETAS[0], tip.ALPHAS[0]) == (200, 20, 0.1, 0.1)
    assert tip.ALPHAS[1] == pytest.approx(0.745)
    assert tip.BETAS[-1] == pytest.approx(12.9355)


def test_searching_takes_the_first_of_the_best() -> None:
    """On the validation images."""
    problem = few_shots(noise=0.6)
    weights = problem.zero_shot(["a photo of a {}"])
    alphas, betas, scale = (0.0, 5.0, 50.0), (0.5, 5.5), problem.logit_scale
    tried = {
        (alpha, beta): correct(
            tip.logits(problem.val.features, problem.train, weights, scale, alpha, beta).argmax(dim=1),
            problem.val,
        )
        for beta in betas
        for alpha in alphas
    }
    assert tip.search(problem.val, problem.train, weights, scale, alphas, betas) == max(
        tried, key=tried.__getitem__
    )
    fitted = tip.fit(problem, TipAdapterOptions(tuned=True), seed=1)
    assert (fitted.chosen["alpha"], fitted.chosen["beta"]) == tip.search(
        problem.val, problem.train, weights, scale
    )
    assert correct(fitted.decide(problem.val), problem.val) > tried[0.0, 0.5]
