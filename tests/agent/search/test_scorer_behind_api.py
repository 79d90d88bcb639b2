"""Searches whose scorer is behind an API, over HTTP: limits, stops, resumes, outages and what is written."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import shutil
import signal
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from aiohttp import web
from PIL import Image
from rich.console import Console

from promptclimb.agent.api import evaluate, load, predict, resume, search, search_sync
from promptclimb.agent.cli.dry_run import NothingAsked
from promptclimb.agent.cli.evaluate import print_ways
from promptclimb.agent.cli.main import main
from promptclimb.agent.cli.search import exit_code
from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.config.sources import flag_of
from promptclimb.agent.errors import BudgetSpentError, EndpointError, InterruptedRunError, UntrustedRunError
from promptclimb.agent.events.types import ignore_event
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest
from promptclimb.agent.present.terminal import print_result
from promptclimb.agent.results.accuracies import WITH_IMAGES
from promptclimb.agent.results.details import read_details
from promptclimb.agent.results.exports import export
from promptclimb.agent.results.history import state_of
from promptclimb.agent.results.result import NOTHING_USABLE, UNASKED, SearchResult
from promptclimb.agent.results.run_dir import CLASSIFIER
from promptclimb.agent.search import restart_workers
from promptclimb.agent.search.bound import ScorerBound, scorer_bound
from promptclimb.agent.search.inputs import ready_evaluator
from promptclimb.agent.search.journal import Journal, NamesRecord
from promptclimb.agent.search.name_search import NameSearch
from promptclimb.agent.search.opening import RunRequest
from promptclimb.agent.search.run import start_run
from promptclimb.agent.stop import Stop
from promptclimb.evaluator.classifier import Classifier
from promptclimb.evaluator.errors import ModelError, UsageError
from promptclimb.evaluator.files import cache_dir
from promptclimb.evaluator.remote.asking import ApiRequest
from promptclimb.evaluator.remote.evaluator import RemoteEvaluator
from promptclimb.evaluator.remote.pictures import PictureReader
from promptclimb.evaluator.scoring import (
    BARE_NAME,
    BASELINE_DEFAULT,
    DEFAULT_INSTRUCTION,
    OPENAI_7,
    OPENAI_80,
    OTHER_MODEL,
    Predictions,
    Unanswered,
)
from promptclimb.evaluator.spec import EvaluatorSpec
from promptclimb.evaluator.threads import in_thread
from tests.fakes.scorer_server import ScorerOptions, ScorerServer
from tests.fakes.served import served
from tests.fakes.serving import Serving
from tests.fakes.visual_api import COLOURS, VisualApi
from tests.recorded import text_of

pytestmark = pytest.mark.usefixtures("short_waits")

KEY = "vnd-4f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c"
IN_FLIGHT = 8
FEWEST: dict[str, Any] = {"initial": 2, "proposals": 1}
"""For searches of which it does not matter how long they are: each score is a request an image."""


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of noisy colours: 6 images on train, 3 on val, 6 on test."""
    folder, rng = tmp_path_factory.mktemp("colours"), np.random.default_rng(0)
    for split, images in (("train", 2), ("val", 1), ("test", 2)):
        for name, colour in COLOURS.items():
            class_folder = folder / split / name
            class_folder.mkdir(parents=True)
            for number in range(images):
                noise = rng.normal(0, 40, (16, 16, 3)) + rng.normal(0, 60, 3)
                pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(class_folder / f"{number}.png")
    return folder


@pytest.fixture
def config(colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., SearchConfig]:
    """Make the config of a small search without an LLM."""
    monkeypatch.setenv("SCORER_API_KEY", KEY)
    # Labels go by address, and a later server may have the port of an earlier one.
    monkeypatch.setenv("PROMPTCLIMB_CACHE", str(tmp_path / "cache"))

    def made(url: str, **more: Any) -> SearchConfig:
        settings = {
            "restarts": 1, "conversations": 1, "rounds": 1, "initial": 3, "shots": 2,
            "describe": "colours", "method": "random", "run_dir": tmp_path / "run", "scorer": "zero-shot",
            **more,
        }  # fmt: skip
        return SearchConfig(data=str(colours), scorer_url=url, model="m", **settings)

    return made


