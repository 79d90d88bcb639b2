"""What a kill and a 429 do to each: a real process, killed and started again, and a loopback server.

Each is played four times against a fake LLM that answers at once and always alike: undisturbed; killed with
SIGKILL while it waits for an answer in the middle, and started again with the same command; refused once with
a 429 and ``Retry-After``; and refused so for a while. An answer that was made before the kill is paid for,
whether it arrived or not. Clients keep their own patience here.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.peers.door import RETRY_AFTER_S, Door, Trouble
from benchmarks.peers.job import Job
from benchmarks.peers.playing import outcome
from tests.fakes.chat_server import ChatServer, ServerOptions


async def measured(
    jobs: Sequence[Job], folder: Path, *, minutes: float, refuse_s: float
) -> list[dict[str, Any]]:
    """Return a row for each: what it paid for, and whether it came to an end.

    Args:
        jobs: One for each row.
        folder: Where the cells are played; nothing may be there.
        minutes: How long one may take.
        refuse_s: How long requests are refused in the last case.
    """
    rows = []
    async with ChatServer(ServerOptions()) as fake, Door(fake.base_url) as door:
        for number, job in enumerate(jobs):
            one = replace(job, patient=False)
            played = _Played(one, folder / str(number), door, str(number), minutes)
            rows.append(await _row(played, refuse_s))
    return rows


class _Played:
    """One row's cells."""

    def __init__(self, job: Job, folder: Path, door: Door, name: str, minutes: float) -> None:
        self.job = job
        self._folder, self._door, self._name, self._minutes = folder, door, name, minutes

    async def once(self, case: str, trouble: Trouble | None = None) -> dict[str, Any]:
        """Play it in a folder of this case, which it may have been played in before."""
        cell = f"{self._name}-{case}"
        if trouble is not None:
            self._door.troubles[cell] = trouble
        else:
            self._door.troubles.pop(cell, None)

        async def kill(process: asyncio.subprocess.Process) -> None:
            assert trouble is not None
            await trouble.reached.wait()
            process.send_signal(signal.SIGKILL)

        disturb = kill if trouble is not None and trouble.kind == "hold" else None
        return await outcome(
            self.job, self._folder / case, self._door, cell, minutes=self._minutes, disturb=disturb
        )


async def _row(played: _Played, refuse_s: float) -> dict[str, Any]:
    job = played.job
    row: dict[str, Any] = {"row": job.row, "set": job.data, "seed": job.seed, "calls": job.calls}
    plain = await played.once("undisturbed")
    row["undisturbed"] = _reported(plain)
    if "error" in plain or not plain["answered"]:
        return row
    middle = plain["answered"] // 2 + 1
    before = await played.once("kill", Trouble(middle, "hold"))
    after = await played.once("kill")
    row["kill"] = {
        **_reported(after),
        "killed_after": before["answered"],
        "paid_again": after["answered"] - plain["answered"],
        "same_pick": after.get("template") == plain["template"],
    }
    row["429 once"] = _reported(await played.once("once", Trouble(middle, "refuse")))
    long = await played.once("while", Trouble(middle, "refuse", refuse_s))
    row["429 for a while"] = {**_reported(long), "seconds": refuse_s, "retry_after": RETRY_AFTER_S}
    return row


def _reported(row: dict[str, Any]) -> dict[str, Any]:
    names = ("requests", "answered", "refused", "early", "wall_s", "ended", "version", "error")
    return {name: row[name] for name in names if name in row}
