"""Augmented copies in a run: they decide the choice and nothing before it, and a run keeps their number."""

from __future__ import annotations

import asyncio
import csv
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from promptclimb import SearchConfig, load, resume, search
from promptclimb.agent.api import evaluate
from promptclimb.agent.errors import StoreMismatchError
from promptclimb.agent.results.run_dir import stored_config
from promptclimb.evaluator.spec import EvaluatorSpec
from tests.fakes.few_shots import pictures

SMALL = {"method": "random", "initial": 8, "restarts": 1, "conversations": 1, "rounds": 2}


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> EvaluatorSpec:
    """12 training and 6 validation pictures, and a tiny CLIP."""
    return pictures(tmp_path_factory.mktemp("pictures"))


def ran(spec: EvaluatorSpec, run_dir: Path, **more: Any) -> list[dict[str, str]]:
    """Search, and return the leaderboard."""
    asyncio.run(search(SearchConfig(**{**dict(spec), **SMALL, **more}, run_dir=run_dir)))
    return board(run_dir)


def board(run_dir: Path) -> list[dict[str, str]]:
    """The leaderboard's lines."""
    with (run_dir / "leaderboard.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_views_order_what_was_found_and_the_restart_does_not_see_them(
    spec: EvaluatorSpec, tmp_path: Path
) -> None:
    """The same templates, with the same scores; the first has the highest mean of images and copies."""
    viewed, without = ran(spec, tmp_path / "viewed"), ran(spec, tmp_path / "without", augmentations=0)
    known = [
        {(line["template"], line["train"], line["val"]) for line in lines} for lines in (viewed, without)
    ]
    assert known[0] == known[1]
    assert {line["copies"] for line in without} == {""}
    assert stored_config(tmp_path / "viewed").augmentations == 8
    means = [
        (12 * float(line["train"]) + 6 * float(line["val"])) / 18 + float(line["copies"]) for line in viewed
    ]
    assert all(mean >= after - 1e-5 for mean, after in itertools.pairwise(means))
    assert len({round(mean, 3) for mean in means}) > 3


def test_a_run_is_resumed_by_its_own_views(spec: EvaluatorSpec, tmp_path: Path) -> None:
    """Scores come from the disk with them, and the same classifier is learned; another number is refused."""
    before = ran(spec, tmp_path / "r", augmentations=3)
    document = json.loads((tmp_path / "r" / "result.json").read_text("utf-8"))
    classifier = load(tmp_path / "r")
    (tmp_path / "r" / "result.json").unlink()
    again = asyncio.run(resume(tmp_path / "r")).to_json()
    for member in ("leaderboard", "texts", "with_images", "recommended"):
        assert again[member] == document[member]
    assert board(tmp_path / "r") == before
    learnt = load(tmp_path / "r")
    assert learnt.to_bytes() == classifier.to_bytes()
    with pytest.raises(StoreMismatchError, match="augmentations: it was 3, now 8"):
        asyncio.run(resume(tmp_path / "r", changes={"augmentations": 8}))


def test_where_nothing_is_chosen_no_views_are_made(spec: EvaluatorSpec, tmp_path: Path) -> None:
    """Templates that are merely scored cost what they did."""
    evaluate(["a {}"], spec.model_copy(update={"cache_dir": tmp_path}), split="train")
    assert len(list((tmp_path / "features").glob("*.safetensors"))) == 2
