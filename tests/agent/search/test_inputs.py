"""What a search is given: starting templates, shots, and objects from Python, which a run needs again."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from promptclimb import evaluate, resume, resume_sync, search, search_sync
from promptclimb.agent.cli.main import main
from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.errors import (
    BudgetSpentError,
    FatalChatError,
    StoreMismatchError,
    TransientChatError,
    UnusableAnswerError,
)
from promptclimb.agent.events.types import Bus, Event, ListenerFailed, Noted, UsageMissing
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest
from promptclimb.agent.prices import TokenUsage
from promptclimb.agent.results.run_dir import stored_config
from promptclimb.agent.search.identity import identity_of, known_identity
from promptclimb.agent.search.inputs import UserChat, read_pool, read_template_file
from promptclimb.agent.store.run import Store
from promptclimb.evaluator.batching import is_out_of_memory
from promptclimb.evaluator.custom import run_users_code
from promptclimb.evaluator.datasets.values import UNUSED_IMAGES
from promptclimb.evaluator.errors import ConfigError, EvaluatorError
from promptclimb.evaluator.scoring import EvaluatorInfo
from promptclimb.prompts.template import Template
from promptclimb.prompts.template_kind import BUILT_IN, KIND, grammar
from tests.evaluator.datasets.conftest import save_image
from tests.fakes.chat_by_hash import ChatByHash
from tests.fakes.clock import run_virtual, virtual_time
from tests.fakes.evaluators import FakeEvaluator
from tests.fakes.tiny_clip import local_dir

POOLS = ("captions", "grammar", "general")


def config(**more: Any) -> SearchConfig:
    """A config without an LLM."""
    return SearchConfig(data="fake", method="random", **more)


def test_a_runs_identity_says_the_pools_apart() -> None:
    """General templates come first where there is a description to add words to them."""
    configs = [config(starting_pool=name) for name in POOLS]
    pools = list(map(read_pool, configs))
    assert [template.text for template in pools[0]] == list(BUILT_IN)
    assert list(pools[1]) == [template for templates in grammar().values() for template in templates]
    assert len({each.key for each in pools[2]}) == len({each.key for pool in pools for each in pool})
    info = FakeEvaluator().info
    for name in ("pool", "starting_pool"):
        assert len({identity_of(each, info, read_pool(each))[name] for each in configs}) == 3
    defaults = (config(), config(describe="dice", blind=True), config(describe="dice"))
    assert [each.identity()["starting_pool"] for each in defaults] == ["grammar", "grammar", "general"]
    assert read_pool(defaults[2]) == pools[2]


def test_a_file_wins_over_both(tmp_path: Path) -> None:
    """``--initial FILE`` is the pool."""
    file = tmp_path / "pool.txt"
    file.write_text("a {}\nmany {}\n")
    for pool in POOLS:
        assert [candidate.text for candidate in read_pool(config(initial=file, starting_pool=pool))] == [
            "a {}",
            "many {}",
        ]


def test_a_file_may_be_of_other_systems_and_must_be_utf_8(tmp_path: Path) -> None:
    """A byte-order mark and their line ends are no part of a template."""
    file = tmp_path / "pool.txt"
    file.write_bytes("\ufeffa {}\r\nmany {}\r\n".encode())
    assert [candidate.text for candidate in read_pool(config(initial=file))] == ["a {}", "many {}"]
    file.write_bytes("a {}".encode("utf-16"))
    with pytest.raises(ConfigError, match=r"^`initial`: the file of templates .*pool\.txt is not UTF-8"):
        read_pool(config(initial=file))
    with pytest.raises(ConfigError, match=r"^`initial`: .* is a folder"):
        read_pool(config(initial=tmp_path))


def test_odd_templates_are_drawn_once_the_general_ones_are_used_up(tmp_path: Path) -> None:
    """A restart draws the bare name first, from every general group, and from others if it needs more."""
    tiers = [[{candidate.key for candidate in group} for group in tier] for tier in KIND.starting("general")]
    (bare,), groups, others = tiers
    general, odd = bare.union(*groups), set[str]().union(*others)
    for number in (80, 2_200):
        more: dict[str, Any] = {"restarts": 1, "conversations": 1, "rounds": 1, "initial": number}
        small = config(**more, describe="dice", run_dir=tmp_path / str(number))
        result = run_virtual(search(small, custom_scorer=FakeEvaluator()))
        drawn = {Template.parse(row.template).key for row in result.leaderboard if not row.conversation}
        assert bool(drawn & (odd - general)) == (number > len(general))
        assert all(drawn & group for group in groups)
        assert bare < drawn


class _FewImages(FakeEvaluator):
    """Has as many shots as its data allow."""

    shots = 7

    @property
    def info(self) -> EvaluatorInfo:
        return replace(super().info, shots=self.shots)


def test_the_shots_that_were_used_are_the_runs_own(tmp_path: Path) -> None:
    """Nobody gave a number: the data's is kept, a run continues with it, and with no other."""
    small = config(restarts=1, conversations=1, rounds=1, initial=4, run_dir=tmp_path / "r")
    assert small.shots is None
    result = run_virtual(search(small, custom_scorer=_FewImages()))
    assert result.dataset.shots == stored_config(tmp_path / "r").shots == 7
    assert "shots = 7" in (tmp_path / "r" / "config.toml").read_text()
    (tmp_path / "r" / "result.json").unlink()
    again = run_virtual(resume(tmp_path / "r", custom_scorer=_FewImages()))
    assert again.leaderboard == result.leaderboard
    with pytest.raises(StoreMismatchError, match="shots: it was 7, now 5"):
        run_virtual(resume(tmp_path / "r", changes={"shots": 5}, custom_scorer=_FewImages()))


