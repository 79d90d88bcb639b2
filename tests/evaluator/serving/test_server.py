"""The server of three protocols: official clients, hostile requests, many at once."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import json
import struct
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import numpy as np
import openai
import pytest
from aiohttp.test_utils import TestServer
from huggingface_hub import InferenceClient, constants
from PIL import Image

from promptclimb.evaluator.serving import server as module
from promptclimb.evaluator.serving.embedder import ClipTowers, Embedder
from promptclimb.evaluator.serving.server import ModelServer, ServerSettings, serving
from promptclimb.evaluator.spec import EvaluatorSpec
from tests.fakes.word_embedder import BROKEN, DIMENSIONS, WordEmbedder, image_of

SPEC = EvaluatorSpec(model="RN-pico")
KEY = "sk-of-this-server"
CAT = image_of("cat")
QUESTION = "Which animal is in this image: cat, dog, bird? Answer with the class name only."


class Running:
    """A server on loopback with a fake model; `post` returns status and JSON."""

    def __init__(self, embedder: Any, **settings: Any) -> None:
        self.embedder, self.lines = embedder, list[str]()
        made = ModelServer(ServerSettings(spec=SPEC, **settings), embedder, self.lines.append)
        self._server = TestServer(made.application())

    async def __aenter__(self) -> Running:
        await self._server.start_server()
        self.url = f"http://127.0.0.1:{self._server.port}/v1"
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._session.close()
        await self._server.close()

    async def post(self, path: str, document: Any = None, **more: Any) -> tuple[int, Any]:
        """Post a document, or the bytes in `data`."""
        given = more if "data" in more else {"json": document, **more}
        async with self._session.post(f"{self.url}{path}", **given) as reply:
            return reply.status, await reply.json()

    async def get(self, path: str, **more: Any) -> tuple[int, Any]:
        """Get a path."""
        async with self._session.get(f"{self.url}{path}", **more) as reply:
            return reply.status, await reply.json()


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    """A server with a fake model."""
    async with Running(WordEmbedder()) as found:
        yield found


@pytest.fixture(scope="module")
def towers() -> ClipTowers:
    """RN-pico."""
    return ClipTowers(SPEC, lambda _line: None)


def asked(text: str, image: str = CAT, **more: Any) -> dict[str, Any]:
    """A chat request."""
    parts = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": image}}]
    return {"model": "RN-pico", "temperature": 0, "messages": [{"role": "user", "content": parts}], **more}


def zero_shot(image: str = CAT, **parameters: Any) -> dict[str, Any]:
    """A zero-shot request."""
    return {"inputs": image, "parameters": {"candidate_labels": ["dog", "cat", "bird"], **parameters}}


def png(side: int, colour: tuple[int, int, int] = (200, 30, 30)) -> bytes:
    """A PNG file."""
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(buffer, "PNG")
    return buffer.getvalue()


def bomb(side: int) -> bytes:
    """A small PNG file that says it is very large."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def as_url(content: bytes) -> str:
    """The data URL of a file."""
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def is_error(status: int, document: Any) -> bool:
    """Whether a reply is an error of the sender's in OpenAI's form."""
    error = document["error"]
    return 400 <= status < 500 and bool(error["message"]) and {"type", "param", "code"} <= error.keys()


