"""Build a search's result, and write it with all its files into the run's folder."""

from __future__ import annotations

import base64
import platform
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from ...evaluator.counts import counted, enumerated
from ...evaluator.scoring import BASELINE_DEFAULT, Evaluator, EvaluatorInfo, Illustrator, Score
from ...evaluator.threads import in_thread
from ..config.schema import SearchConfig
from ..methods.memory import Entry
from ..position import LLM, Position
from ..present.page import write_report
from ..results.details import (
    BEST,
    Ancestor,
    Decisions,
    Details,
    Pick,
    Picture,
    lineage_of,
    shown_in,
    write_details,
)
from ..results.gain import BEST_STARTING, GroupOnTest
from ..results.history import view_of
from ..results.result import (
    CONCLUDED,
    EMPTY,
    ENDED_EARLY,
    NOTHING_USABLE,
    RACED,
    UNREAD,
    ApiUsage,
    Best,
    Dataset,
    GroupAccuracies,
    Llm,
    Model,
    Row,
    SearchResult,
    Sizes,
    Usage,
    Versions,
    words_of,
)
from ..results.run_dir import BEFORE, DETAILS, RESULT, write_result
from ..secrets import Scrubber
from ..store.run import Store
from ..versions import program_version, running_version
from .choice import Choice, row_of
from .journal import RestartRecord, Searched
from .measuring import call_evaluator
from .test_evaluation import EvaluatedChoice, openings

MOST_PICTURES = 12
"""Maximum images that the best template fixes, and maximum that it breaks."""
MOST_SHOWN = 8
MANY_UNREAD = 0.2
"""Least share of answers that name no class that the result warns of."""


def build_result(
    config: SearchConfig,
    info: EvaluatorInfo,
    store: Store,
    searched: Searched,
    choice: Choice,
    evaluated: EvaluatedChoice,
    *,
    notes: Mapping[str, Any],
    user_objects: Mapping[str, str],
) -> SearchResult:
    """Return the result of a search; ``notes`` are added to its own."""
    stopped = searched.stopped
    best = choice.best
    device = info.notes.get("device")
    raced = _labels_note(searched.scored, info)
    saved = {} if raced is None else {RACED: words_of(config.search_for).worded(raced)}
    if unread := _unread_note(best.score):
        saved[UNREAD] = unread
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
        prompts=config.search_for,
        objective=config.objective,
        best=Best(
            template=evaluated.best.templates[0],
            train=best.score.train if evaluated.best.train is None else evaluated.best.train,
            val=evaluated.best.val,
            test=evaluated.best.test,
            class_names=evaluated.class_names,
        ),
        ensemble=evaluated.ensemble,
        baselines={name: one for name, one in evaluated.baselines.items() if one.train is not None},
        leaderboard=choice.rows,
        usage=_usage(config, store, searched.all_records),
        evaluated=choice.evaluated,
        rejected=searched.rejected,
        wall_s=round(store.usage.active_s, 3),
        skipped=sum(record.skipped for record in searched.all_records),
        budget=searched.budget,
        notes={
            **info.notes,
            **notes,
            **choice.notes,
            **evaluated.notes,
            **{name: words_of(config.search_for).worded(text) for name, text in _notes(searched).items()},
            **saved,
        },
        inspection=evaluated.inspection,
        versions=Versions(
            program=program_version(),
            python=platform.python_version(),
            torch=running_version("torch", module="torch"),
            open_clip=running_version("open_clip_torch", module="open_clip"),
        ),
        started=store.manifest.started or None,
        device=None if device is None else str(device),
        test_opened=openings(store),
        gain=evaluated.gain,
        scorer_usage=_scorer_usage(config, store),
    )


def _notes(searched: Searched) -> dict[str, str]:
    """Return notes on empty answers and on restarts that stopped early, by short name."""
    found = {}
    if searched.concluded:
        found[CONCLUDED] = "the search was concluded before its last round (--conclude)"
    records, of = searched.records, counted(len(searched.records), "restart")
    if reasons := Counter(record.ended for record in records if record.ended):
        ended = (f"{count:,} of {of} ended early: {reason}" for reason, count in reasons.items())
        found[ENDED_EARLY] = "; ".join(ended)
    answers, empty, cut = (sum(getattr(one, name) for one in records) for name in ("answers", "empty", "cut"))
    if empty:
        note = f"no template could be read in {empty:,} of {counted(answers, 'answer')}"
        found[EMPTY] = f"{note}; {cut:,} of them were cut: raise --answer-tokens" if cut else note
    all_records = searched.all_records
    answers = sum(record.answers for record in all_records)
    if (answers or searched.asked_llm) and not any(record.proposed for record in all_records):
        answered = answers or any(record.unusable for record in all_records)
        what = "proposed no new template that could be scored" if answered else "gave no answer"
        found[NOTHING_USABLE] = f"the LLM {what}"
    return found