def test_a_setting_that_only_the_data_say_is_taken_from_the_run_until_they_are_read() -> None:
    """So that a suite, whose command says nothing of shots, continues with its runs."""
    before = {"shots": 7, "seed": 1, "augmentations": 4}
    assert known_identity(config(), before)["shots"] == 7
    assert known_identity(config(), before)["augmentations"] == 4
    assert known_identity(config(augmentations=2), before)["augmentations"] == 2
    assert known_identity(config(shots=5), before)["shots"] == 5


@pytest.mark.parametrize(("reported", "kept"), [(1, 1), (0, 16), (-3, 16), (10**9, 16)])
def test_a_black_box_that_says_no_sensible_number_of_shots_has_sixteen(reported: int, kept: int) -> None:
    """What is kept is a setting that can be read again."""
    assert config().with_shots(reported).shots == kept


@pytest.fixture
def on_images(tmp_path: Path) -> tuple[list[Path], dict[str, Any]]:
    """Ten images of each of two classes, and the settings of a small search on them."""
    images = [tmp_path / "data" / name / f"{number}.png" for name in "ab" for number in range(10)]
    for number, path in enumerate(images):
        save_image(path, number)
    model = f"local-dir:{local_dir(tmp_path / 'model')}"
    small = {"data": str(tmp_path / "data"), "model": model, "augmentations": 0, "run_dir": tmp_path / "r"}
    few = {"method": "random", "restarts": 1, "conversations": 1, "rounds": 1, "initial": 4}
    return images, small | few


def test_a_result_notes_the_shots_that_the_data_decided(
    on_images: tuple[list[Path], dict[str, Any]], tmp_path: Path
) -> None:
    """Also that of a resumed run, which has their number as a setting."""
    for number in range(10, 14):
        save_image(on_images[0][-1].with_name(f"{number}.png"), number + 10)
    assert search_sync(SearchConfig(**on_images[1], max_minutes=0)).status == "stopped"
    notes = resume_sync(tmp_path / "r", changes={"max_minutes": None}).notes
    used = "using 10 of 12 training images: 5 of each class, as the smallest, 'a', has no more"
    assert notes["chosen_defaults"] == [
        f"{used}; {UNUSED_IMAGES}, and more labelled images usually help most"
    ]