async def test_hugging_faces_client_gets_the_label_alone(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scores that its form needs say no more than the label."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    client = InferenceClient(running.url, provider="hf-inference", token="none")
    found = await asyncio.to_thread(
        client.zero_shot_image_classification, b"cat", ["dog", "cat", "bird"], hypothesis_template="a {}."
    )
    assert [(one.label, one.score) for one in found] == [("cat", 1.0), ("dog", 0.0), ("bird", 0.0)]
    assert running.embedder.asked == [("a dog.", "a cat.", "a bird.")]


async def test_scores_are_given_where_they_are_asked_for() -> None:
    """Probabilities in falling order."""
    async with Running(WordEmbedder(), scores=True) as running:
        status, found = await running.post("", zero_shot())
    assert status == 200
    assert [one["label"] for one in found] == ["cat", "dog", "bird"]
    assert found[0]["score"] == pytest.approx(np.exp(3) / (np.exp(3) + 2))
    assert sum(one["score"] for one in found) == pytest.approx(1)


@pytest.mark.parametrize("path", ["", "/", "/models/RN-pico"])
async def test_zero_shot_is_served_at_each_usual_address(running: Running, path: str) -> None:
    """An inference endpoint's own address, and the hub's with the model's name."""
    status, found = await running.post(
        path, {"inputs": {"image": CAT}, "parameters": {"candidate_labels": "dog, cat"}}
    )
    assert (status, found[0]["label"]) == (200, "cat")


async def test_openais_client_lists_embeds_and_chats(running: Running) -> None:
    """As the official client asks, which wants vectors in base64."""
    async with openai.AsyncOpenAI(base_url=running.url, api_key="none", max_retries=0) as client:
        assert [one.id async for one in client.models.list()] == ["RN-pico"]
        assert (await client.models.retrieve("RN-pico")).id == "RN-pico"
        packed = await client.embeddings.create(model="RN-pico", input=["a cat", CAT])
        plain = await client.embeddings.create(model="RN-pico", input=["a cat", CAT], encoding_format="float")
        assert [one.embedding for one in packed.data] == [one.embedding for one in plain.data]
        assert (len(plain.data[0].embedding), plain.data[1].index) == (DIMENSIONS, 1)
        reply = await client.chat.completions.create(**asked(QUESTION))
        assert reply.choices[0].message.content == "cat"
        assert reply.choices[0].finish_reason == "stop"
        assert reply.usage is not None
        assert reply.usage.prompt_tokens > module.IMAGE_TOKENS["auto"]
        with pytest.raises(openai.NotFoundError) as wrong:
            await client.embeddings.create(model="gpt-4o", input="a")
        assert wrong.value.code == "model_not_found"
        with pytest.raises(openai.BadRequestError, match="stream"):
            await client.chat.completions.create(**asked(QUESTION), stream=True)


async def test_every_form_of_embeddings_gives_the_same_vectors(running: Running) -> None:
    """Those of OpenAI, Jina, Infinity, vLLM, Voyage and Cohere."""
    text, image = {"type": "text", "text": "a cat"}, {"type": "image_url", "image_url": {"url": CAT}}
    _, plain = await running.post("/embeddings", {"input": ["a cat", CAT]})
    wanted = [one["embedding"] for one in plain["data"]]
    _, jina = await running.post(
        "/embeddings", {"input": [{"text": "a cat"}, {"image": CAT.partition(",")[2]}]}
    )
    _, infinity = await running.post("/embeddings", {"input": [CAT], "modality": "image"})
    _, vllm = await running.post("/embeddings", {"messages": [{"role": "user", "content": [image]}]})
    voyage_image = {"type": "image_base64", "image_base64": CAT}
    inputs = [{"content": [text]}, {"content": [voyage_image]}]
    _, voyage = await running.post("/multimodalembeddings", {"inputs": inputs, "model": "RN-pico"})
    cohere_inputs = {"inputs": [{"content": [text]}, {"content": [image]}], "embedding_types": ["float"]}
    _, cohere = await running.post("/../v2/embed", {"input_type": "classification", **cohere_inputs})
    assert [one["embedding"] for one in jina["data"]] == wanted
    assert [one["embedding"] for one in [*infinity["data"], *vllm["data"]]] == [wanted[1]] * 2
    assert [one["embedding"] for one in voyage["data"]] == wanted
    assert cohere["embeddings"]["float"] == wanted


async def test_chat_answers_in_the_form_that_is_asked_for(running: Running) -> None:
    """A name, JSON by the response format, several choices, and a cut answer."""
    _, reply = await running.post("/chat/completions", asked(QUESTION, n=3))
    assert [one["message"]["content"] for one in reply["choices"]] == ["cat"] * 3
    _, reply = await running.post(
        "/chat/completions", asked(QUESTION, response_format={"type": "json_object"})
    )
    assert json.loads(reply["choices"][0]["message"]["content"]) == {"class": "cat"}
    _, reply = await running.post("/chat/completions", asked("Describe it: cat, dog.", max_tokens=2))
    assert (reply["choices"][0]["finish_reason"], reply["usage"]["completion_tokens"]) == ("length", 2)


async def test_chat_without_a_list_or_an_image_names_no_class(running: Running) -> None:
    """As a model would, and not as an error."""
    _, reply = await running.post("/chat/completions", asked("What is this?"))
    assert reply["choices"][0]["message"]["content"] == module.NO_LIST
    _, reply = await running.post(
        "/chat/completions", {"messages": [{"role": "user", "content": "Say hello."}]}
    )
    assert reply["choices"][0]["message"]["content"] == module.NO_IMAGE


async def test_a_sampled_answer_follows_the_seed(running: Running) -> None:
    """At a temperature above 0, answers differ, and the same seed gives the same ones."""
    request = asked(QUESTION, temperature=2, n=16, seed=5)
    found = [(await running.post("/chat/completions", request))[1]["choices"] for _ in range(2)]
    said = [[one["message"]["content"] for one in choices] for choices in found]
    assert said[0] == said[1]
    assert len(set(said[0])) > 1


DEEP = b"[" * 100_000
DEEP_CONTENT = b'{"messages":' + b'[{"a":' * 50_000 + b"1" + b"}]" * 50_000 + b"}"
HOSTILE: dict[str, tuple[str, dict[str, Any]]] = {
    "not JSON": ("", {"data": b"}{"}),
    "deep JSON": ("", {"data": DEEP}),
    "deep content": ("/chat/completions", {"data": DEEP_CONTENT}),
    "not UTF-8": ("", {"data": b'{"inputs": "\xff\xfe"}'}),
    "a list": ("/embeddings", {"document": [1, 2]}),
    "nothing": ("/embeddings", {"data": b""}),
    "NaN": ("/chat/completions", {"data": b'{"temperature": NaN, "messages": []}'}),
    "a huge number": ("/chat/completions", {"data": b'{"n": ' + b"9" * 5000 + b"}"}),
    "wrong types": ("", {"document": {"inputs": 5, "parameters": {"candidate_labels": {"a": 1}}}}),
    "no labels": ("", {"document": {"inputs": CAT, "parameters": {"candidate_labels": []}}}),
    "too many labels": ("", {"document": zero_shot(candidate_labels=["a"] * 3000)}),
    "a template without a slot": ("", {"document": zero_shot(hypothesis_template="a photo")}),
    "a long label": ("", {"document": zero_shot(candidate_labels=["a" * 200_000])}),
    "token ids": ("/embeddings", {"document": {"input": [[1, 2, 3]]}}),
    "no inputs": ("/embeddings", {"document": {"input": []}}),
    "neither input nor messages": ("/embeddings", {"document": {"model": "RN-pico"}}),
    "other dimensions": ("/embeddings", {"document": {"input": "a", "dimensions": 3}}),
    "text and image as one": ("/embeddings", {"document": {"messages": asked("a")["messages"]}}),
    "an empty part": ("/chat/completions", {"document": {"messages": [{"content": [{"type": "image"}]}]}}),
    "audio": ("/chat/completions", {"document": {"messages": [{"content": [{"type": "input_audio"}]}]}}),
    "two images": ("/chat/completions", {"document": {"messages": asked("a")["messages"] * 2}}),
    "logprobs": ("/chat/completions", {"document": asked("a", logprobs=True)}),
    "many choices": ("/chat/completions", {"document": asked("a", n=1000)}),
    "a path": ("", {"document": zero_shot("/etc/passwd")}),
    "a file address": ("", {"document": zero_shot("file:///etc/passwd")}),
    "an address": ("/chat/completions", {"document": asked("a, b", "http://169.254.169.254/latest")}),
    "another data URL": ("/chat/completions", {"document": asked("a, b", "data:text/html;base64,PGI+")}),
    "SVG": ("/chat/completions", {"document": asked("a, b", "data:image/svg+xml;base64,PGI+")}),
    "a data URL in plain text": ("/chat/completions", {"document": asked("a, b", "data:image/png,abc")}),
    "a data URL without end": ("/chat/completions", {"document": asked("a", "data:image/a" + ";a=b" * 9999)}),
    "broken base64": ("/chat/completions", {"document": asked("a, b", "data:image/png;base64,%%%")}),
    "a broken image": ("", {"document": zero_shot(base64.b64encode(BROKEN).decode())}),
    "compressed": ("", {"data": gzip.compress(b" "), "headers": {"Content-Encoding": "gzip"}}),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_request_gets_an_error_in_openais_form(running: Running, name: str) -> None:
    """And the next one is answered."""
    path, given = HOSTILE[name]
    assert is_error(*await running.post(path, **given))
    assert (await running.post("", zero_shot()))[0] == 200
    assert not running.lines


async def test_a_body_that_is_too_large_is_refused() -> None:
    """With status 413 and the limit."""
    async with Running(WordEmbedder(), max_body=2**18) as running:
        status, reply = await running.post("", zero_shot("A" * 2**19))
    assert (status, reply["error"]["code"]) == (413, "too_large")
    assert "0.25 MiB" in reply["error"]["message"]


async def test_unknown_paths_and_methods_are_errors_of_the_same_form(running: Running) -> None:
    """Also the address of another model."""
    assert (await running.post("/completions", {}))[1]["error"]["code"] == "not_found"
    assert (await running.get("/embeddings"))[0] == 405
    assert (await running.get("/models/gpt-4o"))[1]["error"]["code"] == "model_not_found"
    assert (await running.post("/models/gpt-4o", zero_shot()))[0] == 404


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}]
)
async def test_a_page_of_another_site_may_not_ask(running: Running, headers: dict[str, str]) -> None:
    """Neither through its own origin nor through a name that leads here."""
    status, reply = await running.post("", zero_shot(), headers=headers)
    assert (status, reply["error"]["code"]) == (403, "forbidden")


