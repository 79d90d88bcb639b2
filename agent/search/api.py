"""The two ways into a search: a new one, and one that goes on."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...evaluator.user_paths import user_path
from ..config.schema import SearchConfig
from ..errors import UsageError
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
    _check("search", "config", config, SearchConfig, "a SearchConfig")
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
        changes: Settings by name that replace the run's own; none that decides the result, but more restarts,
            resets or iterations (see ``extending``), which a finished run can be given too.
        evaluator: As for ``search``; the same one as before.
        chat: As for ``search``.
        on_event: As for ``search``.

    Raises:
        UsageError: The folder holds no run, is in use, or a change would decide the result.
        PromptclimbError: As for ``search``.
    """
    _check("resume", "run_dir", run_dir, (str, os.PathLike), "the path of a run's folder")
    _check("resume", "changes", changes, (Mapping, type(None)), "a mapping of settings by name, or None")
    for name in changes or ():
        _check("resume", "each name in changes", name, str, "a text")
    folder = user_path(run_dir, "run_dir")
    config = stored_config(folder, changes, place="changes")
    session = Session(config=config, evaluator=evaluator, chat=chat, tell=_bus(on_event))
    return await session.resume(folder)


def search_sync(config: SearchConfig, **given: Any) -> SearchResult:
    """``search`` for programs without an event loop; the same arguments.

    Raises:
        UsageError: An event loop is running; also as for ``search``.
    """
    _check_no_loop("search")
    return asyncio.run(search(config, **given))


def resume_sync(run_dir: Path | str, **given: Any) -> SearchResult:
    """``resume`` for programs without an event loop; the same arguments.

    Raises:
        UsageError: An event loop is running; also as for ``resume``.
    """
    _check_no_loop("resume")
    return asyncio.run(resume(run_dir, **given))


def _check_no_loop(function: str) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise UsageError(
        f"{function}_sync cannot be called where an event loop is running, as in a notebook: "
        f"write `await {function}(...)` there"
    )


def _check(function: str, name: str, given: object, kinds: Any, wanted: str) -> None:
    """Make sure that an argument is what its annotation says, which a notebook does not."""
    if not isinstance(given, kinds):
        raise UsageError(f"{function}: {name} must be {wanted}, not {type(given).__qualname__}")


def _bus(on_event: Listener | None) -> Bus:
    if any(map(inspect.iscoroutinefunction, (on_event, getattr(on_event, "__call__", None)))):  # noqa: B004
        raise UsageError("on_event is async, and nobody awaits it: make it a plain function")
    return Bus() if on_event is None else Bus(on_event)
