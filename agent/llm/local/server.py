"""A chat server on loopback: aiohttp in front, one thread with the model behind."""

from __future__ import annotations

import asyncio
import functools
import secrets
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from aiohttp import web

from ...errors import EndpointError
from .answering import Answer, answer
from .generator import (
    GenerationCancelledError,
    GenerationFailedError,
    Generator,
    Sampling,
)
from .listing import Listing, read_chat
from .model_file import MODEL_NAME, missing_packages, model_file
from .protocol import (
    DEFAULT_TOP_P,
    ChatBody,
    RequestError,
    completion,
    model_card,
    read_body,
)

HOST = "127.0.0.1"
MAX_BODY_BYTES = 1_000_000
MAX_WAITING = 4_096
CLOSE_SECONDS = 5.0

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def is_available() -> str | None:
    """Why the local language model cannot be used here; None if it can."""
    if missing := missing_packages():
        return f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed"
    # Imported here because the library itself may be what is missing.
    from .llama import load_library

    try:
        load_library()
    except EndpointError as error:
        return str(error)
    return None


class LocalLLM:
    """An OpenAI-compatible chat server in this process, for as long as the context is open.

    It listens on 127.0.0.1 only, on a port that the system chooses, and answers ``/v1/chat/completions``
    and ``/v1/models``. Requests are worked on one after the other by one thread, in the order in which they
    came; when the client of a request goes away, the work on it ends within one step of the model.

    Args:
        make_generator: makes the model, in the server's thread; by default llama.cpp with the bundled file.
        threads: CPU threads of the default model. Another number rounds otherwise, so that another word may
            be drawn.

    Attributes:
        base_url: where it listens, once it is open, with ``/v1`` at the end.
        model: the name of its model.
    """

    model = MODEL_NAME

    def __init__(self, make_generator: Callable[[], Generator] | None = None, *, threads: int = 1) -> None:
        self.base_url = ""
        self._make = make_generator or functools.partial(_llama, threads)
        self._thread: ThreadPoolExecutor | None = None
        self._generator: Generator | None = None
        self._runner: web.AppRunner | None = None
        self._closing = threading.Event()
        self._waiting = 0

    async def __aenter__(self) -> Self:
        """Load the model and listen.

        Raises:
            EndpointError: if the model cannot be loaded or no port can be had.
        """
        self._closing.clear()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="local-llm")
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._load)
            await self._listen()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening, end the work in hand, free the model."""
        await self._close()

    def _load(self) -> None:
        # Kept from within the thread: a load that nobody waits for any more must be freed too.
        self._generator = self._make()

    def _free(self) -> None:
        generator, self._generator = self._generator, None
        if generator is not None:
            generator.close()

    async def _listen(self) -> None:
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_errors_as_json])
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/v1/models/{name}", self._one_model)
        # Cancelled when the client goes away, so that nobody's text is not waited for by those behind it.
        self._runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=CLOSE_SECONDS
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, 0)
        try:
            await site.start()
        except OSError as error:
            raise EndpointError(f"the local language model cannot listen on {HOST}: {error}") from error
        self.base_url = f"http://{HOST}:{self._runner.addresses[0][1]}/v1"

    async def _close(self) -> None:
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.submit(self._free)
            # In another thread: what the model does in its last step must not stop the loop.
            await asyncio.to_thread(thread.shutdown)

    async def _models(self, _request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [model_card(self.model)]})

    async def _one_model(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name != self.model:
            raise RequestError(404, f"the model {name[:100]!r} does not exist here", code="model_not_found")
        return web.json_response(model_card(self.model))

    async def _chat(self, request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            raise RequestError(415, "the body must be application/json")
        body = read_body(await request.read(), self.model)
        if self._waiting >= MAX_WAITING:
            raise RequestError(503, f"{self._waiting} requests are waiting already; try again later")
        self._waiting += 1
        try:
            answers = await self._answer(body)
        except GenerationCancelledError as error:
            raise RequestError(503, "the server is closing") from error
        except GenerationFailedError as error:
            raise RequestError(500, str(error)) from error
        finally:
            self._waiting -= 1
        return web.json_response(completion(self.model, answers, body.stops))

    async def _answer(self, body: ChatBody) -> list[Answer]:
        gone = threading.Event()

        def cancelled() -> bool:
            return gone.is_set() or self._closing.is_set()

        listing = read_chat([{"role": turn.role, "content": turn.text} for turn in body.messages])
        work = functools.partial(_answers, self._generator, body, listing, cancelled)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            gone.set()


def _answers(
    generator: Generator | None, body: ChatBody, listing: Listing, cancelled: Callable[[], bool]
) -> list[Answer]:
    if generator is None:
        raise GenerationCancelledError
    seed = str(body.seed) if body.seed is not None else secrets.token_hex(8)
    sampling = Sampling(
        temperature=1.0 if body.temperature is None else body.temperature,
        top_p=body.top_p or DEFAULT_TOP_P,
        max_tokens=body.tokens_allowed,
    )
    choices: Sequence[int] = range(body.n or 1)
    return [
        answer(generator, listing, sampling, seed=f"{seed}/{choice}", cancelled=cancelled)
        for choice in choices
    ]


def _llama(threads: int) -> Generator:
    from .llama import LlamaGenerator

    if missing := missing_packages():
        raise EndpointError(
            f"the local language model needs packages that are not installed: {', '.join(missing)}"
        )
    return LlamaGenerator(model_file(), threads=threads)


@web.middleware
async def _errors_as_json(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except RequestError as error:
        return web.json_response(error.body(), status=error.status)
    except web.HTTPException as error:
        wrong = RequestError(error.status, error.reason)
        return web.json_response(wrong.body(), status=error.status)
