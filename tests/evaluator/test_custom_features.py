"""A custom scorer with features of images learns from them, as the program's own CLIP does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from promptclimb import SearchConfig, search_sync
from promptclimb.agent.results.run_dir import CLASSIFIER
from promptclimb.evaluator.custom import as_evaluator
from promptclimb.evaluator.errors import EvaluatorError
from promptclimb.evaluator.open import open_evaluator
from promptclimb.evaluator.scoring import FeatureEvaluator, SplitScores
from tests.fakes.few_shots import pictures


def test_a_scorer_from_python_with_features_keeps_them(tmp_path: Path) -> None:
    """The result has the third form, and the folder its file."""
    spec = pictures(tmp_path)
    own = open_evaluator(spec)
    assert isinstance(as_evaluator(own, spec), FeatureEvaluator)
    config = SearchConfig(method="random", restarts=1, rounds=1, initial=6, run_dir=tmp_path / "run")
    result = search_sync(config, custom_scorer=own)
    assert result.with_images is not None
    assert (tmp_path / "run" / CLASSIFIER).exists()


class Percent:
    """An evaluator with features whose scores are no shares."""

    def __init__(self, own: Any) -> None:
        self._own = own

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def score(self, templates: Sequence[str]) -> list[float]:
        return [37.5] * len(templates)

    def examine(self, ensembles: Sequence[Sequence[str]], *, test: bool = True) -> list[SplitScores]:
        return [SplitScores(train=0.5, val=None, test=37.5 if test else None)] * len(ensembles)


def test_with_features_scores_are_accuracies(tmp_path: Path) -> None:
    """Others do not compare with those of what is learned."""
    spec = pictures(tmp_path)
    evaluator = as_evaluator(Percent(open_evaluator(spec)), spec)
    with pytest.raises(EvaluatorError, match=r"Percent.score gave the accuracy 37.5"):
        evaluator.score(["a {}"])
    with pytest.raises(EvaluatorError, match=r"Percent.examine gave the accuracy 37.5"):
        evaluator.examine([["a {}"]])
    assert evaluator.examine([["a {}"]], test=False)
