"""Your own scorer and your own LLM, with no more than the one method that they need."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.errors import ConfigError
from promptclimb.agent.llm.types import ChatAnswer, ChatRequest
from promptclimb.agent.search.adapters import MessagesChat, ScorerEvaluator, as_chat, as_evaluator
from promptclimb.agent.search.api import search_sync
from promptclimb.evaluator.fakes import FakeEvaluator
from promptclimb.evaluator.scoring import Rejection, Score, SplitScores

from tests.fakes.chat_by_hash import ChatByHash

CONFIG = SearchConfig(data="mine", method="random")
REQUEST = ChatRequest(messages=({"role": "user", "content": "hello"},), model="m")


class Lengths:
    """A black box that likes templates of 20 characters."""

    def score(self, templates: Sequence[str]) -> list[float]:
        """One number a template."""
        return [1 / (1 + abs(20 - len(template))) for template in templates]


def test_an_evaluator_is_used_as_it_is() -> None:
    """Nothing is put around one that has everything."""
    evaluator = FakeEvaluator()
    assert as_evaluator(evaluator, CONFIG) is evaluator


def test_numbers_become_scores() -> None:
    """Bare numbers, scores and rejections may be mixed."""

    class Mixed:
        def score(self, templates: Sequence[str]) -> list[Any]:
            return [0.5, Score(train=0.25), Rejection("long", "too long")]

    found = ScorerEvaluator(Mixed(), CONFIG).score(["a {}", "b {}", "c {}"])
    assert found == [Score(train=0.5), Score(train=0.25), Rejection("long", "too long")]


def test_a_search_on_a_bare_scorer_has_a_result_without_test(tmp_path: Path) -> None:
    """Any object with score(templates) can be climbed."""
    config = CONFIG.model_copy(update={"run_dir": tmp_path / "r", "restarts": 1})
    result = search_sync(config, evaluator=Lengths())
    assert result.best.train > 0.3
    assert (result.best.test, result.best.val, result.dataset.name) == (None, None, "mine")


def test_several_templates_are_not_measured_by_a_bare_scorer() -> None:
    """Single ones are; a rejection has no accuracy, and one call asks for all."""
    asked: list[list[str]] = []

    class Picky:
        def score(self, templates: Sequence[str]) -> list[Any]:
            asked.append(list(templates))
            return [Rejection("long", "too long") if "long" in one else 0.5 for one in templates]

    scorer = ScorerEvaluator(Picky(), CONFIG)
    found = scorer.examine([["a {}"], ["a {}", "b {}"], ["long {}"], ["c {}"]])
    assert found == [SplitScores(0.5, None, None), None, None, SplitScores(0.5, None, None)]
    assert asked == [["a {}", "long {}", "c {}"]]
    assert scorer.examine([["a {}", "b {}"]]) == [None]
    assert len(asked) == 1


async def test_an_llm_may_be_a_function_of_messages() -> None:
    """Plain or async, answering with a text."""

    class Plain:
        def chat(self, messages: list[dict[str, str]]) -> str:
            return messages[0]["content"] + "!"

    class Later:
        async def chat(self, messages: list[dict[str, str]]) -> str:
            return messages[0]["content"] + "?"

    assert (await as_chat(Plain()).chat(REQUEST)).text == "hello!"
    assert (await as_chat(Later()).chat(REQUEST)).text == "hello?"


async def test_a_chat_client_is_used_as_it_is() -> None:
    """The parameter's name tells a client from a function of messages."""
    client = ChatByHash()
    assert as_chat(client) is client

    class Answers:
        def chat(self, messages: object) -> ChatAnswer:
            return ChatAnswer(text="x", prompt_tokens=3)

    assert (await MessagesChat(Answers()).chat(REQUEST)).prompt_tokens == 3


@pytest.mark.parametrize("given", [object(), 3, "text"])
def test_what_has_not_the_method_is_named(given: object) -> None:
    """The error says which method is missing, and on what."""
    name = type(given).__name__
    with pytest.raises(ConfigError, match=rf"score\(templates\).*{name}"):
        as_evaluator(given, CONFIG)
    with pytest.raises(ConfigError, match=rf"chat\(messages\).*{name}"):
        as_chat(given)
