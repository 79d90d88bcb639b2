"""The virtual clock that the other tests rely on."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from tests.fakes.clock import virtual_time


@virtual_time
async def test_a_long_sleep_takes_no_time() -> None:
    """A day of sleeping passes on the loop's clock alone."""
    loop = asyncio.get_running_loop()
    await asyncio.gather(asyncio.sleep(86400), asyncio.sleep(5))
    assert loop.time() == 86400


@virtual_time
async def test_time_stands_still_during_work_for_a_thread() -> None:
    """A timer does not overtake work that is under way in a thread."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as pool:
        work = loop.run_in_executor(pool, time.sleep, 0.02)
        async with asyncio.timeout(0.5):
            await work


@virtual_time
async def test_time_waits_for_bytes_between_local_ends() -> None:
    """What one end of a socket sends reaches the other before a timer fires."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
    async with asyncio.timeout(0.1):
        writer.write(b"hello\n")
        assert await reader.readline() == b"hello\n"
    writer.close()
    server.close()
