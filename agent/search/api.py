"""The two ways into a search: a new one, and one that goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..config.schema import SearchConfig
from ..events import Bus, Listener
from ..results.result import SearchResult
from ..results.run_config import stored_config
from .session import Session


async def search(
    config: SearchConfig,
    *,
    evaluator: object | None = None,
    chat: object | None = None,
    on_event: Listener | None = None,
) -> SearchResult:
    """Search for better templates.

    Args:
        config: What to search; with ``run_dir`` unset, a new folder under ``runs/`` is made.
        evaluator: An ``Evaluator``, or anything with ``score(templates)`` (see ``adapters``); None to open
            the data set and the model that the config names.
        chat: A ``ChatClient``, or anything with ``chat(messages)``; None to open the endpoint that the config
            names.
        on_event: Called with each event, in the event loop; must not block.

    Returns:
        The result; the same as in the run's ``result.json``.

    Raises:
        UsageError: Something that was given, the data or the model included, cannot be worked with; nothing
            was paid.
        PromptclimbError: The run failed on its way; what it has is kept, and ``resume`` goes on.
    """
    return await Session(config=config, evaluator=evaluator, chat=chat, tell=_bus(on_event)).start()


async def resume(
    run_dir: Path | str,
    *,
    changes: Mapping[str, Any] | None = None,
    evaluator: object | None = None,
    chat: object | None = None,
    on_event: Listener | None = None,
) -> SearchResult:
    """Go on with a run from where it ended; a finished one gives its result at once.

    Args:
        run_dir: The run's folder.
        changes: Settings by name that replace the run's own; none that decides the result.
        evaluator: As for ``search``; the same one as before.
        chat: As for ``search``.
        on_event: As for ``search``.

    Raises:
        UsageError: The folder holds no run, is in use, or a change would decide the result.
        PromptclimbError: As for ``search``.
    """
    folder = Path(run_dir)
    config = stored_config(folder, changes)
    session = Session(config=config, evaluator=evaluator, chat=chat, tell=_bus(on_event))
    return await session.resume(folder)


def search_sync(config: SearchConfig, **given: Any) -> SearchResult:
    """``search`` for programs without an event loop; the same arguments."""
    return asyncio.run(search(config, **given))


def resume_sync(run_dir: Path | str, **given: Any) -> SearchResult:
    """``resume`` for programs without an event loop; the same arguments."""
    return asyncio.run(resume(run_dir, **given))


def _bus(on_event: Listener | None) -> Bus:
    return Bus() if on_event is None else Bus(on_event)
