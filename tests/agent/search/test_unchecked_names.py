"""Class names of an LLM without a labelled image: one request, a classifier, and nothing claimed."""

from __future__ import annotations

import asyncio
import csv
import io
import re
import shutil
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from torch import Tensor

from promptclimb.agent.api import evaluate, load, resume, search
from promptclimb.agent.cli.main import main
from promptclimb.agent.cli.output import EXIT_NOTHING_USABLE
from promptclimb.agent.cli.search import run_session
from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.errors import ChatError, FlaggedRequestError, TransientChatError, UnusableAnswerError
from promptclimb.agent.events.types import Event, NamesRead, Noted
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest
from promptclimb.agent.present.sentences import result_lines, what_may_help
from promptclimb.agent.present.terminal import print_result
from promptclimb.agent.results.accuracies import NEW_NAMES, ORIGINAL_NAMES
from promptclimb.agent.results.result import NO_NEW_NAME, NOTHING_USABLE, UNCHECKED, SearchResult
from promptclimb.agent.results.run_dir import REPORT
from promptclimb.agent.search.name_search import requests_at_most
from promptclimb.agent.search.opening import RunRequest
from promptclimb.agent.search.run import start_run
from promptclimb.evaluator.clip.text_encoder import TextEncoder
from promptclimb.evaluator.datasets.loading import load_data
from promptclimb.evaluator.errors import ConfigError, DataError
from promptclimb.evaluator.scoring import BARE_NAME, DEFAULT_TEMPLATE, OPENAI_80
from promptclimb.evaluator.spec import EvaluatorSpec
from tests.agent.search.test_name_search import NameChat
from tests.fakes.clock import run_virtual, virtual_sleep, virtual_time
from tests.fakes.naming_box import NamingBox
from tests.fakes.searches import searched

CHINESE = (
    "公鸡: rooster\n奶牛: cow\n母羊: sheep\n狗: dog\n狮子: lion\n猫: cat\n马: 马\n红苹果: apple\n蟹: crab"
)
THREE = {"公鸡": "rooster", "奶牛": "cow", "狗": "dog"}
NEW = dict(line.split(": ") for line in CHINESE.splitlines() if "马" not in line)

FLAGGED = FlaggedRequestError("flagged", status=400)
FILTERED = UnusableAnswerError("refused", reason="content_filter")


def config(run_dir: Path, data: Path | str, **settings: Any) -> SearchConfig:
    """A search for names alone; its method is not used."""
    return SearchConfig(data=str(data), shots=0, search_for="class-names", run_dir=run_dir, **settings)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory, small_archives: Path, small_cache: str) -> Path:
    """A folder of test images alone, two of each class that an answer here names."""
    folder = tmp_path_factory.mktemp("pictures") / "animals"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("promptclimb.evaluator.datasets.readers.bundled.ARCHIVES", small_archives)
        patch.setenv("PROMPTCLIMB_CACHE", small_cache)
        data = load_data(EvaluatorSpec(data="chinese-names"))
        for item in data.test.open():
            if (name := data.classes[item.label]) in CHINESE:
                target = folder / "test" / name / item.path.name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(item.path, target)
    return folder


