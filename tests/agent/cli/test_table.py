"""The final table: what was found, and what it took, in words that cannot be misread."""

from __future__ import annotations

import io

from rich.console import Console

from promptclimb.agent.cli.table import print_result
from promptclimb.agent.results.result import Ensemble, Llm, SearchResult, Usage
from tests.fakes.small_result import row, small_result


def printed(result: SearchResult) -> str:
    """What is printed of a result, on one line a line."""
    stream = io.StringIO()
    print_result(Console(file=stream, width=100), result, None)
    return stream.getvalue()


def test_what_it_took_is_said_with_all_that_is_in_doubt() -> None:
    """Calls, failures, tokens, dollars, and what the endpoint did not report."""
    spent = Usage(
        calls=9, failed_calls=2, prompt_tokens=1000, estimated_tokens=42_839, estimated_usd=0.25, cost_usd=1.5
    )
    text = printed(small_result(usage=spent, llm=Llm(model="l", base_url=None)))
    assert (
        "2 templates scored, 9 calls, 1,000 tokens, 2 s of active time, $1.5000, and at most 42,839 more "
        "tokens ($0.2500) that the endpoint did not report\n2 attempts failed\n"
    ) in text


def test_the_llms_templates_are_told_from_those_that_took_no_call() -> None:
    """How many of the new ones are its own; nothing of a result that does not say, or without an LLM."""
    board = (
        row(1, source="llm"),
        row(2, source="combine"),
        row(3, source="combine"),
        row(4, source="initial"),
    )
    llm = Llm(model="l", base_url=None)
    assert "1 of the 3 new templates are the LLM's\n" in printed(small_result(leaderboard=board, llm=llm))
    for other in (small_result(leaderboard=board), small_result(llm=llm)):
        assert "the LLM's" not in printed(other)


def test_tokens_of_other_prices_are_told_apart() -> None:
    """Those of caches and of thinking, where an endpoint tells of them."""
    spent = Usage(
        calls=9, prompt_tokens=900, completion_tokens=100, cached_tokens=640, cache_written_tokens=20,
        reasoning_tokens=70,
    )  # fmt: skip
    text = printed(small_result(usage=spent, llm=Llm(model="l", base_url=None)))
    assert "1,000 tokens (640 from a cache, 20 written to a cache, 70 of reasoning), 2 s" in " ".join(
        text.split()
    )


def test_without_an_llm_there_are_no_calls() -> None:
    """Nothing was asked, so nothing is said of it."""
    assert "2 templates scored, 2 s of active time\n" in printed(small_result())


def test_an_average_is_called_that_before_its_templates() -> None:
    """Nobody takes the number for that of further templates."""
    three = Ensemble(templates=("a {}", "b {}", "c {}"), train=0.5, val=None, test=None)
    lines = [
        line.split("│")[2].strip()
        for line in printed(small_result(ensemble=three)).splitlines()
        if "│" in line
    ]
    assert lines[-4:] == ["3 templates averaged:", "a {}", "b {}", "..."]
