"""One restart on fakes: what it asks, in which order it goes, what it counts, and what its method sees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from promptclimb.agent.config.schema import MOST_FROM_FILE, SearchConfig
from promptclimb.agent.events.types import (
    AnswerReceived,
    Event,
    Listener,
    RestartFinished,
    RoundFinished,
    RoundSkipped,
    StartingTemplatesDrawn,
    StartingTemplatesScored,
    TemplateRefused,
    TemplateScored,
)
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest
from promptclimb.agent.methods.base import Ask, Consult, Feedback, Propose, SearchMethod, Steps, View
from promptclimb.agent.position import INITIAL, LLM, Position, derived
from promptclimb.agent.search import restart as module
from promptclimb.agent.search.event_loop import FairScheduler
from promptclimb.agent.search.journal import EmptyAnswers, Journal, RestartRecord, Skipped
from promptclimb.agent.search.restart import Restart
from promptclimb.agent.stop import Stop
from promptclimb.evaluator.errors import UsageError
from promptclimb.evaluator.scoring import Rejection, Score, Verdict
from promptclimb.prompts.requests import ChatMessage
from promptclimb.prompts.template import Template
from tests.fakes.evaluators import FakeEvaluator

POOL = [Template.parse(f"{word} {{}}") for word in ("bad", "dull", "fair", "good", "plain")]
TRAIN = {"bad {}": 0.1, "dull {}": 0.2, "fair {}": 0.3, "good {}": 0.4, "plain {}": 0.25, "better {}": 0.6,
         "best {}": 0.8, "finest {}": 0.8}  # fmt: skip
SAID: list[ChatMessage] = [{"role": "user", "content": "go on"}]


class Counted(EmptyAnswers):
    """Keeps what is counted."""

    def __init__(self) -> None:
        self.counts: list[tuple[bool, bool]] = []

    def count(self, *, empty: bool, cut: bool, unusable: str = "") -> None:
        self.counts.append((empty, cut))


class Answers(Journal):
    """Says what it is told to, in turn; None is a request that gets no answer."""

    def __init__(self, *texts: str | None, on_disk: int = 0) -> None:
        self.asked: list[tuple[Position, ChatRequest]] = []
        self.finish_reason: str | None = "stop"
        self.counted = Counted()
        self._texts = list(texts)
        self._on_disk = on_disk

    def begin(self, number: int, config: SearchConfig, emit: Listener) -> Answers:
        """Return the journal of a restart; nothing of it reaches a disk."""
        parts: dict[str, Any] = {"store": None, "asker": None, "stop": Stop(), "scheduler": FairScheduler()}
        super().__init__(RestartRecord(number), config, empty_answers=self.counted, emit=emit, **parts)
        return self

    async def answer(self, position: Position, request: ChatRequest) -> tuple[ChatAnswer, bool]:
        self.asked.append((position, request))
        text = self._texts.pop(0) if self._texts else ""
        if text is None:
            raise Skipped(f"nothing at {len(self.asked)}")
        answer = ChatAnswer(text=text, prompt_tokens=7, completion_tokens=3, finish_reason=self.finish_reason)
        return answer, len(self.asked) <= self._on_disk


class Table:
    """Scores from a table; what is not in it cannot be scored."""

    def __init__(self) -> None:
        self.verdicts: dict[str, Verdict] = {}

    def known(self, templates: Sequence[str]) -> dict[str, Verdict]:
        return {text: self.verdicts[text] for text in templates if text in self.verdicts}

    async def score_all(self, templates: Sequence[str]) -> dict[str, Verdict]:
        self.verdicts |= {
            text: Score(train=TRAIN[text], class_mean=TRAIN[text])
            if text in TRAIN
            else Rejection("odd", "it is odd")
            for text in templates
        }
        return self.known(templates)


class Played:
    """A method that does the given steps in each conversation, and keeps what it sees and gets."""

    def __init__(self, steps: Iterable[Any]) -> None:
        self.steps = list(steps)
        self.views: list[View] = []
        self.feedback: list[Feedback] = []
        self.streams: list[list[float]] = []

    def conversation(self, view: View) -> Steps:
        self.views.append(view)
        for step in self.steps:
            self.streams.append([view.rng().random(), view.rng().random()])
            self.feedback.append((yield step))


@pytest.fixture
def events() -> list[Event]:
    """What was reported."""
    return []


class Stage:
    """Where a restart is set up with a method of the test's own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, events: list[Event]) -> None:
        self._monkeypatch = monkeypatch
        self._events = events
        self.checks = 0
        self.table = Table()
        self.method = Played([])

    def check(self) -> None:
        self.checks += 1

    def restart(
        self, steps: Iterable[Any], answers: Answers, *, number: int = 1, pool: Sequence[Template] = POOL,
        **more: Any,
    ) -> Restart:  # fmt: skip
        self.method = Played(steps)
        played = SearchMethod(
            summary="played", conversation=self.method.conversation, requests=2, uses_description=True,
            uses_class_names=True,
        )  # fmt: skip
        self._monkeypatch.setattr(module, "METHODS", {"pn": played})
        settings = {"data": "fake", "llm": "m", "conversations": 1, "rounds": 2, "initial": 4, "proposals": 2}
        config = SearchConfig(**settings | more, method="pn", starting_pool="captions")
        return Restart(
            answers.begin(number, config, self._events.append), pool=pool, info=FakeEvaluator().info,
            scorebook=self.table, check=self.check,
        )  # fmt: skip


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, events: list[Event]) -> Stage:
    """Where a restart is set up."""
    return Stage(monkeypatch, events)


