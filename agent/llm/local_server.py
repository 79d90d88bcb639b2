"""``llm="local"``: llama.cpp's chat server as a child process on loopback, and its client."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import math
import os
import secrets
import signal
import sys
import threading
import time
import weakref
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from pydantic import SecretStr

from ...evaluator.threads import in_thread
from ..config.fields import local_model
from ..errors import EndpointError, FatalChatError
from ..events.types import Listener, ModelFetched
from ..secrets import Scrubber
from ..text import printable
from .chat import ChatAnswer, ChatRequest
from .client import OpenAIChat
from .local_models import KNOWN_MODELS, model_file, model_name

PACKAGE = "xllamacpp"
CHILD = Path(__file__).with_name("llama_child.py")
START_S = 600.0
"""A large model loads slowly from a slow disk; a child that dies is not waited for."""
MOST_THREADS = 8
"""A small model gains little from more, since memory limits it."""
EVERY_S = 2.0
QUOTA = Path("/sys/fs/cgroup/cpu.max")
_MOST_LOGGED = 16_384
_WORDS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaSettings:
    """Settings of a server."""

    model: Path  # the GGUF file
    name: str  # in requests
    threads: int | None = None  # None for as many as have a core of their own at the start


class LlamaServer:
    """A child process that serves one model on loopback; it never outlives this one.

    It ends when its standard input does, however this process dies. Its random API key goes to it through
    that pipe and is never shown. Only the end of its log is kept.

    ``command`` is the child, by default Python with ``llama_child.py``. ``base_url`` is set once it is
    started and ends in ``/v1``.
    """

    def __init__(self, settings: LlamaSettings, command: Sequence[str] = ()) -> None:
        self.settings = settings
        self.key = SecretStr(secrets.token_urlsafe(24))
        self.base_url = ""
        # -P: the folder of the script is no place to import from.
        self._command = command or (sys.executable, "-P", str(CHILD))
        self._process: asyncio.subprocess.Process | None = None
        self._log = b""
        self._reading: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id; None before it is started and after it is closed."""
        return self._process.pid if self._process is not None else None

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start the child and wait until its model is loaded, or raise EndpointError with its last words."""
        self._log, self.base_url = b"", ""
        try:
            # In its own session: Ctrl-C in the terminal is for the search, which waits for answers.
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
            self._reading = asyncio.create_task(self._read_log(self._process))
            async with asyncio.timeout(START_S):
                self.base_url = await self._address(self._process)
        except BaseException as error:
            await self.close()
            if isinstance(error, TimeoutError):
                late = f"the local language model is not loaded after {START_S:,.0f} s"
                raise EndpointError(late) from None
            if isinstance(error, OSError):
                raise EndpointError(f"the local language model cannot be started: {error}") from error
            raise

    async def close(self) -> None:
        """End the child; it has nothing to save."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        if self._reading is not None:
            await self._reading
        if process.stdin is not None:
            process.stdin.close()
            with suppress(OSError):
                await process.stdin.wait_closed()

    async def last_words(self) -> str:
        """Return how the child ended and the last line of its log."""
        if self._process is None:
            return "it is closed"
        code = await self._process.wait()
        if self._reading is not None:
            await self._reading
        how = f"killed by signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        if code == -signal.SIGKILL:
            how += "; was the memory full?"
        log = self._log.decode("utf-8", "replace")
        lines = [line.strip() for line in log.split("\n") if line.strip()]
        words = lines[-1] if lines else ""
        if not self.base_url:
            # A failing load first logs the cause, then its consequences.
            words = next((line.partition(" E ")[2] for line in lines if " E " in line), words)
        return printable(f"{how}: {words}"[:_WORDS]) if words else how

    async def _address(self, process: asyncio.subprocess.Process) -> str:
        """Return where the child serves, which it says once its model is loaded."""
        assert process.stdin is not None
        assert process.stdout is not None
        chosen = self.settings
        settings = {
            "key": self.key.get_secret_value(),
            "model": str(chosen.model),
            "name": chosen.name,
            "threads": chosen.threads or free_threads(),
        }
        with suppress(ConnectionError):  # one that is dead has last words
            process.stdin.write(f"{json.dumps(settings)}\n".encode())
            await process.stdin.drain()
        line = await process.stdout.readline()
        try:
            return f"{json.loads(line)['url']}/v1"
        except (ValueError, KeyError, TypeError):
            if line and process.returncode is None:
                process.kill()
            why = f"{chosen.name} does not start ({await self.last_words()})"
            raise EndpointError(f"the local language model {why}") from None

    async def _read_log(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        while chunk := await process.stderr.read(4096):
            self._log = (self._log + chunk)[-_MOST_LOGGED:]


class LocalChat:
    """A ``Client`` on a started server; ``users`` are the searches that have it."""

    def __init__(self, server: LlamaServer, scrubber: Scrubber) -> None:
        self.server = server
        self.users = 0
        self.client = OpenAIChat(server.base_url, server.key, scrubber=scrubber, max_connections=1)

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        """Make one attempt; raise FatalChatError if the server has died."""
        if not self.server.is_alive:
            raise FatalChatError(f"the local language model has died ({await self.server.last_words()})")
        return await self.client.chat(replace(request, model=self.server.settings.name))


_Chats: TypeAlias = dict[LlamaSettings, LocalChat]
_shared = weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[asyncio.Lock, _Chats]]()
"""The chats that searches of one event loop have open."""