def write_files(
    run_dir: Path, result: SearchResult, details: Details, *, keys_in_use: Scrubber, all_secrets: Scrubber
) -> SearchResult:
    """Write all files of a result, the result last, and return it as it was written.

    ``keys_in_use`` may be in no file; ``all_secrets`` are also taken out of the notes, which the user's own
    objects may have made.
    """
    document = result.to_json()
    document["notes"] = all_secrets.scrub_value(document["notes"])
    written = replace(SearchResult.from_json(keys_in_use.scrub_value(document)), run_dir=run_dir)
    write_details(run_dir, Details.from_json(keys_in_use.scrub_value(details.to_json())))
    write_report(run_dir, view_of(run_dir, written))
    write_result(run_dir, written)
    return written


def reopen(run_dir: Path, done: SearchResult, extension: Mapping[str, int]) -> None:
    """Mark a finished run that is extended as stopped, without test accuracies; keep a copy of its result."""
    shutil.copyfile(run_dir / RESULT, run_dir / BEFORE[RESULT])
    with suppress(FileNotFoundError):  # a custom scorer need not report its decisions
        (run_dir / DETAILS).replace(run_dir / BEFORE[DETAILS])
    more = enumerated(f"{count:,} {name}" for name, count in extension.items())
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


def _without_test(found: GroupAccuracies) -> GroupAccuracies:
    return replace(found, test=None)


def _llm(config: SearchConfig, user_objects: Mapping[str, str]) -> Llm:
    if not config.needs_llm:
        return Llm(model=None, base_url=None)
    # A chat object from Python answers in this process, not at the config's address.
    return Llm(model=config.llm, base_url=None if "chat" in user_objects else config.shown_url)


def _scorer_usage(config: SearchConfig, store: Store) -> ApiUsage | None:
    spent = store.scorer_usage
    if not config.is_api and not spent.calls:
        return None
    return ApiUsage.of(spent, priced=config.scorer_price is not None)


def _usage(config: SearchConfig, store: Store, records: Sequence[RestartRecord]) -> Usage:
    replayed = sum(record.replayed for record in records)
    return Usage.of(store.usage, priced=not config.needs_llm or config.priced, replayed=replayed)


async def details_of(
    evaluator: Evaluator,
    on_test: Mapping[str, GroupOnTest],
    best: Row | None,
    records: Sequence[RestartRecord],
    curve: Sequence[Pick] = (),
) -> Details:
    """Return what the report shows; leave out what fails, as it must not cost a result.

    ``on_test`` is empty if the test split stayed closed. ``best`` is the best template on the leaderboard,
    None if it is a neutral one for new class names, which the search did not find.
    """
    decisions = await _decisions(evaluator, on_test)
    baseline = next((name for name in (BASELINE_DEFAULT, BEST_STARTING) if name in on_test), None)
    pictures: tuple[Picture, ...] = ()
    if decisions is not None and baseline is not None and isinstance(evaluator, Illustrator):
        pictures = await _pictures(evaluator, decisions, baseline)
    return Details(
        decisions=decisions,
        baseline=baseline,
        pictures=pictures,
        lineage=() if best is None else await in_thread(lambda: _lineage(best, records)),
        curve=tuple(curve),
    )


async def _decisions(evaluator: Evaluator, on_test: Mapping[str, GroupOnTest]) -> Decisions | None:
    predicted = {name: one for name, one in on_test.items() if one.predicted is not None}
    labels = next((one.labels for one in predicted.values() if one.labels is not None), None)
    if labels is None:
        return None
    key: str | None = None
    if isinstance(evaluator, Illustrator):
        try:
            key = await call_evaluator(lambda: evaluator.image_set("test")) or None
        except Exception:  # noqa: BLE001 - the report can do without
            key = None
    return Decisions(
        image_set=key,
        classes=tuple(evaluator.info.class_names),
        labels=tuple(labels),
        predicted={name: tuple(one.predicted or ()) for name, one in predicted.items()},
    )


