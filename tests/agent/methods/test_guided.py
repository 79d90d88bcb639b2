"""The default method: it says what is known, shares rounds out, and goes the same way when resumed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from promptclimb import SearchConfig, resume, search
from promptclimb.agent.errors import TransientChatError
from promptclimb.agent.events.types import Event, TemplateScored
from promptclimb.agent.llm.chat import ChatRequest
from promptclimb.agent.methods.base import Ask, Feedback, Propose, Step, View
from promptclimb.agent.methods.guided import FIRST_ANSWERS, GUIDED, Bandit
from promptclimb.agent.methods.memory import Memory
from promptclimb.evaluator.fakes import FakeEvaluator
from promptclimb.evaluator.scoring import Confusion, Score, Verdict
from promptclimb.prompts.template_kind import BUILT_IN
from tests.fakes.chat_by_hash import ChatByHash, text_for
from tests.fakes.clock import run_virtual
from tests.fakes.restart_view import add, view_of

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
            add(seen.memory, f"found {number} {place} a {{}}", value, confused=CONFUSED) for place in range(4)
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
        steps = list(played(view(style="rich"), llm=[llm], free=free, rounds=12))
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


def test_a_blind_restart_says_no_class_name() -> None:
    """Neither as such nor in a confusion."""
    seen = view(style="rich", description="", class_names=())
    texts = [said(step) for step in played(seen, llm=[0.9], free=0.1, rounds=4) if isinstance(step, Ask)]
    assert not any("thirteen" in text or "classes are" in text for text in texts)


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
    assert not any(isinstance(one, Ask) and isinstance(two, Ask) for one, two in pairwise(asked))
    assert len(llm) > 1
    assert all(step == llm[0] for step in llm)
    assert all(step.handles_skip for step in llm)

    # Where nothing else is there to do, the request is made again.
    steps = GUIDED.conversation(view(style="rich", description=""))
    assert next(steps) == steps.send(Feedback(skipped=True))


CONFIG: dict[str, Any] = {
    "data": "fake", "llm": "fake", "method": "guided", "restarts": 2, "conversations": 2, "rounds": 4,
    "initial": 8, "proposals": 3, "top_k": 3,
}  # fmt: skip


@pytest.mark.parametrize(
    ("more", "named", "described"),
    [
        ({"style": "rich"}, True, True),
        ({"style": "short"}, False, True),
        ({"style": "short", "describe": None}, True, False),
        ({"blind": True, "style": "rich"}, False, False),
        ({"blind": True, "style": "short"}, False, False),
        *(({"method": method}, False, False) for method in ("pn", "p", "ape", "opro")),
    ],
)
def test_what_the_endpoint_gets_is_what_the_pages_say(
    tmp_path: Path, more: dict[str, Any], named: bool, described: bool
) -> None:
    """Class names and description, or neither; the name of the data set never."""

    class Confusing(FakeEvaluator):
        def score(self, templates: Sequence[str]) -> list[Verdict]:
            found = super().score(templates)
            pair = (Confusion("kind 3", "kind 7", 4),)
            return [replace(each, confused=pair) if isinstance(each, Score) else each for each in found]

    config = SearchConfig(**CONFIG | {"describe": "tally marks"} | more, run_dir=tmp_path / "run")
    chat = ChatByHash()
    run_virtual(search(config, evaluator=Confusing(), chat=chat))
    sent = "\n".join(message["content"] for request in chat.asked for message in request.messages)
    assert ("kind 3" in sent, "tally marks" in sent, "fake" in sent) == (named, described, False)


def test_each_template_says_whether_an_llm_wrote_it(tmp_path: Path) -> None:
    """In result and events; what words of the description were combined to is not the LLM's."""
    config = SearchConfig(**CONFIG, describe="old stone walls", run_dir=tmp_path / "run")
    chat, feedback = ChatByHash(), list[Event]()
    found = run_virtual(search(config, evaluator=FakeEvaluator(), chat=chat, on_event=feedback.append))
    answers = {line.removeprefix("- ") for request in chat.answered for line in text_for(request).split("\n")}
    new = [row for row in found.leaderboard if row.conversation]
    assert {row.source for row in found.leaderboard if not row.conversation} == {"initial"}
    assert {row.source for row in new} == {"llm", "combine"}
    assert all((row.template in answers) == (row.source == "llm") for row in new)
    found = {
        (one.position[:3], one.template): one.source for one in feedback if isinstance(one, TemplateScored)
    }
    assert all(found[(row.restart, row.conversation, row.round), row.template] == row.source for row in new)


