"""Make a search's result, and write it with all its files into the run's folder."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...evaluator.counts import enumerated
from ...evaluator.scoring import EvaluatorInfo
from ..config.schema import SearchConfig
from ..rates import PICODOLLARS
from ..results.details import Details, write_details
from ..results.page import write_report
from ..results.result import Best, Dataset, Ensemble, Llm, Model, SearchResult, Sizes, Usage, Versions
from ..results.run_dir import BEFORE, DETAILS, RESULT, write_result
from ..results.run_view import view_of
from ..secrets import Scrubber
from ..store import Store
from ..versions import program_version, running_version
from .choice import Choice
from .record import RestartRecord, Searched
from .test_evaluation import Evaluated, openings


def build_result(
    config: SearchConfig,
    info: EvaluatorInfo,
    store: Store,
    searched: Searched,
    choice: Choice,
    found: Evaluated,
    *,
    notes: Mapping[str, Any],
    user_objects: Mapping[str, str],
) -> SearchResult:
    """Return the result of a search, with ``notes`` beside the figures."""
    stopped = searched.stopped
    best = choice.best
    device = info.notes.get("device")
    return SearchResult(
        status="finished" if stopped is None else "stopped",
        stop_reason=None if stopped is None else stopped.reason,
        limits=() if stopped is None else stopped.limits,
        dataset=Dataset(
            name=info.dataset,
            classes=info.classes,
            shots=info.shots,
            seed=info.seed,
            sizes=Sizes(**{split: int(info.sizes.get(split, 0)) for split in ("train", "val", "test")}),
        ),
        model=Model(name=info.model, pretrained=info.pretrained),
        llm=_llm(config, user_objects),
        method=config.method,
        prompts=config.prompts,
        objective=config.objective,
        best=Best(
            template=best.text,
            train=best.score.train if found.best.train is None else found.best.train,
            val=found.best.val,
            test=found.best.test,
        ),
        ensemble=found.ensemble,
        baselines={name: one for name, one in found.baselines.items() if one.train is not None},
        leaderboard=choice.rows,
        usage=_usage(config, store, searched.records),
        evaluated=choice.evaluated,
        rejected=searched.rejected,
        wall_s=round(store.usage.active_s, 3),
        skipped=sum(record.skipped for record in searched.records),
        budget=searched.budget,
        notes={**info.notes, **notes, **choice.notes, **found.notes, **searched.notes},
        inspection=found.inspection,
        versions=Versions(
            program=program_version(),
            python=platform.python_version(),
            torch=running_version("torch", module="torch"),
            open_clip=running_version("open_clip_torch", module="open_clip"),
        ),
        started=store.manifest.get("started"),
        device=None if device is None else str(device),
        test_opened=openings(store),
        gain=found.gain,
    )


def write_files(
    run_dir: Path, found: SearchResult, details: Details, *, used: Scrubber, private: Scrubber
) -> SearchResult:
    """Write all files of a result, the result last, and return it as it was written.

    Args:
        run_dir: The run's folder.
        found: The result.
        details: What the report shows beyond it.
        used: Knows the keys in use, which no file may hold.
        private: Knows every secret around, for notes that the user's own objects may have made.

    Raises:
        OSError: A file cannot be written.
    """
    document = found.to_json()
    document["notes"] = private.scrub_value(document["notes"])
    result = replace(SearchResult.from_json(used.scrub_value(document)), run_dir=run_dir)
    write_details(run_dir, Details.from_json(used.scrub_value(details.to_json())))
    write_report(run_dir, view_of(run_dir, result))
    write_result(run_dir, result)
    return result


def reopen(run_dir: Path, done: SearchResult, grown: Mapping[str, int]) -> None:
    """Mark a finished run that is extended as stopped; its old result is kept beside.

    Accuracies on test are left out: the search is going to choose again.

    Raises:
        OSError: A file cannot be written; the run is as it was.
    """
    shutil.copyfile(run_dir / RESULT, run_dir / BEFORE[RESULT])
    with suppress(FileNotFoundError):  # a custom scorer need not tell its decisions
        (run_dir / DETAILS).replace(run_dir / BEFORE[DETAILS])
    more = enumerated(f"{count:,} {name}" for name, count in grown.items())
    write_result(
        run_dir,
        replace(
            done,
            status="stopped",
            stop_reason=f"it was extended to {more}, which are not done yet",
            best=replace(done.best, test=None),
            ensemble=_without_test(done.ensemble),
            baselines={name: _without_test(one) for name, one in done.baselines.items()},
            inspection=None,
            gain=None,
        ),
    )


def _without_test(found: Ensemble) -> Ensemble:
    return replace(found, test=None)


def _llm(config: SearchConfig, user_objects: Mapping[str, str]) -> Llm:
    if not config.needs_llm:
        return Llm(model=None, base_url=None)
    # An object from Python answers in this process, whatever address the config would have asked.
    return Llm(model=config.llm, base_url=None if "chat" in user_objects else config.shown_url)


def _usage(config: SearchConfig, store: Store, records: Sequence[RestartRecord]) -> Usage:
    spent = store.usage
    free = not config.needs_llm or config.is_local
    known = free or config.priced or 0 < spent.calls == spent.vendor_calls

    def dollars(picodollars: int) -> float:
        return round(picodollars / PICODOLLARS, 9)

    return Usage(
        calls=spent.calls,
        failed_calls=spent.failed_calls,
        retries=spent.retries,
        replayed=sum(record.replayed for record in records),
        prompt_tokens=spent.prompt_tokens,
        completion_tokens=spent.completion_tokens,
        cost_usd=dollars(spent.picodollars) if known else None,
        estimated_tokens=spent.estimated_tokens,
        estimated_usd=dollars(spent.estimated_picodollars) if free or config.priced else None,
        cached_tokens=spent.cached_tokens,
        cache_written_tokens=spent.cache_written_tokens,
        reasoning_tokens=spent.reasoning_tokens,
        reported_usd=dollars(spent.vendor_picodollars) if spent.vendor_calls else None,
    )
