"""The default method: it says what is known, shares rounds out, and goes the same way when resumed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pytest

from promptclimb import SearchConfig, resume, search
from promptclimb.agent.errors import TransientChatError
from promptclimb.agent.events.types import Event, TemplateScored
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest
from promptclimb.agent.methods.base import Ask, Consult, Feedback, Propose, Step, View
from promptclimb.agent.methods.guided import AFTER_AN_ANSWER, FIRST_ANSWERS, GUIDED
from promptclimb.agent.methods.memory import Memory
from promptclimb.evaluator.scoring import Confusion, EvaluatorInfo, Score, Verdict
from promptclimb.prompts.requests import Outcome
from promptclimb.prompts.template_kind import BUILT_IN
from tests.fakes.chat_by_hash import ChatByHash, text_for
from tests.fakes.clock import run_virtual
from tests.fakes.evaluators import FakeEvaluator
from tests.fakes.restart_view import add, falling, view_of

CONFUSED = (Confusion("three", "thirteen", 4),)


def view(**more: Any) -> View:
    """A restart after its starting templates."""
    memory = Memory(1)
    for number, text in enumerate(BUILT_IN[:20]):
        add(memory, text, 0.5 - number / 100, confused=CONFUSED)
    known: dict[str, Any] = {"description": "numerals on stone", "class_names": ("three", "four")}
    return view_of(memory, **known | more)


def said(step: Step) -> str:
    """The last message of a request."""
    assert isinstance(step, Ask)
    return step.messages[-1]["content"]


def played(seen: View, *, llm: Sequence[float], free: float, rounds: int) -> Iterator[Step]:
    """Steps of a conversation in which the LLM's templates score so, in turn; free ones always the same."""
    steps, step = GUIDED.conversation(seen), None
    feedback: Feedback | None = None
    asked = 0
    for number in range(rounds):
        step = next(steps) if feedback is None else steps.send(feedback)
        yield step
        value = free
        if isinstance(step, Ask):
            value, asked = llm[asked % len(llm)], asked + 1
        outcomes = [
            add(seen.memory, f"found {number} {index} a {{}}", value, confused=CONFUSED) for index in range(4)
        ]
        feedback = Feedback(text="- a {}", outcomes=outcomes)


def test_it_opens_with_what_is_known_then_adds_scores_and_confusions() -> None:
    """The second request repeats the conversation and says what came of it."""
    seen = view(style="rich")
    asked = [step for step in played(seen, llm=[0.9], free=0.1, rounds=4) if isinstance(step, Ask)]
    assert "numerals on stone" in said(asked[0])
    assert "three, four" in said(asked[0])
    assert BUILT_IN[0] in said(asked[0])
    assert asked[1].messages[0] == asked[0].messages[0]
    assert "90.0 %" in said(asked[1])
    assert "'three' is most often taken for 'thirteen'" in said(asked[1])


def test_rounds_go_to_what_pays() -> None:
    """To the LLM where its templates come among the best, to combining words where they do."""
    for llm, free, calls in ((0.9, 0.1, range(6, 12)), (0.1, 0.9, range(1, 5))):
        steps = list(played(view(style="short"), llm=[llm], free=free, rounds=12))
        assert sum(isinstance(step, Ask) for step in steps) in calls
        assert sum(isinstance(step, Propose) for step in steps) >= 1


def test_a_small_model_is_asked_shortly() -> None:
    """Requests that stand by themselves, none of them with scores or earlier answers."""
    steps = list(played(view(style="short"), llm=[0.9], free=0.1, rounds=4))
    asked = [step for step in steps if isinstance(step, Ask)]
    assert len(asked) > 1
    assert all(step.messages == asked[0].messages for step in asked)
    assert all(BUILT_IN[0] not in said(step) for step in asked)


def test_a_model_that_cannot_follow_is_asked_shortly_from_then_on() -> None:
    """Where its size is not known, its first answers decide."""
    seen, feedback = view(), Feedback(text="I am a language model")
    steps = GUIDED.conversation(seen)
    asked = [
        step for step in [next(steps), *(steps.send(feedback) for _ in range(12))] if isinstance(step, Ask)
    ]
    rich = ["Scores of templates" in step.messages[0]["content"] for step in asked]
    assert rich == [True] * FIRST_ANSWERS + [False] * (len(asked) - FIRST_ANSWERS)
    assert len(asked) > FIRST_ANSWERS


