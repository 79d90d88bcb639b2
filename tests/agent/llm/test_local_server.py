"""The local LLM: its process, whether it can be used, its threads."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from promptclimb.agent.api import search
from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.errors import EndpointError, TransientChatError
from promptclimb.agent.events.types import Event, ModelFetched
from promptclimb.agent.llm import local_server
from promptclimb.agent.llm.chat import ChatRequest
from promptclimb.agent.llm.local_server import (
    MOST_THREADS,
    LlamaServer,
    LlamaSettings,
    make_ready,
    shared_chat,
)
from promptclimb.agent.secrets import Scrubber
from promptclimb.evaluator.errors import ConfigError
from tests.fakes.evaluators import FakeEvaluator
from tests.fakes.orphans import LONG_S, ends, parent_of_server

pytestmark = pytest.mark.usefixtures("llama")
Model = Callable[..., Path]
LOADS_FOR_EVER = """
import os, time
with open({pid!r}, "w") as file:
    file.write(str(os.getpid()))
time.sleep(600)
"""


def settings(model: Path) -> LlamaSettings:
    return LlamaSettings(model=model, name="a-model", threads=1)


async def status(server: LlamaServer, key: str) -> int:
    body = {"model": "a-model", "messages": []}
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session,
        session.post(f"{server.base_url}/chat/completions", json=body) as reply,
    ):
        return reply.status


@pytest.fixture
async def running(model: Model) -> AsyncIterator[tuple[LlamaServer, LlamaServer]]:
    """Two servers that have started."""
    servers = LlamaServer(settings(model())), LlamaServer(settings(model()))
    await asyncio.gather(*(server.start() for server in servers))
    yield servers
    await asyncio.gather(*(server.close() for server in servers))


async def test_it_serves_on_loopback_to_whoever_has_its_key(running: tuple[LlamaServer, LlamaServer]) -> None:
    """Nobody else on this machine gets an answer, and two searches at once do not meet."""
    server, other = running
    assert server.base_url.startswith("http://127.0.0.1:")  # not what the library prints
    assert server.base_url != other.base_url
    assert await status(server, server.key.get_secret_value()) == 200
    assert await status(server, "another") == await status(server, other.key.get_secret_value()) == 401


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
async def test_the_key_is_shown_nowhere_and_closed_it_is_gone(
    running: tuple[LlamaServer, LlamaServer],
) -> None:
    """It is in no argument and no variable, which others could read; closing twice is nothing."""
    server, pid = running[0], running[0].pid
    assert pid is not None
    assert server.is_alive
    for file in ("cmdline", "environ"):
        shown = await asyncio.to_thread(Path(f"/proc/{pid}/{file}").read_bytes)
        assert server.key.get_secret_value().encode() not in shown
    assert server.key.get_secret_value() not in repr(vars(server))
    await server.close()
    await server.close()
    assert (server.is_alive, server.pid) == (False, None)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_one_that_cannot_load_its_model_says_why(model: Model) -> None:
    """The error has the first complaint, not what was given up for it."""
    server = LlamaServer(settings(model(fails="the tensors are torn")))
    with pytest.raises(EndpointError, match=r"does not start \(exit code 1: load: the tensors are torn\)"):
        await server.start()
    assert server.pid is None


@pytest.mark.skipif(sys.platform != "linux", reason="waits for a process by its id")
async def test_cancelled_while_it_loads_it_leaves_nothing(model: Model, tmp_path: Path) -> None:
    """A search that is stopped while the model loads leaves no child."""
    os.mkfifo(tmp_path / "pid")
    loads = LOADS_FOR_EVER.format(pid=str(tmp_path / "pid"))
    server = LlamaServer(settings(model()), (sys.executable, "-c", loads))
    starting = asyncio.create_task(server.start())
    pid = int(await asyncio.to_thread((tmp_path / "pid").read_text))
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert ends(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="waits for a process by its id")
@pytest.mark.parametrize(
    "number",
    [
        signal.SIGKILL,
        *(pytest.param(number, marks=pytest.mark.slow) for number in (signal.SIGTERM, signal.SIGINT)),
    ],
)
def test_it_does_not_outlive_a_parent_that_is_killed(number: signal.Signals, model: Model) -> None:
    """Whatever ends the process that started it, the server ends too."""
    with parent_of_server(model()) as (parent, pid):
        os.kill(pid, 0)
        parent.send_signal(number)
        parent.wait(LONG_S)
        assert ends(pid)


REQUEST = ChatRequest(messages=({"role": "user", "content": "write"},), model="m")


async def test_searches_at_once_share_a_server(model: Model) -> None:
    """The last one ends it, whichever began first; other settings have their own, and so has a dead one."""
    file = model(dies_after=1)
    async with AsyncExitStack() as first_search, AsyncExitStack() as second_search:
        chats = [
            await stack.enter_async_context(shared_chat(settings(file), scrubber=Scrubber()))
            for stack in (first_search, second_search)
        ]
        assert chats[0] is chats[1]
        wider = replace(settings(file), threads=2)
        async with shared_chat(wider, scrubber=Scrubber()) as third:
            assert third is not chats[0]
        await first_search.aclose()
        server = chats[1].server
        assert (await chats[1].chat(REQUEST)).text
        with pytest.raises(TransientChatError):  # the connection breaks
            await chats[1].chat(REQUEST)
        await server.last_words()
        async with shared_chat(settings(file), scrubber=Scrubber()) as anew:
            assert (await anew.chat(REQUEST)).text
    assert (server.pid, anew.server.pid) == (None, None)


@pytest.fixture
def fetching(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Have a fetch say how far it is and fail; each is noted."""
    asked: list[str] = []

    def fetch(llm: str, progress: Callable[[str, int], None]) -> Path:
        asked.append(llm)
        for done in (0, 10, 10, 491_400_064):
            progress("a hub", done)
        raise EndpointError("the index is offline")

    monkeypatch.setattr(local_server, "model_file", fetch)
    return asked


async def test_a_library_that_does_not_run_here_is_found_out(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was built for other processors takes the server with it, but not the search."""
    (tmp_path / "xllamacpp.py").write_text("import os; os.abort()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    chosen = SearchConfig(data="words", llm=f"local:{model()}")
    with pytest.raises(ConfigError, match=r"does not start \(killed by signal SIGABRT\)"):
        await search(chosen, custom_scorer=FakeEvaluator())


async def test_how_far_a_download_is_is_reported(fetching: list[str]) -> None:
    """In bytes of bytes, seldom enough for a log, and at its end."""
    events: list[Event] = []
    with pytest.raises(EndpointError, match="offline"):
        await make_ready("local", events.append)
    first, last = [event for event in events if isinstance(event, ModelFetched)]
    assert (first.done, last.done, last.of, last.source) == (0, 491_400_064, 491_400_064, "a hub")


@pytest.mark.parametrize(
    ("cores", "load", "quota", "threads"),
    [
        (1, 0.0, "max 100000", 1), (2, 5.0, "max 100000", 1), (4, 0.0, "max 100000", 3), (4, 0.3, "", 2),
        (64, 1.0, "max 100000", MOST_THREADS), (64, 1.0, "400000 100000", 2),
    ],
)  # fmt: skip
def test_only_cores_that_nobody_uses_count(
    cores: int, load: float, quota: str, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is left to the evaluator, and a container's share is obeyed; one thread there always is."""
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(local_server, "QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: range(cores), raising=False)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0), raising=False)
    assert local_server.free_threads() == threads
