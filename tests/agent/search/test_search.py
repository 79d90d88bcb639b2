"""A whole search on fakes: the same result whatever the order of events, and nothing lost or paid twice."""

from __future__ import annotations

import asyncio
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from promptclimb.agent.api import resume, search
from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.errors import (
    BadRequestError,
    EndpointError,
    FlaggedRequestError,
    InterruptedRunError,
    RestartCancelledError,
    StoreMismatchError,
    TransientChatError,
    UnusableAnswerError,
)
from promptclimb.agent.events.types import Event, Paused
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest
from promptclimb.agent.prices import TokenUsage
from promptclimb.agent.results.result import SearchResult
from promptclimb.agent.results.run_dir import stored_config
from promptclimb.agent.search.opening import RunRequest
from promptclimb.agent.search.run import start_run
from promptclimb.agent.stop import Stop
from promptclimb.agent.store.run import Store
from promptclimb.evaluator.errors import DataError, UsageError
from promptclimb.evaluator.failures import RULES, FailureKind
from tests.fakes.chat_by_hash import ChatByHash, text_for
from tests.fakes.clock import run_virtual, virtual_sleep, virtual_time
from tests.fakes.evaluators import FakeEvaluator
from tests.fakes.searches import resumed, searched
from tests.fakes.stored import answers
from tests.fakes.tiny_clip import local_dir

MOST_UNREAD = RULES[FailureKind.UNREAD].tolerated + 1

SMALL: dict[str, Any] = {
    "data": "fake", "llm": "fake", "method": "pn", "restarts": 4, "conversations": 2, "rounds": 3,
    "proposals": 3, "initial": 12, "retry_attempts": 3,
}  # fmt: skip


def config(run_dir: Path, **more: Any) -> SearchConfig:
    """A small search into a folder."""
    return SearchConfig(**{**SMALL, "run_dir": run_dir, **more})


def board(run_dir: Path) -> bytes:
    """The leaderboard's bytes."""
    return (run_dir / "leaderboard.csv").read_bytes()


class Undisturbed:
    """A search that nothing disturbs: its run, its result, and what scorer, LLM and listener got."""

    def __init__(self, run_dir: Path) -> None:
        self.config = config(run_dir, rpm=600)
        self.evaluator = FakeEvaluator(before_batch=lambda _batch: self.opened.append(self.evaluator.opened))
        self.opened: list[int] = []
        self.events: list[Event] = []
        self.result = searched(self.config, evaluator=self.evaluator, on_event=self.events.append)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """A search whose folder is only read, or copied."""
    return Undisturbed(tmp_path_factory.mktemp("undisturbed") / "run")


@pytest.fixture
def finished(undisturbed: Undisturbed, tmp_path: Path) -> Path:
    """A copy of its folder."""
    return Path(shutil.copytree(undisturbed.config.run_dir, tmp_path / "finished"))


@pytest.fixture
def reference(undisturbed: Undisturbed) -> bytes:
    """Its leaderboard."""
    return board(Path(undisturbed.config.run_dir))


@pytest.mark.parametrize("concurrency", [1, 8])
def test_the_result_does_not_depend_on_timing(tmp_path: Path, reference: bytes, concurrency: int) -> None:
    """Any concurrency and any delays give the same leaderboard, byte by byte."""
    wanted = config(tmp_path / "run", concurrency=concurrency)
    result = searched(wanted, chat=ChatByHash(concurrency))
    assert board(tmp_path / "run") == reference
    assert result.status == "finished"
    assert result.usage.calls == wanted.all_rounds == 24


