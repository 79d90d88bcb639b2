"""A search's result on its way to the run's folder: without secrets, with its page, whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from ...evaluator.threads import in_thread
from ..results.details import Details, write_details
from ..results.page import write_report
from ..results.result import SearchResult
from ..results.run_dir import write_result
from ..results.run_view import view_of
from ..secrets import Scrubber

T = TypeVar("T")


def write_down(
    run_dir: Path, found: SearchResult, details: Sequence[Details], *, used: Scrubber, private: Scrubber
) -> SearchResult:
    """Write all files of a result, the result last, and return it as it was written.

    Args:
        run_dir: The run's folder.
        found: The result.
        details: What the page shows beyond it.
        used: Knows the keys in use, which nothing is to hold.
        private: Knows every secret around, for notes that the user's own objects may have made.

    Raises:
        OSError: A file cannot be written.
    """
    document = found.to_json()
    document["notes"] = private.scrub_value(document["notes"])
    result = replace(SearchResult.from_json(used.scrub_value(document)), run_dir=run_dir)
    for one in details:
        write_details(run_dir, Details.from_json(used.scrub_value(one.to_json())))
    write_report(run_dir, view_of(run_dir, result))
    write_result(run_dir, result)
    return result


async def to_the_end(work: Callable[[], T]) -> T:
    """Run blocking work in a thread, and wait for its end even where the caller is cancelled meanwhile.

    For what must not be left half done, or done behind the back of whoever comes next.
    """
    working = asyncio.ensure_future(in_thread(work))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait({working})
        raise


@asynccontextmanager
async def entered(context: Callable[[], AbstractContextManager[T]]) -> AsyncIterator[T]:
    """Make and enter a context in a thread, and leave it in one: both ends of a run wait for the disk."""
    with_it = ExitStack()
    try:
        yield await to_the_end(lambda: with_it.enter_context(context()))
    finally:
        await to_the_end(with_it.close)
