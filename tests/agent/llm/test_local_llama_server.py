"""The child process: it serves with a key of its own, and is gone however its parent ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from promptclimb.agent.errors import EndpointError
from promptclimb.agent.llm.local_server import CHILD, LlamaServer, LlamaSettings
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


async def test_it_serves_on_loopback_to_whoever_has_its_key(model: Model) -> None:
    """Nobody else on this machine gets an answer; what the library prints is not taken for an address."""
    server = LlamaServer(settings(model()))
    await server.start()
    try:
        assert server.base_url.startswith("http://127.0.0.1:")
        assert await status(server, server.key.reveal()) == 200
        assert await status(server, "another") == 401
    finally:
        await server.close()
    assert server.pid is None


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
async def test_the_key_is_shown_nowhere(model: Model) -> None:
    """It is in no argument and no variable, which others on the machine could read."""
    server = LlamaServer(settings(model()))
    await server.start()
    try:
        for file in ("cmdline", "environ"):
            shown = await asyncio.to_thread(Path(f"/proc/{server.pid}/{file}").read_bytes)
            assert server.key.reveal().encode() not in shown
        assert server.key.reveal() not in repr(vars(server))
    finally:
        await server.close()


async def test_each_server_has_a_key_and_a_port_of_its_own(model: Model) -> None:
    """Two searches at once do not meet."""
    one, other = LlamaServer(settings(model())), LlamaServer(settings(model()))
    await asyncio.gather(one.start(), other.start())
    try:
        assert one.base_url != other.base_url
        assert await status(one, other.key.reveal()) == 401
    finally:
        await one.close()
        await other.close()


async def test_closed_it_is_gone(model: Model) -> None:
    """The child has ended when `close` returns, and closing twice is nothing."""
    server = LlamaServer(settings(model()))
    await server.start()
    pid = server.pid
    assert pid is not None
    assert server.is_alive
    await server.close()
    await server.close()
    assert not server.is_alive
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_one_that_cannot_load_its_model_says_why(model: Model) -> None:
    """The error has the first complaint, not what was given up for it."""
    server = LlamaServer(settings(model(fails="the tensors are torn")))
    with pytest.raises(EndpointError, match=r"does not start \(exit code 1: load: the tensors are torn\)"):
        await server.start()
    assert server.pid is None


@pytest.mark.parametrize("said", ["print('no address')", "pass", "import sys; sys.exit('sorry')"])
async def test_one_that_is_no_server_is_ended(said: str, model: Model) -> None:
    """What comes from a child that is something else is no address, and nothing waits for it."""
    server = LlamaServer(settings(model()), (sys.executable, "-c", said))
    with pytest.raises(EndpointError, match="does not start"):
        await server.start()


async def test_a_command_that_is_not_there_is_an_error(model: Model) -> None:
    """A missing Python is reported like any other fault."""
    server = LlamaServer(settings(model()), ("/nowhere/python",))
    with pytest.raises(EndpointError, match="cannot be started"):
        await server.start()


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
    [signal.SIGKILL, *(pytest.param(one, marks=pytest.mark.slow) for one in (signal.SIGTERM, signal.SIGINT))],
)
def test_it_does_not_outlive_a_parent_that_is_killed(number: signal.Signals, model: Model) -> None:
    """Whatever ends the process that started it, the server ends too."""
    with parent_of_server(model()) as (parent, pid):
        os.kill(pid, 0)
        parent.send_signal(number)
        parent.wait(LONG_S)
        assert ends(pid)


def child(settings: dict[str, Any]) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-P", str(CHILD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(settings) + "\n")
    process.stdin.flush()
    return process


def settings_of(model: Path, *, parent: int) -> dict[str, Any]:
    plain = {"key": "k", "model": str(model), "name": "m", "slots": 1, "threads": 1, "context": 64}
    return {"parent": parent, **plain}


def test_it_ends_with_the_pipe_alone(model: Model) -> None:
    """Where no kernel kills it, the end of its standard input shows that the parent is gone."""
    with child(settings_of(model(), parent=os.getpid())) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["url"].startswith("http://127.0.0.1:")
        process.stdin.close()
        assert process.wait(LONG_S) == 0


def test_it_does_not_serve_a_parent_that_died_before_it_looked(model: Model) -> None:
    """A parent that was gone before the kernel was asked to report it is noticed all the same."""
    with child(settings_of(model(), parent=1)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == ""
        assert process.wait(LONG_S) == 0


def test_it_ends_when_it_gets_no_settings() -> None:
    """A parent that died before it said what to serve leaves no child."""
    command = [sys.executable, "-P", str(CHILD)]
    assert subprocess.run(command, input=b"", timeout=LONG_S, check=False).returncode == 0
