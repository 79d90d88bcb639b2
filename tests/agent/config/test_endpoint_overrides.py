"""In what the requests to the endpoints of a pool differ from the search's own."""

from __future__ import annotations

from typing import Any

from promptclimb import SearchConfig
from promptclimb.agent.config.fields import different_overrides

ONE, OTHER = "http://one/v1", "http://other/v1"


def of(*endpoints: dict[str, Any], **settings: Any) -> list[dict[str, Any]]:
    """The overrides of a pool."""
    return SearchConfig(llm="m", endpoints=endpoints, **settings).overrides


def test_only_what_makes_a_difference_is_an_override() -> None:
    """A value that is the config's own too is no override; nor are addresses, keys, prices and paces."""
    same = {"base_url": ONE, "model": "m", "reasoning_effort": "low", "extra_body": {"top_k": 5}, "rpm": 9}
    found = of(same, {"base_url": OTHER}, reasoning_effort="low", extra_body={"top_k": 5, "top_p": 1})
    assert found == [{}, {}]
    assert different_overrides(found) == []
    other = {"base_url": ONE, "model": "x", "reasoning_effort": "high", "extra_body": {"top_k": 7}}
    assert of(other) == [{"model": "x", "reasoning_effort": "high", "extra_body": {"top_k": 7}}]
    assert of() == different_overrides([]) == []


def test_whose_override_it_is_decides_nothing() -> None:
    """Neither the order nor the number of those that have it; what one of them is asked for does."""
    one, other = {"base_url": ONE, "model": "x"}, {"base_url": OTHER}
    assert (
        different_overrides(of(one, other))
        == different_overrides(of(other, one, one))
        == [{"model": "x"}, {}]
    )
    assert different_overrides(of(one)) != different_overrides(of(one, other))


def test_the_overrides_of_a_pool_are_part_of_the_identity() -> None:
    """None in a pool that is asked as the config says, which is like one endpoint."""
    assert SearchConfig(llm="m").identity()["endpoints"] == []
    pool = ({"base_url": ONE, "reasoning_effort": "high"},)
    assert SearchConfig(llm="m", endpoints=pool).identity()["endpoints"] == [{"reasoning_effort": "high"}]