def test_changed_images_are_named_before_an_llm_is_loaded(
    on_images: tuple[list[Path], dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sample depends on all names: what is gone, new or another is said, and nothing else is opened."""
    images, small = on_images
    search_sync(SearchConfig(**small, shots=2))
    monkeypatch.setattr(
        "promptclimb.agent.search.opening.open_endpoint", lambda *_, **__: pytest.fail("opened")
    )
    monkeypatch.setattr(SearchConfig, "is_local", True)

    def refused() -> str:
        with pytest.raises(StoreMismatchError, match="has changed since the run started") as caught:
            resume_sync(tmp_path / "r", changes={"restarts": 2})
        return str(caught.value)

    images[0].rename(images[0].with_name("other.png"))
    assert "1 image is gone: a/0.png; 1 image is new: a/other.png. Restore" in refused()
    images[0].with_name("other.png").rename(images[0])
    images[0].unlink()
    assert "1 image is gone: a/0.png. Restore" in refused()
    for number, path in enumerate(images):
        save_image(path, 100 + number)
    assert "an image among the shots, or a class name, is another" in refused()


REQUEST = ChatRequest(messages=({"role": "user", "content": "hello"},), model="m")


async def test_an_llm_may_be_a_function_of_messages() -> None:
    """Plain or async, answering with a text."""

    class Plain:
        def chat(self, messages: list[dict[str, str]]) -> str:
            return messages[0]["content"] + "!"

    class Later:
        async def chat(self, messages: list[dict[str, str]]) -> str:
            return messages[0]["content"] + "?"

    assert (await UserChat(Plain()).chat(REQUEST)).text == "hello!"
    assert (await UserChat(Later()).chat(REQUEST)).text == "hello?"


@virtual_time
async def test_a_chat_client_is_used_as_it_is() -> None:
    """The parameter's name says a client from a function of messages; either may answer with an answer."""
    answer = await UserChat(ChatByHash()).chat(REQUEST)
    assert answer == await ChatByHash().chat(REQUEST)

    class Blocking:
        def chat(self, request: ChatRequest) -> ChatAnswer:
            return ChatAnswer(text=request.model)

    assert (await UserChat(Blocking()).chat(REQUEST)).text == "m"

    class Answers:
        def chat(self, messages: object) -> ChatAnswer:
            return ChatAnswer(text="x", prompt_tokens=3)

    assert (await UserChat(Answers()).chat(REQUEST)).prompt_tokens == 3


@pytest.mark.parametrize(
    ("chat", "name"), [(object(), "object"), (3, "int"), (ChatByHash, "class ChatByHash")]
)
def test_what_has_not_the_method_is_named(chat: object, name: str) -> None:
    """The error says which method is missing, and on what; a class is no object of it."""
    with pytest.raises(ConfigError, match=rf"chat\(messages\).*{name} is not one"):
        UserChat(chat)


def messages_answer(answer: object) -> object:
    """An LLM whose function of messages returns something."""

    class Plain:
        def chat(self, messages: object) -> object:
            return answer

    return Plain()


def request_answer(answer: object) -> object:
    """An LLM whose function of a request returns something."""

    class Client:
        async def chat(self, request: ChatRequest) -> object:
            return answer

    return Client()


@pytest.mark.parametrize(
    ("chat", "kind", "message"),
    [
        *((messages_answer(answer), FatalChatError, "must answer with a text or a ChatAnswer; it answered")
          for answer in (3, b"- a {}", {"content": "- a {}"}, ["- a {}"])),
        *((request_answer(answer), FatalChatError, r"Client\.chat")
          for answer in (3, ChatAnswer(text=None), ChatAnswer(text="x", prompt_tokens=-5),
                      ChatAnswer(text="x", completion_tokens=float("nan")),  # type: ignore[arg-type]
                      ChatAnswer(text="x", billed=TokenUsage(5, 5, cached_tokens=6)),
                      ChatAnswer(text="x", billed=TokenUsage(5, 5, vendor_picodollars=-1)))),
        (messages_answer(None), UnusableAnswerError, r"Plain\.chat answered with nothing"),
    ],
)  # fmt: skip
async def test_a_wrong_answer_is_named(chat: object, kind: type[Exception], message: str) -> None:
    """Not paid for again and again; tokens below zero would undo a limit."""
    with pytest.raises(kind, match=message):
        await UserChat(chat).chat(REQUEST)


@pytest.mark.parametrize("limit", [{"max_tokens": 3000}, {"max_cost": 0.005, "price": "1/2"}])
def test_a_chat_that_reports_no_tokens_is_held_to_the_limits(tmp_path: Path, limit: dict[str, Any]) -> None:
    """They are estimated, and a note says so."""

    class Plain:
        def chat(self, messages: object) -> str:
            return "- a photo of a {}"

    config = SearchConfig(
        data="words", llm="own", describe="words", initial=5, restarts=2, augmentations=0,
        run_dir=tmp_path / "run", **limit,
    )  # fmt: skip
    events: list[Event] = []
    result = search_sync(config, custom_scorer=FakeEvaluator(), chat=Plain(), on_event=events.append)
    assert result.stop_reason is not None
    assert next(iter(limit)).removeprefix("max_") in result.stop_reason.replace("US dollars", "cost")
    assert 1000 < result.usage.estimated_tokens <= 3500
    assert [event.endpoint for event in events if isinstance(event, UsageMissing)] == ["given"]


class Unspeakable(Exception):  # noqa: N818
    """Raises when it is shown, as one without its server's reply may."""

    def __str__(self) -> str:
        raise AttributeError("no reply")


async def test_an_error_that_cannot_be_shown_is_named() -> None:
    """Of a chat, a listener or a scorer of the user's own."""

    class Fails:
        def chat(self, messages: object) -> str:
            raise Unspeakable

    def listens(event: Event) -> None:
        raise Unspeakable

    with pytest.raises(TransientChatError, match=r"Fails\.chat failed: Unspeakable: its text raises Attr"):
        await UserChat(Fails()).chat(REQUEST)
    heard: list[Event] = []
    Bus(heard.append, listens)(Noted(text="x"))
    assert [event.error for event in heard if isinstance(event, ListenerFailed)] == [
        "Unspeakable: its text raises AttributeError"
    ]
    with pytest.raises(EvaluatorError, match="Unspeakable"):
        run_users_code("scorer", lambda: listens(heard[0]), EvaluatorError)
    assert not is_out_of_memory(Unspeakable())


async def test_one_that_asks_to_leave_the_program_has_a_mistake() -> None:
    """Async or in a thread; it takes neither the event loop nor the restart with it."""

    class Leaves:
        async def chat(self, messages: object) -> str:
            await asyncio.sleep(0)
            raise SystemExit(7)

    with pytest.raises(FatalChatError, match=r"Leaves\.chat failed: SystemExit"):
        await UserChat(Leaves()).chat(REQUEST)


@pytest.mark.parametrize("in_flight", [0, -1, "many", 1.5])
def test_an_in_flight_that_is_no_number_is_refused(in_flight: object) -> None:
    """Before anything is asked."""

    class Odd:
        def chat(self, messages: object) -> str:
            return ""

    odd = Odd()
    odd.in_flight = in_flight  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match=r"Odd\.in_flight"):
        UserChat(odd)


async def test_a_plain_chat_blocks_nobody_and_is_called_once_at_a_time() -> None:
    """The loop goes on while it works; a call that was left at a deadline holds its place till it returns."""
    running, most, go_on = 0, 0, threading.Event()

    class Slow:
        def chat(self, messages: list[dict[str, str]]) -> str:
            nonlocal running, most
            running += 1
            most = max(most, running)
            go_on.wait(10)
            running -= 1
            return "done"

    chat = UserChat(Slow())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(chat.chat(REQUEST), 0.01)
    later = asyncio.gather(chat.chat(REQUEST), chat.chat(REQUEST))
    await asyncio.sleep(0)
    go_on.set()
    assert [answer.text for answer in await later] == ["done", "done"]
    assert most == 1


async def test_a_plain_chat_may_say_how_many_calls_it_takes() -> None:
    """Then as many threads are inside it at once."""
    both = threading.Barrier(2, timeout=10)

    class Pair:
        in_flight = 2

        def chat(self, messages: list[dict[str, str]]) -> str:
            both.wait()
            return "together"

    chat = UserChat(Pair())
    answers = await asyncio.gather(chat.chat(REQUEST), chat.chat(REQUEST))
    assert {answer.text for answer in answers} == {"together"}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionError("conversation by peer"), TransientChatError),
        (TimeoutError(), TransientChatError),
        (KeyError("choices"), TransientChatError),
        (TypeError("takes one argument"), FatalChatError),
        (NameError("no such name"), FatalChatError),
        (BudgetSpentError("enough", limits=("calls",)), BudgetSpentError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.__name__,
)
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_what_an_llm_raises_is_understood(
    error: Exception, kind: type[Exception], asynchronous: bool
) -> None:
    """A failure may pass and is tried again; a mistake in a program would only be made again."""

    class Plain:
        def chat(self, messages: list[dict[str, str]]) -> str:
            raise error

    class Later:
        async def chat(self, messages: list[dict[str, str]]) -> str:
            raise error

    with pytest.raises(kind) as caught:
        await UserChat(Later() if asynchronous else Plain()).chat(REQUEST)
    assert type(caught.value) is kind


