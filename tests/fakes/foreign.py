"""Servers that nobody here wrote, as processes on loopback."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest


def need(*modules: str) -> None:
    """Skip where the extra is not installed."""
    if not all(importlib.util.find_spec(name) for name in modules):
        pytest.skip("the extra 'endpoints-test' is not installed")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def running(folder: Path, command: Sequence[str], more: Mapping[str, str] = {}) -> Iterator[None]:  # frozen
    """A server as a process of its own, which ends with the block."""
    log = folder / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **more}, stdout=out, stderr=subprocess.STDOUT
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)