def of(events: list[Event], kind: type[Event]) -> list[Any]:
    """Those of one kind."""
    return [event for event in events if isinstance(event, kind)]


async def test_a_restart_says_how_it_goes(stage: Stage, events: list[Event]) -> None:
    """From its initial templates to its end, with its best at each point and where it stands."""
    restart = stage.restart(
        [Ask(SAID), Ask(SAID)], Answers("- better {}", "- best {}\n- odd {}", on_disk=1), initial=5
    )
    assert not restart.record.done
    await restart.run()
    start, first, second = Position(1), Position(1, 1, 1), Position(1, 1, 2)
    tokens: dict[str, Any] = {"prompt_tokens": 7, "completion_tokens": 3, "finish_reason": "stop"}
    kinds = (StartingTemplatesDrawn, StartingTemplatesScored, AnswerReceived, RoundFinished, RestartFinished)
    assert [event for event in events if isinstance(event, kinds)] == [
        StartingTemplatesDrawn(position=start, templates=5),
        StartingTemplatesScored(position=start, templates=5, best="good {}", train=0.4),
        AnswerReceived(position=first, replayed=True, **tokens),
        RoundFinished(position=first, best="better {}", train=0.6),
        AnswerReceived(position=second, replayed=False, **tokens),
        RoundFinished(position=second, best="best {}", train=0.8),
        RestartFinished(position=start, best="best {}", train=0.8),
    ]
    record = restart.record
    assert (record.answers, record.replayed, record.skipped, record.done) == (2, 1, 0, True)
    assert (record.unanswered, record.last_skip, record.empty, record.cut) == (0, "", 0, 0)


@pytest.mark.parametrize(
    ("second", "asked"),
    [("- good {}\n- good {}", 2), ("- good {}\n- better {}", 4), ("- good {}\n- no slot", 4), ("", 4),
     ("- odd {}", 4)],
)  # fmt: skip
async def test_a_conversation_ends_after_two_answers_of_nothing_new(
    stage: Stage, second: str, asked: int
) -> None:
    """Known proposals are nothing new; a new one, a broken one or none at all leaves it open."""
    answers = Answers("- good {}", second, "- good {}", "- bad {}")
    await stage.restart([Ask(SAID)] * 4, answers, rounds=4, proposals=5, initial=5).run()
    assert len(answers.asked) == asked


