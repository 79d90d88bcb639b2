"""With a description, free candidates are scored between requests; a small LLM has every round."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from promptclimb import SearchConfig, resume, search
from promptclimb.agent.errors import TransientChatError
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest
from promptclimb.agent.methods.base import Ask, Consult, Feedback, Propose, Step, View
from promptclimb.agent.methods.guided import AFTER_AN_ANSWER, GUIDED
from promptclimb.evaluator.fakes import FakeEvaluator
from promptclimb.evaluator.scoring import EvaluatorInfo
from promptclimb.prompts.requests import Outcome
from promptclimb.prompts.template_kind import BUILT_IN
from tests.fakes.chat_by_hash import ChatByHash
from tests.fakes.clock import run_virtual
from tests.fakes.parrot import Parrot
from tests.fakes.restart_view import add, falling, view_of

DESCRIBED = "cubes after a throw"
PLAIN = "- numbers on dice\n- a die\n- six pips"
FREE = 12


def view(**more: Any) -> View:
    """A restart after its starting templates, whose scores cost next to nothing."""
    described: dict[str, Any] = {"description": DESCRIBED, "class_names": ("six", "two"), "style": "short"}
    return view_of(falling(BUILT_IN[:20]), **{"pool": (), "free": FREE} | described | more)


def played(
    seen: View, steps: int, *, plain: str = PLAIN, lines: str = "a {} of felt", framed: float = 0.4
) -> Iterator[Step]:
    """Steps of a conversation; the LLM answers so when asked for plain words, else it writes such a line."""
    conversation = GUIDED.conversation(seen)
    step = next(conversation)
    for number in range(steps):
        yield step
        if isinstance(step, Propose):
            feedback = Feedback(outcomes=[add(seen.memory, one.text, framed) for one in step.candidates])
        elif isinstance(step, Consult):
            feedback = Feedback(text=plain)
        else:
            refused = Outcome(lines, reason="it has no slot")
            outcome = add(seen.memory, f"{lines} {number}", 0.4) if "{}" in lines else refused
            feedback = Feedback(text=lines, outcomes=[outcome])
        step = conversation.send(feedback)


def ends(step: Step) -> bool:
    """Whether a round is over with it."""
    return isinstance(step, Ask) or (isinstance(step, Propose) and not step.free)


def texts(steps: Sequence[Step]) -> list[str]:
    """What was proposed."""
    return [one.text for step in steps if isinstance(step, Propose) for one in step.candidates]


def test_the_description_comes_first_then_plain_words_then_the_llm_has_every_round() -> None:
    """As many templates of each as may be scored beside a request, and no round goes to them alone."""
    steps = list(played(view(), 20))
    asked = next(place for place, step in enumerate(steps) if isinstance(step, Consult))
    assert DESCRIBED in steps[asked].messages[-1]["content"]
    before = texts(steps[:asked])
    assert len(before) == FREE
    assert sum("cubes" in text or "throw" in text for text in before) > FREE / 2
    first = next(place for place, step in enumerate(steps) if ends(step))
    after = texts(steps[asked : first + 1])
    assert len(after) == FREE
    assert sum(any(word in text for word in ("dice", "die", "pips", "numbers")) for text in after) > FREE / 2
    assert not any("cubes" in text for text in after)
    assert all(isinstance(step, Ask) for step in steps[first + 1 :] if ends(step))
    assert sum(isinstance(step, Consult) for step in steps) == 1


@pytest.mark.parametrize("line", ["{} on green felt", "a sheet of green felt"])
def test_words_of_an_answer_are_tried_in_frames_whether_its_line_is_a_template_or_not(line: str) -> None:
    """Beside the next request, together with those of the description and of earlier answers."""
    steps = list(played(view(), 12, lines=line))
    first = next(place for place, step in enumerate(steps) if isinstance(step, Ask))
    second = next(place for place, step in enumerate(steps) if isinstance(step, Ask) and place > first)
    found = texts(steps[first:second])
    assert len(found) == AFTER_AN_ANSWER
    said = " ".join(found)
    for source in (("green", "felt"), ("dice", "pip", "number"), ("cube", "throw")):
        assert any(word in said for word in source), source


def test_the_class_names_of_an_answer_stay_out_of_the_frames() -> None:
    """They would pull towards a class."""
    steps = list(played(view(), 30, plain="- six dice\n- two", lines="{} as two dice"))
    assert not [text for text in texts(steps) if {"six", "two"} & set(text.split())]


NOTHING_NEW = ("", "I am a language model.", "- cubes after a throw", "- " * 500, "- " + "x " * 30_000)


@pytest.mark.parametrize("plain", NOTHING_NEW)
def test_an_answer_without_new_words_leaves_those_of_the_description(plain: str) -> None:
    """Whatever it is; the round is not wasted."""
    steps = list(played(view(), 7, plain=plain))
    assert len(texts(steps)) == 2 * FREE
    assert ends(steps[-1])


def test_a_second_conversation_asks_the_llm_again() -> None:
    """What the description says has been tried."""
    seen = view()
    assert len(list(played(seen, 8))) == 8
    assert isinstance(next(GUIDED.conversation(seen)), Ask)


def test_a_second_conversation_asks_for_plain_words_where_the_first_got_none() -> None:
    """The description is not gone through again."""
    seen = view()
    first = GUIDED.conversation(seen)
    step = next(first)
    while not isinstance(step, Consult):
        step = first.send(Feedback())
    first.send(Feedback(skipped=True))
    assert isinstance(next(GUIDED.conversation(seen)), Consult)


def test_where_scores_cost_anything_rounds_are_shared_as_ever() -> None:
    """A custom scorer, or very many classes."""
    steps = list(played(view(free=0), 8))
    assert all(ends(step) for step in steps)
    assert all(len(step.candidates) <= 4 for step in steps if isinstance(step, Propose))


def test_with_a_model_that_reads_words_are_tried_too_and_it_sees_their_scores() -> None:
    """First those of the description, then its own; rounds are shared, no plain words are asked for."""
    steps = list(played(view(style="rich"), 40, lines="{} on green felt", framed=0.6))
    asked = [place for place, step in enumerate(steps) if isinstance(step, Ask)]
    assert len(texts(steps[: asked[0]])) == FREE
    assert not any(ends(step) for step in steps[: asked[0]])
    assert "cubes" in str(steps[asked[0]].messages)
    beside = [step for step in steps[asked[0] : asked[1]] if not ends(step)]
    assert len(texts(beside)) == AFTER_AN_ANSWER
    assert any("felt" in text for text in texts(beside))
    assert any(text in str(steps[asked[1]].messages[-1]) for text in texts(steps[: asked[1]]))
    assert any(isinstance(step, Propose) and ends(step) for step in steps)
    assert not any(isinstance(step, Consult) for step in steps)


@pytest.mark.parametrize("style", ["rich", "short"])
def test_without_a_description_it_is_asked_as_ever(style: Literal["rich", "short"]) -> None:
    """There are no free candidates."""
    assert all(ends(step) for step in played(view(style=style, description=""), 8))


def test_a_request_for_plain_words_without_an_answer_leaves_an_round_to_the_free_way() -> None:
    """And it is made again in the next."""
    seen, steps = view(), list[Step]()
    conversation = GUIDED.conversation(seen)
    step = next(conversation)
    while len(steps) < 8:
        steps.append(step)
        step = conversation.send(Feedback(skipped=isinstance(step, Consult)))
    kinds = [type(one) for one in steps if ends(one) or isinstance(one, Consult)]
    assert kinds[:4] == [Consult, Propose, Consult, Propose]


class Cheap(FakeEvaluator):
    """Scores cost a text a class."""

    @property
    def info(self) -> EvaluatorInfo:
        return replace(super().info, cheap=True)


class Plain(ChatByHash):
    """Says the same in plain words where it is asked to."""

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        answer = await super().chat(request)
        plain = "plain" in request.messages[0]["content"]
        return replace(answer, text=PLAIN) if plain else answer


CONFIG: dict[str, Any] = {
    "data": "fake", "llm": "fake", "method": "guided", "style": "short", "describe": DESCRIBED, "restarts": 2,
    "conversations": 2, "rounds": 3, "initial": 8, "proposals": 3, "retry_attempts": 1,
}  # fmt: skip


def outage(first: int, last: int) -> Callable[[ChatRequest, int], None]:
    """A failure from one request to another, by their numbers."""

    def fail(_request: ChatRequest, number: int) -> None:
        if first <= number <= last:
            raise TransientChatError("503")

    return fail


def test_a_search_that_was_stopped_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    """Positions are the same, and what stands there; nothing is asked twice."""
    boards, asked = [], []
    for most in (None, 1, 7):
        name = f"at most {most}"
        config = SearchConfig(**CONFIG, run_dir=tmp_path / name, max_calls=most)
        chat = Plain()
        found = run_virtual(search(config, evaluator=Cheap(), chat=chat))
        if most is not None:
            assert found.status == "stopped"
            again = Plain()
            changes = {"max_calls": None}
            found = run_virtual(resume(tmp_path / name, changes=changes, evaluator=Cheap(), chat=again))
            chat.asked += again.asked
        assert found.status == "finished"
        asked.append(sorted(request.hash for request in chat.asked))
        boards.append((tmp_path / name / "leaderboard.csv").read_bytes())
    assert boards[1:] == [boards[0]] * 2
    assert asked[1:] == [asked[0]] * 2
    assert len(set(asked[0])) == 2 * 2 * 3


@pytest.mark.parametrize("style", ["rich", "short"])
def test_a_conversation_that_repeats_itself_ends_whatever_is_scored_beside_it(
    tmp_path: Path, style: str
) -> None:
    """As it does where nothing is."""
    more = {"style": style, "restarts": 1, "conversations": 1, "rounds": 9, "run_dir": tmp_path}
    chat = Parrot()
    found = run_virtual(search(SearchConfig(**CONFIG | more), evaluator=Cheap(), chat=chat))
    assert chat.asked < found.evaluated
    assert chat.asked <= 5


def test_an_outage_in_the_midst_is_replayed(tmp_path: Path) -> None:
    """A skip that is on disk takes the way that it took."""
    boards = []
    for name, most in (("whole", None), ("cut", 5)):
        once = CONFIG | {"restarts": 1, "rounds": 5}
        config = SearchConfig(**once, run_dir=tmp_path / name, max_calls=most)
        run_virtual(search(config, evaluator=Cheap(), chat=Plain(fail=outage(1, 2))))
        if most is not None:
            changes = {"max_calls": None}
            run_virtual(resume(tmp_path / name, changes=changes, evaluator=Cheap(), chat=Plain()))
        boards.append((tmp_path / name / "leaderboard.csv").read_bytes())
    assert boards[0] == boards[1]