@pytest.fixture(scope="module")
def three(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three of the classes, where it does not matter which there are."""
    folder = tmp_path_factory.mktemp("three") / "animals"
    for name in THREE:
        shutil.copytree(pictures / "test" / name, folder / "test" / name)
    return folder


def test_a_reading_is_taken_unchecked_and_says_so(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From test images alone: one request, names and a classifier, test once; all commands take the run."""
    chat, run, events = NameChat(reading=CHINESE), tmp_path / "run", list[Event]()
    result = run_virtual(search(config(run, pictures), chat=chat, on_event=events.append))
    assert (len(chat.asked), result.usage.calls, result.test_opened) == (1, 1, 1)
    assert (result.best.class_names, result.best.train, result.leaderboard) == (NEW, None, ())
    assert (result.recommended.form, result.with_images, result.dataset.sizes.train) == ("template", None, 0)
    assert result.recommended.verdict.startswith(f"Use the template, with 8 new class names ({UNCHECKED}): ")
    assert (result.best.test or 0.0) > (result.baselines[BARE_NAME].test or 0.0) + 0.1
    (read,) = (event for event in events if isinstance(event, NamesRead))
    assert (read.read, read.classes, read.taken) == (8, 9, True)
    assert SearchResult.from_json(result.to_json()).best == result.best
    assert f"class names, {UNCHECKED}: 公鸡 -> rooster; " in "\n".join(result_lines(result, None))
    page = (run / REPORT).read_text("utf-8")
    assert "rooster (not checked)" in page
    assert "labelled images decided" not in page
    # Nothing is asked again, and the result stays.
    silent = NameChat()
    resumed_result = run_virtual(resume(run, chat=silent))
    assert (silent.asked, resumed_result) == ([], result)
    # The names in other templates are what `evaluate` measures with these names.
    assert main(["export", str(run), "--format", "class-names", "--out", str(tmp_path / "names.txt")]) == 0
    measured = evaluate(spec=EvaluatorSpec(data=str(pictures), class_names=str(tmp_path / "names.txt"))).ways
    for name in (BARE_NAME, OPENAI_80):
        (way,) = (way for way in measured if way.name == name)
        assert way.texts_alone is not None
        assert result.baselines[f"{NEW_NAMES}{name}"].test == way.texts_alone.accuracy
    # The classifier answers with the person's own names, as the evaluation did.
    classifier = load(run)
    image = next((pictures / "test" / "狮子").iterdir())
    capsys.readouterr()
    assert main(["predict", str(image.parent), "--run", str(run)]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["class"] for row in rows] == list(classifier.predict(sorted(image.parent.iterdir())))
    assert main(["status", str(run)]) == 0
    shown = capsys.readouterr().out
    assert "a photo of a {}, with 8 new class names, not checked\n" in shown
    assert "rounds" not in shown


def test_a_folder_of_images_without_labels_has_its_class_names_in_a_file(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is measured, nor encoded for it; the classifier is there, with the names of the file."""
    encode, encoded = TextEncoder.vectors, list[str]()

    def vectors(encoder: TextEncoder, templates: Sequence[str]) -> Tensor:
        encoded.extend(templates)
        return encode(encoder, templates)

    monkeypatch.setattr(TextEncoder, "vectors", vectors)
    (folder := tmp_path / "photos").mkdir()
    for image in sorted((pictures / "test").rglob("*.png"))[:3]:
        shutil.copy(image, folder / f"{image.parent.name}-{image.name}")
    (names := tmp_path / "names.txt").write_text("公鸡\n奶牛\n狗\n", "utf-8")
    chat, run = NameChat(reading=CHINESE), tmp_path / "run"
    result = run_virtual(search(config(run, folder, class_names=str(names)), chat=chat))
    assert result.best.class_names == THREE
    assert (result.best.test, result.baselines, result.test_opened, result.complete) == (None, {}, 0, True)
    assert set(encoded) == {DEFAULT_TEMPLATE}
    assert f"class names, {UNCHECKED}: " in "\n".join(result_lines(result, None))
    assert f"Class names, {UNCHECKED}." in (run / REPORT).read_text("utf-8")
    assert main(["predict", str(folder), "--run", str(run)]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 3
    assert {row["class"] for row in rows} <= {"公鸡", "奶牛", "狗"}
    names.write_text("公鸡=rooster\n奶牛=cow\n", "utf-8")
    with pytest.raises(DataError, match=r"names folders, and .*photos has none; write one name a line"):
        load_data(EvaluatorSpec(data=str(folder), shots=0, class_names=str(names)))


class SlowReader:
    """Says after two seconds that each class is the digit of its number."""

    def __init__(self) -> None:
        self.asked = self.answered = 0
        self.busy = asyncio.Event()

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        self.asked += 1
        if self.asked == 4:
            self.busy.set()
        await virtual_sleep(2)
        self.answered += 1
        classes = re.findall(r"^- (number \d+)$", str(request.messages[-1]["content"]), re.MULTILINE)
        return ChatAnswer(text="\n".join(f"{name}: digit {name.split()[1]}" for name in classes))


@pytest.fixture
def unlabelled(three: Path, tmp_path: Path) -> dict[str, str]:
    """A folder with one image, and 100 class names, which are five requests."""
    (folder := tmp_path / "photos").mkdir()
    shutil.copy(next((three / "test" / "狗").iterdir()), folder)
    (names := tmp_path / "names.txt").write_text("".join(f"number {number}\n" for number in range(100)))
    return {"data": str(folder), "class_names": str(names)}


@virtual_time
async def test_requests_at_once_lose_no_answer(unlabelled: dict[str, str], tmp_path: Path) -> None:
    """A limit holds to the request; an interrupt waits for what is under way; a resume asks for the rest."""
    now, chat, run = asyncio.get_running_loop().time, SlowReader(), tmp_path / "limited"
    settings = config(run, max_calls=3, concurrency=1, **unlabelled)
    stopped = await search(settings, chat=chat)
    assert (stopped.status, chat.asked, stopped.usage.calls, round(now())) == ("stopped", 3, 3, 6)
    assert NOTHING_USABLE not in stopped.notes
    limited = await resume(run, chat=chat, changes={"max_calls": 9})
    assert (limited.status, chat.asked) == ("finished", 5)
    chat, run = SlowReader(), tmp_path / "interrupted"
    searching = asyncio.create_task(search(config(run, concurrency=4, **unlabelled), chat=chat))
    await chat.busy.wait()
    searching.cancel()
    await asyncio.wait({searching})
    assert searching.cancelled()
    assert (chat.asked, chat.answered) == (4, 4)
    result = await resume(run, chat=chat)
    assert (result.usage.calls, chat.asked) == (5, 5)
    names = {f"number {number}": f"digit {number}" for number in range(100)}
    assert (
        requests_at_most(config(run, llm="small-1b", **unlabelled), list(names)) == 100
    )  # each is asked about
    assert limited.best.class_names == result.best.class_names == names


@pytest.mark.parametrize("reading", ["", "公鸡: 公鸡\n狗: 狗"])
def test_without_a_name_nothing_is_said_of_labelled_images(three: Path, tmp_path: Path, reading: str) -> None:
    """Answers without a name, empty ones, and the names that the classes have: none was looked at."""
    result = run_virtual(search(config(tmp_path / "r", three), chat=NameChat(reading=reading)))
    page = (tmp_path / "r" / REPORT).read_text("utf-8")
    assert result.recommended.verdict.startswith("Use the default template: ")
    for text in (result.recommended.verdict, page):
        assert f". {NO_NEW_NAME[0].upper()}{NO_NEW_NAME[1:]}. " in text
    for text in ("\n".join(result_lines(result, None)), page):
        assert "othing beat it on the labelled images" not in text
    # What is advised is not the search that has just ended.
    advice = what_may_help(result)
    assert "another LLM" in advice
    assert "class-names" not in advice
    nothing = "the LLM proposed no new class name that could be used"
    assert result.notes.get(NOTHING_USABLE) == (None if "狗" in reading else nothing)
    # Without a test image either, it is all that the page says.
    (folder := tmp_path / "photos").mkdir()
    shutil.copy(next((three / "test" / "狗").iterdir()), folder)
    (names := tmp_path / "names.txt").write_text("公鸡\n奶牛\n狗\n", "utf-8")
    settings = config(tmp_path / "u", folder, class_names=str(names))
    result = run_virtual(search(settings, chat=NameChat(reading=reading)))
    assert f"class names: {NO_NEW_NAME}" in result_lines(result, None)
    assert f"{NO_NEW_NAME.capitalize().replace('llm', 'LLM')}." in (tmp_path / "u" / REPORT).read_text(
        "utf-8"
    )


def test_names_that_are_worse_on_test_are_to_be_checked(pictures: Path, tmp_path: Path) -> None:
    """What is recommended was decided before test and stays; the line says what is better on test."""
    (english := tmp_path / "animals").mkdir()
    for chinese, name in NEW.items():
        shutil.copytree(pictures / "test" / chinese, english / "test" / name)
    false = dict(zip(NEW.values(), [*list(NEW.values())[1:], "rooster"], strict=True))
    reading = "\n".join(f"{name}: a {other} toy" for name, other in false.items())
    result = run_virtual(search(config(tmp_path / "r", english), chat=NameChat(reading=reading)))
    assert result.recommended.over[ORIGINAL_NAMES].verdict == "worse"
    worse = ". On test the original names were better: check the new names before you use any."
    assert result.recommended.form == "template"
    assert worse in result.recommended.verdict
    assert worse in (tmp_path / "r" / REPORT).read_text("utf-8")


def test_what_the_model_cannot_read_keeps_its_own_name(pictures: Path, tmp_path: Path) -> None:
    """A name that is too long for the text encoder is refused; a data set's labelled images are not read."""
    chat = NameChat(reading=f"狗: dog\n猫: {'猫' * 90}")
    result = run_virtual(search(config(tmp_path / "r", pictures), chat=chat))
    assert (result.best.class_names, result.best.unsupported) == ({"狗": "dog"}, ())
    assert result.rejected["too_many_tokens"] == 1
    assert result.complete


def test_an_answer_that_is_cut_is_said(three: Path, tmp_path: Path) -> None:
    """Classes after the cut keep their own names, and no later round could read them."""

    class Cut:
        async def chat(self, request: ChatRequest) -> ChatAnswer:
            return ChatAnswer(text="公鸡: rooster\n奶牛: cow\n狗: do", finish_reason="length")

    lines: list[str] = []

    def noted(event: Event) -> None:
        lines.extend([event.text] if isinstance(event, Noted) else [])

    result = run_virtual(search(config(tmp_path / "r", three), chat=Cut(), on_event=noted))
    assert result.best.class_names == {"公鸡": "rooster", "奶牛": "cow"}
    assert any("the answer was cut at 512 tokens (`answer_tokens`)" in line for line in lines)


class Refusing:
    """Fails in the same way at each request."""

    def __init__(self, error: ChatError) -> None:
        self._error = error

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        raise self._error


def test_without_an_answer_nothing_is_made_up(three: Path, tmp_path: Path) -> None:
    """The search is not finished, and the test images stay closed; a resume asks again."""
    run, errors = tmp_path / "r", (TransientChatError("no answer today"), FLAGGED, FILTERED)
    for error in errors:  # an outage, a refused request, a filtered answer
        chat, settings = Refusing(error), config(run, three, retry_attempts=1)
        stopped = run_virtual(resume(run, chat=chat) if run.exists() else search(settings, chat=chat))
        assert (stopped.status, stopped.best.class_names, stopped.test_opened) == ("stopped", {}, 0)
        assert "resume asks again" in (stopped.stop_reason or "")
        assert stopped.notes[NOTHING_USABLE] == "the LLM gave no answer"
        printed = io.StringIO()
        print_result(Console(file=printed), stopped, None)
        for shown in (printed.getvalue(), (run / REPORT).read_text("utf-8")):
            assert "ecommended" not in shown
            assert NO_NEW_NAME[1:] not in shown
    result = run_virtual(resume(run, chat=NameChat(reading=CHINESE)))
    assert (result.status, result.best.class_names, result.test_opened) == ("finished", THREE, 1)


def test_the_last_line_says_how_another_endpoint_is_asked(
    three: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same endpoint would refuse again."""

    def started(request: RunRequest) -> Awaitable[SearchResult]:
        return start_run(replace(request, chat=Refusing(FLAGGED)))

    code = run_session(config(tmp_path / "r", three, llm="m"), started, as_json=False)
    assert code == EXIT_NOTHING_USABLE
    assert "(--base-url URL/v1 asks another endpoint)" in capsys.readouterr().err


def test_it_is_refused_where_it_has_no_use(three: Path, tmp_path: Path) -> None:
    """Without class names, without an LLM, and for a scorer that has labelled images of its own."""
    with pytest.raises(ConfigError, match=r'with `search_for = "class-names"` it takes an LLM\'s names'):
        SearchConfig(data=str(three), shots=0)
    with pytest.raises(ConfigError, match=r"`shots = 0` needs an LLM"):
        run_virtual(search(config(tmp_path / "r", three, method="combine")))
    with pytest.raises(ConfigError, match=r"`shots = 0` does not apply to custom scorers such as tests"):
        searched(config(tmp_path / "r", "named"), chat=NameChat(), evaluator=NamingBox())


@pytest.mark.usefixtures("small_sets")
def test_a_dry_run_shows_the_request(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """How many classes are asked about, in how many requests, and how; its bound is that of one request."""
    command = ["search", "--data", str(pictures), "--search-for", "class-names", "--llm", "m", "--dry-run"]
    assert main([*command, "--shots", "0", "--price", "0.15/0.6"]) == 0
    shown = capsys.readouterr().out
    assert "class names: 1 request for a first reading of 9 of 9 classes\n" in shown
    assert "    - 公鸡\n" in shown.partition("The first request for class names:")[2]
    assert "LLM: 1 request, " in shown
    assert "scored" not in shown
    assert float(shown.partition(", $")[2].split()[0]) < 0.01
    assert main([*command[:-1], "--dry-run", "--data", "chinese-names", "--method", "combine"]) == 0
    names = "first reading of 16 of 16 classes, then at most 4 requests in 4 rounds\n"
    assert names in capsys.readouterr().out