@asynccontextmanager
async def shared_chat(settings: LlamaSettings, *, scrubber: Scrubber) -> AsyncIterator[LocalChat]:
    """Yield a chat with a local model; searches that run at once share a server, which the last closes."""
    lock, chats = _shared.setdefault(asyncio.get_running_loop(), (asyncio.Lock(), {}))
    async with lock:
        chat = chats.get(settings)
        if chat is None or not chat.server.is_alive:
            server = LlamaServer(settings)
            await server.start()
            chats[settings] = chat = LocalChat(server, scrubber)
        chat.users += 1
    try:
        yield chat
    finally:
        async with lock:
            chat.users -= 1
            if not chat.users:
                if chats.get(settings) is chat:
                    del chats[settings]
                async with chat.client:
                    await chat.server.close()


def is_installed() -> bool:
    """Return whether the extra with llama.cpp is installed."""
    return importlib.util.find_spec(PACKAGE) is not None


def check_here(llm: str) -> None:
    """Raise EndpointError if llama.cpp is not installed, or the user's file is not a model; load nothing."""
    if not is_installed():
        raise EndpointError(f"{PACKAGE} is not installed")
    if isinstance(local_model(llm), Path):
        model_file(llm, lambda _source, _done: None)


async def make_ready(llm: str, emit: Listener) -> Path:
    """Return a local model's file, downloaded if missing; raise EndpointError if it cannot be used here."""
    if not is_installed():
        raise EndpointError(f"{PACKAGE} is not installed")
    loop = asyncio.get_running_loop()
    given_up = threading.Event()
    name = model_name(llm)
    size = KNOWN_MODELS[known].size if isinstance(known := local_model(llm), str) else 0
    shown_at, last = 0.0, -1

    def progress(source: str, done: int) -> None:
        nonlocal shown_at, last
        if given_up.is_set():
            raise EndpointError("the search was stopped")
        if done > last and (done == size or time.monotonic() >= shown_at + EVERY_S):
            shown_at, last = time.monotonic(), done
            event = ModelFetched(model=name, source=source, done=done, of=size)
            if not loop.is_closed():
                loop.call_soon_threadsafe(emit, event)

    try:
        return await in_thread(lambda: model_file(llm, progress))
    finally:
        given_up.set()  # a cancelled search waits for it no longer


def free_threads() -> int:
    """Return how many threads are worth starting now; at least one.

    llama.cpp's threads wait for each other by spinning. If one of them shares its core, the others waste
    theirs: on two busy cores two threads are several times slower than one. So only idle cores count, and one
    is left to the evaluator.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else cores  # Windows has none
    with suppress(OSError, ValueError, ZeroDivisionError):  # a container's share; "max" for all
        used, _, period = QUOTA.read_text("ascii").partition(" ")
        cores = min(cores, int(used) // int(period))
    return max(1, min(MOST_THREADS, math.floor(cores - load - 1)))
