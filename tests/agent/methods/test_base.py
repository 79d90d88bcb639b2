"""Several steps in a round: a method consults, then asks; what it asked for is filed by position."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from promptclimb import SearchConfig, resume, search
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest
from promptclimb.agent.methods.base import (
    MAX_ANSWER_CHARACTERS,
    Ask,
    Consult,
    Conversation,
    Feedback,
    Propose,
    Script,
    SearchMethod,
    Steps,
    View,
)
from promptclimb.agent.search import restart
from promptclimb.prompts.requests import ChatMessage
from tests.fakes.chat_by_hash import text_for
from tests.fakes.clock import run_virtual
from tests.fakes.evaluators import FakeEvaluator


def said(text: str) -> Sequence[ChatMessage]:
    """A request of one message."""
    return [{"role": "user", "content": text}]


def critique_then_rewrite(view: View) -> Steps:
    """Criticise the best template, then rewrite it with the critique; stop after four rounds."""
    for _ in range(4):
        (best,) = view.memory.best(1)
        critique = yield Consult(said(f"criticise: {best.text}"))
        yield Ask(said(f"rewrite {best.text} after {critique.text}"))


class Chat:
    """Answers a critique with a word, and anything else with templates."""

    def __init__(self) -> None:
        self.asked: list[ChatRequest] = []

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        self.asked.append(request)
        await asyncio.sleep(1)
        critic = request.messages[0]["content"].startswith("criticise")
        return ChatAnswer(text="too plain" if critic else text_for(request))


@pytest.fixture
def critique(monkeypatch: pytest.MonkeyPatch) -> None:
    """The method in the place of another."""
    method = SearchMethod(summary="criticise", conversation=critique_then_rewrite, requests=2)
    monkeypatch.setattr(restart, "METHODS", {"pn": method})


def config(run_dir: Path, **more: int) -> SearchConfig:
    """A search by that method."""
    return SearchConfig(
        data="fake", llm="fake", method="pn", restarts=1, conversations=1, rounds=6, initial=6,
        run_dir=run_dir, **more,
    )  # fmt: skip


@pytest.mark.usefixtures("critique")
def test_several_steps_are_replayed_too(tmp_path: Path) -> None:
    """A resumed run asks for nothing that it has."""
    run_virtual(
        search(config(tmp_path / "r", max_calls=3), custom_scorer=FakeEvaluator(), chat=(first := Chat()))
    )
    again = Chat()
    done = run_virtual(
        resume(tmp_path / "r", changes={"max_calls": 8}, custom_scorer=FakeEvaluator(), chat=again)
    )
    whole = Chat()
    run_virtual(search(config(tmp_path / "whole"), custom_scorer=FakeEvaluator(), chat=whole))
    assert done.status == "finished"
    assert [request.hash for request in (*first.asked, *again.asked)] == [r.hash for r in whole.asked]


def test_a_step_stands_until_its_feedback_is_there() -> None:
    """Asked for twice it is the same one, and after the method's end there is no other."""

    def steps() -> Steps:
        yield Propose([])

    script = Script(steps(), most_requests=0)
    assert script.next(0) is script.next(0)
    script.take(Feedback())
    assert script.next(0) is None
    assert script.next(0) is None


def test_a_skip_is_feedback_for_a_step_that_handles_it() -> None:
    """A consultation may as well as a request for templates; any other stands."""

    def steps() -> Steps:
        feedback = yield Consult(said("quietly"), handles_skip=True)
        assert feedback.skipped
        yield Consult(said("again"))

    script = Script(steps(), most_requests=1)
    script.next(0)
    script.skip()
    again = script.next(0)
    assert isinstance(again, Consult)
    assert not again.handles_skip
    script.skip()
    assert script.next(0) is again


def test_a_method_that_breaks_its_word_is_an_error() -> None:
    """More requests than it names, or something that is no step, is an error of the method."""

    def greedy() -> Steps:
        while True:
            yield Consult(said("more"))

    def wrong() -> Steps:
        yield "a {}"  # type: ignore[misc]  # that is the mistake

    script = Script(greedy(), most_requests=1)
    script.next(0)
    script.take(Feedback(text="x"))
    with pytest.raises(TypeError, match="more than its 1 request"):
        script.next(1)
    with pytest.raises(TypeError, match="not str"):
        Script(wrong(), most_requests=1).next(0)


def test_a_conversation_keeps_its_opening_and_its_latest_turns() -> None:
    """Older turns go, the opening stays, and endless answers are cut."""
    conversation = Conversation([{"role": "user", "content": "open"}], max_turns=3)
    for number in range(5):
        conversation.add(f"{number}" * 9000, {"role": "user", "content": f"next {number}"})
    messages = conversation.messages()
    assert [message["content"][:6] for message in messages] == [
        "open",
        "333333",
        "next 3",
        "444444",
        "next 4",
    ]
    assert len(messages[1]["content"]) == MAX_ANSWER_CHARACTERS


def test_thinking_is_taken_out_before_an_answer_is_cut() -> None:
    """Else what later turns repeat would be the thought, and none of the templates."""
    conversation = Conversation([{"role": "user", "content": "open"}], max_turns=3)
    conversation.add(f"<think>{'so ' * 3000}</think>\n\n- a {{}} in ink", {"role": "user", "content": "next"})
    conversation.add("<think>" + "so " * 3000, {"role": "user", "content": "next"})
    messages = conversation.messages()
    assert [messages[index]["content"] for index in (1, 3)] == ["- a {} in ink", "(nothing)"]