async def test_a_search_asks_each_question_once_and_says_what_it_took(
    config: Callable[..., SearchConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the result, the report, the status and the log; the key is nowhere."""
    async with ScorerServer(ScorerOptions(key=KEY, script=("ok", "echo_key"))) as server:
        result = await search(config(server.url, scorer_price="0.001/call", max_cost=1.0))
        assert max(server.asked.values()) == 1
        assert server.requests == server.answered + 1
    assert result.status == "finished"
    assert result.best.test is not None
    used = result.scorer_usage
    assert used is not None
    assert (used.calls, used.failed_calls, used.retries) == (server.requests, 1, 1)
    left = 1 - 0.001 * used.calls
    assert used.cost_usd == pytest.approx(0.001 * server.answered)
    assert used.estimated_usd == pytest.approx(0.001)
    assert result.usage.calls == 0
    run = tmp_path / "run"
    assert json.loads((run / "result.json").read_text("utf-8"))["scorer_usage"]["calls"] == used.calls
    assert f"{used.calls:,} (1 failed attempt, 1 retries)" in (run / "report.html").read_text("utf-8")
    logged = state_of(run).progress.scorer_usage
    assert logged is not None
    assert logged.calls == used.calls
    await in_thread(lambda: main(["status", str(run)]))
    printed = capsys.readouterr()
    assert f"scorer: {used.calls} calls, ${used.cost_usd:.4f}" in printed.out
    assert f"left: ${left:.4f}" in printed.out
    assert result.budget["cost_usd"] == pytest.approx(left)
    written = b"".join(path.read_bytes() for path in run.rglob("*") if path.is_file())
    assert KEY.encode() not in written
    assert KEY not in printed.out + printed.err
    await in_thread(lambda: main(["status", str(run.parent)]))
    assert "scorer's calls" in (listed := capsys.readouterr().out)
    assert f"{used.calls:,}" in listed


async def test_a_limit_or_an_outage_stops_it_with_what_could_be_scored_and_it_resumes(
    config: Callable[..., SearchConfig], tmp_path: Path
) -> None:
    """As a spent LLM budget does; no call beyond it, and no question twice. Nor after an outage."""
    async with ScorerServer() as server:
        dollars = {"scorer_price": "0.002/call", "max_cost": 0.11, "run_dir": tmp_path / "dollars"}
        reason = (await search(config(server.url, **dollars))).stop_reason
        kept = "(0.03672 of it is kept for the final evaluation)"
        assert reason == f"the next request may exceed the limit of 0.11 US dollars {kept}"
    async with ScorerServer() as server:
        stopped = await search(config(server.url, max_scorer_calls=55))
        assert server.requests <= 55
        assert (stopped.status, stopped.limits) == ("stopped", ("scorer_calls",))
        assert 0 < stopped.evaluated < 7
        assert (stopped.best.test, stopped.test_opened) == (None, 0)
        finished = await resume(tmp_path / "run", changes={"max_scorer_calls": 1000})
        assert max(server.asked.values()) == 1
        assert finished.status == "finished"
        assert finished.best.test is not None
        assert finished.scorer_usage is not None
        assert finished.scorer_usage.calls == server.answered
    for left in (40, 3):  # an outage in the middle of the search, and of the final evaluation
        script = ("ok",) * (server.answered - left)
        async with ScorerServer(ScorerOptions(script=script, always="500")) as failing:
            less = {"give_up_after": 0.0005, "retry_attempts": 1, "run_dir": tmp_path / str(left)}
            stopped = await search(config(failing.url, **less))
        assert (stopped.status, stopped.limits, stopped.best.test) == ("stopped", (), None)
        assert "nothing has succeeded" in str(stopped.stop_reason)
        assert (stopped.evaluated == finished.evaluated) == (left == 3)
        async with ScorerServer() as back:
            resumed = await resume(tmp_path / str(left), changes={"scorer_url": back.url})
        assert back.answered == left
        assert (resumed.best, resumed.leaderboard) == (finished.best, finished.leaderboard)


async def test_limits_without_room_for_the_final_evaluation_are_refused_at_the_start(
    config: Callable[..., SearchConfig], tmp_path: Path
) -> None:
    """With the number that it needs, and the first score; nothing is asked, nothing is left behind.

    That number is enough for a result: the default template is scored first, however many others race.
    """
    of_both = "the final evaluation may take 19, and the first score 9 more"
    async with ScorerServer() as server:
        with pytest.raises(UsageError, match=f"`max_scorer_calls = 27` must be at least 28: {of_both}"):
            await search(config(server.url, max_scorer_calls=27))
        with pytest.raises(UsageError, match=r"`max_cost = 0.03` must be at least 0.054720: "):
            await search(config(server.url, scorer_price="0.002/call", max_cost=0.03))
        assert server.requests == 0
        assert not (tmp_path / "run").exists()
        for more in ({}, {"initial": 40, "restarts": 4}):
            server.asked.clear()
            run = tmp_path / str(len(more))
            stopped = await search(config(server.url, max_scorer_calls=28, run_dir=run, **more))
            assert (stopped.status, stopped.evaluated, server.asked.total()) == ("stopped", 1, 9)
            assert stopped.best.template == stopped.baselines["default template"].templates[0]


@pytest.mark.parametrize("scorer", ["zero-shot", "embeddings"])
async def test_the_least_limit_that_is_named_gives_a_result(
    config: Callable[..., SearchConfig], tmp_path: Path, scorer: str
) -> None:
    """The requests that found the form of requests count; one less is refused."""
    async with ScorerServer() as server:

        async def run(most: int) -> SearchResult:
            more = {"scorer": scorer, "initial": 40, "restarts": 4, "run_dir": tmp_path / str(most)}
            return await search(config(server.url, max_scorer_calls=most, **more))

        with pytest.raises(UsageError, match="must be at least") as refused:
            await run(12)
        least = int(str(refused.value).partition("must be at least ")[2].partition(":")[0])
        with pytest.raises(UsageError, match=f"must be at least {least}: "):
            await run(least - 1)
        asked = server.requests
        assert (await run(least)).evaluated >= 1
        assert server.requests - asked <= least


async def test_a_run_that_was_killed_pays_again_at_most_for_what_was_in_flight(
    config: Callable[..., SearchConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A copy of the run's folder in the middle is what a kill leaves."""
    killed, at_kill = tmp_path / "killed", dict[str, int]()
    async with ScorerServer(ScorerOptions(latency_s=0.002)) as server:

        def copy(answers: int) -> None:
            if answers == 40:
                shutil.copytree(tmp_path / "run", killed)
                at_kill.update(server.asked)

        server.on_answer = copy
        whole = await search(config(server.url, scorer_price="0.001/call", max_cost=1.0))
        server.asked.clear()
        resumed = await resume(killed, trust=True)
    asked_again = sum(count for question, count in server.asked.items() if question in at_kill)
    assert asked_again <= IN_FLIGHT
    assert (resumed.best, resumed.leaderboard) == (whole.best, whole.leaderboard)
    used = resumed.scorer_usage
    assert used is not None
    assert used.calls >= 40 - IN_FLIGHT + server.asked.total()
    assert used.estimated_usd == pytest.approx(0.001 * (used.calls - round(1000 * (used.cost_usd or 0))))
    assert 0 < used.estimated_usd <= 0.001 * IN_FLIGHT
    await in_thread(lambda: check_money(killed, 1.0, capsys))


def check_money(run: Path, limit: float, capsys: pytest.CaptureFixture[str]) -> None:
    """Result, status and report say the same; what is spent, perhaps spent, and left is the limit."""
    result = json.loads((run / "result.json").read_text("utf-8"))
    used = result["scorer_usage"]
    total = used["cost_usd"] + used["estimated_usd"] + result["budget"]["cost_usd"]
    assert total == pytest.approx(limit)
    assert main(["status", str(run)]) == 0
    printed, page = capsys.readouterr().out, (run / "report.html").read_text("utf-8")
    tokens = f"{used['estimated_tokens']:,} more tokens (${used['estimated_usd']:.4f})"
    doubt = tokens if used["estimated_tokens"] else f"${used['estimated_usd']:.4f} more"
    for text in (printed, page):
        assert f", and at most {doubt} that the endpoint did not report" in text
    assert f"${result['budget']['cost_usd']:.4f}" in printed


async def test_what_an_endpoint_does_not_report_is_said_as_an_estimate(
    config: Callable[..., SearchConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It counts against the limit, so the money that is left falls."""
    async with ScorerServer() as server:
        more = {"scorer": "embeddings", "scorer_dialect": "openai", "scorer_price": "1/0", "max_cost": 1.0}
        result = await search(config(server.url, **FEWEST, **more))
    used = result.scorer_usage
    assert used is not None
    assert (used.cost_usd, used.prompt_tokens) == (0.0, 0)
    assert used.estimated_tokens > 1000
    assert used.estimated_usd == pytest.approx(used.estimated_tokens * 1e-6)
    await in_thread(lambda: check_money(tmp_path / "run", 1.0, capsys))


async def test_a_report_of_no_cost_is_noted_in_the_result(
    config: Callable[..., SearchConfig], tmp_path: Path
) -> None:
    """And nothing of it where the tokens are free, or their cost is reported."""
    notes = []
    for number, (cost, price) in enumerate(((0, "1/1"), (0, "0/0"), (1, "1/1"))):
        usage = {"prompt_tokens": 10, "completion_tokens": 1, "cost": cost}
        async with ScorerServer(ScorerOptions(usage=usage)) as server:
            more = {"scorer": "chat", "scorer_price": price, "run_dir": tmp_path / str(number)}
            result = await search(config(server.url, **FEWEST, shots=1, **more))
        notes.append(result.notes.get("no_cost_reported"))
    note = "the scorer reports a cost of zero for tokens that have a price: they count at that price"
    assert notes == [note, None, None]


async def test_an_interrupted_run_resumes_without_a_question_asked_twice(
    config: Callable[..., SearchConfig], tmp_path: Path
) -> None:
    """What was under way is answered and written before it ends."""
    stop = Stop()
    async with ScorerServer(ScorerOptions(latency_s=0.002)) as server:
        server.on_answer = lambda answers: stop.request(InterruptedRunError(2)) if answers == 30 else None
        with pytest.raises(InterruptedRunError):
            await start_run(RunRequest(config=config(server.url), stop=stop))
        assert 30 <= server.answered <= 30 + IN_FLIGHT
        assert (await resume(tmp_path / "run")).status == "finished"
        assert max(server.asked.values()) == 1


async def test_a_run_from_somebody_else_sends_nothing_to_its_address(
    config: Callable[..., SearchConfig], tmp_path: Path
) -> None:
    """It is refused, unless it is trusted or the address is given again."""
    async with ScorerServer() as server:
        await search(config(server.url, max_scorer_calls=60))
        asked = server.requests
        shutil.move(tmp_path / "run", tmp_path / "received")
        with pytest.raises(UntrustedRunError, match="send your images, with the key in SCORER_API_KEY"):
            await resume(tmp_path / "received", changes={"max_scorer_calls": 1000})
        assert server.requests == asked
        changes = {"max_scorer_calls": 1000, "scorer_url": server.url}
        assert (await resume(tmp_path / "received", changes=changes)).status == "finished"


async def test_evaluate_says_why_its_scorer_does_not_answer(
    config: Callable[..., SearchConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason stands beside the count until the next answer; a pause has a line of its own."""
    monkeypatch.setattr("promptclimb.agent.llm.scorer.PROGRESS_EVERY_S", 0)
    lines: list[str] = []
    async with ScorerServer(ScorerOptions(script=("500", "ok", "429"))) as server:
        spec = config(server.url)
        await in_thread(lambda: evaluate(["a {}"], spec, split="train", report=lines.append))
    counts = [line for line in lines if "so far" in line]
    assert counts[0].startswith("1 request to the scorer so far; the last attempt failed: ")
    assert "500" in counts[0]
    assert counts[-1] == "8 requests to the scorer so far"
    pauses = [line for line in lines if line.startswith("the scorer gets no requests for ")]
    assert "rate limit reached" in pauses[-1]


@pytest.mark.parametrize(("split", "images"), [("train", 6), ("val", 3), ("test", 6)])
async def test_evaluate_asks_about_its_split_alone_and_pays_for_no_label_twice(
    config: Callable[..., SearchConfig], tmp_path: Path, split: Any, images: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """From a thread without an event loop, as in a script; with what it took, and lines on the way."""
    monkeypatch.setattr("promptclimb.agent.llm.scorer.PROGRESS_EVERY_S", 0)
    texts, lines = ["a {}", "the {} one"], list[str]()
    async with ScorerServer(ScorerOptions(key=KEY)) as server:
        spec = config(server.url, shared_cache=tmp_path / "labels", scorer_price="0.001/call")
        evaluation = await in_thread(lambda: evaluate(texts, spec, split=split, report=lines.append))
        assert f"{len(texts) * images} requests to the scorer so far" in lines
        assert server.requests == server.answered == len(texts) * images
        again = await in_thread(lambda: evaluate(texts, spec, split=split))
        looked = await in_thread(lambda: evaluate(texts[:1], spec, split=split, inspect=True))
        assert server.requests == len(texts) * images
    assert evaluation.scores == again.scores
    assert looked.inspection is not None
    assert (
        sum(accuracy.correct for accuracy in looked.inspection.classes) / images
        == evaluation.scores[0].accuracy
    )
    assert evaluation.scorer_usage is not None
    assert again.scorer_usage is not None
    assert (evaluation.scorer_usage.calls, again.scorer_usage.calls) == (len(texts) * images, 0)
    assert evaluation.scorer_usage.cost_usd == pytest.approx(0.001 * len(texts) * images)
    assert evaluation.to_json()["scorer_usage"]["calls"] == len(texts) * images


@pytest.mark.parametrize(
    ("settings", "names", "requests"),
    [
        ({}, [BARE_NAME, BASELINE_DEFAULT], 2 * 6),  # a request for each template and image
        ({"scorer": "embeddings"}, [BARE_NAME, BASELINE_DEFAULT, OPENAI_7, OPENAI_80], None),
        ({"scorer": "chat", "search_for": "instruction"}, [BASELINE_DEFAULT], 6),
    ],
)
async def test_evaluate_without_templates_measures_what_people_use(
    config: Callable[..., SearchConfig], settings: dict[str, Any], names: list[str], requests: int | None
) -> None:
    """At a fair price; where each image is a request, on test alone, so that nothing is recommended."""
    async with ScorerServer(ScorerOptions(key=KEY)) as server:
        evaluation = await in_thread(lambda: evaluate(spec=config(server.url, **settings)))
        assert requests in (None, server.requests)
    assert [way.name for way in evaluation.ways] == names
    learns = settings.get("scorer") == "embeddings"
    assert all(way.texts_alone is not None for way in evaluation.ways)
    assert all((way.with_images is not None) == learns for way in evaluation.ways)
    assert (evaluation.recommended is not None, evaluation.labelled) == (learns, 9)
    images = evaluation.predictions
    assert len(images) == (6 if learns else 0)
    assert all(Path(image.file).parent.name == image.true_class for image in images)
    assert all(1 / 3 < image.probabilities[0] < 1 for image in images)
    assert evaluation.scorer_usage is not None


@pytest.mark.parametrize(
    ("settings", "templates", "words"),
    [
        ({}, None, "this scorer gives no features of images"),
        ({"scorer": "embeddings"}, ["a {}"], "not behind an API"),
    ],
)
async def test_what_cannot_be_saved_is_not_paid_for(
    config: Callable[..., SearchConfig], settings: dict[str, Any], templates: list[str] | None, words: str
) -> None:
    """Without features, or with templates of one's own, which are measured on test images alone."""
    async with ScorerServer(ScorerOptions(key=KEY)) as server:
        with pytest.raises(UsageError, match=f"there is no classifier to recommend here, as .*{words}"):
            await in_thread(lambda: evaluate(templates, config(server.url, **settings), recommends=True))
        assert server.requests == 0


@pytest.mark.parametrize("kind", [{}, {"scorer": "embeddings"}])
async def test_a_folder_of_test_images_alone_is_measured(
    config: Callable[..., SearchConfig], colours: Path, tmp_path: Path, kind: dict[str, str]
) -> None:
    """Without images, as a CLIP is."""
    shutil.copytree(colours / "test", tmp_path / "data" / "test")
    async with ScorerServer(ScorerOptions(key=KEY)) as server:
        spec = config(server.url, **kind).model_copy(update={"data": str(tmp_path / "data")})
        evaluation = await in_thread(lambda: evaluate(spec=spec))
        assert all(way.texts_alone is not None for way in evaluation.ways)
        assert (evaluation.images, evaluation.labelled, evaluation.recommended) == (6, 0, None)
        await in_thread(lambda: evaluate(["a {}"], spec))
        with pytest.raises(UsageError, match="has test images alone"):
            await search(spec)


@pytest.mark.parametrize("kind", ["bad_request", "500", "too_large"])
async def test_a_refused_form_of_embeddings_is_not_the_end(
    config: Callable[..., SearchConfig], kind: str
) -> None:
    """The next form is tried; once all are refused, the setting that names one is in the message."""
    async with ScorerServer(ScorerOptions(faults={"encoding_format": kind})) as server:
        spec = config(server.url, scorer="embeddings", retry_attempts=1)
        evaluation = await in_thread(lambda: evaluate(["a {}"], spec))
    assert evaluation.scores[0].accuracy == 1.0
    async with ScorerServer(ScorerOptions(always=kind)) as server:
        spec = config(server.url, scorer="embeddings", retry_attempts=1)
        with pytest.raises(UsageError, match=r"infinity, .*jina: .*`scorer_dialect = infinity\|"):
            await in_thread(lambda: evaluate(["a {}"], spec))
    assert server.requests == 4


@pytest.mark.parametrize("faults", [{}, {"response_format": "bad_request"}])
async def test_answers_by_a_schema_are_used_where_the_endpoint_takes_it(
    config: Callable[..., SearchConfig], tmp_path: Path, faults: dict[str, str]
) -> None:
    """A model that names no class in its own words is right with it; the result says so."""
    options = ScorerOptions(enforces=True, says="It is {}? I am not sure.", faults=faults)
    async with ScorerServer(options) as server:
        chosen = config(server.url, scorer="chat", search_for="instruction", **FEWEST)
        result = await search(chosen)
        assert max(server.asked.values()) == 1
    assert result.scorer_usage is not None
    assert result.scorer_usage.calls == server.requests
    assert result.best.test == (0.0 if faults else 1.0)
    assert ("answers_by_schema" in result.notes) == (not faults)


async def test_images_that_are_all_too_large_name_the_setting_of_their_size(
    config: Callable[..., SearchConfig], tmp_path: Path
) -> None:
    """An endpoint's own words do not say what to do."""
    async with ScorerServer(ScorerOptions(always="too_large")) as server:
        with pytest.raises(UsageError, match=r"image is too large .`scorer_image_size = N` for smaller"):
            await in_thread(lambda: evaluate(["a {}"], config(server.url, shared_cache=tmp_path)))


async def test_what_got_no_class_stands_beside_the_accuracy_of_an_evaluation(
    config: Callable[..., SearchConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the first refusal and the first answer that names no class on."""
    async with ScorerServer(ScorerOptions(script=("ok", "filter", "mumble"))) as server:
        # Another test's server may have had the same port.
        own = tmp_path / "labels"
        spec = config(server.url, scorer="chat", scorer_concurrency=1, shared_cache=own)
        evaluation = await in_thread(lambda: evaluate([DEFAULT_INSTRUCTION], spec))
    (score,) = evaluation.scores
    assert score.unanswered == Unanswered(1 / 6, 1 / 6)
    assert score.accuracy is not None
    (row,) = evaluation.to_json()["scores"]
    assert (row["refused"], row["unreadable"]) == (1 / 6, 1 / 6)
    assert row["among_answered"] == pytest.approx(6 / 4 * score.accuracy)
    print_ways(evaluation)
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("16.7 % refused", "16.7 % unreadable", "of those answered"))


async def test_what_got_no_class_stands_beside_each_accuracy_of_a_search(
    config: Callable[..., SearchConfig], colours: Path, tmp_path: Path
) -> None:
    """In the result, its files, the table and the report: the images of a class are all refused."""
    reader = PictureReader(512)
    blue = await in_thread(lambda: list(colours.glob("*/blue/*")))
    faults = {reader.picture(path).base64[-60:]: "filter" for path in blue}
    async with ScorerServer(ScorerOptions(faults=faults)) as server:
        result = await search(config(server.url))
    assert result.best.test is not None
    assert result.best.unanswered == dict.fromkeys(("train", "val", "test"), Unanswered(1 / 3, 0))
    assert result.baselines["default template"].unanswered["test"].refused == 1 / 3
    # Of candidates that a race dropped, only the hits are kept.
    assert {row.unanswered for row in result.leaderboard if row.images is None} == {Unanswered(1 / 3, 0)}
    document = json.loads((tmp_path / "run" / "result.json").read_text("utf-8"))
    assert document["best"]["unanswered"]["test"] == {"refused": 1 / 3, "unreadable": 0}
    assert SearchResult.from_json(document) == result
    assert ",refused,unreadable\n" in (tmp_path / "run" / "leaderboard.csv").read_text("utf-8")
    shares = "33.3 % refused", f"{150 * result.best.test:.1f} of those answered"
    console = Console(width=200, file=io.StringIO())
    print_result(console, result, None)
    page = text_of((tmp_path / "run" / "report.html").read_text("utf-8"))
    for text in (console.file.getvalue(), page):  # type: ignore[attr-defined]
        assert all(part in text for part in shares)


@pytest.mark.parametrize(
    ("limit", "most"), [({"max_scorer_calls": 5}, 5), ({"max_cost": 0.0045, "scorer_price": "0.001/call"}, 4)]
)
async def test_evaluate_keeps_to_limits_and_goes_on_from_its_labels(
    config: Callable[..., SearchConfig], tmp_path: Path, limit: dict[str, Any], most: int
) -> None:
    """The message says where they are; what is paid for is not asked again."""
    cache = tmp_path / "labels"
    async with ScorerServer() as server:
        spec = config(server.url, shared_cache=cache, **limit)
        with pytest.raises(BudgetSpentError, match=r"limit of .*; answers are kept in .*labels"):
            await in_thread(lambda: evaluate(["a {}"], spec))
        assert 0 < server.answered <= most
        await in_thread(lambda: evaluate(["a {}"], config(server.url, shared_cache=cache)))
        assert server.answered == 6
        assert max(server.asked.values()) == 1


@pytest.mark.parametrize("fault", ["bad_request", "wrong_key"])
@pytest.mark.parametrize(("kind", "answers"), [("zero-shot", 2), ("embeddings", 7)])
async def test_evaluate_goes_on_by_the_same_command_when_the_scorer_answers_again(
    config: Callable[..., SearchConfig], colours: Path, fault: str, kind: str, answers: int,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """It is given up after few requests; what it answered is not asked again."""
    command = ["evaluate", "--data", str(colours), "--shots", "2", "--scorer", kind, "--model", "m"]
    async with ScorerServer(ScorerOptions(script=("ok",) * answers, always=fault)) as server:
        assert await in_thread(lambda: main([*command, "--scorer-url", server.url])) == 1
        assert server.requests <= answers + 2 * IN_FLIGHT
        err = capsys.readouterr().err
        assert "; once it answers, run the same command again: only the rest is requested (answers: " in err
        assert "resume" not in err
        server.options = ScorerOptions()
        assert await in_thread(lambda: main([*command, "--scorer-url", server.url])) == 0
        # The text by which the model is recognised.
        assert sum(server.asked.values()) - len(server.asked) == (kind == "embeddings")


async def test_predict_goes_on_by_the_same_command_too(
    config: Callable[..., SearchConfig], colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also when a limit is reached."""
    async with ScorerServer() as server:
        await search(config(server.url, **FEWEST))
        command = ["predict", str(colours / "test"), "--run", str(tmp_path / "run"), "--shared-cache"]
        command += [str(tmp_path / "unlike the run's own")]
        before = server.answered
        assert await in_thread(lambda: main([*command, "--max-scorer-calls", "2"])) == 1
        assert "; answers are kept in " in capsys.readouterr().err
        server.options = ScorerOptions(script=("ok",) * (server.requests + 1), always="wrong_key")
        assert await in_thread(lambda: main(command)) == 1
        assert "run the same command again" in capsys.readouterr().err
        server.options = ScorerOptions()
        assert await in_thread(lambda: main(command)) == 0
        assert server.answered - before <= 6


def is_closed(labels: Path) -> bool:
    """Whether nobody has a file of labels open: SQLite then removes what is beside it."""
    return labels.is_file() and not labels.with_name(f"{labels.name}-wal").exists()


async def test_the_command_says_what_it_took_and_reuses_the_labels_of_a_run(
    config: Callable[..., SearchConfig], colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Labels are in the user's cache; those of a run serve its predictions, and others by its folder."""
    (tmp_path / "t.txt").write_text("one {} on its own\n", "utf-8")
    async with ScorerServer() as server:
        spec = config(server.url, **FEWEST)
        result = await search(spec)
        assert is_closed(tmp_path / "run" / "labels.sqlite")
        names = ("data", "shots", "scorer", "scorer_url", "model")
        options = [part for name in names for part in (flag_of(name), str(getattr(spec, name)))]
        ask = ["evaluate", *options, "--scorer-price", "0.001/call", "--max-cost", "1", "--templates"]
        assert await in_thread(lambda: main([*ask, str(tmp_path / "t.txt"), "--split", "val"])) == 0
        printed = capsys.readouterr()
        asked = server.answered
        (tmp_path / "best.txt").write_text(result.best.template, "utf-8")
        own = [*ask, str(tmp_path / "best.txt"), "--shared-cache", str(tmp_path / "run")]
        assert await in_thread(lambda: main(own)) == 0
        of_run = ["predict", str(colours / "test"), "--run", str(tmp_path / "run")]
        assert await in_thread(lambda: main(of_run)) == 0
        assert server.answered == asked
        assert is_closed(tmp_path / "run" / "labels.sqlite")
    assert "scorer: 3 calls, $0.0030; answers are kept in " in printed.err
    assert "labels.sqlite" in printed.err
    assert capsys.readouterr().err.count("scorer: 0 calls, as all answers were kept in ") == 2


@pytest.mark.parametrize("is_linked", [False, True])
async def test_predictions_of_a_run_that_cannot_be_written_are_kept_in_the_users_cache(
    config: Callable[..., SearchConfig], colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, is_linked: bool,
) -> None:  # fmt: skip
    """A run of another user may be read alone; one that was received may have a link to any file."""
    labels = tmp_path / "run" / "labels.sqlite"
    async with ScorerServer() as server:
        await search(config(server.url, **FEWEST))
        if is_linked:
            labels.symlink_to(labels.rename(tmp_path / "of the user"))
        else:
            is_allowed = os.access
            monkeypatch.setattr(
                os, "access", lambda path, mode: path != labels.parent and is_allowed(path, mode)
            )
        ask = ["predict", str(colours / "test"), "--run", str(tmp_path / "run")]
        assert await in_thread(lambda: main(ask)) == 0
    assert f"answers are kept in {cache_dir()}" in capsys.readouterr().err


@pytest.mark.parametrize("scorer", ["zero-shot", "embeddings"])
def test_the_search_that_evaluate_suggests_does_not_ask_again(
    colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], scorer: str
) -> None:
    """It has the folder in which the answers are."""
    data, server = shutil.copytree(colours, tmp_path / "not all right"), ScorerServer()
    shutil.copy(data / "test" / "red" / "1.png", data / "test" / "green" / "of another class.png")
    with Serving(server):
        ask = ["evaluate", "--data", str(data), "--shots", "2", "--scorer", scorer, "--model", "m"]
        assert main([*ask, "--scorer-url", server.url]) == 0
        (line,) = re.findall(r"to try to beat it: .* (search .*)", capsys.readouterr().out)
        few = ["--method", "random", "--initial", "2", "--rounds", "1", "--run-dir", str(tmp_path / "run")]
        assert main([*shlex.split(line), *few]) == 0
    # The text by which the model is recognised.
    assert server.asked.total() - len(server.asked) == (scorer == "embeddings")


@pytest.mark.parametrize(
    "kind",
    [
        {"scorer": "zero-shot"},
        {"scorer": "embeddings", "scorer_dialect": "openai"},
        {"scorer": "chat", "search_for": "instruction"},
    ],
)
async def test_predict_classifies_a_folder_as_the_run_did(
    config: Callable[..., SearchConfig], colours: Path, tmp_path: Path, kind: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Each image is asked about once, within limits of the command's own; labels on disk serve again."""
    run, cache = tmp_path / "run", tmp_path / "cache"
    shutil.copytree(colours / "test", tmp_path / "new" / "images")
    (tmp_path / "new" / "images" / "torn.png").write_bytes(b"torn")
    ask = ["predict", str(tmp_path / "new" / "images"), "--run", str(run), "--shared-cache", str(cache)]
    async with ScorerServer() as server:
        result = await search(config(server.url, **FEWEST, **kind))
        before = server.answered
        assert await in_thread(lambda: main([*ask, "--max-scorer-calls", "100"])) == 0
        printed, asked = capsys.readouterr(), server.answered - before
        assert await in_thread(lambda: main([*ask, "--json"])) == 0
        assert server.answered - before == asked
        document = json.loads(capsys.readouterr().out)
        ranks = kind["scorer"] == "embeddings"
        assert await in_thread(lambda: main([*ask, "--top", "3"])) == (0 if ranks else 2)
        top = capsys.readouterr()
        assert server.answered - before == asked
    assert is_closed(cache / "labels.sqlite")
    rows = [line.split(",") for line in printed.out.splitlines()[1:]]
    if ranks:
        for row, three in zip(rows, csv.DictReader(top.out.splitlines()), strict=True):
            assert row == [three["file"], three["class"], three["probability"]]
            if row[1]:
                shares = [float(three[f"probability{rank}"]) for rank in ("", "_2", "_3")]
                assert {three["class"], three["class_2"], three["class_3"]} == {*COLOURS}
                assert shares == sorted(shares, reverse=True)
                assert sum(shares) == pytest.approx(1, abs=1e-5)
    else:
        assert "`zero-shot` and `chat` give one class an image; leave --top out" in top.err
        assert {share for _file, _name, share in rows} == {""}
    assert f"scorer: {asked} call{'s' * (asked > 1)}" in printed.err
    assert f"answers are kept in {cache}" in printed.err
    assert ["torn.png", "", ""] in rows
    named = [(Path(file).parent.name, name) for file, name, _share in rows if file != "torn.png"]
    assert sum(true == name for true, name in named) / len(named) == result.recommended.test
    assert document["model"] == {"name": "m", "pretrained": ""}
    assert [row["class"] for row in document["predictions"] if "error" not in row] == [n for _t, n in named]
    assert asked <= len(named) + 3


async def test_labelled_images_are_learned_from_where_the_scorer_embeds_them(
    config: Callable[..., SearchConfig], colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names that the model cannot read: also a resumed run ends with images, each asked about once."""
    for split in ("train", "val", "test"):
        for number, name in enumerate(COLOURS):
            shutil.copytree(colours / split / name, tmp_path / "data" / split / f"shade {number}")
    run, labels = tmp_path / "run", tmp_path / "cache"
    async with ScorerServer() as server:
        kind = {"scorer": "embeddings", "scorer_dialect": "openai", "shots": 2}
        spec = config(server.url, **kind).model_copy(update={"data": str(tmp_path / "data")})
        whole = await search(spec.model_copy(update={"run_dir": tmp_path / "whole"}))
        taken = server.answered
        server.asked.clear()
        with_limit = spec.model_copy(update={"max_scorer_calls": 99})
        assert (await search(with_limit)).status == "stopped"
        result = await resume(run, changes={"max_scorer_calls": 1000})
        assert server.asked.total() == len(server.asked) + 1  # only the check of the model is asked twice
        assert len(server.asked) <= taken + 1
        assert result.recommended.form == whole.recommended.form == "with_images"
        assert (result.with_images, result.recommended) == (whole.with_images, whole.recommended)
        assert (result.recommended.test or 0) > (result.texts.test or 0)
        exported = export(run, "safetensors")
        kept, copied = map(Classifier.load, (run / CLASSIFIER, exported))
        assert copied.to_bytes() == kept.to_bytes()
        for path in (run, exported):
            with pytest.raises(
                UsageError, match=r"vectors of m, a model behind an API: use predict.*`promptclimb predict`"
            ):
                load(path)
        before = server.answered
        test = str(tmp_path / "data" / "test")
        ask = ["predict", test, "--run", str(run), "--shared-cache", str(labels)]
        assert await in_thread(lambda: main(ask)) == 0
        assert server.answered == before + 2  # the images, and the text by which the model is recognised
        rows = csv.DictReader(capsys.readouterr().out.splitlines())
        details = read_details(run)
        assert details is not None
        assert details.decisions is not None
        predicted = details.decisions.predicted[WITH_IMAGES]
        assert [row["class"] for row in rows] == [f"shade {label}" for label in predicted]
        assert await in_thread(lambda: main([*ask, "--model", "other"])) == 0
        assert "is for m; other gets the texts alone" in capsys.readouterr().err
        measured = await in_thread(lambda: evaluate(spec=spec))
        assert [way.form for way in measured.ways if way.form] == ["with_images"]
        at = ["--scorer-url", server.url, "--shared-cache", str(labels)]
        own = [
            "--scorer",
            "embeddings",
            "--model",
            "m",
            "--data",
            str(tmp_path / "data"),
            "--shots",
            "2",
            *at,
        ]
        saved = str(tmp_path / "best.safetensors")
        table = tmp_path / "p.csv"
        own += ["--save", saved, "--predictions", str(table)]
        assert await in_thread(lambda: main(["evaluate", *own])) == 0
        capsys.readouterr()
        asked = server.answered
        assert await in_thread(lambda: main(["predict", test, "--run", saved, *at])) == 0
        assert server.answered == asked
        rows = [*csv.DictReader(capsys.readouterr().out.splitlines())]
        right = [row["class"] == Path(row["file"]).parent.name for row in rows]
        best = measured.recommended
        assert best is not None
        assert best.with_images is not None
        assert sum(right) / len(right) == best.with_images.accuracy
        where = EvaluatorSpec(scorer="embeddings", model="m", scorer_url=server.url)
        images = await in_thread(lambda: [*predict(test, run_dir=saved, spec=where)])
        assert [row["class"] for row in rows] == [image.classes[0] for image in images]
        evaluated = [*csv.DictReader(table.read_text("utf-8").splitlines())]
        shares = [row["probability"] for row in rows]
        assert [row["probability"] for row in evaluated] == shares
        assert [f"{image.probabilities[0]:.6f}" for image in images] == shares


@pytest.mark.parametrize(
    ("kind", "fault", "reason"),
    [
        ({"scorer": "zero-shot"}, "filter", "400: content management policy"),
        ({"scorer": "embeddings", "scorer_dialect": "openai"}, "filter", "400: content management policy"),
        ({"scorer": "chat", "search_for": "instruction"}, "filter", "400: content management policy"),
        ({"scorer": "chat", "search_for": "instruction"}, "mumble", "the answer is 'I cannot say.'"),
    ],
)
async def test_an_image_without_a_class_is_named_with_its_folder_and_the_reason(
    config: Callable[..., SearchConfig], colours: Path, tmp_path: Path, kind: dict[str, Any], fault: str,
    reason: str, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """In the same words for every scorer, as CSV, as JSON and from Python; also when it is known already."""
    torn = tmp_path / "new" / "red" / "torn.png"
    shutil.copytree(colours / "test", tmp_path / "new")
    torn.write_bytes(b"torn")
    refused = PictureReader(512).picture(colours / "test" / "red" / "1.png").base64[-60:]
    ask = ["predict", str(tmp_path / "new"), "--run", str(tmp_path / "run")]
    async with ScorerServer(ScorerOptions(faults={refused: fault})) as server:
        await search(config(server.url, **FEWEST, **kind))
        assert await in_thread(lambda: main(ask)) == 0
        printed, asked = capsys.readouterr(), server.requests
        assert await in_thread(lambda: main([*ask, "--json"])) == 0
        document = json.loads(capsys.readouterr().out)
        images = await in_thread(lambda: [*predict(tmp_path / "new", run_dir=tmp_path / "run")])
        assert server.requests == asked
    errors = {image.file: image.error for image in images if image.error}
    assert errors.keys() == {"red/1.png", "red/torn.png"}
    assert errors["red/1.png"].startswith("red/1.png: the scorer gives it no class: ")
    assert errors["red/1.png"].endswith(reason)
    assert errors["red/torn.png"].startswith("red/torn.png is not an image that can be read")
    counted = 1 if kind["scorer"] == "embeddings" else 0
    assert all(len(image.probabilities) == (0 if image.error else counted) for image in images)
    assert {row["file"]: row["error"] for row in document["predictions"] if "error" in row} == errors
    assert [f"not classified: {error}" in printed.err for error in errors.values()] == [True, True]


async def test_predictions_of_an_evaluation_say_why_an_image_has_no_class(
    config: Callable[..., SearchConfig], colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard error, under the path that the file has."""
    refused = PictureReader(512).picture(colours / "test" / "red" / "1.png").base64[-60:]
    file = tmp_path / "p.csv"
    ask = ["evaluate", "--data", str(colours), "--shots", "2", "--scorer", "embeddings", "--model", "m"]
    async with ScorerServer(ScorerOptions(faults={refused: "filter"})) as server:
        ask += ["--scorer-url", server.url, "--predictions", str(file)]
        assert await in_thread(lambda: main(ask)) == 0
    rows = csv.DictReader(file.read_text("utf-8").splitlines())
    (row,) = [row for row in rows if not (row["class"] and row["probability"])]
    assert (row["file"], row["class"], row["probability"]) == ("test/red/1.png", "", "")
    err = capsys.readouterr().err
    assert re.search(r"not classified: test/red/1.png: the scorer gives it no class: .*policy", err)
    assert "1 of them without a class" in err


def test_a_table_of_answers_from_another_address_alone_says_so(
    colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another model may be at the one in use."""
    options = ["--scorer", "zero-shot", "--model", "m", "--shared-cache", str(tmp_path / "kept")]
    ask = ["evaluate", "--data", str(colours), *options, "--shots", "2", "--scorer-url"]
    with Serving(ScorerServer()) as first:
        assert main([*ask, first.url]) == 0
        assert "note: all answers" not in capsys.readouterr().out
    with Serving(ScorerServer()) as second:
        assert main([*ask, second.url]) == 0
        assert second.requests == 0
        assert "note: all answers were kept from another address" in capsys.readouterr().out
        assert main([*ask, second.url, "--json"]) == 0
        printed = capsys.readouterr()
        assert OTHER_MODEL not in json.loads(printed.out)
        assert "note: all answers were kept from another address" in printed.err


async def test_a_resume_at_another_address_says_that_models_may_be_mixed(
    config: Callable[..., SearchConfig],
) -> None:
    """The gain would be that of one model over the other."""
    async with ScorerServer() as first:
        before = await search(config(first.url))
    assert OTHER_MODEL not in before.notes
    async with ScorerServer(ScorerOptions(blur=-0.6)) as second:
        after = await resume(before.run_dir, changes={"scorer_url": second.url, "restarts": 2})
        assert second.requests > 0
    assert "came from more than one address" in str(after.notes[OTHER_MODEL])


def test_the_printed_search_asks_the_same_deployment(
    colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the address has in its query stays, but for a key."""
    options = ["--scorer", "zero-shot", "--model", "m", "--shared-cache", str(tmp_path / "kept")]
    with Serving(ScorerServer(ScorerOptions(blur=-3.0))) as server:
        url = f"{server.url}?deployment=x"
        given = ["--data", str(colours), *options, "--shots", "2", "--scorer-url", f"{url}&code=pw-secret"]
        assert main(["evaluate", *given]) == 0
    printed = capsys.readouterr().out
    assert f"--scorer-url '{url}'" in printed
    assert "pw-secret" not in printed


def test_a_run_whose_model_was_replaced_goes_on_only_with_the_first(
    colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is kept is of the model that was asked before, and the way on says so."""
    form = tmp_path / "form.toml"
    form.write_text('scorer_dialect = "openai"\ninitial = 30\nrestarts = 1\n', "utf-8")
    run = str(tmp_path / "run")
    with Serving(ScorerServer()) as first:
        options = ["--scorer", "embeddings", "--scorer-url", first.url, "--model", "m", "--config", str(form)]
        limits = ["--method", "random", "--shots", "2", "--max-scorer-calls", "99"]
        assert main(["search", "--data", str(colours), *options, *limits, "--run-dir", run]) == 0
        port = urlsplit(first.url).port or 0
    capsys.readouterr()
    more = ["resume", run, "--max-scorer-calls", "1000"]
    with Serving(ScorerServer(ScorerOptions(blur=-0.6), port=port)):
        assert main(more) == 2
    *_, way_on, last = capsys.readouterr().err.strip().splitlines()
    assert "kept for the model that was asked before. With it, resume with: " in way_on
    assert "it is another model now" in last
    with Serving(ScorerServer(port=port)):
        assert main(more) == 0


async def test_another_model_at_the_address_is_not_taken_for_the_first(
    config: Callable[..., SearchConfig], colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By evaluate, resume, and predict of a run and of a file: nothing is mixed, and one request shows it."""
    run, file, known, images = (tmp_path / name for name in ("run", "a.safetensors", "known", "new"))
    shutil.copytree(colours / "test", images)
    Image.new("RGB", (16, 16), "red").save(images / "red" / "unknown.png")
    kind = {"scorer": "embeddings", "scorer_dialect": "openai"}
    (tmp_path / "form.toml").write_text('scorer_dialect = "openai"\n', "utf-8")
    options = ["--scorer", "embeddings", "--model", "m", "--config", str(tmp_path / "form.toml")]
    async with ScorerServer() as server:
        where = ["--scorer-url", server.url, "--shared-cache"]
        measure = ["evaluate", "--data", str(colours), "--shots", "2", *options, *where]
        assert await in_thread(lambda: main([*measure, str(known), "--save", str(file)])) == 0
        await search(config(server.url, **kind))
        stopped = config(server.url, **kind, run_dir=tmp_path / "stopped", initial=30, max_scorer_calls=99)
        assert (await search(stopped)).status == "stopped"
        port = urlsplit(server.url).port
    capsys.readouterr()

    async def ends(words: Sequence[str], why: str, requests: int = 1) -> None:
        server.requests = 0
        assert await in_thread(lambda: main([*words])) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert re.search(why, printed.err)
        assert "gives another vector for the text 'a photo' than" in printed.err
        assert server.requests == requests

    differs = (
        r"than before: it is another model now\. Its earlier answers are in {}labels.sqlite\. Search again"
    )
    made = r"the classifier was made with another model: the model 'm' at '127.0.0.1:\d+/v1' gives"
    async with ScorerServer(ScorerOptions(blur=-0.6), port=port or 0) as server:
        assert await in_thread(lambda: main([*measure, str(known)])) == 0
        assert server.requests == 0
        capsys.readouterr()
        await ends([*measure, str(known), "--templates", "one {}"], differs.format(f"{known}/"))
        with pytest.raises(ModelError, match=differs.format(f"{tmp_path / 'stopped'}/")):
            await resume(tmp_path / "stopped", changes={"max_scorer_calls": 1000})
        assert server.requests == 2
        of_run = ["predict", str(images), "--run", str(run), "--shared-cache"]
        await ends([*of_run, str(tmp_path / "fresh 1")], made)
        of_file = ["predict", str(images), "--run", str(file), *where]
        await ends([*of_file, str(tmp_path / "fresh 2")], made)
        await ends([*of_file, str(known)], differs.format(f"{known}/"))
        spec = SearchConfig.of(EvaluatorSpec(scorer="embeddings", model="m", scorer_url=server.url))
        with pytest.raises(ModelError, match=made):
            await in_thread(lambda: [*predict(images, run_dir=file, spec=spec)])
        server.requests = 0
        # A file of an earlier version has no check.
        replace(Classifier.load(file), check=None).save(tmp_path / "old.safetensors")
        of_file[3] = str(tmp_path / "old.safetensors")
        assert await in_thread(lambda: main([*of_file, str(tmp_path / "fresh 3")])) == 0
        assert server.requests == 2


async def test_a_saved_classifier_asks_as_it_was_made(
    config: Callable[..., SearchConfig], colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """By the command that is printed; at another address too, nothing is paid for that is known."""
    monkeypatch.chdir(tmp_path)
    options = ScorerOptions(faults={"modality": "bad_request"})
    (tmp_path / "small.toml").write_text("scorer_image_size = 16\n", "utf-8")
    ask = ["evaluate", "--data", str(colours), "--shots", "2", "--scorer", "embeddings", "--model", "m"]
    ask += ["--config", "small.toml", "--shared-cache", "known", "--save", "a b.safetensors"]
    async with ScorerServer(options) as server:
        address = server.url.replace("//", "//user:secret@")
        assert await in_thread(lambda: main([*ask, "--scorer-url", address])) == 0
        err = capsys.readouterr().err
        command = shlex.split(re.findall(r"to use it: .*(predict FOLDER .*)", err)[0])
        assert "secret" not in err
        asked = server.requests
        command[1] = str(colours / "test")
        assert await in_thread(lambda: main(command)) == 0
        assert server.requests == asked
    saved = Classifier.load(tmp_path / "a b.safetensors")
    assert (saved.about.scorer_dialect, saved.about.scorer_image_size) == ("openai", 16)
    async with ScorerServer(options) as moved:
        elsewhere = [moved.url if word == server.url else word for word in command]
        assert await in_thread(lambda: main(elsewhere)) == 0
        where = EvaluatorSpec(scorer="embeddings", model="m", scorer_url=moved.url)
        known = SearchConfig.of(where, shared_cache=tmp_path / "known")
        images = await in_thread(
            lambda: [*predict(colours / "test", run_dir=tmp_path / "a b.safetensors", spec=known)]
        )
        assert len([image for image in images if image.classes]) == 6
        assert moved.requests == 1  # is it the same model?
        # A form that is set wins; this server refuses it.
        (tmp_path / "other.toml").write_text('scorer_dialect = "infinity"\n', "utf-8")
        unknown = [word if word != "known" else "empty" for word in elsewhere]
        assert await in_thread(lambda: main([*unknown, "--config", "other.toml"])) == 2
        err = capsys.readouterr().err
        assert "made with requests in the form openai; scorer_dialect in a --config file sets" in err
        assert "model (from a b.safetensors) and scorer_dialect = infinity (from other.toml)" in err
        moved.requests = 0
        # An older file does not say how: the form is found out, of which the first is refused. A form takes
        # three images and a text.
        older = saved.about.model_copy(update={"scorer_dialect": "", "scorer_image_size": None})
        replace(saved, about=older).save(tmp_path / "old.safetensors")
        elsewhere[elsewhere.index("a b.safetensors")] = "old.safetensors"
        assert await in_thread(lambda: main([*elsewhere, "--config", "small.toml"])) == 0
        assert moved.requests == 1 + 4


class Struck(ScorerServer):
    """Sends this process signals once six requests are open."""

    numbers: tuple[signal.Signals, ...] = ()

    async def _post(self, request: web.Request) -> web.StreamResponse:
        if self._in_flight == 5:
            for number in self.numbers:
                os.kill(os.getpid(), number)
        return await super()._post(request)


@pytest.mark.parametrize(
    ("command", "numbers"),
    # As ``timeout`` does, to the process and to its group.
    [("evaluate", (signal.SIGINT,)), ("predict", (signal.SIGTERM, signal.SIGTERM))],
)
def test_answers_to_requests_that_are_open_at_an_interrupt_are_kept(
    command: str, numbers: tuple[signal.Signals, ...], config: Callable[..., SearchConfig], colours: Path,
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """They are paid for: ``evaluate`` and ``predict`` wait for them, and say so."""
    cache, server = tmp_path / "labels", Struck()
    with Serving(server):
        if command == "predict":
            search_sync(config(server.url, **FEWEST))
        spec = ["--scorer", "zero-shot", "--model", "m", "--templates", "the {}"]
        words: Sequence[object] = {
            "evaluate": ["evaluate", "--data", colours, *spec, "--scorer-url", server.url],
            "predict": ["predict", colours / "test", "--run", tmp_path / "run"],
        }[command]
        before, server.numbers, server.options = server.requests, numbers, ScorerOptions(latency_s=0.2)
        assert main([*map(str, words), "--shared-cache", str(cache)]) == 128 + numbers[0]
        assert server.answered == before + 6
    assert "Finishing open requests." in capsys.readouterr().err
    with closing(sqlite3.connect(cache / "labels.sqlite")) as kept:
        assert kept.execute("SELECT count(*) FROM answers").fetchone() == (6 + 2,)  # the address too


async def test_nothing_at_the_address_is_said_at_once_and_leaves_nothing(
    config: Callable[..., SearchConfig], tmp_path: Path
) -> None:
    """As for the LLM's; a run that has all its labels needs no scorer."""
    async with ScorerServer() as server:
        gone = server.url
        await search(config(gone, **FEWEST, run_dir=tmp_path / "done"))
    with pytest.raises(EndpointError, match=r"nothing answers at .*scorer_url"):
        await search(config(gone))
    with pytest.raises(EndpointError, match=r"is not an address; .*scorer_url"):
        await search(config("http://ex..ample/v1"))
    assert not (tmp_path / "run").exists()
    with pytest.raises(EndpointError, match=r"no connection to .*scorer_url"):
        await in_thread(lambda: evaluate(["a {}"], config(gone, shared_cache=tmp_path / "none")))
    (tmp_path / "done" / "result.json").unlink()
    assert (await resume(tmp_path / "done", trust=True)).status == "finished"


@pytest.mark.parametrize("kind", [{}, {"scorer": "embeddings", "scorer_dialect": "openai"}])
async def test_an_endpoint_that_refuses_every_request_from_the_first_is_the_users_to_fix(
    config: Callable[..., SearchConfig], kind: dict[str, str]
) -> None:
    """One line with the settings to look at, after as few requests as show it."""
    async with ScorerServer(ScorerOptions(always="bad_request")) as server:
        with pytest.raises(UsageError, match=r"refuses every (request|image): .*bad request") as caught:
            await search(config(server.url, **kind))
        assert server.requests <= 8 + IN_FLIGHT
    form = ", `model` and `scorer_dialect = openai`" if kind else " and `model`"
    assert str(caught.value).endswith(f"; check `scorer`, `scorer_url`{form}")


@pytest.mark.parametrize(
    ("dialect", "takes"), [(None, "images"), ("jina", "images"), ("jina", "short texts")]
)
async def test_a_server_that_refuses_texts_ends_a_search_with_its_own_words(
    config: Callable[..., SearchConfig], dialect: str | None, takes: str
) -> None:
    """Within the bound of a dry run, although it takes images, and fails at some requests."""
    sent: list[Any] = []
    api = VisualApi()

    async def answer(request: web.Request) -> web.Response:
        if request.method == "GET":  # whether something listens
            return web.Response(status=404)
        body = await request.json()
        sent.append(body)
        if len(sent) % 11 == 3:
            return web.json_response({"error": "busy"}, status=503)
        rows = body.get("input", [{}])
        is_taken = all(
            isinstance(row, dict)
            and ("image" in row or (takes == "short texts" and len(row["text"]) < len("a photo of")))
            for row in rows
        )
        if not is_taken:
            return web.json_response({"error": {"message": "KeyError('image')"}}, status=400)
        return web.json_response(api.body(ApiRequest(path="embeddings", body=body)))

    async with served(answer) as url:
        made = config(url, scorer="embeddings", scorer_dialect=dialect, initial=30, retry_attempts=4)
        evaluator = await ready_evaluator(made, None, ignore_event, ask=NothingAsked())
        assert isinstance(evaluator, RemoteEvaluator)
        bound = scorer_bound(made, evaluator)
        with pytest.raises(UsageError, match=r"text.*400.*KeyError\('image'\)") as caught:
            await search(made)
        assert len(sent) <= min(bound.total.calls, 30)
    assert "initial" not in str(caught.value)


@pytest.mark.parametrize("scorer", ["embeddings", "zero-shot"])
async def test_names_are_taken_without_a_labelled_image(
    config: Callable[..., SearchConfig], scorer: str
) -> None:
    """The scorer is asked about test images alone, once, with the LLM's names."""

    class Reader:
        async def chat(self, request: ChatRequest) -> ChatAnswer:
            return ChatAnswer(text="red: crimson")

    async with ScorerServer(ScorerOptions()) as server:
        made = config(server.url, scorer=scorer, shots=0, search_for="class-names", llm="x")
        result = await search(made, chat=Reader())
        assert max(server.asked.values()) == 1
    assert (result.status, result.best.class_names, result.best.train) == (
        "finished",
        {"red": "crimson"},
        None,
    )
    assert result.best.test is not None
    assert result.dataset.sizes.train == 0


async def test_a_limit_that_templates_use_up_is_said_afterwards(
    config: Callable[..., SearchConfig],
) -> None:
    """The LLM was not asked for names, as no image is wrong at first: which is not its fault."""

    class Unasked:
        async def chat(self, request: ChatRequest) -> ChatAnswer:
            raise AssertionError("no money is left for what it would say")

    remedy = "raise it, or take the LLM's first names unchecked, for few requests (`shots = 0`)"
    async with ScorerServer() as server:
        made = config(
            server.url,
            search_for="class-names",
            llm="x",
            price="0/0",
            scorer_price="0.002/call",
            max_cost=0.13,
        )
        stopped = await search(made, chat=Unasked())
    assert (stopped.status, stopped.limits) == ("stopped", ("cost_usd",))
    assert stopped.notes[UNASKED] == f"the limit ended the search before the LLM was asked; {remedy}"
    assert NOTHING_USABLE not in stopped.notes
    assert exit_code(stopped) == 0


async def test_where_the_llm_fails_before_templates_are_paid_for_the_search_stops(
    config: Callable[..., SearchConfig], tmp_path: Path
) -> None:
    """With the default template as its result; a resumed one goes on."""

    class Sleepy:
        awake = False

        async def chat(self, request: ChatRequest) -> ChatAnswer:
            if not self.awake:
                raise ConnectionError("asleep")
            return ChatAnswer(text="rosso: red\nverde: green\nazzurro: blue")

    names = tmp_path / "names.txt"
    names.write_text("red=rosso\ngreen=verde\nblue=azzurro\n", "utf-8")
    sleepy, patience = Sleepy(), {"give_up_after": 1e-7, "retry_attempts": 1}
    async with ScorerServer(ScorerOptions(blur=0.1)) as server:
        made = config(server.url, class_names=names, search_for="class-names", llm="x", **patience)
        stopped = await search(made, chat=sleepy)
        assert (stopped.status, stopped.evaluated, server.requests) == ("stopped", 1, 9)
        assert "nothing has succeeded" in str(stopped.stop_reason)
        sleepy.awake = True
        resumed = await resume(tmp_path / "run", chat=sleepy)
        assert max(server.asked.values()) == 1
    assert resumed.status == "finished"
    assert resumed.best.class_names is not None


@pytest.mark.parametrize(("most", "evaluated"), [(90, 5), (49, 1)])
async def test_names_are_asked_for_before_a_limit_is_spent_on_templates(
    config: Callable[..., SearchConfig], tmp_path: Path, most: int, evaluated: int
) -> None:
    """A stopped search has the LLM's first reading, be it in the default template alone.

    A resumed one asks nothing twice.
    """
    names = tmp_path / "names.txt"
    names.write_text("red=rosso\ngreen=verde\nblue=azzurro\n", "utf-8")
    asked: list[str] = []

    class Translator:
        async def chat(self, request: ChatRequest) -> ChatAnswer:
            asked.append(str(request.messages[-1]["content"]))
            return ChatAnswer(text="rosso: red\nverde: green\nazzurro: blue")

    settings: dict[str, Any] = {"class_names": names, "search_for": "class-names", "llm": "x", "initial": 6}
    async with ScorerServer(ScorerOptions(blur=0.1)) as server:
        stopped = await search(config(server.url, max_scorer_calls=most, **settings), chat=Translator())
        assert (stopped.status, stopped.evaluated) == ("stopped", evaluated)
        assert stopped.best.class_names == {"rosso": "red", "verde": "green", "azzurro": "blue"}
        assert stopped.names_read is not None
        assert NOTHING_USABLE not in stopped.notes
        assert len(asked) == 1
        changes = {"max_scorer_calls": 10_000}
        resumed = await resume(tmp_path / "run", changes=changes, chat=Translator())
        assert max(server.asked.values()) == 1
        assert len(asked) == len(set(asked))
        whole = await search(config(server.url, run_dir=tmp_path / "whole", **settings), chat=Translator())
    assert resumed.status == whole.status == "finished"
    assert (resumed.best, resumed.names_read) == (whole.best, whole.names_read)


async def test_names_that_a_limit_leaves_unscored_are_no_fault_of_the_llm(
    config: Callable[..., SearchConfig], tmp_path: Path
) -> None:
    """It answered, and the default template with the original names is the result."""
    names = tmp_path / "names.txt"
    names.write_text("red=rosso\ngreen=verde\nblue=azzurro\n", "utf-8")

    class Translator:
        async def chat(self, request: ChatRequest) -> ChatAnswer:
            return ChatAnswer(text="rosso: red\nverde: green\nazzurro: blue")

    async with ScorerServer(ScorerOptions(blur=0.1)) as server:
        made = config(server.url, search_for="class-names", llm="x", class_names=names, max_scorer_calls=40)
        stopped = await search(made, chat=Translator())
    assert (stopped.status, stopped.evaluated, stopped.best.class_names) == ("stopped", 1, {})
    assert not {NOTHING_USABLE, UNASKED} & stopped.notes.keys()
    assert exit_code(stopped) == 0


async def test_names_beyond_those_asked_for_are_not_paid_for(
    config: Callable[..., SearchConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the search takes at most what a dry run says."""

    class Generous:
        async def chat(self, request: ChatRequest) -> ChatAnswer:
            return ChatAnswer(
                text="\n".join(f"{name}: {name} no. {n}" for name in COLOURS for n in range(60))
            )

    bounds: list[ScorerBound] = []
    asked: list[tuple[str, Mapping[int, str]]] = []

    def search_names(record: NamesRecord, journal: Journal, **parts: Any) -> NameSearch:
        evaluator = parts["evaluator"]
        assert isinstance(evaluator, RemoteEvaluator)
        bounds.append(scorer_bound(journal.config, evaluator))
        predict = evaluator.predict_named

        def predict_named(
            template: str, renamings: Sequence[Mapping[int, str]], *, split: str
        ) -> Predictions:
            if split == "train":
                asked.extend((template, renaming) for renaming in renamings)
            return predict(template, renamings, split=split)

        monkeypatch.setattr(evaluator, "predict_named", predict_named)
        return NameSearch(record, journal, **parts)

    monkeypatch.setattr(restart_workers, "NameSearch", search_names)
    searched = {"search_for": "class-names", "name_rounds": 1, "initial": 2, "rounds": 1}
    async with ScorerServer(ScorerOptions(blur=3.0)) as server:
        result = await search(config(server.url, llm="x", **searched), chat=Generous())
        assert result.rejected["too_many_proposals"] > 100
        assert result.names_read is not None
        # Names are compared in one template, and common words are not tried: each costs requests.
        new = [template for template, renaming in asked if len(renaming) == 1]
        assert len(new) > 4
        assert len(set(new)) == 1
        names = {name for _, renaming in asked for name in renaming.values()}
        assert all(re.fullmatch(r"\w+ no. \d+", name) for name in names)
        assert server.answered <= bounds[0].total.calls
