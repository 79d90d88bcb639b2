"""A custom scorer with features of images learns from them, as the program's own CLIP does."""

from __future__ import annotations

from pathlib import Path

from promptclimb import SearchConfig, search_sync
from promptclimb.agent.results.run_dir import CLASSIFIER
from promptclimb.evaluator.custom import as_evaluator
from promptclimb.evaluator.open import open_evaluator
from promptclimb.evaluator.scoring import FeatureEvaluator
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
