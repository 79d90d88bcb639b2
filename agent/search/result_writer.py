"""Build a search's result, and write it with all its files into the run's folder."""

from __future__ import annotations

import asyncio
import base64
import platform
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

from ...evaluator.classifier import Classifier
from ...evaluator.counts import counted, enumerated
from ...evaluator.scoring import BASELINE_DEFAULT, Evaluator, EvaluatorInfo, Illustrator
from ..config.schema import SearchConfig
from ..errors import BudgetSpentError, GaveUpError, asking_errors_as_causes
from ..events.types import EvaluationStarted, SearchFinished
from ..methods.registry import METHODS
from ..results.accuracies import BEST, BEST_STARTING, TEXTS, WITH_IMAGES, WITHOUT_SEARCH
from ..results.details import Decisions, Details, Picture, write_details
from ..results.gain import with_warnings
from ..results.history import PageWriter, view_of
from ..results.result import (
    EMPTY,
    NO_COST,
    NOTHING_USABLE,
    RACED,
    UNASKED,
    UNREAD,
    ApiUsage,
    Best,
    Dataset,
    Llm,
    Model,
    Recommended,
    SearchResult,
    Sizes,
    Usage,
    Versions,
    WithImages,
    WithoutSearch,
    left_of_both,
    words_of,
)
from ..results.run_dir import CLASSIFIER, write_atomically, write_result
from ..store.run import Store
from ..versions import program_version, running_version
from .choice import Choice, Forms, choose, choose_forms, unchecked_choice
from .event_loop import call_evaluator, to_the_end
from .journal import SearchOutcome
from .opening import PRICES, RunSession
from .restart_workers import run_restarts, stop_event
from .test_evaluation import EvaluatedChoice, evaluate_choice, openings_of_test

MOST_PICTURES = 12
"""Maximum images that the best template fixes, and maximum that it breaks."""
REPORT_EVERY_S = 60.0
REPORT_SHARE = 0.05
"""Largest share of the time that the page of a running search may take."""


async def search_to_result(session: RunSession) -> SearchResult:
    """Search, choose, evaluate the choice, write all files, and announce the result."""
    async with current_page(session.run_dir, session.request.write_page):
        searched = await run_restarts(session)
        try:
            with asking_errors_as_causes():
                result, details, classifier = await choose_and_test(session, searched)
        except (BudgetSpentError, GaveUpError) as limit:
            # The scorer cannot be asked for the rest of the evaluation: the search counts as stopped.
            stopped = stop_event(limit)
            session.request.emit(stopped)
            result, details, classifier = await choose_and_test(session, replace(searched, stopped=stopped))
    # A stop comes too late from here on.
    if (calls := session.scorer_calls) is not None:
        await calls.close()
        result = replace(result, budget=left_of_both(result.budget, calls.budget.left()))
    written = await to_the_end(lambda: _write_files(session, result, details, classifier))
    session.request.emit(
        SearchFinished(
            status=written.status,
            best=written.best.template,
            train=written.best.train,
            test=written.best.test,
            evaluated=written.evaluated,
        )
    )
    return written


async def choose_and_test(
    session: RunSession, searched: SearchOutcome
) -> tuple[SearchResult, Details, Classifier | None]:
    """Choose, evaluate the choice on test if the search was completed, and return what is to be written.

    A stopped search may be resumed, so its test split stays closed. That of a finished one is opened once; if
    that fails, the result has no test accuracies and a note that says why. If the opening cannot be stored,
    the split stays closed, and a StoreError is raised.
    """
    config, evaluator = session.config, session.evaluator
    images = evaluator.info.sizes.get("test", 0)
    if searched.stopped is None and images:
        session.request.emit(EvaluationStarted(images=images))
    with session.request.stop.watching():
        named_template = None if searched.names is None else searched.names.named_template
        if config.unchecked:
            assert named_template is not None, "there is no other result"
            choice = unchecked_choice(evaluator.info, named_template.template)
        else:
            choice = await choose(config, evaluator, searched.scored)
        if session.scorer_calls is not None:
            session.scorer_calls.release()
        forms = await choose_forms(evaluator, choice, named_template, final=searched.stopped is None)
        evaluated = await evaluate_choice(
            evaluator,
            session.store,
            choice,
            forms,
            test=searched.stopped is None,
            config=config,
            names=searched.names,
        )
        details = await details_of(evaluator, evaluated.decisions, evaluated.recommended)
        return _result_of(session, searched, choice, forms, evaluated), details, forms.classifier


