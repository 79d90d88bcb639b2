"""Plays a cell in a process of its own, so that its time is its own and its crash a row."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.peers.door import Account, Door
from benchmarks.peers.job import RESULT, Job

ROOT = Path(__file__).resolve().parents[2]
LOG = "log.txt"
_WORDS = 300


async def process_of(job: Job, folder: Path, base_url: str) -> asyncio.subprocess.Process:
    """Start a cell."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240  # nobody waits for it
    with (folder / LOG).open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.peers.cell", str(folder), base_url),
            cwd=ROOT,
            env={**kept, "OMP_NUM_THREADS": "1"},
            stdin=asyncio.subprocess.PIPE,
            stdout=log,
            stderr=log,
        )
    assert process.stdin is not None
    process.stdin.write(json.dumps(asdict(job)).encode() + b"\n")  # left open: its end is the cell's
    return process


async def outcome(
    job: Job,
    folder: Path,
    door: Door,
    cell: str,
    *,
    minutes: float,
    disturb: Callable[[asyncio.subprocess.Process], Awaitable[object]] | None = None,
) -> dict[str, Any]:
    """Play a cell to its end; return its row, with what went wrong where something did.

    Args:
        job: The cell.
        folder: Where it leaves what it has; what is there is resumed by those that can.
        door: Whom it asks.
        cell: Its name there.
        minutes: How long it may take.
        disturb: Is run beside it.
    """
    process = await process_of(job, folder, door.base_url(cell))
    beside = asyncio.ensure_future(disturb(process)) if disturb is not None else None
    ended, spoilt = asyncio.ensure_future(process.wait()), door.spoilt[cell]
    error = ""
    try:
        async with asyncio.timeout(minutes * 60):
            await asyncio.wait((ended, spoilt), return_when=asyncio.FIRST_COMPLETED)
    except TimeoutError:
        error = f"took longer than {minutes:g} minutes"
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        for one in (ended, beside):
            if one is not None:
                one.cancel()
    if spoilt.done():
        (folder / RESULT).unlink(missing_ok=True)  # a peer may come to its end without an answer
        error = spoilt.result()
    return row_of(job, folder, door.accounts[cell], error or _ending(process.returncode))


def row_of(job: Job, folder: Path, account: Account, error: str) -> dict[str, Any]:
    """Return what is known of a cell; of one that the LLM never answered, that it has failed.

    Some peers take a failed request for an answer that brought nothing, and keep what they began with.
    """
    named = {name: value for name, value in asdict(job).items() if name not in ("sentence", "patient")}
    counts = {name: value for name, value in asdict(account).items() if name != "failure"}
    row: dict[str, Any] = {"key": job.key, **named, **counts}
    try:
        found = json.loads((folder / RESULT).read_text("utf-8"))
    except OSError:
        return row | {"error": f"{error}: {last_words(folder)}"}
    if account.requests and not account.answered:
        return row | {"error": f"none of its {account.requests} requests was answered: {account.failure}"}
    return row | found


def _ending(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


def last_words(folder: Path) -> str:
    """Return the last line that a cell said."""
    try:
        lines = (folder / LOG).read_text("utf-8", errors="replace").split("\n")
    except OSError:
        return ""
    words = [line.strip() for line in lines if line.strip()]
    return "".join(one if one.isprintable() else " " for one in words[-1])[:_WORDS] if words else ""