SMALL: dict[str, Any] = {
    "data": "words", "llm": "mine", "method": "pn", "restarts": 1, "conversations": 1, "rounds": 2,
    "initial": 5,
}  # fmt: skip


def test_the_command_line_says_that_it_lacks_what_only_python_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that was stopped gets one line and exit code 2; finished from Python, it is shown."""
    monkeypatch.setattr(sys, "argv", ["run_agent.py"])
    run_dir = tmp_path / "r"
    config = SearchConfig(**SMALL, max_calls=1, run_dir=run_dir)
    stopped = search_sync(config, custom_scorer=FakeEvaluator(), chat=ChatByHash())
    assert stopped.status == "stopped"
    assert main(["resume", str(run_dir), "--max-calls", "9"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "custom_scorer=tests.fakes.evaluators.FakeEvaluator" in err
    assert "chat=tests.fakes.chat_by_hash.ChatByHash" in err
    assert len(err.strip().splitlines()) == 1
    done = resume_sync(run_dir, changes={"max_calls": 9}, custom_scorer=FakeEvaluator(), chat=ChatByHash())
    assert done.status == "finished"
    assert main(["resume", str(run_dir), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == done.to_json()


def test_a_run_made_from_python_can_be_resumed_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths that were given as relative ones are stored as absolute ones; what is only a name stays one."""
    (tmp_path / "words").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "pool.txt").write_text("a {}\nthe {}\none {}\n")
    monkeypatch.chdir(tmp_path)
    config = SearchConfig(
        data="words", method="random", initial=Path("pool.txt"), restarts=1, rounds=2, max_minutes=0,
        run_dir=Path("r"),
    )  # fmt: skip
    stopped = search_sync(config, custom_scorer=FakeEvaluator())
    with Store.open(tmp_path / "r") as store:
        stored = store.manifest.config
    assert stored["initial"] == str(tmp_path / "pool.txt")
    assert stored["run_dir"] == str(tmp_path / "r")
    assert stored["data"] == "words"
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "words").mkdir()
    done = resume_sync(tmp_path / "r", changes={"max_minutes": 9}, custom_scorer=FakeEvaluator())
    assert (stopped.status, done.status) == ("stopped", "finished")


def test_a_template_may_stand_in_place_of_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If it has a slot and no file has that name; a mistake in it is reported as one in a template."""
    monkeypatch.chdir(tmp_path)
    setting = "`templates`"
    assert [candidate.text for candidate in read_template_file("a {} in ink", setting)] == ["a {} in ink"]
    with pytest.raises(ConfigError, match=r"'a \{\} in \{' has a brace"):
        read_template_file("a {} in {", setting)
    (tmp_path / "a {}").write_text("a {} from a file\n")
    assert [candidate.text for candidate in read_template_file("a {}", setting)] == ["a {} from a file"]


@pytest.mark.parametrize("setting", [{"ray": "auto"}, {"augmentations": 2}])
def test_settings_of_clip_models_are_refused_with_a_custom_scorer(setting: dict[str, Any]) -> None:
    """An object as much as a named one."""
    config = SearchConfig(method="random", **setting)
    says = f"`{next(iter(setting))}` applies to CLIP models; leave it out with a custom scorer"
    with pytest.raises(ConfigError, match=says):
        search_sync(config, custom_scorer=FakeEvaluator())
    with pytest.raises(ConfigError, match=says):
        evaluate(["a {}"], config, custom_scorer=FakeEvaluator())