@pytest.mark.parametrize("more", [{}, {"describe": "old stone walls"}, {"style": "short"}, {"blind": True}])
def test_a_guided_search_that_was_stopped_ends_as_if_it_had_not_been(
    tmp_path: Path, more: dict[str, Any]
) -> None:
    """What the bandit knows is made again from the journal."""
    boards = []
    for name, calls in (("whole", None), ("cut", 5)):
        config = SearchConfig(**CONFIG, **more, run_dir=tmp_path / name, max_calls=calls)
        run_virtual(search(config, evaluator=FakeEvaluator(), chat=ChatByHash()))
        if calls is not None:
            changes = {"max_calls": None}
            run_virtual(
                resume(tmp_path / name, changes=changes, evaluator=FakeEvaluator(), chat=ChatByHash())
            )
        boards.append((tmp_path / name / "leaderboard.csv").read_bytes())
    assert boards[0] == boards[1]


OUTAGE: dict[str, Any] = {**CONFIG, "describe": "old stone walls", "rounds": 6, "retry_attempts": 1}


def out_from(first: int, last: float = float("inf")) -> ChatByHash:
    """A chat that fails from one request to another, by their numbers."""

    def fail(_request: ChatRequest, number: int) -> None:
        if first <= number <= last:
            raise TransientChatError("503")

    return ChatByHash(fail=fail)


def test_an_outage_that_lasts_leaves_the_restart_to_the_free_way_and_is_forgotten_by_a_resume(
    tmp_path: Path,
) -> None:
    """It proposes all the while; with the LLM back, the run ends as one that nothing had disturbed."""
    whole = SearchConfig(**OUTAGE, run_dir=tmp_path / "whole")
    run_virtual(search(whole, evaluator=FakeEvaluator(), chat=ChatByHash()))
    cut = SearchConfig(**OUTAGE, run_dir=tmp_path / "cut")
    stopped = run_virtual(search(cut, evaluator=FakeEvaluator(), chat=out_from(1)))
    assert stopped.status == "stopped"
    assert stopped.skipped <= cut.all_rounds / 2
    assert any(row.round for row in stopped.leaderboard)
    done = run_virtual(resume(tmp_path / "cut", evaluator=FakeEvaluator(), chat=ChatByHash()))
    assert (done.status, done.skipped) == ("finished", 0)
    boards = [(tmp_path / name / "leaderboard.csv").read_bytes() for name in ("whole", "cut")]
    assert boards[0] == boards[1]


@pytest.mark.parametrize("calls", [3, 4, 5, 7])
def test_a_skip_that_is_on_disk_is_replayed(tmp_path: Path, calls: int) -> None:
    """A run that is stopped anywhere around an outage asks for nothing that it has, and goes the same way."""
    boards = []
    for name, most in (("whole", None), ("cut", calls)):
        config = SearchConfig(**{**OUTAGE, "restarts": 1}, run_dir=tmp_path / name, max_calls=most)
        first = out_from(3, 4)
        run_virtual(search(config, evaluator=FakeEvaluator(), chat=first))
        if most is not None:
            # Attempts that failed and left no trace are made again, and fail again.
            again = out_from(1, 2 if len(first.answered) == 2 else 0)
            changes = {"max_calls": None}
            done = run_virtual(
                resume(tmp_path / name, changes=changes, evaluator=FakeEvaluator(), chat=again)
            )
            assert done.status == "finished"
            assert not {one.hash for one in first.answered} & {one.hash for one in again.asked}
        boards.append((tmp_path / name / "leaderboard.csv").read_bytes())
    assert boards[0] == boards[1]


ARMS = ("llm", "free")


def pulls(rates: dict[str, float], rounds: int, seed: int = 0) -> Counter[str]:
    """How often each arm is pulled when it pays at its rate."""
    rng, bandit, counts = random.Random(seed), Bandit(), Counter[str]()
    for _ in range(rounds):
        arm = bandit.choose(ARMS)
        counts[arm] += 1
        bandit.learn(arm, float(rng.random() < rates[arm]))
    return counts


def test_the_bandit_gives_most_to_what_pays() -> None:
    """Whichever of the two it is; the other is still tried, and equal histories lead to equal choices."""
    bandit = Bandit()
    first = bandit.choose(ARMS)
    bandit.learn(first, 1.0)
    assert (first, bandit.choose(ARMS)) == ARMS
    for good, poor in (ARMS, ARMS[::-1]):
        counts = pulls({good: 0.6, poor: 0.1}, 60)
        assert counts[good] > 40
        assert counts[poor] >= 3
    assert pulls({"llm": 0.0, "free": 0.0}, 20) == {"llm": 10, "free": 10}
    assert pulls({"llm": 0.3, "free": 0.3}, 40, seed=3) == pulls({"llm": 0.3, "free": 0.3}, 40, seed=3)
