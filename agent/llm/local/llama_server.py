"""llama.cpp's server as a child process: started, waited for, ended."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import aiohttp

from ...errors import EndpointError
from ...secrets import Secret
from ...text import printable
from .cores import free_threads

CHILD = Path(__file__).with_name("llama_child.py")
CONTEXT = 8_192
"""Tokens that all conversations on the server may have together: some twenty turns of five templates."""
START_S = 600.0
"""A large model from a slow disk takes its time; one that cannot be loaded dies, and is not waited for."""
POLL_S = 0.1
_LONGEST_LINE = 4096
_WORDS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaSettings:
    """What a server is started with.

    Attributes:
        model: The GGUF file.
        name: What requests call the model.
        slots: Requests that are worked on at once.
        threads: Of llama.cpp; None for as many as have a core of their own at the start.
        context: Tokens that all conversations may have together.
    """

    model: Path
    name: str
    slots: int = 1
    threads: int | None = None
    context: int = CONTEXT


class LlamaServer:
    """A child process that serves one model on loopback; it never outlives this one.

    On Linux the kernel kills it when this process dies, whichever way; elsewhere it ends when the pipe to its
    standard input does. The key that it asks for is made for it, goes to it through that pipe, and is shown
    nowhere. What it logs is read and forgotten, but for its last words.

    Args:
        settings: What to serve.
        command: The child; by default Python with ``llama_child.py``.

    Attributes:
        settings: What it serves.
        key: What it asks for.
        base_url: Where it listens once it is started, with ``/v1`` at the end.
    """

    def __init__(self, settings: LlamaSettings, command: Sequence[str] = ()) -> None:
        self.settings = settings
        self.key = Secret(secrets.token_urlsafe(24))
        self.base_url = ""
        # -P: the folder of the script is no place to import from.
        self._command = command or (sys.executable, "-P", str(CHILD))
        self._process: asyncio.subprocess.Process | None = None
        self._log: deque[bytes] = deque(maxlen=20)
        self._reading: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id; None before it is started and after it is closed."""
        return self._process.pid if self._process is not None else None

    @property
    def is_alive(self) -> bool:
        """Whether the child runs."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start the child and wait until its model is loaded.

        Raises:
            EndpointError: It dies, or takes too long; with its last words.
        """
        self._log.clear()
        self.base_url = ""
        try:
            # In a session of its own: Ctrl-C in the terminal is for the search, which waits for answers.
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
                await self._healthy()
        except TimeoutError:
            await self.close()
            raise EndpointError(f"the local language model is not loaded after {START_S:,.0f} s") from None
        except OSError as error:
            await self.close()
            raise EndpointError(f"the local language model cannot be started: {error}") from error
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End the child; it has nothing to put in order."""
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
        """Return how the child ended and what it said last."""
        if self._process is None:
            return "it is closed"
        code = await self._process.wait()
        if self._reading is not None:
            await self._reading
        how = f"killed by signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        if code == -signal.SIGKILL:
            how += "; was the memory full?"
        said = [line.decode("utf-8", "replace").strip() for line in self._log]
        words = said[-1] if said else ""
        if not self.base_url:
            # A load that fails says first what is wrong, and then what is given up for that.
            words = next((line.partition(" E ")[2] for line in said if " E " in line), words)
        return printable(f"{how}: {words}"[:_WORDS]) if words else how

    async def _address(self, process: asyncio.subprocess.Process) -> str:
        """Tell the child what to serve; return where it listens.

        Raises:
            EndpointError: It died.
        """
        assert process.stdin is not None
        assert process.stdout is not None
        chosen = self.settings
        told = {
            "parent": os.getpid(),
            "key": self.key.reveal(),
            "model": str(chosen.model),
            "name": chosen.name,
            "slots": chosen.slots,
            "threads": chosen.threads or free_threads(),
            "context": chosen.context,
        }
        with suppress(ConnectionError):  # one that is dead has last words
            process.stdin.write(f"{json.dumps(told)}\n".encode())
            await process.stdin.drain()
        line = await process.stdout.readline()
        try:
            return f"{json.loads(line)['url']}/v1"
        except (ValueError, KeyError, TypeError):
            if line and process.returncode is None:
                process.kill()
            raise await self._not_started() from None

    async def _healthy(self) -> None:
        """Wait until the server says that it is ready.

        Raises:
            EndpointError: It died.
        """
        url = self.base_url.removesuffix("/v1") + "/health"
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=START_S)) as session:
            while self.is_alive:
                with suppress(aiohttp.ClientError):
                    async with session.get(url) as reply:
                        if reply.status == HTTPStatus.OK:
                            return
                await asyncio.sleep(POLL_S)
        raise await self._not_started()

    async def _not_started(self) -> EndpointError:
        name = self.settings.name
        return EndpointError(f"the local language model {name} does not start ({await self.last_words()})")

    async def _read_log(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        rest = b""
        while chunk := await process.stderr.read(4096):
            # A chunk ends where it likes, not where a line does.
            *lines, rest = (rest + chunk).split(b"\n")
            self._log.extend(line for line in lines if line.strip())
            rest = rest[-_LONGEST_LINE:]
        if rest.strip():
            self._log.append(rest)