async def test_what_is_scored_beside_a_request_is_no_part_of_its_answer(stage: Stage) -> None:
    """The conversation repeats itself, whatever else is new."""
    answers = Answers(*["- good {}"] * 3)
    free = [Propose([Template.parse(text)], free=True) for text in ("better {}", "best {}", "finest {}")]
    steps = [step for candidate in free for step in (candidate, Ask(SAID))]
    await stage.restart(steps, answers, rounds=3, initial=5).run()
    assert len(answers.asked) == 2


async def test_a_request_is_what_the_config_says_with_a_seed_for_its_place(stage: Stage) -> None:
    """No two rounds ask with the same seed, else an endpoint that heeds it says the same again."""
    answers = Answers()
    steps = [Consult(SAID), Ask(SAID), Ask(SAID)]
    restart = stage.restart(
        steps, answers, number=3, conversations=2, seed=5, temperature=0.3, answer_tokens=99
    )
    await restart.run()
    positions = [(3, 1, 1, 0), (3, 1, 1, 1), (3, 1, 2, 0), (3, 2, 1, 0), (3, 2, 1, 1), (3, 2, 2, 0)]
    assert [tuple(position) for position, _ in answers.asked] == positions
    requests = [request for _, request in answers.asked]
    sent = [(each.model, each.temperature, each.max_tokens, each.messages) for each in requests]
    assert sent == [("m", 0.3, 99, tuple(SAID))] * len(positions)
    # The first request of a round has the seed that it had when there was but one.
    assert [r.seed for r in requests] == [
        derived(5, *(where if where[3] else where[:3])) for where in positions
    ]
    assert len({r.seed for r in requests}) == len(positions)


async def test_what_came_of_a_step_is_seen(stage: Stage) -> None:
    """A consultation's text; of an answer its text, what became of each proposal and the best before it."""
    answers = Answers("think", "- better {}\n- good {}", "nothing")
    await stage.restart([Consult(SAID), Ask(SAID), Ask(SAID), Ask(SAID)], answers, rounds=3).run()
    thought, first, second = stage.method.feedback
    assert (thought.text, list(thought.outcomes)) == ("think", [])
    assert first.text == "- better {}\n- good {}"
    assert sorted(outcome.text for outcome in first.outcomes) == ["better {}", "good {}"]
    assert first.best_before in (0.3, 0.4)
    assert (second.text, second.best_before) == ("nothing", 0.6)


async def test_what_is_proposed_freely_is_scored_where_the_step_stands_that_ends_the_round(
    stage: Stage, events: list[Event]
) -> None:
    """Nothing that is new to the store is scored where the search is to stop; what came of it is feedback."""
    beside = Propose([Template.parse("better {}"), Template.parse("odd {}")], source="combine", free=True)
    await stage.restart([beside, beside, Ask(SAID)], Answers("- best {}"), rounds=1).run()
    first, again = stage.method.feedback
    assert [outcome.score for outcome in first.outcomes] == [0.6, None]
    assert [outcome.text for outcome in again.outcomes] == ["better {}", "odd {}"]
    scored = [event for event in of(events, TemplateScored) if event.source != INITIAL]
    assert {(tuple(event.position), event.template, event.source) for event in scored} == {
        ((1, 1, 1, 0), "better {}", "combine"), ((1, 1, 1, 0), "best {}", LLM),
    }  # fmt: skip
    assert [event.position.round for event in of(events, RoundFinished)] == [1]
    assert stage.checks == 1


async def test_an_round_without_an_answer_is_skipped_and_its_step_made_again(
    stage: Stage, events: list[Event]
) -> None:
    """It is counted and reported, with the last reason; the method need not know."""
    answers = Answers(None, "- better {}", None)
    restart = stage.restart([Ask(SAID), Ask(SAID), Ask(SAID)], answers, rounds=3)
    await restart.run()
    skipped = of(events, RoundSkipped)
    assert [(event.position.round, event.reason) for event in skipped] == [
        (1, "nothing at 1"), (3, "nothing at 3"),
    ]  # fmt: skip
    assert [event.position.round for event in of(events, RoundFinished)] == [2]
    assert [feedback.text for feedback in stage.method.feedback] == ["- better {}"]
    record = restart.record
    assert (record.skipped, record.last_skip, record.done) == (2, "nothing at 3", True)
    assert (record.answers, record.replayed) == (1, 0)


