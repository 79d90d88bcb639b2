"""What initial templates are drawn from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from promptclimb import search
from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.errors import ConfigError
from promptclimb.agent.search.inputs import identity_of, read_pool
from promptclimb.evaluator.fakes import FakeEvaluator
from promptclimb.prompts.caption_grammar import all_of_grammar, grammar
from promptclimb.prompts.pools import BUILT_IN
from promptclimb.prompts.wording import built_in
from tests.fakes.clock import run_virtual


def config(**more: Any) -> SearchConfig:
    """A config without an LLM."""
    return SearchConfig(data="fake", method="random", **more)


def test_the_grammar_is_the_default_and_the_captions_are_there_as_before() -> None:
    """A run's identity tells the two apart."""
    by_default, captions = read_pool(config()), read_pool(config(initial_pool="captions"))
    assert tuple(by_default) == all_of_grammar()
    assert [template.text for template in captions] == list(BUILT_IN)
    info = FakeEvaluator().info
    told = [identity_of(config(), info, pool, built_in())["pool"] for pool in (by_default, captions)]
    assert told[0] != told[1]


def test_a_file_wins_over_both(tmp_path: Path) -> None:
    """``--initial FILE`` is the pool."""
    file = tmp_path / "pool.txt"
    file.write_text("a {}\nmany {}\n")
    for pool in ("captions", "grammar"):
        assert [one.text for one in read_pool(config(initial=file, initial_pool=pool))] == ["a {}", "many {}"]


@pytest.mark.parametrize(("pool", "size"), [("captions", 308), ("grammar", len(all_of_grammar()))])
def test_no_more_can_be_drawn_than_there_are(pool: str, size: int) -> None:
    """The message says how many."""
    assert len(read_pool(config(initial=size, initial_pool=pool))) == size
    with pytest.raises(ConfigError, match=f"--initial {size + 1}: the built-in pool has {size} templates"):
        read_pool(config(initial=size + 1, initial_pool=pool))


def test_initial_templates_are_of_many_kinds(tmp_path: Path) -> None:
    """Each climb draws from all productions of the grammar, and each its own templates."""
    small = config(restarts=2, resets=1, iterations=1, initial=80, run_dir=tmp_path / "r")
    result = run_virtual(search(small, evaluator=FakeEvaluator()))
    rows = [row for row in result.leaderboard if not row.reset]
    drawn = [{row.template for row in rows if row.climb == climb} for climb in (1, 2)]
    kinds = [{one.text for one in templates} for templates in grammar().values()]
    for one in drawn:
        assert sum(bool(kind & one) for kind in kinds) == len(kinds)
    assert len(drawn[0] & drawn[1]) < 20