async def test_a_key_is_asked_for_where_there_is_one() -> None:
    """By every address, in words that do not hold it."""
    async with Running(WordEmbedder(), key=KEY) as running:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {KEY}"}):
            status, reply = await running.get("/models", headers=headers)
            assert (status, reply["error"]["code"]) == (401, "invalid_api_key")
            assert KEY not in str(reply)
        assert (await running.get("/models", headers={"Authorization": f"Bearer {KEY}"}))[0] == 200
    assert KEY not in repr(ServerSettings(spec=SPEC, key=KEY))


async def test_a_failure_of_the_model_says_nothing_of_it(running: Running) -> None:
    """Status 500 for the sender, and a line for whoever runs the server."""
    running.embedder.fails = True
    status, reply = await running.post("", zero_shot())
    assert status == 500
    assert "secret" not in str(reply)
    assert "secret of the model" in running.lines[0]


async def test_requests_beyond_the_bound_are_sent_away(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With status 503 and a time to come back; those under way are answered."""
    monkeypatch.setattr(module, "MOST_AT_ONCE", 3)
    running.embedder.gate.clear()
    asking = [asyncio.create_task(running.post("", zero_shot())) for _ in range(5)]
    done, waiting = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
    while len(done) < 2:
        more, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        done |= more
    assert [task.result()[0] for task in done] == [503, 503]
    running.embedder.gate.set()
    assert [(await task)[0] for task in waiting] == [200] * 3


async def test_a_body_that_never_comes_is_given_up(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that stays open costs a slot for so long at most."""
    monkeypatch.setattr(module, "READING_S", 0.05)
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", int(running.url.split(":")[2].partition("/")[0])
    )
    writer.write(b"POST /v1 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{")
    assert b"408" in await reader.readline()
    writer.close()


