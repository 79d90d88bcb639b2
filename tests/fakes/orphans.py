"""A process that starts a local LLM's server, to be killed; and whether a process ends."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.paths import ROOT

LONG_S = 60
_PARENT = """
import asyncio, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in a shell's background ignores it
sys.path.insert(0, {root!r})
from pathlib import Path
from promptclimb.agent.llm.local_server import LlamaServer, LlamaSettings

async def main():
    server = LlamaServer(LlamaSettings(model=Path({model!r}), name="m"))
    await server.start()
    print(server.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@contextmanager
def parent_of_server(model: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that has started a server, and the server's process id."""
    command = [sys.executable, "-c", _PARENT.format(root=str(ROOT), model=str(model))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        try:
            yield parent, int(parent.stdout.readline())
        finally:
            parent.kill()


def ends(pid: int) -> bool:
    """Whether a process that need not be ours ends soon."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], LONG_S)[0])
    finally:
        os.close(handle)