async def _pictures(evaluator: Illustrator, decisions: Decisions, baseline: str) -> tuple[Picture, ...]:
    before, after = decisions.predicted.get(baseline), decisions.predicted.get(BEST)
    if before is None or after is None:
        return ()
    right, broken = list[int](), list[int]()
    for place, (true, was, now) in enumerate(zip(decisions.labels, before, after, strict=True)):
        if (was == true) != (now == true):
            (right if now == true else broken).append(place)
    chosen = [
        *_spread(right, [(decisions.labels[place], before[place]) for place in right]),
        *_spread(broken, [(decisions.labels[place], after[place]) for place in broken]),
    ]
    try:
        made = await call_evaluator(lambda: evaluator.thumbnails("test", chosen))
        return tuple(
            Picture(
                true=decisions.class_name(decisions.labels[place]),
                before=decisions.class_name(before[place]),
                after=decisions.class_name(after[place]),
                name=one.name,
                jpeg=base64.b64encode(one.jpeg).decode("ascii"),
            )
            for place, one in zip(chosen, made, strict=True)
            if one is not None
        )
    except Exception:  # noqa: BLE001 - the report can do without
        return ()


def _spread(places: Sequence[int], kinds: Sequence[tuple[int, int]]) -> list[int]:
    """Pick one of each kind in turn, the most frequent kinds first."""
    by_kind: dict[tuple[int, int], list[int]] = defaultdict(list)
    for place, kind in zip(places, kinds, strict=True):
        by_kind[kind].append(place)
    ordered = sorted(by_kind.values(), key=len, reverse=True)
    in_turn = [place for turn in zip_longest(*ordered) for place in turn if place is not None]
    return in_turn[:MOST_PICTURES]


def _lineage(best: Row, records: Sequence[RestartRecord]) -> tuple[Ancestor, ...]:
    rows = [row_of(0, entry) for record in records for entry in record.scored]
    exchanges = {place: one for record in records for place, one in record.exchanges.items()}
    found = []
    for row in lineage_of(best, rows):
        place = Position(row.restart, row.conversation, row.round)
        samples = [one for one in exchanges if one[:3] == place[:3]] if row.source == LLM else []
        # Of several requests in a round, the last one asked for templates.
        messages, answer = exchanges[max(samples)] if samples else ((), "")
        texts = [str(message["content"]) for message in messages if message["role"] != "system"]
        earlier = [
            one
            for one in rows
            if one.restart == row.restart and (one.conversation, one.round) < (row.conversation, row.round)
        ]
        shown = [one.template for one in shown_in(texts, earlier) if one.template != row.template]
        found.append(
            Ancestor(
                **asdict(row),
                shown=tuple(shown[:MOST_SHOWN]),
                all_shown=len(shown),
                messages=tuple((message["role"], str(message["content"])) for message in messages),
                answer=answer,
            )
        )
    return tuple(found)


def _unread_note(score: Score) -> str:
    """Return how many answers to the best instruction name no class, if many do not."""
    if not score.unreadable or score.unreadable < MANY_UNREAD:
        return ""
    examples = enumerated(repr(one) for one in score.unreadable_examples)
    cut = any(one.startswith("(cut)") for one in score.unreadable_examples)
    return (
        f"{100 * score.unreadable:.0f} % of the answers to the best instruction on train name no class, and "
        f"count as wrong, such as {examples}"
        + ("; cut ones need a higher --scorer-answer-tokens" if cut else "")
    )


def _labels_note(scored: Iterable[Entry], info: EvaluatorInfo) -> str | None:
    """Return how many labels races saved, in words; None if no candidate was dropped."""
    images: dict[str, int] = {}
    full = info.sizes.get("train", 0) + info.sizes.get("val", 0)
    for entry in scored:
        images[entry.scored_as] = max(images.get(entry.scored_as, 0), entry.score.images or full)
    asked, most = sum(images.values()), full * len(images)
    if asked == most:
        return None
    dropped = sum(one < full for one in images.values())
    return (
        f"racing asked for {asked:,} of the {most:,} labels of full scoring: {dropped:,} of {len(images):,} "
        "templates were dropped before they saw all images"
    )
