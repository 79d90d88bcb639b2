"""The sinks of a session, the log and the trackers that the config names, and what they hear first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from ...evaluator.scoring import EvaluatorInfo
from ..config.schema import SearchConfig
from ..events import Bus, Listener, Noted, RunOpened, SearchStarted
from ..events.sinks import SINKS, Sink, ThreadedSink
from ..events.trackers.figures import Tracked, scored_before, trackers_of
from ..results.run_dir import FILES
from ..secrets import Scrubber


@asynccontextmanager
async def open_sinks(
    config: SearchConfig, run_dir: Path, emit: Bus, used: Scrubber, private: Scrubber
) -> AsyncIterator[Sequence[Sink]]:
    """Open what writes a run's events somewhere; all hear from now on, and write once they are started.

    Args:
        config: Names the trackers.
        run_dir: The run's folder.
        emit: Whom they listen to, and who hears of one that fails.
        used: Knows the keys in use, which no event is to hold.
        private: Knows every secret around, for what a tracker's own errors say.
    """
    async with AsyncExitStack() as stack:
        sinks: list[Sink] = [stack.enter_context(opened(run_dir, used.scrub_value)) for opened in SINKS]
        for tracker in await _trackers(config, run_dir, emit, used, private):
            await stack.enter_async_context(tracker)
            sinks.append(tracker)
        for sink in sinks:
            stack.enter_context(emit.joined(sink))
        yield sinks


async def _trackers(
    config: SearchConfig, run_dir: Path, emit: Bus, used: Scrubber, private: Scrubber
) -> list[ThreadedSink]:
    if not config.track:
        return []
    run = Tracked(
        run_dir=run_dir,
        settings=config.to_public(),
        files=FILES,
        earlier=await asyncio.to_thread(scored_before, run_dir),
        scrub=used.scrub_value,
    )
    return trackers_of(config.track, run, emit=emit, scrub=private.scrub)


def announce(
    config: SearchConfig, info: EvaluatorInfo, run_dir: Path, emit: Listener, *, resumed: bool
) -> None:
    """Tell that a run is opened and its search begins.

    Args:
        config: The run's.
        info: What is known of its evaluator.
        run_dir: Its folder.
        emit: Hears it.
        resumed: Whether it goes on.
    """
    if (hint := config.description_tip) is not None:
        emit(Noted(text=hint))
    emit(RunOpened(run_dir=str(run_dir)))
    emit(
        SearchStarted(
            run_dir=str(run_dir),
            dataset=info.dataset,
            classes=info.classes,
            model=f"{info.model} ({info.pretrained})" if info.pretrained else info.model,
            llm=config.llm if config.needs_llm else None,
            method=config.method,
            restarts=config.restarts,
            rounds=config.all_rounds,
            resumed=resumed,
        )
    )
