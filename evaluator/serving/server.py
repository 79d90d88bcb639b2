"""A server of one CLIP model that speaks three protocols: zero-shot, embeddings, and multimodal chat."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

import numpy as np
from aiohttp import web
from pydantic import BaseModel, ValidationError

from ..errors import DataError, UsageError
from ..spec import EvaluatorSpec, Report
from .bodies import BodyError, ChatBody, EmbeddingBody, InterleavedBody, ZeroShotBody
from .simulated_chat import NO_IMAGE, NO_LIST, answer, choose, read_instruction

LOOPBACK = ("127.0.0.1", "localhost", "::1")
DEFAULT_PORT, DEFAULT_MAX_BODY_MB = 8000, 16
MOST_AT_ONCE = 128
"""Most requests under way; further ones are sent away for a second."""
READING_S, STOPPING_S = 30.0, 10.0
"""Most seconds for a body to arrive, and for open requests when the server stops."""
MODELS_OWNER = "promptclimb"
MOST_TEXT = 200_000
"""Most characters of an instruction."""
CHARACTERS_PER_TOKEN = 4
IMAGE_TOKENS = {"low": 85, "high": 765, "auto": 765}
"""What an image is said to cost, as OpenAI counts one of 512 to 1,024 pixels."""

Body = TypeVar("Body", bound=BaseModel)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RefusedRequestError(Exception):
    """A request is refused with an error in OpenAI's form."""

    def __init__(self, status: int, message: str, code: str = "invalid_request", param: str | None = None):
        self.status, self.message, self.code, self.param = status, message, code, param
        super().__init__(message)

    def response(self) -> web.Response:
        kind = {401: "authentication_error", 429: "requests", 503: "server_error", 500: "server_error"}
        error = {
            "message": self.message,
            "type": kind.get(self.status, "invalid_request_error"),
            "param": self.param,
            "code": self.code,
        }
        headers = {"Retry-After": "1"} if self.status == 503 else {}
        return web.json_response({"error": error}, status=self.status, headers=headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How to serve.

    Attributes:
        spec: Names the model, its weights and the device.
        host: Where to listen.
        port: 0 for any free one.
        key: What every request must bring as its bearer token; None for none.
        max_body: Most bytes of a body.
        scores: Whether zero-shot replies give probabilities; otherwise 1 for the first label and 0 elsewhere.
    """

    spec: EvaluatorSpec
    host: str = LOOPBACK[0]
    port: int = 0
    key: str | None = field(default=None, repr=False)
    max_body: int = DEFAULT_MAX_BODY_MB * 2**20
    scores: bool = False


class ModelServer:
    """The web application of one model; ``embedder`` is anything like ``embedder.Embedder``."""

    def __init__(self, settings: ServerSettings, embedder: Any, report: Report = lambda _line: None) -> None:
        self._settings, self._embedder, self._report = settings, embedder, report
        self._model = settings.spec.model
        self._started = int(time.time())
        self._at_once = 0
        self._random = Random()

    def application(self, *middlewares: Any) -> web.Application:
        """Return the application; ``middlewares`` stand between its guard and its handlers."""
        made = web.Application(
            middlewares=[self._guard, *middlewares], client_max_size=self._settings.max_body
        )
        add = made.router.add_post
        for path in ("/", "/v1", "/v1/", "/models/{model:.+}", "/v1/models/{model:.+}"):
            add(path, self._zero_shot)
        add("/v1/embeddings", self._embeddings)
        add("/v1/multimodalembeddings", self._voyage)
        for path in ("/v1/embed", "/v2/embed"):
            add(path, self._cohere)
        add("/v1/chat/completions", self._chat)
        made.router.add_get("/v1/models", self._models)
        made.router.add_get("/v1/models/{model:.+}", self._one_model)
        return made

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Admit who may ask, so many at once, and turn every error into OpenAI's form."""
        try:
            self._check_sender(request)
            if self._at_once >= MOST_AT_ONCE:
                raise RefusedRequestError(503, f"{MOST_AT_ONCE} requests are under way", "overloaded")
            self._at_once += 1
            try:
                return await handler(request)
            finally:
                self._at_once -= 1
        except RefusedRequestError as refused:
            return refused.response()
        except (BodyError, DataError) as error:
            return RefusedRequestError(400, str(error)).response()
        except web.HTTPRequestEntityTooLarge:
            size = f"{self._settings.max_body / 2**20:g} MiB"
            return RefusedRequestError(
                413, f"the body is larger than {size} (--max-body)", "too_large"
            ).response()
        except web.HTTPException as error:
            message = f"{request.method} {request.path} is not served here"
            return RefusedRequestError(
                error.status, message, error.reason.lower().replace(" ", "_")
            ).response()
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception as error:  # noqa: BLE001 - the last stop of a request: the server goes on
            self._report(f"a request failed: {type(error).__name__}: {error}")
            return RefusedRequestError(500, "the model failed on this request", "internal_error").response()

    def _check_sender(self, request: web.Request) -> None:
        host, local = self._settings.host, self._settings.host in LOOPBACK
        if local and not _names_loopback(request.host):
            raise RefusedRequestError(403, "this server is for this machine", "forbidden")
        origin = request.headers.get("Origin")
        if origin is not None and not (local and _names_loopback(origin.partition("://")[2])):
            raise RefusedRequestError(403, f"pages may not ask this server on {host}", "forbidden")
        key = self._settings.key
        if key is not None:
            given = request.headers.get("Authorization", "")
            if not hmac.compare_digest(given.encode("utf-8", "replace"), f"Bearer {key}".encode()):
                raise RefusedRequestError(401, "send the server's key as a bearer token", "invalid_api_key")

    async def _body(self, request: web.Request, form: type[Body]) -> Body:
        if request.headers.get("Content-Encoding", "identity") != "identity":
            raise RefusedRequestError(415, "send the body uncompressed", "unsupported_encoding")
        try:
            async with asyncio.timeout(READING_S):
                content = await request.read()
        except TimeoutError:
            raise RefusedRequestError(408, f"no body within {READING_S:g} s", "timeout") from None
        try:
            document = json.loads(content.decode("utf-8"), parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise RefusedRequestError(
                400, f"the body is not JSON in UTF-8 ({type(error).__name__})"
            ) from error
        try:
            body = form.model_validate(document)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            place = ".".join(map(str, first["loc"]))[:200]
            raise RefusedRequestError(
                400, f"{place or 'the body'}: {first['msg']}", param=place or None
            ) from error
        model = getattr(body, "model", None) or request.match_info.get("model")
        if model is not None and model != self._model:
            raise RefusedRequestError(404, f"this server serves {self._model}", "model_not_found", "model")
        return body

    async def _models(self, _request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [self._described()]})

    async def _one_model(self, request: web.Request) -> web.Response:
        if request.match_info["model"] != self._model:
            raise RefusedRequestError(404, f"this server serves {self._model}", "model_not_found", "model")
        return web.json_response(self._described())

    def _described(self) -> dict[str, Any]:
        return {"id": self._model, "object": "model", "created": self._started, "owned_by": MODELS_OWNER}

    async def _zero_shot(self, request: web.Request) -> web.Response:
        body = await self._body(request, ZeroShotBody)
        logits = await self._embedder.logits(body.image, body.texts)
        order = np.argsort(-logits, kind="stable").tolist()
        if self._settings.scores:
            shares = _softmax(logits)
        else:  # the form needs scores; these say no more than the label
            shares = np.zeros(len(logits))
            shares[order[0]] = 1.0
            order = [order[0], *(place for place in range(len(logits)) if place != order[0])]
        labels = body.labels
        return web.json_response([{"label": labels[one], "score": float(shares[one])} for one in order])

    async def _vectors(self, inputs: Sequence[str | bytes]) -> list[np.ndarray[Any, Any]]:
        texts = [one for one in inputs if isinstance(one, str)]
        images = [one for one in inputs if isinstance(one, bytes)]
        by_kind = {
            str: iter(await self._embedder.texts(texts) if texts else ()),
            bytes: iter(await self._embedder.images(images) if images else ()),
        }
        return [next(by_kind[type(one)]) for one in inputs]

    async def _embeddings(self, request: web.Request) -> web.Response:
        body = await self._body(request, EmbeddingBody)
        inputs = body.inputs
        vectors = await self._vectors(inputs)
        if body.dimensions is not None and body.dimensions != len(vectors[0]):
            raise RefusedRequestError(400, f"vectors have {len(vectors[0])} dimensions", param="dimensions")
        encode = _as_base64 if body.encoding_format == "base64" else _as_list
        tokens = sum(_tokens_of(one) for one in inputs)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return web.json_response(self._listed(vectors, encode) | {"usage": usage})

    async def _voyage(self, request: web.Request) -> web.Response:
        values = (await self._body(request, InterleavedBody)).values
        listed = self._listed(await self._vectors(values), _as_list)
        texts = sum(_tokens_of(one) for one in values if isinstance(one, str))
        images = sum(_tokens_of(one) for one in values if isinstance(one, bytes))
        usage = {"text_tokens": texts, "image_pixels": images * 560, "total_tokens": texts + images}
        return web.json_response(listed | {"usage": usage})

    async def _cohere(self, request: web.Request) -> web.Response:
        body = await self._body(request, InterleavedBody)
        if body.embedding_types not in (None, ["float"]):
            raise RefusedRequestError(400, 'embedding_types may be ["float"]', param="embedding_types")
        values = body.values
        vectors = [vector.tolist() for vector in await self._vectors(values)]
        tokens = sum(_tokens_of(one) for one in values)
        meta = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": tokens}}
        name = hashlib.sha256(repr(values).encode()).hexdigest()[:32]
        return web.json_response(
            {"id": name, "embeddings": {"float": vectors}, "texts": body.texts, "meta": meta}
        )

    def _listed(self, vectors: Sequence[Any], encode: Callable[[Any], Any]) -> dict[str, Any]:
        data = [
            {"object": "embedding", "index": index, "embedding": encode(vector)}
            for index, vector in enumerate(vectors)
        ]
        return {"object": "list", "model": self._model, "data": data}

    async def _chat(self, request: web.Request) -> web.Response:
        body = await self._body(request, ChatBody)
        if body.stream:
            raise RefusedRequestError(400, "this server does not stream; leave out stream", param="stream")
        if body.logprobs:
            raise RefusedRequestError(400, "answers have no logprobs; leave it out", param="logprobs")
        parts = body.parts
        values = [part.value for part in parts]
        text = "\n".join(value for value in values if isinstance(value, str))
        images = [value for value in values if isinstance(value, bytes)]
        if len(text) > MOST_TEXT:
            long = f"the text has {len(text):,} characters; at most {MOST_TEXT:,} are read"
            raise RefusedRequestError(400, long, "context_length_exceeded", "messages")
        if len(images) > 1:
            raise RefusedRequestError(400, "send one image with each request", param="messages")
        prompt = math.ceil(len(text) / CHARACTERS_PER_TOKEN) + sum(
            IMAGE_TOKENS[part.detail]
            for part, value in zip(parts, values, strict=True)
            if isinstance(value, bytes)
        )
        answers = await self._answers(body, text, images)
        most = body.max_completion_tokens or body.max_tokens or 10**6
        said = sum(min(most, _count(one)) for one in answers)
        document = {
            "id": f"chatcmpl-{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:24]}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": self._model,
            "choices": [_choice(index, one, most) for index, one in enumerate(answers)],
            "usage": {"prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said},
        }
        return web.json_response(document)

    async def _answers(self, body: ChatBody, text: str, images: Sequence[bytes]) -> list[str]:
        number = body.n or 1
        if not images:
            return [NO_IMAGE] * number
        asked = read_instruction(text, wants_json=body.wants_json)
        if asked.options is None:
            return [NO_LIST] * number
        texts = [asked.template.replace("{}", name) for name in asked.options.names]
        logits = await self._embedder.logits(images[0], texts)
        rng = self._random if body.seed is None else Random(f"{body.seed}/{text}")
        temperature = 1.0 if body.temperature is None else body.temperature
        chosen = [choose(logits, temperature, rng) for _ in range(number)]
        return [answer(asked, one, images[0], text) for one in chosen]


def _choice(index: int, text: str, most: int) -> dict[str, Any]:
    whole = _count(text) <= most
    content = text if whole else text[: most * CHARACTERS_PER_TOKEN]
    return {
        "index": index,
        "message": {"role": "assistant", "content": content, "refusal": None},
        "finish_reason": "stop" if whole else "length",
        "logprobs": None,
    }


def _count(text: str) -> int:
    return max(1, math.ceil(len(text) / CHARACTERS_PER_TOKEN))


def _tokens_of(value: str | bytes) -> int:
    return _count(value) if isinstance(value, str) else IMAGE_TOKENS["low"]


def _as_list(vector: np.ndarray[Any, Any]) -> Any:
    return vector.tolist()


def _as_base64(vector: np.ndarray[Any, Any]) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def _softmax(logits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    powers = np.exp(logits.astype(np.float64) - logits.max())
    found: np.ndarray[Any, Any] = powers / powers.sum()
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _names_loopback(host: str) -> bool:
    return host.rpartition(":")[0] in {"127.0.0.1", "localhost", "[::1]"} or host in LOOPBACK


@asynccontextmanager
async def serving(
    settings: ServerSettings, report: Report = lambda _line: None, *middlewares: Any
) -> AsyncIterator[str]:
    """Serve a model while the context is open, and give the address below which it answers.

    Open requests are answered before it ends, for at most ten seconds.

    Args:
        settings: What to serve, and where.
        report: Called with lines about the model, and about requests that failed.
        middlewares: Of aiohttp, before the handlers.

    Raises:
        ModelError: The model, its checkpoint or the device cannot be used.
        UsageError: The address cannot be used.
    """
    embedder = await asyncio.to_thread(_open, settings.spec, report)
    try:
        application = ModelServer(settings, embedder, report).application(*middlewares)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=STOPPING_S)
        await runner.setup()
        try:
            try:
                await web.TCPSite(runner, settings.host, settings.port).start()
            except OSError as error:
                raise UsageError(
                    f"cannot listen on {settings.host}:{settings.port} ({error.strerror or error}); "
                    "use another --port or --host"
                ) from error
            port = runner.addresses[0][1]
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            yield f"http://{host}:{port}/v1"
        finally:
            await runner.cleanup()
    finally:
        embedder.close()


def _open(spec: EvaluatorSpec, report: Report) -> Any:
    from .embedder import ClipTowers, Embedder

    return Embedder(ClipTowers(spec, report))
