"""The sinks of a session: the log, and the trackers that the config names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from ..config.schema import SearchConfig
from ..events import Bus
from ..events.sinks import SINKS, Sink
from ..events.sinks.aside import Aside
from ..events.sinks.tracker import Tracked, scored_before
from ..events.sinks.trackers import trackers_of
from ..results.run_dir import TO_KEEP
from ..secrets import Scrubber


@asynccontextmanager
async def open_sinks(
    config: SearchConfig, run_dir: Path, tell: Bus, used: Scrubber, private: Scrubber
) -> AsyncIterator[Sequence[Sink]]:
    """Open what writes a run's events somewhere; all hear from now on, and write once they are started.

    Args:
        config: Names the trackers.
        run_dir: The run's folder.
        tell: Whom they listen to, and who hears of one that fails.
        used: Knows the keys in use, which no event is to hold.
        private: Knows every secret around, for what a tracker's own errors say.
    """
    async with AsyncExitStack() as stack:
        sinks: list[Sink] = [stack.enter_context(opened(run_dir, used.scrub_value)) for opened in SINKS]
        for tracker in await _trackers(config, run_dir, tell, used, private):
            await stack.enter_async_context(tracker)
            sinks.append(tracker)
        for sink in sinks:
            stack.enter_context(tell.joined(sink))
        yield sinks


async def _trackers(
    config: SearchConfig, run_dir: Path, tell: Bus, used: Scrubber, private: Scrubber
) -> list[Aside]:
    if not config.track:
        return []
    run = Tracked(
        run_dir=run_dir,
        settings=config.to_public(),
        files=TO_KEEP,
        earlier=await asyncio.to_thread(scored_before, run_dir),
        scrub=used.scrub_value,
    )
    return trackers_of(config.track, run, tell=tell, scrub=private.scrub)
