"""Whose answers are shared with whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from promptclimb import SearchConfig
from promptclimb.agent.llm.chat import BilledAnswer, ChatAnswer, ChatRequest
from promptclimb.agent.llm.cost import NO_BILL
from promptclimb.agent.search.sharing import shared
from promptclimb.evaluator.fakes import FakeEvaluator

URL = "http://127.0.0.1:9/v1"
REQUEST = ChatRequest(messages=({"role": "user", "content": "hello"},), model="m")


class Counting:
    """An asker that counts."""

    def __init__(self) -> None:
        self.asked = 0

    async def ask(self, request: ChatRequest) -> BilledAnswer:
        self.asked += 1
        return BilledAnswer(ChatAnswer(text=f"- a {{}} {self.asked}"), NO_BILL, "fake")


@pytest.mark.parametrize(
    "other", [{"model": "x"}, {"reasoning_effort": "high"}, {"extra_body": {"top_p": 0.1}}]
)
async def test_an_endpoint_that_is_asked_otherwise_shares_no_answers(
    other: dict[str, Any], tmp_path: Path
) -> None:
    """One address, two ways: each has answers of its own; a pool of one plain endpoint is that endpoint."""
    plain: dict[str, Any] = {"base_url": URL}
    ways = [{"base_url": URL}, {"endpoints": (plain,)}, {"endpoints": ({**plain, **other},)}]
    asker, evaluator = Counting(), FakeEvaluator()
    for way in (*ways, *ways):
        config = SearchConfig(llm="m", shared_cache=tmp_path / "c", cache_answers=True, **way)
        with shared(config, evaluator.info, evaluator, asker, {}, []) as (_, sharing):
            await sharing.ask(REQUEST)
    assert asker.asked == 2
