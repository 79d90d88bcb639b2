"""Whether the local language model can be used: found out before a search begins."""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import sys
import threading
import time
from pathlib import Path

from ....evaluator.threads import in_thread
from ...config.llm_name import LOCAL_LLM, local_model
from ...errors import EndpointError
from ...events import Listener, ModelFetched
from .known_models import KNOWN_MODELS
from .llama_server import LlamaServer, LlamaSettings
from .model_file import content_hash, model_file

PACKAGE = "xllamacpp"
EVERY_S = 2.0
_loaded: set[tuple[str, int]] = set()
"""Models that were loaded in this process, and with how many slots."""
_unusable: dict[str, str] = {}
"""Why a model could not be made ready in this process: the searches of a suite go on alike."""


def is_available(llm: str = LOCAL_LLM) -> str | None:
    """Why a local language model cannot be used here, as far as is known without asking for it; or None."""
    return _unusable.get(llm) if is_installed() else f"{PACKAGE} is not installed"


def is_installed() -> bool:
    """Whether the extra that brings llama.cpp is installed."""
    return importlib.util.find_spec(PACKAGE) is not None


def check_here(llm: str) -> None:
    """Make sure that a local model can be used, as far as that shows while nothing is fetched or loaded.

    Raises:
        EndpointError: llama.cpp is not installed, or a file of the user's is no model.
    """
    if not is_installed():
        raise EndpointError(f"{PACKAGE} is not installed")
    if isinstance(local_model(llm), Path):
        model_file(llm, lambda _source, _done: None)


async def make_ready(llm: str, tell: Listener) -> Path:
    """Return a local model's file, fetched if need be; and see that llama.cpp runs on this machine.

    Args:
        llm: What ``--llm`` says.
        tell: Hears how far a download is.

    Raises:
        EndpointError: It cannot be used.
    """
    loop = asyncio.get_running_loop()
    given_up = threading.Event()
    name = model_name(llm)
    size = KNOWN_MODELS[known].size if isinstance(known := local_model(llm), str) else 0
    told, last = 0.0, -1

    def progress(source: str, done: int) -> None:
        nonlocal told, last
        if given_up.is_set():
            raise EndpointError("the search was stopped")
        if done > last and (done == size or time.monotonic() >= told + EVERY_S):
            told, last = time.monotonic(), done
            event = ModelFetched(model=name, source=source, done=done, of=size)
            if not loop.is_closed():
                loop.call_soon_threadsafe(tell, event)

    def work() -> Path:
        _check_library()
        return model_file(llm, progress)

    try:
        found = await in_thread(work)
        _unusable.pop(llm, None)
        return found
    except EndpointError as error:
        _unusable[llm] = str(error)
        raise
    finally:
        given_up.set()  # nobody waits for it any more


async def make_loaded(llm: str, tell: Listener, *, slots: int) -> None:
    """See that a local model can not only be had but be loaded, by doing so once in this process.

    Args:
        llm: What ``--llm`` says.
        tell: As for ``make_ready``.
        slots: Requests that it is to work on at once.

    Raises:
        EndpointError: It cannot be used.
    """
    file = await make_ready(llm, tell)
    if (llm, slots) in _loaded:
        return
    server = LlamaServer(LlamaSettings(model=file, name=model_name(llm), slots=slots))
    try:
        await server.start()
    except EndpointError as error:
        _unusable[llm] = str(error)
        raise
    finally:
        await server.close()
    _loaded.add((llm, slots))


async def content_of(llm: str, file: Path) -> str | None:
    """Return the hash of the file of a model of the user's own; None for one that is known by its name.

    Raises:
        EndpointError: It cannot be read.
    """
    if isinstance(local_model(llm), str):
        return None
    return await in_thread(lambda: content_hash(file))


def model_name(llm: str) -> str:
    """Return what the server of a local model calls it."""
    found = local_model(llm)
    return found.stem if isinstance(found, Path) else KNOWN_MODELS[found].name


def _check_library() -> None:
    """Load llama.cpp in a process that may die of it: one built for newer processors takes its own with it.

    Raises:
        EndpointError: It cannot be loaded.
    """
    if not is_installed():
        raise EndpointError(f"{PACKAGE} is not installed")
    command = [sys.executable, "-P", "-c", f"import {PACKAGE}"]
    found = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if found.returncode:
        lines = found.stderr.strip().splitlines() or [f"exit code {found.returncode}"]
        raise EndpointError(f"{PACKAGE} does not run here: {lines[-1][:300]}")
