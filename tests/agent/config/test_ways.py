"""What endpoints of a pool are asked for in place of what the config says."""

from __future__ import annotations

from typing import Any

from promptclimb import SearchConfig
from promptclimb.agent.config.ways import deciding_ways, ways

ONE, OTHER = "http://one/v1", "http://other/v1"


def of(*endpoints: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """A config with a pool, as a run keeps it."""
    return SearchConfig(llm="m", endpoints=endpoints, **settings).to_public()


def test_only_what_makes_a_difference_is_a_way_of_its_own() -> None:
    """A value that is the config's own too is none; addresses, keys, prices and paces are none."""
    same = {"base_url": ONE, "model": "m", "reasoning_effort": "low", "extra_body": {"top_k": 5}, "rpm": 9}
    settings = of(same, {"base_url": OTHER}, reasoning_effort="low", extra_body={"top_k": 5, "top_p": 1})
    assert ways(settings) == [{}, {}]
    assert deciding_ways(settings) == []
    other = {"base_url": ONE, "model": "x", "reasoning_effort": "high", "extra_body": {"top_k": 7}}
    assert ways(of(other)) == [{"model": "x", "reasoning_effort": "high", "extra_body": {"top_k": 7}}]
    assert ways({}) == deciding_ways({}) == []


def test_whose_way_it_is_decides_nothing() -> None:
    """Neither the order nor the number of those that have it; what one of them is asked for does."""
    one, other = {"base_url": ONE, "model": "x"}, {"base_url": OTHER}
    assert deciding_ways(of(one, other)) == deciding_ways(of(other, one, one)) == [{"model": "x"}, {}]
    assert deciding_ways(of(one)) != deciding_ways(of(one, other))


def test_the_ways_of_a_pool_are_part_of_the_identity() -> None:
    """None in a pool that is asked as the config says, which is like one endpoint."""
    assert SearchConfig(llm="m").identity()["endpoints"] == []
    pool = ({"base_url": ONE, "reasoning_effort": "high"},)
    assert SearchConfig(llm="m", endpoints=pool).identity()["endpoints"] == [{"reasoning_effort": "high"}]