def test_without_a_description_words_of_form_help_a_small_model_alone() -> None:
    """They bring more than it does, so most rounds become theirs; a model that reads gets every round."""
    steps = list(played(view(style="rich", description=""), llm=[0.1], free=0.9, rounds=6))
    assert all(isinstance(step, Ask) for step in steps)
    assert "numerals" not in str(steps)
    steps = list(played(view(style="short", description=""), llm=[0.1], free=0.9, rounds=8))
    proposed = [step for step in steps if isinstance(step, Propose)]
    assert len(proposed) > len(steps) / 2
    assert all(step.source == "combine" for step in proposed)


def test_after_a_request_without_an_answer_the_free_way_is_next() -> None:
    """A failed pull brought nothing; when it is the LLM's turn again it is asked what it was asked before."""
    seen = view(style="rich")
    steps = GUIDED.conversation(seen)
    asked = [next(steps)]
    for number in range(8):
        free = isinstance(asked[-1], Propose)
        outcomes = [add(seen.memory, f"free {number} a {{}}", 0.1, confused=CONFUSED)] if free else []
        asked.append(steps.send(Feedback(outcomes=outcomes, skipped=not free)))
    llm = [step for step in asked if isinstance(step, Ask)]
    assert not any(isinstance(step, Ask) and isinstance(after, Ask) for step, after in pairwise(asked))
    assert len(llm) > 1
    assert all(step == llm[0] for step in llm)
    assert all(step.handles_skip for step in llm)

    # Where nothing else is there to do, the request is made again.
    steps = GUIDED.conversation(view(style="rich", description=""))
    assert next(steps) == steps.send(Feedback(skipped=True))


DESCRIBED = "cubes after a throw"
PLAIN = "- numbers on dice\n- a die\n- six pips"
FREE = 12


def free_view(**more: Any) -> View:
    """A restart after its starting templates, whose scores cost next to nothing."""
    described: dict[str, Any] = {"description": DESCRIBED, "class_names": ("six", "two"), "style": "short"}
    return view_of(falling(BUILT_IN[:20]), **{"pool": (), "free": FREE} | described | more)


def freely_played(
    seen: View, steps: int, *, plain: str = PLAIN, lines: str = "a {} of felt", framed: float = 0.4
) -> Iterator[Step]:
    """Steps of a conversation; the LLM answers so when asked for plain words, else it writes such a line."""
    conversation = GUIDED.conversation(seen)
    step = next(conversation)
    for number in range(steps):
        yield step
        if isinstance(step, Propose):
            feedback = Feedback(
                outcomes=[add(seen.memory, candidate.text, framed) for candidate in step.candidates]
            )
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
    return [candidate.text for step in steps if isinstance(step, Propose) for candidate in step.candidates]


def test_the_description_comes_first_then_plain_words_then_the_llm_has_every_round() -> None:
    """As many templates of each as may be scored beside a request, and no round goes to them alone."""
    steps = list(freely_played(free_view(), 20))
    asked = next(index for index, step in enumerate(steps) if isinstance(step, Consult))
    assert DESCRIBED in steps[asked].messages[-1]["content"]
    before = texts(steps[:asked])
    assert len(before) == FREE
    assert sum("cubes" in text or "throw" in text for text in before) > FREE / 2
    first = next(index for index, step in enumerate(steps) if ends(step))
    after = texts(steps[asked : first + 1])
    assert len(after) == FREE
    assert sum(any(word in text for word in ("dice", "die", "pips", "numbers")) for text in after) > FREE / 2
    assert not any("cubes" in text for text in after)
    assert all(isinstance(step, Ask) for step in steps[first + 1 :] if ends(step))
    assert sum(isinstance(step, Consult) for step in steps) == 1


@pytest.mark.parametrize("line", ["{} on green felt", "a sheet of green felt"])
def test_words_of_an_answer_are_tried_in_frames_whether_its_line_is_a_template_or_not(line: str) -> None:
    """Beside the next request, together with those of the description and of earlier answers."""
    steps = list(freely_played(free_view(), 12, lines=line))
    first = next(index for index, step in enumerate(steps) if isinstance(step, Ask))
    second = next(index for index, step in enumerate(steps) if isinstance(step, Ask) and index > first)
    tried = texts(steps[first:second])
    assert len(tried) == AFTER_AN_ANSWER
    joined = " ".join(tried)
    for source in (("green", "felt"), ("dice", "pip", "number"), ("cube", "throw")):
        assert any(word in joined for word in source), source


