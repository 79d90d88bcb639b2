"""Searches of this project: one restart from 80 initial templates, five proposals a call, its own client.

It has two conversations, as by default, where the number of rounds can be halved.
"""

from __future__ import annotations

import asyncio

from benchmarks.peers.asking import PATIENCE_S, ROUNDS
from benchmarks.peers.job import INITIAL, PROPOSALS, Job, Pick, Place
from promptclimb import SearchConfig, resume, search
from promptclimb.evaluator.scoring import Evaluator


def play(job: Job, place: Place, evaluator: Evaluator) -> Pick:
    """Search, or resume the search in this folder."""
    return asyncio.run(_play(job, place, evaluator))


async def _play(job: Job, place: Place, evaluator: Evaluator) -> Pick:
    run_dir = place.folder / "run"
    if run_dir.exists():
        result = await resume(run_dir, evaluator=evaluator)
    else:
        result = await search(_config(job, place), evaluator=evaluator)
    return Pick(result.best.template, result.evaluated, result.evaluated, ROUNDS)


def _config(job: Job, place: Place) -> SearchConfig:
    row = job.of
    conversations = 1 if job.rounds % 2 else 2
    asks = row.method != "random"
    patience = {"request_timeout": PATIENCE_S, "retry_seconds": PATIENCE_S} if job.patient else {}
    return SearchConfig(
        data=job.data,
        shots=job.shots,
        seed=job.seed,
        model=job.model,
        method=row.method,
        describe=job.sentence if row.described else None,
        llm=job.llm if asks else None,
        base_url=place.base_url if asks else None,
        restarts=1,
        conversations=conversations,
        rounds=job.rounds // conversations,
        proposals=PROPOSALS,
        initial=INITIAL,
        augmentations=row.views,
        prefer_readable=False,
        run_dir=place.folder / "run",
        **patience,
    )