@pytest.mark.parametrize("seed", range(2))
def test_a_run_that_dies_again_and_again_ends_the_same(tmp_path: Path, reference: bytes, seed: int) -> None:
    """Cut off at random moments and resumed, it asks for nothing that it has and ends with the same bytes."""
    run_dir = tmp_path / "run"
    rng = random.Random(seed)
    answered: list[str] = []
    in_flight = 0
    for stretch in range(100):
        chat = ChatByHash(1000 * seed + stretch)

        async def cut_off(chat: ChatByHash = chat) -> bool:
            work = (
                resume(run_dir, custom_scorer=FakeEvaluator(), chat=chat)
                if (run_dir / "store").exists()
                else None
            )
            started = work or search(config(run_dir), custom_scorer=FakeEvaluator(), chat=chat)
            task = asyncio.ensure_future(started)
            await asyncio.wait({task}, timeout=rng.uniform(0, 9))
            task.cancel()
            await asyncio.wait({task})
            return not task.cancelled() and task.exception() is None

        done = run_virtual(cut_off())
        in_flight += len(chat.asked) - len(chat.answered)
        answered += [request.hash for request in chat.answered]
        if done:
            break
    else:
        pytest.fail("it never came to its end")
    assert stretch > 1
    assert board(run_dir) == reference
    assert len(set(answered)) == 24
    # An answer in the very moment of the cut may be lost on its way to the disk; more than that may not.
    assert len(answered) - 24 <= stretch * 4


def test_a_budget_of_calls_is_exact_and_can_be_extended(tmp_path: Path, reference: bytes) -> None:
    """A run that its budget stopped has a result, and goes on to the same end with more."""
    run_dir = tmp_path / "run"
    stopped = searched(config(run_dir, max_calls=7))
    assert (stopped.status, stopped.usage.calls, stopped.budget["calls"]) == ("stopped", 7, 0)
    assert stopped.stop_reason is not None
    assert "7 calls" in stopped.stop_reason
    assert (stopped.best.test, stopped.texts.test, stopped.test_opened) == (None, None, 0)
    chat = ChatByHash(5)
    done = resumed(run_dir, {"max_calls": 100}, chat=chat)
    assert board(run_dir) == reference
    assert (done.status, done.usage.calls, done.usage.replayed, len(chat.asked)) == ("finished", 24, 7, 17)
    assert (done.best.test is None, done.test_opened, done.started) == (False, 1, stopped.started)


def test_a_finished_run_resumes_to_its_result_without_work(undisturbed: Undisturbed, finished: Path) -> None:
    """Nothing is asked, scored or opened again."""
    chat, evaluator = ChatByHash(), FakeEvaluator()
    assert resumed(finished, chat=chat, evaluator=evaluator) == undisturbed.result
    assert (chat.asked, evaluator.batches, evaluator.opened) == ([], [], 0)


def test_the_test_split_is_opened_once_and_after_the_last_score(undisturbed: Undisturbed) -> None:
    """Selection never sees it."""
    assert undisturbed.evaluator.opened == 1
    assert set(undisturbed.opened) == {0}


def test_what_decides_the_result_cannot_be_changed(tmp_path: Path) -> None:
    """The difference is shown; nor can another scorer be given: its scores do not belong into the run."""
    searched(config(tmp_path / "r", max_calls=2))
    with pytest.raises(StoreMismatchError, match="fingerprint"):
        resumed(tmp_path / "r", evaluator=FakeEvaluator(seed=9))
    for name, value in {"shots": 1, "method": "p", "llm": "other", "temperature": 0.5}.items():
        with pytest.raises(StoreMismatchError, match=f"{name}: .*{value!r}"):
            resumed(tmp_path / "r", {name: value})


def test_an_outage_at_the_end_is_no_end(tmp_path: Path, reference: bytes) -> None:
    """A run whose last rounds got no answer is stopped, not finished, and gets them when resumed."""

    def fail(request: Any, number: int) -> None:
        if number > 20:
            raise TransientChatError("503")

    wanted = config(tmp_path / "r", concurrency=1)
    stopped = searched(wanted, chat=ChatByHash(fail=fail))
    assert (stopped.status, stopped.skipped, stopped.usage.calls) == ("stopped", 4, 20)
    assert "the last 4 rounds (no usable answer in 3 attempts: 503)" in str(stopped.stop_reason)
    done = resumed(tmp_path / "r")
    assert (done.status, done.skipped, done.usage.replayed) == ("finished", 0, 20)
    assert board(tmp_path / "r") == reference