def test_the_class_names_of_an_answer_stay_out_of_the_frames() -> None:
    """They would pull towards a class."""
    steps = list(freely_played(free_view(), 30, plain="- six dice\n- two", lines="{} as two dice"))
    assert not [text for text in texts(steps) if {"six", "two"} & set(text.split())]


NOTHING_NEW = ("", "I am a language model.", "- cubes after a throw", "- " * 500, "- " + "x " * 30_000)


@pytest.mark.parametrize("plain", NOTHING_NEW)
def test_an_answer_without_new_words_leaves_those_of_the_description(plain: str) -> None:
    """Whatever it is; the round is not wasted."""
    steps = list(freely_played(free_view(), 7, plain=plain))
    assert len(texts(steps)) == 2 * FREE
    assert ends(steps[-1])


def test_a_second_conversation_asks_the_llm_again() -> None:
    """What the description says has been tried."""
    seen = free_view()
    assert len(list(freely_played(seen, 8))) == 8
    assert isinstance(next(GUIDED.conversation(seen)), Ask)


def test_a_second_conversation_asks_for_plain_words_where_the_first_got_none() -> None:
    """The description is not gone through again."""
    seen = free_view()
    first = GUIDED.conversation(seen)
    step = next(first)
    while not isinstance(step, Consult):
        step = first.send(Feedback())
    first.send(Feedback(skipped=True))
    assert isinstance(next(GUIDED.conversation(seen)), Consult)


def test_where_scores_cost_anything_a_small_model_shares_rounds_and_a_large_one_has_them_all() -> None:
    """A custom scorer, or very many classes. Without an answer, words of the description take its round."""
    steps = list(freely_played(free_view(free=0), 8))
    assert all(ends(step) for step in steps)
    assert {type(step) for step in steps} == {Ask, Propose}
    assert all(len(step.candidates) <= 4 for step in steps if isinstance(step, Propose))
    assert all(
        isinstance(step, Ask) for step in freely_played(free_view(free=0, style="rich"), 8, framed=0.9)
    )
    conversation = GUIDED.conversation(free_view(free=0, style="rich"))
    asked = next(conversation)
    assert isinstance(conversation.send(Feedback(skipped=True)), Propose)
    assert conversation.send(Feedback()) == asked


def test_with_a_model_that_reads_words_are_tried_too_and_it_sees_their_scores() -> None:
    """First those of the description, then its own; rounds are shared, no plain words are asked for."""
    steps = list(freely_played(free_view(style="rich"), 40, lines="{} on green felt", framed=0.6))
    asked = [index for index, step in enumerate(steps) if isinstance(step, Ask)]
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
    assert all(ends(step) for step in freely_played(free_view(style=style, description=""), 8))


def test_a_request_for_plain_words_without_an_answer_leaves_an_round_to_the_free_way() -> None:
    """And it is made again in the next."""
    seen, steps = free_view(), list[Step]()
    conversation = GUIDED.conversation(seen)
    step = next(conversation)
    while len(steps) < 8:
        steps.append(step)
        step = conversation.send(Feedback(skipped=isinstance(step, Consult)))
    kinds = [type(step) for step in steps if ends(step) or isinstance(step, Consult)]
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
    "data": "fake", "llm": "fake", "method": "guided", "restarts": 1, "conversations": 2, "rounds": 4,
    "initial": 8, "proposals": 3,
}  # fmt: skip


@pytest.mark.parametrize(
    ("more", "named", "described"),
    [
        ({}, True, True),
        ({"llm": "fake-1b"}, False, True),
        ({"llm": "fake-1b", "describe": None}, True, False),
        ({"blind": True}, False, False),
        ({"blind": True, "llm": "fake-1b"}, False, False),
        *(({"method": method}, False, False) for method in ("pn", "p", "ape", "opro")),
    ],
)
def test_what_the_endpoint_gets_is_what_the_pages_say(
    tmp_path: Path, more: dict[str, Any], named: bool, described: bool
) -> None:
    """Class names and description, or neither; the name of the data set never."""

    class Confusing(FakeEvaluator):
        def score(self, templates: Sequence[str]) -> list[Verdict]:
            verdicts = super().score(templates)
            pair = (Confusion("kind 3", "kind 7", 4),)
            return [replace(each, confused=pair) if isinstance(each, Score) else each for each in verdicts]

    small = CONFIG | {"conversations": 1, "describe": "tally marks"}
    chat = ChatByHash()
    config = SearchConfig(**small | more, run_dir=tmp_path / "run")
    run_virtual(search(config, custom_scorer=Confusing(), chat=chat))
    sent = "\n".join(message["content"] for request in chat.asked for message in request.messages)
    assert ("kind 3" in sent, "tally marks" in sent, "fake" in sent) == (named, described, False)