async def test_a_method_may_end_a_conversation_early(stage: Stage, events: list[Event]) -> None:
    """The next conversation begins with its first round, and no round is reported that was not made."""
    answers = Answers()
    await stage.restart([Ask(SAID)], answers, conversations=2, rounds=5).run()
    assert [position[:3] for position, _ in answers.asked] == [(1, 1, 1), (1, 2, 1)]
    assert [event.position[:3] for event in of(events, RoundFinished)] == [(1, 1, 1), (1, 2, 1)]
    assert len(stage.method.views) == 2


async def test_templates_that_no_llm_proposed_are_checked_before_they_are_scored_anew(stage: Stage) -> None:
    """What is on disk costs nothing, so that nothing has to stop it."""
    own = Propose([Template.parse("better {}"), Template.parse("best {}")])
    restart = stage.restart([own, own, Ask(SAID)], Answers(), rounds=3)
    await restart.run()
    assert stage.checks == 1
    first, second = stage.method.feedback
    assert [(outcome.text, outcome.score) for outcome in first.outcomes] == [
        ("better {}", 0.6),
        ("best {}", 0.8),
    ]
    assert (first.text, second.text, second.best_before) == ("", "", 0.8)
    assert [scored.text for scored in restart.record.scored][4:6] == ["better {}", "best {}"]


async def test_an_answer_without_a_template_is_counted(stage: Stage) -> None:
    """And whether it was cut; one that was cut after a template is neither."""
    answers = Answers("", "well", "- better {}")
    restart = stage.restart([Ask(SAID)] * 3, answers, rounds=3)
    answers.finish_reason = "length"
    await restart.run()
    assert (restart.record.empty, restart.record.cut) == (2, 2)
    assert answers.counted.counts == [(True, True), (True, True), (False, False)]
    answers = Answers("", "well", on_disk=1)
    restart = stage.restart([Ask(SAID)] * 2, answers)
    await restart.run()
    assert (restart.record.empty, restart.record.cut) == (2, 0)
    assert answers.counted.counts == [(True, False)]


async def test_an_improvement_is_what_beats_all_up_to_then(stage: Stage, events: list[Event]) -> None:
    """Also within one round; starting templates, before which there was nothing, are not."""
    steps = [
        Propose([Template.parse(text) for text in proposed])
        for proposed in (["better {}", "best {}"], ["finest {}"])
    ]
    await stage.restart(steps, Answers()).run()
    improved = [event.template for event in of(events, TemplateScored) if event.improved]
    assert improved == ["better {}", "best {}"]


async def test_no_more_proposals_are_tried_than_were_asked_for(stage: Stage, events: list[Event]) -> None:
    """The others, and what was tried before, are refused with their reason and not scored."""
    answers = Answers("- good {}\n- better {}\n- best {}\n- finest {}\n- odd {}\n")
    await stage.restart([Ask(SAID)], answers, initial=5).run()
    scored = [event.template for event in of(events, TemplateScored) if event.source == LLM]
    assert scored == ["better {}", "best {}"]
    assert [(event.line, event.reason) for event in of(events, TemplateRefused)] == [
        ("good {}", "known"),
        ("finest {}", "too_many_proposals"),
        ("odd {}", "too_many_proposals"),
    ]
    (feedback,) = stage.method.feedback
    assert len(feedback.outcomes) == 5


async def test_a_pool_of_which_nothing_can_be_scored_is_the_users_to_mend(stage: Stage) -> None:
    """How many were tried, why, and what to give instead; no request is made."""
    answers = Answers("- better {}")
    pool = [Template.parse("odd {}"), Template.parse("strange {}")]
    with pytest.raises(UsageError, match=r"none of the 2 starting templates .*\(odd\).*initial"):
        await stage.restart([Ask(SAID)], answers, pool=pool).run()
    assert answers.asked == []


