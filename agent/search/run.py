"""One run of a search, new or resumed: settings -> open -> restarts -> choice -> test evaluation -> files."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ...evaluator.errors import ConfigError
from ...evaluator.threads import in_thread
from ...prompts.kinds import Candidate
from ..config.sources import absolute
from ..events.types import Noted
from ..results.result import SearchResult
from ..results.run_dir import LABEL_FILES, STORE, check_files, check_run_dir, complete_result, new_run_dir
from ..store.records import check_identity
from ..store.run import Store
from .event_loop import entered
from .identity import check_user_objects, grown, known_identity, with_llm
from .inputs import (
    check_other_data,
    check_paths,
    name_of,
    pinned_evaluator,
    read_pool,
)
from .opening import (
    RunRequest,
    open_session,
)
from .restart_workers import main_error
from .result_writer import search_to_result


async def start_run(request: RunRequest) -> SearchResult:
    """Start a new run; on a UsageError nothing was paid and nothing is left behind."""
    request = _resolved(request)
    pool = await in_thread(lambda: read_pool(request.config))
    run_dir = new_run_dir(request.config)
    check_run_dir(run_dir)
    had_labels = any((run_dir / name).exists() for name in LABEL_FILES)

    def remove_unstarted() -> None:
        if not had_labels and not (run_dir / STORE).exists():  # nothing was started
            for name in LABEL_FILES:
                (run_dir / name).unlink(missing_ok=True)
        with suppress(OSError):
            run_dir.rmdir()  # a run's folder is not empty

    with request.stop.cleaning_up(remove_unstarted):
        return await _run_to_result(request, run_dir, pool)


async def resume_run(request: RunRequest, run_dir: Path) -> SearchResult:
    """Continue a run; its config may change what does not decide the result, and ask for more."""
    async with entered(lambda: Store.open(run_dir)) as store:
        request = _resolved(request)
        config, before = request.config, store.manifest.identity
        if config.needs_llm and not store.usage.calls and not store.has_answers:  # nothing depends on it yet
            before = with_llm(config, before)
        identity = grown(config, before)
        finished = complete_result(run_dir) if identity == before else None
        if finished is None:
            check_user_objects(run_dir, store.manifest.given, request.user_objects)
        store.change_identity(identity)
        now = known_identity(config, identity)
        if request.evaluator is None and now["data"] != identity.get("data"):
            check_other_data(config)
        check_identity(identity, now)
        if finished is not None:
            request.emit(Noted(text=f"{run_dir} is already finished; nothing was done. Its result:"))
            return finished
        check_paths(config, names_only=request.evaluator is not None)
        check_files(run_dir)
        pool = await in_thread(lambda: read_pool(config))
        return await _run_to_result(request, run_dir, pool, store)


def _resolved(request: RunRequest) -> RunRequest:
    """Return a request with absolute settings."""
    config = request.config
    if request.chat is None and config.missing_llm is not None:
        raise ConfigError(config.missing_llm)
    if request.chat is not None:
        config = config.with_chat(name_of(request.chat))
    absolute_config = absolute(config, names_only=request.evaluator is not None)
    return replace(request, config=pinned_evaluator(absolute_config))


async def _run_to_result(
    request: RunRequest, run_dir: Path, pool: list[Candidate], earlier: Store | None = None
) -> SearchResult:
    """Open everything, run the restarts, choose, evaluate on test, write the files."""
    try:
        async with open_session(request, run_dir, pool, earlier) as session:
            return await search_to_result(session)
    except BaseExceptionGroup as group:
        raise main_error(group) from None