BAD_FILES: dict[str, Callable[[], bytes]] = {
    "a bomb": lambda: bomb(60_000),
    "more pixels than allowed": lambda: bomb(7_000),
    "a torn file": lambda: png(64)[:60],
    "text": lambda: b"hello",
    "PostScript": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
    "nothing": lambda: b"",
}


@pytest.mark.parametrize("name", BAD_FILES)
async def test_an_image_that_cannot_be_decoded_safely_is_refused(towers: ClipTowers, name: str) -> None:
    """By size before its pixels are, and by format before its decoder is found."""
    async with Running(Embedder(towers)) as running:
        status, reply = await running.post("", zero_shot(as_url(BAD_FILES[name]())))
        assert is_error(status, reply)
        assert "cannot" in reply["error"]["message"] or "can be decoded" in reply["error"]["message"]
        assert (await running.post("", zero_shot(as_url(png(32)))))[0] == 200


async def test_a_real_model_sees_colours(towers: ClipTowers) -> None:
    """Zero-shot, chat and embeddings agree."""
    red, labels = as_url(png(64)), ["blue", "red", "green"]
    async with Running(Embedder(towers)) as running:
        _, found = await running.post(
            "", zero_shot(red, candidate_labels=labels, hypothesis_template="a {} thing")
        )
        assert found[0]["label"] == "red"
        question = (
            f'{", ".join(labels)}. Complete "a ___ thing" with one of them. Answer with the class name only.'
        )
        _, reply = await running.post("/chat/completions", asked(question, red))
        assert reply["choices"][0]["message"]["content"] == "red"
        _, embedded = await running.post(
            "/embeddings", {"input": [red, *(f"a {one} thing" for one in labels)]}
        )
        image, *texts = (np.array(one["embedding"]) for one in embedded["data"])
        assert labels[int(np.argmax([text @ image for text in texts]))] == "red"