def test_each_template_says_whether_an_llm_wrote_it(tmp_path: Path) -> None:
    """In result and events; what words of the description were combined to is not the LLM's."""
    config = SearchConfig(**CONFIG | {"llm": "fake-1b"}, describe="old stone walls", run_dir=tmp_path / "run")
    chat, feedback = ChatByHash(), list[Event]()
    result = run_virtual(search(config, custom_scorer=FakeEvaluator(), chat=chat, on_event=feedback.append))
    answers = {line.removeprefix("- ") for request in chat.answered for line in text_for(request).split("\n")}
    new = [row for row in result.leaderboard if row.conversation]
    assert {row.source for row in result.leaderboard if not row.conversation} == {"initial"}
    assert {row.source for row in new} == {"llm", "combine"}
    assert all((row.template in answers) == (row.source == "llm") for row in new)
    result = {
        (event.position[:3], event.template): event.source
        for event in feedback
        if isinstance(event, TemplateScored)
    }
    assert all(result[(row.restart, row.conversation, row.round), row.template] == row.source for row in new)


OUTAGE: dict[str, Any] = {**CONFIG, "describe": "old stone walls", "rounds": 6, "retry_attempts": 1}


def out_from(first: int, last: float = float("inf")) -> Plain:
    """A chat that fails from one request to another, by their numbers."""

    def fail(_request: ChatRequest, number: int) -> None:
        if first <= number <= last:
            raise TransientChatError("503")

    return Plain(fail=fail)


FREE_CONFIG: dict[str, Any] = {
    **CONFIG, "llm": "fake-1b", "describe": DESCRIBED, "rounds": 3, "retry_attempts": 1,
}  # fmt: skip


def searched(folder: Path, config: dict[str, Any], chat: ChatByHash, calls: int | None = None) -> bytes:
    """Search, or resume what is there; return the leaderboard."""
    evaluator = Cheap() if config.get("describe") == DESCRIBED else FakeEvaluator()
    if folder.exists():
        changes = {"max_calls": None}
        done = run_virtual(resume(folder, changes=changes, custom_scorer=evaluator, chat=chat))
        assert done.status == "finished"
    else:
        limited = SearchConfig(**config, run_dir=folder, max_calls=calls)
        run_virtual(search(limited, custom_scorer=evaluator, chat=chat))
    return (folder / "leaderboard.csv").read_bytes()


@pytest.mark.parametrize(
    ("config", "calls"),
    [
        (CONFIG | {"blind": True}, 5),
        (CONFIG | {"describe": "old stone walls"}, 5),
        (FREE_CONFIG, 1),
        (FREE_CONFIG, 5),
    ],
)
def test_a_search_that_was_stopped_ends_as_if_it_had_not_been(
    tmp_path: Path, config: dict[str, Any], calls: int
) -> None:
    """What the bandit and the free candidates led to is replayed; nothing is asked twice."""
    undisturbed, first, second = Plain(), Plain(), Plain()
    board = searched(tmp_path / "whole", config, undisturbed)
    searched(tmp_path / "cut", config, first, calls)
    assert searched(tmp_path / "cut", config, second) == board
    asked = sorted(request.hash for request in (*first.answered, *second.answered))
    assert asked == sorted(request.hash for request in undisturbed.answered)


@pytest.mark.parametrize(
    ("config", "limits", "out"),
    [(OUTAGE | {"rounds": 12}, (2, 3, 4), (3, 4)), (FREE_CONFIG | {"rounds": 5}, (5,), (1, 2))],
)
def test_a_skip_that_is_on_disk_is_replayed(
    tmp_path: Path, config: dict[str, Any], limits: Sequence[int], out: tuple[int, int]
) -> None:
    """A run that is stopped anywhere around an outage goes the same way, and asks for nothing that it has."""
    board = searched(tmp_path / "whole", config, out_from(*out))
    for calls in limits:
        first = out_from(*out)
        searched(tmp_path / str(calls), config, first, calls)
        # Attempts that failed and left no trace are made again, and fail again.
        second = out_from(1, 2 if len(first.answered) == 2 else 0)
        assert searched(tmp_path / str(calls), config, second) == board
        assert not {request.hash for request in first.answered} & {request.hash for request in second.asked}