def _result_of(
    session: RunSession, searched: SearchOutcome, choice: Choice, forms: Forms, evaluated: EvaluatedChoice
) -> SearchResult:
    with_images = evaluated.accuracies.get(WITH_IMAGES)
    without_search = evaluated.accuracies.get(WITHOUT_SEARCH)
    assert with_images is None or isinstance(with_images, WithImages)
    assert without_search is None or isinstance(without_search, WithoutSearch)
    config, store, info = session.config, session.store, session.evaluator.info
    manifest, of_best = store.manifest, evaluated.accuracies[BEST]
    objects = {**manifest.given, **session.request.user_objects}
    stopped = searched.stopped
    device = info.notes.get("device")
    result = SearchResult(
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
        llm=Llm(
            model=config.llm if config.needs_llm else None,
            # A chat object from Python answers in this process, not at the config's address.
            base_url=config.shown_url if config.needs_llm and "chat" not in objects else None,
        ),
        method=config.method,
        prompts=config.search_for,
        names_read=None if searched.names is None else searched.names.read,
        objective=config.objective,
        best=Best(
            template=of_best.templates[0],
            train=choice.best.score.train if of_best.train is None and choice.best else of_best.train,
            val=of_best.val,
            test=of_best.test,
            class_names=evaluated.class_names,
            unsupported=evaluated.unsupported,
            name_sources=evaluated.name_sources,
            unchecked=config.unchecked,
            unanswered=of_best.unanswered,
        ),
        texts=evaluated.accuracies[TEXTS],
        with_images=with_images,
        without_search=without_search,
        recommended=evaluated.recommended,
        baselines={
            name: group
            for name, group in evaluated.accuracies.items()
            if name not in (BEST, TEXTS, WITH_IMAGES, WITHOUT_SEARCH)
            and (group.train, group.test) != (None, None)
        },
        leaderboard=choice.rows,
        usage=Usage.of(
            store.usage,
            priced=not config.needs_llm or config.priced,
            replayed=sum(record.replayed for record in searched.all_records),
        ),
        evaluated=choice.texts_scored,
        rejected=searched.rejected,
        wall_s=round(store.usage.active_s, 3),
        skipped=sum(record.skipped for record in searched.all_records),
        budget=searched.budget,
        notes={
            **info.notes,
            **manifest.notes,
            **(store.value(PRICES) or {}),
            **forms.notes,
            **_notes_on_cost(store),
            **_notes_on_llm(config, searched),
            **_notes_on_scoring(config, info, searched, choice),
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
        test_opened=openings_of_test(store),
        metrics=evaluated.metrics,
        scorer_usage=ApiUsage.of(store.scorer_usage, priced=config.scorer_price is not None)
        if info.paid or store.scorer_usage.calls
        else None,
    )
    return with_warnings(result)


def _notes_on_llm(config: SearchConfig, searched: SearchOutcome) -> dict[str, str]:
    """Return the notes of the result on unusable answers, by name."""
    words, notes = words_of(config.search_for), dict[str, str]()
    asked_for_words = METHODS[config.method].asks_llm and not config.unchecked
    records, all_records = searched.records, searched.all_records
    if empty := sum(record.empty for record in records):
        answers, cut = sum(record.answers for record in records), sum(record.cut for record in records)
        notes[EMPTY] = f"no {words.noun} could be read in {empty:,} of {counted(answers, 'answer')}"
        notes[EMPTY] += f"; {cut:,} of them were cut: raise `answer_tokens`" if cut else ""
    answered = any(record.answers for record in all_records)
    asked = answered or searched.asked_llm
    is_cut_off = answered and config.unchecked and searched.stopped is not None  # readings are on disk
    if asked and not is_cut_off and not any(record.proposed for record in all_records):
        refused = any(record.unusable for record in all_records)
        answers_came = answered or (refused and not config.unchecked)
        noun = f"{words.noun} that could be scored" if asked_for_words else "class name that could be used"
        what = f"proposed no new {noun}" if answers_came else "gave no answer"
        notes[NOTHING_USABLE] = f"the LLM {what}"
    if config.needs_llm and not asked and searched.stopped is not None and searched.stopped.limits:
        notes[UNASKED] = "the limit ended the search before the LLM was asked; raise it"
        if config.kind.renames_classes and not config.unchecked:
            notes[UNASKED] += ", or take the LLM's first names unchecked, for few requests (`shots = 0`)"
    return notes


def _notes_on_scoring(
    config: SearchConfig, info: EvaluatorInfo, searched: SearchOutcome, choice: Choice
) -> dict[str, str]:
    """Return the notes of the result on labels that races saved and answers without a class, by name."""
    words, notes = words_of(config.search_for), dict[str, str]()
    images = info.sizes.get("train", 0) + info.sizes.get("val", 0)
    images_of: dict[str, int] = {}
    for entry in searched.scored:
        images_of[entry.scored_as] = max(images_of.get(entry.scored_as, 0), entry.score.images or images)
    if dropped := sum(seen < images for seen in images_of.values()):
        notes[RACED] = (
            f"racing asked for {sum(images_of.values()):,} of the {images * len(images_of):,} labels of full "
            f"scoring: {dropped:,} of {len(images_of):,} {words.noun}s were dropped before they saw all "
            "images"
        )
    if choice.best is not None and (unreadable := choice.best.score.unreadable):
        examples = choice.best.score.unreadable_examples
        cut = any(example.startswith("(cut)") for example in examples)
        notes[UNREAD] = (
            f"{100 * unreadable:.1f} % of the answers to the best {words.noun} on train name no class, and "
            f"count as wrong, such as {enumerated(map(repr, examples))}"
            + ("; cut ones need a higher scorer_answer_tokens" if cut else "")
        )
    return notes


def _notes_on_cost(store: Store) -> dict[str, str]:
    """Return a note if reports of no cost, or of a fee alone, were no price of the tokens."""
    reports = [
        f"the {who} reports {'nothing but a fee' if spent.vendor_picodollars else 'a cost of zero'}"
        for who, spent in (("LLM", store.usage), ("scorer", store.scorer_usage))
        # A call with a fee alone is none whose cost is reported.
        if bool(spent.vendor_calls) != bool(spent.vendor_picodollars)
        and spent.picodollars > spent.vendor_picodollars
    ]
    text = f"{enumerated(reports)} for tokens that have a price: they count at that price"
    return {NO_COST: text} if reports else {}


def _write_files(
    session: RunSession, result: SearchResult, details: Details, classifier: Classifier | None
) -> SearchResult:
    """Write all files of a result, and return it as it was written.

    The result is on disk before the report is drawn, which can be drawn again from it.
    """
    keys_in_use = session.keys_in_use
    document = result.to_json()
    # The user's own objects may have made notes of any secret.
    document["notes"] = session.all_secrets.scrub_value(document["notes"])
    run_dir = session.run_dir
    written = replace(SearchResult.from_json(keys_in_use.scrub_value(document)), run_dir=run_dir)
    write_details(run_dir, Details.from_json(keys_in_use.scrub_value(details.to_json())))
    if classifier is not None:
        write_atomically(run_dir / CLASSIFIER, classifier.to_bytes())
    write_result(run_dir, written)
    for sink in session.written_here:  # the page reads the log
        sink.flush()
    session.request.write_page(view_of(run_dir, written))
    return written


@asynccontextmanager
async def current_page(run_dir: Path, write_page: PageWriter) -> AsyncIterator[None]:
    """Write the page of a running search every minute, more rarely if its log is long.

    If the search fails or is interrupted, the page is written once more and no longer says that it runs.
    """

    async def write() -> None:
        pause_s = REPORT_EVERY_S
        while True:
            await asyncio.sleep(pause_s)
            began = time.monotonic()
            with suppress(Exception):  # a search does not fail for its page
                await to_the_end(lambda: write_page(view_of(run_dir)))
            pause_s = max(REPORT_EVERY_S, (time.monotonic() - began) / REPORT_SHARE)

    writing = asyncio.create_task(write())
    ended = False
    try:
        yield
        ended = True
    finally:
        writing.cancel()
        await asyncio.wait({writing})
        if not ended:
            with suppress(Exception):
                write_page(replace(view_of(run_dir), state="unfinished"))


async def details_of(evaluator: Evaluator, decisions: Decisions | None, recommended: Recommended) -> Details:
    """Return what the report shows; leave out pictures that fail, as they must not cost a result."""
    if decisions is None:
        return Details()
    names = (recommended.reference, BASELINE_DEFAULT, BEST_STARTING)
    baseline = next((name for name in names if name in decisions.predicted), None)
    pictures: tuple[Picture, ...] = ()
    if (
        baseline is not None
        and recommended.name in decisions.predicted
        and isinstance(evaluator, Illustrator)
    ):
        before, after = decisions.predicted[baseline], decisions.predicted[recommended.name]
        pictures = await _pictures(evaluator, decisions, before, after)
    return Details(decisions=decisions, baseline=baseline, pictures=pictures)


async def _pictures(
    evaluator: Illustrator, decisions: Decisions, before: Sequence[int], after: Sequence[int]
) -> tuple[Picture, ...]:
    labels = decisions.labels
    fixed, broken = list[int](), list[int]()  # image indices
    for index, (true, label_before, label_after) in enumerate(zip(labels, before, after, strict=True)):
        if (label_before == true) != (label_after == true):
            (fixed if label_after == true else broken).append(index)
    chosen = [
        *_spread(fixed, [(labels[index], before[index]) for index in fixed]),
        *_spread(broken, [(labels[index], after[index]) for index in broken]),
    ]
    try:
        thumbnails = await call_evaluator(lambda: evaluator.thumbnails("test", chosen))
        return tuple(
            Picture(
                true=decisions.class_name(labels[index]),
                before=decisions.class_name(before[index]),
                after=decisions.class_name(after[index]),
                name=thumbnail.name,
                jpeg=base64.b64encode(thumbnail.jpeg).decode("ascii"),
            )
            for index, thumbnail in zip(chosen, thumbnails, strict=True)
            if thumbnail is not None
        )
    except Exception:  # noqa: BLE001 - the report can do without
        return ()


def _spread(image_indices: Sequence[int], confusions: Sequence[tuple[int, int]]) -> list[int]:
    """Pick an image of each confusion in turn, the most frequent confusions first."""
    indices_by_confusion: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, confusion in zip(image_indices, confusions, strict=True):
        indices_by_confusion[confusion].append(index)
    ordered = sorted(indices_by_confusion.values(), key=len, reverse=True)
    in_turn = [index for turn in zip_longest(*ordered) for index in turn if index is not None]
    return in_turn[:MOST_PICTURES]