async def test_a_pool_of_which_one_can_be_scored_will_do(stage: Stage, events: list[Event]) -> None:
    """What cannot be scored is counted, and the restart continues with the rest."""
    pool = [Template.parse("odd {}"), Template.parse("good {}")]
    restart = stage.restart([Ask(SAID)], Answers("- better {}"), pool=pool)
    await restart.run()
    assert of(events, StartingTemplatesScored) == [
        StartingTemplatesScored(position=Position(1), templates=1, best="good {}", train=0.4)
    ]
    assert restart.record.rejected["odd"] == 1


async def test_the_initial_sample_follows_from_seed_and_number(stage: Stage, events: list[Event]) -> None:
    """As many as were asked for, or all there are; of a file a hundred; other restarts draw others."""
    pool = [Template.parse(f"good {word} {{}}") for word in _words(MOST_FROM_FILE + 20)]

    async def sample(number: int, **more: Any) -> list[str]:
        restart = stage.restart([], Answers(), number=number, pool=pool, rounds=1, **more)
        stage.table.score_all = _all_alike  # type: ignore[method-assign]
        await restart.run()
        return [scored.text for scored in restart.record.scored]

    first = await sample(1, initial=8)
    assert len(set(first)) == 8
    assert await sample(1, initial=8) == first
    assert await sample(2, initial=8) != first
    assert await sample(1, initial=8, seed=2) != first
    assert len(await sample(1, initial=1000)) == len(pool)
    assert len(await sample(1, initial=Path("pool.txt"))) == MOST_FROM_FILE
    assert {event.position.restart for event in of(events, StartingTemplatesDrawn)} == {1, 2}


async def test_a_restart_is_begun_once_its_initial_templates_are_scored(stage: Stage) -> None:
    """By whomever: another restart, or an earlier session."""
    restart = stage.restart([], Answers())
    assert not restart.begun
    await restart.run()
    assert restart.begun
    assert stage.restart([], Answers()).begun


@pytest.mark.parametrize("blind", [False, True])
async def test_a_method_sees_its_restart(stage: Stage, blind: bool) -> None:
    """The memory as it stands, the pool, what the config says of requests; data only unless it is blind."""
    wanted = {"top_k": 15, "max_turns": 10, "proposals": 4}
    more: dict[str, Any] = {
        "objective": "class_mean",
        "describe": "throws of dice",
        "blind": blind,
        "proposals": 4,
    }
    await stage.restart([Ask(SAID)], Answers("- better {}"), initial=5, **more).run()
    (view,) = stage.method.views
    assert {name: getattr(view, name) for name in wanted} == wanted
    assert (view.pool is POOL, view.objective) == (True, "class_mean")
    assert [scored.text for scored in view.memory.best(2)] == ["better {}", "good {}"]
    known = ("", ()) if blind else ("throws of dice", FakeEvaluator().info.class_names)
    assert (view.description, tuple(view.class_names)) == known


async def test_a_random_stream_belongs_to_its_round(stage: Stage) -> None:
    """The same each time that it is asked for, another one in every round, conversation and restart."""
    await stage.restart([Ask(SAID), Ask(SAID)], Answers(), conversations=2).run()
    streams = stage.method.streams
    await stage.restart([Ask(SAID), Ask(SAID)], Answers(), number=2, conversations=2).run()
    streams = streams + stage.method.streams
    assert all(first == again for first, again in streams)
    assert len({first for first, _ in streams}) == len(streams) == 8


async def test_ties_are_ordered_anew_in_every_restart(stage: Stage) -> None:
    """Else the same few of many equal templates would be shown by all of them."""
    pool = [Template.parse(f"good {word} {{}}") for word in _words(12)]
    orders = set()
    for number in (1, 2, 3):
        restart = stage.restart([Ask(SAID)], Answers(), number=number, pool=pool, initial=12)
        stage.table.score_all = _all_alike  # type: ignore[method-assign]
        await restart.run()
        orders.add(tuple(scored.text for scored in stage.method.views[0].memory))
    assert len(orders) == 3


def _words(count: int) -> list[str]:
    return [f"{chr(97 + number // 26)}{chr(97 + number % 26)}x" for number in range(count)]


async def _all_alike(templates: Sequence[str]) -> dict[str, Verdict]:
    return {template: Score(train=0.5) for template in templates}