async def test_what_is_asked_for_at_once_is_encoded_once(towers: ClipTowers) -> None:
    """However many ask; what is too long for the model is an error of its own request alone."""
    embedder = Embedder(towers)
    async with Running(embedder) as running:
        requests = [running.post("", zero_shot(as_url(png(16)))) for _ in range(20)]
        long = running.post("", zero_shot(as_url(png(16)), candidate_labels=["word " * 200]))
        *found, refused = await asyncio.gather(*requests, long)
    assert {status for status, _ in found} == {200}
    assert is_error(*refused)
    assert embedder.encoded == (4, 1)


async def test_the_cache_has_a_bound(towers: ClipTowers) -> None:
    """Vectors of which there is no room are encoded again."""
    embedder = Embedder(towers, memory_bytes=3 * 4 * 128)
    for number in (0, 1, 2, 0, 3, 1, 0):
        await embedder.texts([f"number {number}"])
    assert embedder.encoded[0] == 5


async def test_a_texts_vector_does_not_depend_on_its_neighbours(towers: ClipTowers) -> None:
    """Nor on the number of texts in a pass."""
    texts = [f"a photo of {number} things" for number in range(30)]
    together = await Embedder(towers).texts(texts)
    alone = await Embedder(towers).texts(texts[7:8])
    assert np.array_equal(together[7], alone[0])


async def test_a_port_in_use_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do."""
    monkeypatch.setattr(module, "_open", lambda _spec, _report: _Closing())
    async with serving(ServerSettings(spec=SPEC)) as url:
        port = int(url.split(":")[2].partition("/")[0])
        with pytest.raises(module.UsageError, match="--port"):
            async with serving(ServerSettings(spec=SPEC, port=port)):
                pass


class _Closing(WordEmbedder):
    def close(self) -> None:
        """Nothing to end."""
