"""``examples/clip_server.py`` answers official clients, and scorers behind it agree with the model itself."""

from __future__ import annotations

import asyncio
import io
import json
import re
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import openai
import pytest
from aiohttp.test_utils import TestServer
from huggingface_hub import InferenceClient, constants
from PIL import Image

from examples.clip_server import ClipServer
from promptclimb.evaluator.clip.in_process import ImageClassifier
from promptclimb.evaluator.clip.open_clip_evaluator import OpenClipEvaluator
from promptclimb.evaluator.head import Head, Likeness
from promptclimb.evaluator.open import open_evaluator
from promptclimb.evaluator.remote.asking import ApiAnswer, ApiReply, ApiRequest
from promptclimb.evaluator.remote.dialects import DIALECTS, read_data
from promptclimb.evaluator.remote.embeddings import EmbeddingsEvaluator
from promptclimb.evaluator.remote.image_by_image import read_scores
from promptclimb.evaluator.remote.pictures import encode
from promptclimb.evaluator.spec import EvaluatorSpec
from promptclimb.evaluator.threads import in_thread_or_loop
from tests.paths import ROOT

TEMPLATES = ["{}", "a dark drawing with {} and {}"]
DATA = {"data": "backgrounds", "shots": 1, "augmentations": 0}


class PlainAsk:
    """Send one request after the other, without limits or retries."""

    def __init__(self, url: str) -> None:
        self.url = url

    concurrency = 1

    def place(self) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    async def __call__(self, request: ApiRequest) -> ApiAnswer:
        url = f"{self.url}/{request.path}" if request.path else self.url
        headers = {"Content-Type": "application/json"}
        sent = urllib.request.Request(url, json.dumps(dict(request.body)).encode(), headers)

        def body() -> Any:
            with urllib.request.urlopen(sent) as reply:
                return json.load(reply)

        return ApiReply(await asyncio.to_thread(body))


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with TestServer(ClipServer("RN-pico").application()) as server:
        yield f"http://127.0.0.1:{server.port}/v1"


@pytest.mark.usefixtures("small_sets")
async def test_templates_score_as_with_the_model_itself(url: str) -> None:
    """Images as they are sent, the form of requests, and the reading of replies."""

    async def trains(ask: PlainAsk | None = None, **more: str) -> list[float]:
        evaluator = open_evaluator(EvaluatorSpec(model="RN-pico", **DATA, **more), ask=ask)
        scores = await in_thread_or_loop(lambda: evaluator.score(TEMPLATES))
        return [score.train for score in scores]

    local = await trains()
    for scorer in ("zero-shot", "embeddings"):
        assert await trains(PlainAsk(url), scorer=scorer, scorer_url=url) == local


@pytest.mark.usefixtures("small_sets")
async def test_probabilities_are_those_of_the_model_itself(url: str) -> None:
    """Of texts alone, and of what was learned from labelled images, with likeness to them."""
    model = EvaluatorSpec(model="RN-pico", **DATA)
    local = await asyncio.to_thread(open_evaluator, model)
    behind_api = EvaluatorSpec(model="RN-pico", scorer="embeddings", scorer_url=url, **DATA)
    remote = await asyncio.to_thread(lambda: open_evaluator(behind_api, ask=PlainAsk(url)))
    assert isinstance(local, OpenClipEvaluator)
    assert isinstance(remote, EmbeddingsEvaluator)
    vectors = await asyncio.to_thread(local.classifier, TEMPLATES[:1])
    learned = await asyncio.to_thread(local.learn, vectors)
    keys = local.shots.features[:, 0].numpy()
    gains = np.linspace(-0.05, 0.05, len(keys) * len(vectors), dtype=np.float32).reshape(len(keys), -1)
    like = replace(learned, head=Head(learned.head.vectors, Likeness(keys, gains, 2.0)))
    for classifier in (learned, like):
        expected = await asyncio.to_thread(lambda one=classifier: local.probabilities(one, split="test"))
        assert len({*expected}) > 1
        assert await remote.probabilities(classifier, split="test") == pytest.approx(expected, abs=1e-4)

    opened = await asyncio.to_thread(
        lambda: ImageClassifier.of_texts(model, local.class_names, TEMPLATES[:1], print)
    )
    test = remote.split("test")
    head = Head(await remote.classifier(TEMPLATES[:1]))
    ranked = await remote.likeliest(head, test, scale=local.logit_scale, top=3)
    for (_path, labels, shares, _error), likely in zip(opened.decide(test.paths, 3), ranked, strict=True):
        assert likely.labels == labels
        assert likely.probabilities == pytest.approx(shares, abs=1e-4)


async def test_official_clients_are_answered(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of Hugging Face and OpenAI; a wrong request gets an error in OpenAI's form."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 30, 30)).save(buffer, "PNG")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    client = InferenceClient(url, provider="hf-inference", token="none")
    labels = ["blue", "red", "green"]
    ranked = await asyncio.to_thread(
        client.zero_shot_image_classification, buffer.getvalue(), labels, hypothesis_template="a {} thing"
    )
    assert ranked[0].label == "red"
    assert sum(row.score for row in ranked) == pytest.approx(1)
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as openai_client:
        embeddings = await openai_client.embeddings.create(model="RN-pico", input=["a cat", "a dog"])
        assert [row.index for row in embeddings.data] == [0, 1]
        with pytest.raises(openai.BadRequestError, match="Error"):
            await openai_client.embeddings.create(model="RN-pico", input="data:image/png;base64,?")


async def test_the_example_answers_what_the_page_shows(url: str) -> None:
    """Requests as a scorer sends them get answers of the page's form, in which scorers read them."""
    page = (ROOT / "docs" / "remote.md").read_text("utf-8")
    blocks = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", page, re.DOTALL)]
    texts, images, vectors, sent, labels = blocks
    picture = encode(Image.new("RGB", (8, 8), "red"), 8)
    openai_form = DIALECTS["openai"]
    assert openai_form.of_texts("RN-pico", texts["input"]) == texts
    images["input"] = [picture.data_url]
    assert openai_form.of_images("RN-pico", [picture]) == images
    ask = PlainAsk(url)

    async def answer(path: str, body: Any) -> Any:
        reply = await ask(ApiRequest(path=path, body=body))
        assert isinstance(reply, ApiReply)
        return reply.body

    answered = await answer("embeddings", texts)
    assert [row["index"] for row in answered["data"]] == [row["index"] for row in vectors["data"]]
    assert len(read_data(vectors, 2)) == len(read_data(answered, 2)) == 2
    assert len(read_data(await answer("embeddings", images), 1)) == 1
    names = sent["parameters"]["candidate_labels"]
    ranked = await answer("", {**sent, "inputs": picture.base64})
    assert read_scores(labels, names).keys() == read_scores(ranked, names).keys() == {0, 1}
