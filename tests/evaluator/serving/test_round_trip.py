"""The evaluators of scorers behind an API against the server: the same labels as with the model itself."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest

from promptclimb.evaluator.open import open_evaluator
from promptclimb.evaluator.remote.asking import ApiAnswer, ApiReply, ApiRequest
from promptclimb.evaluator.serving.server import ServerSettings, serving
from promptclimb.evaluator.spec import EvaluatorSpec
from tests.fakes.faulty_scorer import Faults, FaultyScorer

TEMPLATES = ("a photo of a {}", "a {} thing before a wall", "{}", "a dark drawing with {} and {}")
DATA = {"data": "frames", "shots": 4, "views": 0}


class PlainAsk:
    """Asks one request after the other, without limits or retries."""

    def __init__(self, url: str) -> None:
        self.url, self.asked = url, 0

    def __call__(self, requests: Iterable[ApiRequest]) -> Iterator[tuple[int, ApiAnswer]]:
        """Post each request."""
        for place, request in enumerate(requests):
            self.asked += 1
            url = f"{self.url}/{request.path}" if request.path else self.url
            headers = {"Content-Type": "application/json"}
            sent = urllib.request.Request(url, json.dumps(dict(request.body)).encode(), headers)
            with urllib.request.urlopen(sent) as reply:
                yield place, ApiReply(json.load(reply))


@contextmanager
def served(faults: Faults | None = None) -> Iterator[tuple[str, FaultyScorer]]:
    """RN-pico behind an API, in a loop of its own thread."""
    scorer = FaultyScorer(faults or Faults())
    ready, loop, address = threading.Event(), asyncio.new_event_loop(), list[str]()
    over = asyncio.Event()

    async def main() -> None:
        settings = ServerSettings(spec=EvaluatorSpec(model="RN-pico"))
        async with serving(settings, lambda _line: None, scorer.middleware()) as url:
            address.append(url)
            ready.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    try:
        assert ready.wait(60)
        yield address[0], scorer
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server without faults."""
    with served() as (found, _scorer):
        yield found


@pytest.mark.parametrize("scorer", ["zero-shot", "embeddings"])
def test_templates_score_the_same_as_with_the_model_itself(url: str, scorer: str) -> None:
    """Over the whole way: pictures as they are sent, the form of requests, the reading of answers."""
    plain = open_evaluator(EvaluatorSpec(model="RN-pico", **DATA)).score(list(TEMPLATES))
    spec = EvaluatorSpec(model="RN-pico", scorer=scorer, scorer_url=url, **DATA)
    remote = open_evaluator(spec, ask=PlainAsk(url)).score(list(TEMPLATES))
    assert [one.train for one in remote] == [one.train for one in plain]


def test_an_instruction_that_names_the_caption_and_the_form_does_better(url: str) -> None:
    """The simulated chat model gives instruction search something to find."""
    spec = EvaluatorSpec(model="RN-pico", scorer="chat", scorer_url=url, **DATA)
    vague, clear, none = open_evaluator(spec, ask=PlainAsk(url)).score(
        [
            "Options: {classes}. Explain what this image is.",
            "Which colour is the frame: {classes}? Answer with the class name only.",
            "What is this?",
        ]
    )
    assert clear.train > vague.train
    assert none.train == 0
    assert (clear.unreadable, none.unreadable) == (0, 1)


def test_planted_noise_costs_its_share_of_the_labels() -> None:
    """In chat, where the answer is words, and counted by the server."""
    with served(Faults(noise=0.3)) as (url, scorer):
        spec = EvaluatorSpec(model="RN-pico", scorer="chat", scorer_url=url, **DATA)
        candidate = "Which colour is the frame: {classes}? Answer with the class name only."
        (score,) = open_evaluator(spec, ask=PlainAsk(url)).score([candidate])
        assert score.unreadable == 0
        stats = scorer.statistics
    assert stats.faults["noise"] == pytest.approx(0.3 * stats.requests, abs=0.15 * stats.requests)
    assert stats.summary()["twice"] == 0
