"""The method, and how many initial templates a restart has, where nobody says it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from promptclimb.agent.config.schema import (
    DESCRIBED_INITIAL,
    DESCRIBED_PROPOSALS,
    FEW_INITIAL,
    IMAGE_INITIAL,
    LEAST_FREE,
    MANY_INITIAL,
    MOST_FROM_FILE,
    SearchConfig,
    most_free,
)
from promptclimb.agent.methods.guided import MOST_FREE
from tests.fakes.evaluators import FakeEvaluator


def opened(classes: int, *, cheap: bool = True, **more: Any) -> int | Path | None:
    info = replace(FakeEvaluator().info, classes=classes, cheap=cheap)
    config = SearchConfig(data="fake", **{"method": "random", **more})
    done = config.as_opened(info)
    assert done.shots == info.shots
    assert not isinstance(done.initial, int) or done.initial <= config.most_initial
    return done.initial


@pytest.mark.parametrize(
    ("classes", "number"),
    [(2, MANY_INITIAL), (100, MANY_INITIAL), (200, 125), (1000, FEW_INITIAL), (0, MANY_INITIAL)],
)
def test_the_more_classes_the_fewer_templates(classes: int, number: int) -> None:
    """Each makes a text a class; never fewer than the paper has."""
    assert opened(classes) == number


@pytest.mark.parametrize(
    ("settings", "method", "asks"),
    [
        ({}, "combine", False),
        ({"llm": "m"}, "guided", True),
        ({"search_for": "class-names"}, "combine", False),
        ({"search_for": "class-names", "llm": "m"}, "combine", True),
        ({"llm": "m", "method": "combine"}, "combine", False),
        ({"llm": "m", "method": "pn", "search_for": "class-names"}, "pn", True),
        ({"scorer": "chat", "scorer_url": "http://h/v1", "model": "m"}, "combine", False),
    ],
)
def test_the_default_method_asks_an_llm_only_if_one_is_named_for_templates(
    settings: dict[str, Any], method: str, asks: bool
) -> None:
    """For class names it is asked too, but not for templates."""
    config = SearchConfig(**settings)
    assert (config.method, config.needs_llm, config.missing_llm) == (method, asks, None)


def test_of_captions_and_where_a_score_may_cost_anything_there_are_few() -> None:
    """What a user's black box does for a score is not known."""
    assert opened(2, starting_pool="captions") == FEW_INITIAL
    assert opened(2, cheap=False) == FEW_INITIAL


@pytest.mark.parametrize(
    ("classes", "cheap", "number"),
    [(0, True, MOST_FREE), (12, True, MOST_FREE), (100, True, 10), (200, True, LEAST_FREE), (250, True, 0),
     (1000, True, 0), (12, False, 0)],
)  # fmt: skip
def test_beside_a_request_few_are_scored_of_many_classes_and_none_where_they_are_dear(
    classes: int, cheap: bool, number: int
) -> None:
    """A round of five, or nothing."""
    assert most_free(replace(FakeEvaluator().info, classes=classes, cheap=cheap)) == number


def test_what_is_said_stays(tmp_path: Path) -> None:
    """A number, or a file, of which so many are drawn."""
    assert opened(2, initial=7) == 7
    file = tmp_path / "own.txt"
    assert opened(2, initial=file) == file
    assert SearchConfig(data="fake", method="random", initial=file).most_initial == MOST_FROM_FILE


@pytest.mark.parametrize("scorer", ["zero-shot", "chat"])
def test_where_each_template_takes_a_request_an_image_a_search_is_small(scorer: str) -> None:
    """Unless its size is given; a run's own settings hold what it began with."""
    settings: dict[str, Any] = {"scorer": scorer, "scorer_url": "http://127.0.0.1:9/v1", "model": "m"}
    settings |= {"search_for": "instruction"} if scorer == "chat" else {}
    assert opened(12, cheap=False, **settings) == IMAGE_INITIAL
    small = SearchConfig(data="fake", method="random", **settings)
    assert (small.restarts, small.name_rounds, small.most_initial) == (1, 1, IMAGE_INITIAL)
    assert small.identity()["restarts"] == 1
    large = SearchConfig(data="fake", method="random", restarts=4, name_rounds=4, initial=100, **settings)
    assert (large.restarts, large.name_rounds, large.most_initial) == (4, 4, 100)
    assert SearchConfig(**{**small.to_public(), "restarts": 4}).restarts == 4
    texts = SearchConfig(
        data="fake", method="random", **{**settings, "scorer": "embeddings", "search_for": "template"}
    )
    assert (texts.restarts, texts.name_rounds) == (4, 4)


@pytest.mark.parametrize(
    "scorer", [{}, {"scorer": "zero-shot", "scorer_url": "http://127.0.0.1:9/v1", "model": "m"}]
)
def test_with_a_description_costly_scores_go_to_templates_made_of_it(scorer: dict[str, Any]) -> None:
    """Unless the method does not use it, or scores are cheap."""
    settings: dict[str, Any] = {**scorer, "method": "combine", "describe": "tally marks"}
    assert opened(12, cheap=False, **settings) == DESCRIBED_INITIAL
    few = IMAGE_INITIAL if scorer else FEW_INITIAL
    for other in ({"method": "random"}, {"describe": None}, {"blind": True}):
        assert opened(12, cheap=False, **settings | other) == few
    if not scorer:
        assert opened(12, **settings) == MANY_INITIAL
    assert SearchConfig(data="fake", **settings).proposals == (DESCRIBED_PROPOSALS if scorer else 5)
    assert SearchConfig(data="fake", **settings, proposals=3).proposals == 3