def test_an_outage_stops_the_run_and_its_skips_are_asked_again(tmp_path: Path, reference: bytes) -> None:
    """Given up after the time allowed, the run has a result; resumed, it gets what the outage took."""

    def fail(request: Any, number: int) -> None:
        if number > 6:
            raise TransientChatError("503")

    wanted = config(tmp_path / "r", give_up_after=5.0, retry_attempts=50)
    stopped = searched(wanted, chat=ChatByHash(fail=fail))
    assert stopped.status == "stopped"
    assert "nothing has succeeded" in str(stopped.stop_reason)
    done = resumed(tmp_path / "r")
    assert (done.status, done.skipped) == ("finished", 0)
    assert board(tmp_path / "r") == reference


def test_a_refusal_before_anything_was_answered_is_the_users_to_mend(tmp_path: Path) -> None:
    """The first request is refused: wrong usage."""

    def fail(request: Any, number: int) -> None:
        raise BadRequestError("no such thing", status=400)

    with pytest.raises(EndpointError, match="no such thing"):
        searched(config(tmp_path / "r"), chat=ChatByHash(fail=fail))


@virtual_time
async def test_a_signal_waits_for_what_is_paid_and_for_nothing_else(tmp_path: Path) -> None:
    """Requests in flight are journalled within the grace; no new one leaves; the search ends at once then."""
    stop, chat = Stop(grace_s=60), ChatByHash(longest_s=20)
    loop = asyncio.get_running_loop()
    loop.call_later(30, stop.request, InterruptedRunError(2))
    wanted = config(tmp_path / "r", concurrency=3)
    with pytest.raises(InterruptedRunError) as caught:
        await start_run(RunRequest(config=wanted, evaluator=FakeEvaluator(), chat=chat, stop=stop))
    assert caught.value.signal == 2
    assert loop.time() < 51
    with Store.open(tmp_path / "r") as store:
        journalled = {kept.request_hash for kept in answers(store).values()}
    assert journalled == {request.hash for request in chat.asked}
    assert len(journalled) > 2
    assert not (tmp_path / "r" / "result.json").exists()


@virtual_time
async def test_the_grace_has_an_end(tmp_path: Path) -> None:
    """An endpoint that hangs does not hold the program up."""
    stop, chat = Stop(grace_s=5), ChatByHash(longest_s=100_000)
    loop = asyncio.get_running_loop()
    loop.call_later(1, stop.request, InterruptedRunError(15))
    wanted = config(tmp_path / "r", request_timeout=1e6)
    with pytest.raises(InterruptedRunError):
        await start_run(RunRequest(config=wanted, evaluator=FakeEvaluator(), chat=chat, stop=stop))
    assert loop.time() < 7


def test_a_cancellation_out_of_an_llm_is_a_failure_that_may_pass(tmp_path: Path, reference: bytes) -> None:
    """A task that it started and lost; the search is cancelled by nobody, and misses nothing."""

    def fail(_request: object, number: int) -> None:
        if number in (1, 5):
            raise asyncio.CancelledError

    result = searched(config(tmp_path / "r"), chat=ChatByHash(fail=fail))
    assert result.status == "finished"
    assert board(tmp_path / "r") == reference


def test_a_restart_that_is_cancelled_from_within_is_no_end(tmp_path: Path, reference: bytes) -> None:
    """The run fails with its test split held out, and a resume does what is left."""

    def cancels(event: Event) -> None:
        task = asyncio.current_task()
        if event.name == "round.finished" and task is not None:
            task.cancel()

    with pytest.raises(RestartCancelledError, match="listener"):
        searched(config(tmp_path / "r"), on_event=cancels)
    evaluator = FakeEvaluator()
    result = resumed(tmp_path / "r", evaluator=evaluator)
    assert (result.status, result.test_opened) == ("finished", 1)
    assert board(tmp_path / "r") == reference


