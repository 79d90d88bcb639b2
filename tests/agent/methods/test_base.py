"""Several steps in a round: a method consults, then asks; what it asked for is filed by position."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from promptclimb import SearchConfig, resume, search
from promptclimb.agent.errors import TransientChatError
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
from promptclimb.agent.store.run import Store
from promptclimb.evaluator.fakes import FakeEvaluator
from promptclimb.prompts.requests import ChatMessage
from tests.fakes.chat_by_hash import text_for
from tests.fakes.clock import run_virtual


def said(text: str) -> Sequence[ChatMessage]:
    """A request of one message."""
    return [{"role": "user", "content": text}]


class CritiqueThenRewrite:
    """Criticise the best template, then rewrite it with the critique; stop after four rounds."""

    def __init__(self) -> None:
        self.feedback: list[Feedback] = []

    def conversation(self, view: View) -> Steps:
        """Two requests a round."""
        for _ in range(4):
            (best,) = view.memory.best(1)
            critique = yield Consult(said(f"criticise: {best.text}"))
            self.feedback.append((yield Ask(said(f"rewrite {best.text} after {critique.text}"))))


class Chat:
    """Answers a critique with a word, and anything else with templates; may fail."""

    def __init__(self, fail_at: frozenset[int] = frozenset()) -> None:
        self.asked: list[ChatRequest] = []
        self._fail_at = fail_at

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        self.asked.append(request)
        await asyncio.sleep(1)
        if len(self.asked) in self._fail_at:
            raise TransientChatError("503")
        critic = request.messages[0]["content"].startswith("criticise")
        return ChatAnswer(text="too plain" if critic else text_for(request))


@pytest.fixture
def method(monkeypatch: pytest.MonkeyPatch) -> CritiqueThenRewrite:
    """The method in the place of another."""
    own = CritiqueThenRewrite()
    known = SearchMethod(summary="criticise, then rewrite", conversation=own.conversation, requests=2)
    monkeypatch.setattr(restart, "METHODS", {"pn": known})
    return own


def config(run_dir: Path, **more: int) -> SearchConfig:
    """A search by that method."""
    return SearchConfig(
        data="fake",
        llm="fake",
        method="pn",
        restarts=1,
        conversations=1,
        rounds=6,
        initial=6,
        run_dir=run_dir,
        **more,
    )


def test_an_round_may_take_several_requests(tmp_path: Path, method: CritiqueThenRewrite) -> None:
    """They are filed as samples of one round, each with its own seed."""
    chat = Chat()
    run_virtual(search(config(tmp_path / "r"), custom_scorer=FakeEvaluator(), chat=chat))
    with Store.open(tmp_path / "r") as store:
        positions = [tuple(position) for position, _ in store.answers()]
    assert positions == [(1, 1, number, sample) for number in range(1, 5) for sample in (0, 1)]
    assert len({request.seed for request in chat.asked}) == 8
    assert all("too plain" in request.messages[0]["content"] for request in chat.asked[1::2])
    # The feedback of the last round comes only where a next one asks for it.
    assert len(method.feedback) == 4
    assert all(
        feedback.outcomes and not feedback.text.startswith("too plain") for feedback in method.feedback
    )


def test_several_steps_are_replayed_too(tmp_path: Path, method: CritiqueThenRewrite) -> None:
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


def test_a_request_without_an_answer_is_made_again_in_the_next_round(
    tmp_path: Path, method: CritiqueThenRewrite
) -> None:
    """The method does not notice it, and does not lose its place between its steps."""
    chat = Chat(fail_at=frozenset({2}))
    done = run_virtual(
        search(config(tmp_path / "r", retry_attempts=1), custom_scorer=FakeEvaluator(), chat=chat)
    )
    assert done.skipped == 1
    first, again = chat.asked[1], chat.asked[2]
    assert first.messages == again.messages
    assert first.seed != again.seed
    with Store.open(tmp_path / "r") as store:
        positions = [tuple(position) for position, _ in store.answers()]
    assert positions[:3] == [(1, 1, 1, 0), (1, 1, 2, 0), (1, 1, 3, 0)]


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
