"""What a search needs before its climbs begin: an evaluator and a pool."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ...evaluator.scoring import Evaluator
from ...evaluator.spec import open_evaluator
from ...prompts.pools import BUILT_IN, PoolError, read_templates
from ...prompts.template import Template
from ..config.evaluation import spec_of
from ..config.schema import SearchConfig
from ..errors import ConfigError
from ..events.kinds import Event, ImagesEncoded, Listener, Noted

T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """Runs blocking work in a thread that does not keep the program alive when the user wants to leave."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def finish(settle: Callable[[], None]) -> None:
        if not future.done():
            settle()

    def run() -> None:
        try:
            value = work()
        except BaseException as error:  # noqa: BLE001 - raised again in the task that waits
            failure = error if isinstance(error, Exception) else RuntimeError(repr(error))
            settle: Callable[[], None] = lambda: future.set_exception(failure)  # noqa: E731
        else:
            settle = lambda: future.set_result(value)  # noqa: E731
        if not loop.is_closed():
            loop.call_soon_threadsafe(finish, settle)

    threading.Thread(target=run, name="opening", daemon=True).start()
    return await future


async def open_from_config(config: SearchConfig, listener: Listener) -> Evaluator:
    """Loads data and model in a thread.

    Args:
        config: Says which.
        listener: Hears, in the event loop, of facts worth a line and of images encoded, now and at the end.

    Raises:
        InputError: They cannot be used.
    """
    loop = asyncio.get_running_loop()

    def tell(event: Event) -> None:
        # The thread that reads the last images may outlive a loop that was interrupted.
        if not loop.is_closed():
            loop.call_soon_threadsafe(listener, event)

    def report(line: str) -> None:
        tell(Noted(text=line))

    def progress(done: int, of: int) -> None:
        tell(ImagesEncoded(done=done, of=of))

    return await in_thread(lambda: open_evaluator(spec_of(config), report=report, progress=progress))


def read_pool(config: SearchConfig) -> list[Template]:
    """What initial templates are drawn from.

    Raises:
        ConfigError: The file cannot be used, or the pool is smaller than what is to be drawn.
    """
    if isinstance(config.initial, Path):
        try:
            pool = read_templates(config.initial)
        except PoolError as error:
            raise ConfigError(f"--initial: {error}") from error
        unique = list({template.key: template for template in pool}.values())
        if len(unique) < 2:
            raise ConfigError(
                f"--initial {config.initial}: it has one template only; a climb needs at least 2"
            )
        return unique
    if config.initial > len(BUILT_IN):
        raise ConfigError(f"--initial {config.initial}: the built-in pool has {len(BUILT_IN)} templates")
    return [Template.parse(text, max_words=None) for text in BUILT_IN]


def pool_hash(pool: list[Template]) -> str:
    """A hash of a pool's content."""
    return hashlib.sha256("\n".join(template.text for template in pool).encode()).hexdigest()[:16]