def test_a_resume_without_time_loses_nothing(tmp_path: Path) -> None:
    """What is on disk costs no time: the result is the one that was there."""
    wanted = config(tmp_path / "r", max_calls=9)
    searched(wanted)
    before, chat = board(tmp_path / "r"), ChatByHash()
    changes = {"max_calls": None, "max_minutes": 0}
    result = resumed(tmp_path / "r", changes, chat=chat)
    assert (result.status, len(chat.asked)) == ("stopped", 0)
    assert board(tmp_path / "r") == before


@pytest.mark.parametrize("changes", [{"concurrency": 1}, {"concurrency": 1, "max_calls": 10}])
def test_a_resume_with_fewer_at_once_loses_nothing(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Restarts that come after the limit was met again are gone through as far as they have come."""
    wanted = config(tmp_path / "r", max_calls=9, concurrency=4)
    before = searched(wanted)
    evaluator = FakeEvaluator()
    after = resumed(tmp_path / "r", changes, evaluator=evaluator)
    templates = {row.template for row in before.leaderboard}
    assert templates <= {row.template for row in after.leaderboard}
    assert after.evaluated >= before.evaluated


def test_after_a_limit_no_restart_is_begun(tmp_path: Path) -> None:
    """Its initial templates would be scored for nothing."""
    evaluator = FakeEvaluator()
    few = searched(config(tmp_path / "r", max_calls=1, concurrency=1, restarts=40), evaluator=evaluator)
    assert few.status == "stopped"
    assert sum(map(len, evaluator.batches)) < 40


def test_a_method_without_an_llm_is_replayed_without_time(tmp_path: Path) -> None:
    """All its scores are on disk: it goes to its end again. A new one keeps to its minutes."""
    free: dict[str, Any] = {"method": "random", "llm": None}
    searched(config(tmp_path / "r", **free))
    before = board(tmp_path / "r")
    (tmp_path / "r" / "result.json").unlink()
    assert resumed(tmp_path / "r", {"max_minutes": 0}).status == "finished"
    assert board(tmp_path / "r") == before
    new = searched(config(tmp_path / "new", **free, max_minutes=0))
    assert (new.status, new.evaluated > 0) == ("stopped", True)


class Prose:
    """Answers in words; with templates once it is told to."""

    def __init__(self, finish_reason: str = "stop") -> None:
        self.asked = 0
        self.useful_from = 10**9
        self._finish_reason = finish_reason

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        self.asked += 1
        if self.asked >= self.useful_from:
            return ChatAnswer(text=text_for(request))
        return ChatAnswer(
            text="I am afraid that I cannot help with that.\n- no slot", finish_reason=self._finish_reason
        )


@pytest.mark.parametrize(
    ("reason", "remedy"), [("stop", "choose another `llm`"), ("length", "raise `answer_tokens`")]
)
def test_answer_after_answer_without_a_template_stops_the_run(
    tmp_path: Path, reason: str, remedy: str
) -> None:
    """Whichever restarts they are of; it says what to do, keeps everything, asks as often when resumed."""
    chat = Prose(reason)
    result = searched(config(tmp_path / "r", concurrency=2), chat=chat)
    assert (result.status, result.usage.calls) == ("stopped", chat.asked)
    assert MOST_UNREAD <= chat.asked <= MOST_UNREAD + 1
    assert result.stop_reason is not None
    assert f"no template could be read in the last {chat.asked} answers" in result.stop_reason
    assert remedy in result.stop_reason
    assert result.notes["empty_answers"].startswith(f"no template could be read in {chat.asked} of")
    assert result.notes["empty_answers"].endswith("raise `answer_tokens`") == (reason == "length")
    assert "nothing_usable" in result.notes
    chat.useful_from = chat.asked + MOST_UNREAD
    result = resumed(tmp_path / "r", chat=chat)
    assert (result.status, chat.asked) == ("finished", 24)
    assert "nothing_usable" not in result.notes


class Thinking:
    """Thinks until its answer is cut, however long that is; answers from some request on."""

    def __init__(self, useful_from: int = 10**9) -> None:
        self.asked: list[int] = []
        self._useful_from = useful_from

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        await virtual_sleep(1)
        self.asked.append(request.max_tokens)
        if len(self.asked) >= self._useful_from:
            return ChatAnswer(text=text_for(request))
        message = "the endpoint's answer was cut before its text began"
        raise UnusableAnswerError(message, reason="length", usage=TokenUsage(10, request.max_tokens))


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_model_that_only_thinks_soon_ends_the_run(tmp_path: Path, concurrency: int) -> None:
    """Each request once, and longer if that is new; without pauses; it says what to change, and goes on."""
    chat, events = Thinking(), list[Event]()
    wanted = config(tmp_path / "r", concurrency=concurrency)

    async def timed() -> tuple[SearchResult, float]:
        result = await search(wanted, custom_scorer=FakeEvaluator(), chat=chat, on_event=events.append)
        return result, asyncio.get_running_loop().time()

    result, took_s = run_virtual(timed())
    assert result.status == "stopped"
    assert str(result.stop_reason).endswith("raise `answer_tokens`, or lower `reasoning_effort`")
    assert result.notes["nothing_usable"]
    assert set(chat.asked) == {512, 2048}
    assert len(chat.asked) <= 2 * (RULES[FailureKind.UNREAD].unproven + concurrency)
    assert took_s < 12
    assert not any(isinstance(event, Paused) for event in events)
    again = resumed(tmp_path / "r", {"answer_tokens": 4096}, chat=Thinking(1))
    assert (again.status, "nothing_usable" in again.notes) == ("finished", False)


@pytest.mark.parametrize("filtered", [1, 99])
def test_a_content_filter_that_refuses_the_first_requests_ends_no_run(tmp_path: Path, filtered: int) -> None:
    """Their rounds are skipped; if it refuses every request, the LLM gave nothing usable."""

    class Filtered(ChatByHash):
        requests = 0

        async def chat(self, request: ChatRequest) -> ChatAnswer:
            self.requests += 1
            if self.requests <= filtered:
                raise FlaggedRequestError("400: content management policy", status=400)
            return await super().chat(request)

    result = searched(config(tmp_path / "r"), chat=Filtered())
    assert ("nothing_usable" in result.notes) == (filtered > 1)
    assert result.status == ("finished" if filtered == 1 else "stopped")


class Nothing:
    """Answers, for money, with no text at all; or with prose."""

    def __init__(self, text: str = "") -> None:
        self._text = text

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        if not self._text:
            raise UnusableAnswerError("it is empty", reason="no_content", usage=TokenUsage(10, 1))
        return ChatAnswer(text=self._text)


@pytest.mark.parametrize(
    ("text", "more"), [("", {}), ("I would rather not.", {"method": "guided", "describe": "old stone walls"})]
)
def test_nothing_usable_is_reported_by_what_the_llm_gave(
    tmp_path: Path, text: str, more: dict[str, Any]
) -> None:
    """Answers that are empty count, templates that the program made itself do not; a replay says the same."""
    small = config(tmp_path / "r", restarts=1, conversations=1, **more)
    result = searched(small, chat=Nothing(text))
    assert result.status == "finished"
    assert result.notes["nothing_usable"]
    assert any(row.round for row in result.leaderboard) == bool(more)
    (tmp_path / "r" / "result.json").unlink()
    again = resumed(tmp_path / "r")
    assert again.notes["nothing_usable"]


def test_events_say_the_story_in_order(undisturbed: Undisturbed, finished: Path) -> None:
    """A listener learns of the start, of every score, and of the end."""
    feedback = undisturbed.events
    names = [event.name for event in feedback]
    assert (names[0], names[-1]) == ("search.started", "search.finished")
    assert names.count("restart.finished") == 4
    texts = {event.fields()["template"] for event in feedback if event.name == "restart.template_scored"}
    assert len(texts) == undisturbed.result.evaluated
    assert (finished / "events.jsonl").read_text().count("\n") == len(names)


def test_two_searches_in_one_process_do_not_disturb_each_other(tmp_path: Path, reference: bytes) -> None:
    """Side by side in one loop they end as each would alone."""

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            for number, seed in enumerate((1, 2)):
                wanted = config(tmp_path / str(number), seed=seed)
                group.create_task(search(wanted, custom_scorer=FakeEvaluator(), chat=ChatByHash(number)))

    run_virtual(both())
    assert board(tmp_path / "0") == reference
    assert board(tmp_path / "1") != reference


def test_the_stored_config_is_the_one_that_was_given(undisturbed: Undisturbed) -> None:
    """Resume needs no other flag; the shots and copies that nobody gave are the data's."""
    wanted = undisturbed.config
    assert stored_config(Path(wanted.run_dir)) == wanted.as_opened(FakeEvaluator().info)


def test_what_a_resume_changes_is_kept_for_the_next(tmp_path: Path) -> None:
    """A limit raised once need not be raised again."""
    searched(config(tmp_path / "r", max_calls=3))
    again: dict[str, Any] = {"custom_scorer": FakeEvaluator(), "chat": ChatByHash()}
    stopped = run_virtual(resume(tmp_path / "r", changes={"max_calls": 5, "rpm": 6000}, **again))
    assert (stopped.status, stopped.usage.calls) == ("stopped", 5)
    kept = stored_config(tmp_path / "r")
    assert (kept.max_calls, kept.rpm) == (5, 6000)
    assert run_virtual(resume(tmp_path / "r", **again)).usage.calls == 5
    assert run_virtual(resume(tmp_path / "r", changes={"max_calls": None}, **again)).status == "finished"


def test_data_that_has_moved_is_resumed(tmp_path: Path) -> None:
    """Pictures, weights and templates decide by their content, and not by where they lie."""
    pictures = tmp_path / "pictures"
    for name in ("one", "two"):
        (pictures / name).mkdir(parents=True)
        for number in range(4):
            colour = (60 * number, 200 * (name == "one"), 90)
            Image.new("RGB", (8, 8), colour).save(pictures / name / f"{number}.png")
    initial = tmp_path / "pool.txt"
    initial.write_text("a {}\nthe {}\nmy {}\n", "utf-8")
    model = f"local-dir:{local_dir(tmp_path / 'model')}"
    wanted = SearchConfig(
        data=str(pictures), model=model, shots=2, method="random", restarts=1, initial=initial,
        run_dir=tmp_path / "r", max_minutes=0,
    )  # fmt: skip
    stopped = asyncio.run(search(wanted))
    assert stopped.status == "stopped"
    pictures.rename(tmp_path / "elsewhere")
    initial.rename(tmp_path / "templates.txt")
    moved = {"data": str(tmp_path / "elsewhere"), "initial": tmp_path / "templates.txt", "max_minutes": None}
    with pytest.raises(UsageError, match=r"not there any more.*(data|initial) = PLACE"):
        asyncio.run(resume(tmp_path / "r", changes={"max_minutes": None}))
    with pytest.raises(DataError, match="no data set of that name, and no folder or table at"):
        asyncio.run(resume(tmp_path / "r", changes={"data": "nowhere"}))
    with pytest.raises(StoreMismatchError, match="now 'backgrounds'"):
        asyncio.run(resume(tmp_path / "r", changes={"data": "backgrounds"}))
    assert asyncio.run(resume(tmp_path / "r", changes=moved)).status == "finished"
    (tmp_path / "r" / "result.json").unlink()
    Image.new("RGB", (8, 8), "red").save(tmp_path / "elsewhere" / "one" / "0.png")
    with pytest.raises(StoreMismatchError, match="an image among the shots, or a class name, is another"):
        asyncio.run(resume(tmp_path / "r"))
