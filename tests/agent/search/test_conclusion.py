"""The end of a search: selection, the test evaluation of what was chosen, and the result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.errors import EvaluationFailedError
from promptclimb.agent.events.types import SearchStopped
from promptclimb.agent.methods.memory import Entry
from promptclimb.agent.position import Position
from promptclimb.agent.prices import Bill, Spent
from promptclimb.agent.results.result import SearchResult
from promptclimb.agent.search.journal import RestartRecord, SearchOutcome
from promptclimb.agent.search.result_writer import choose_and_test
from promptclimb.agent.store.run import Store
from promptclimb.agent.versions import program_version
from promptclimb.evaluator.errors import DataError, PromptclimbError
from promptclimb.evaluator.scoring import Predictions, Score, SplitScores
from promptclimb.prompts.template import Template
from tests.fakes.evaluators import FakeEvaluator
from tests.fakes.run_session import session_of

CONFIG = SearchConfig(data="fake", method="random")
ASKING = SearchConfig(data="fake", method="pn", llm="m")
STOPPED = SearchStopped(reason="7 calls are spent")
INITIAL = ("a photo of a {}", "the {}")
FOUND = ("a clean drawing of a {}", "a bright {}", "one {} in the sun")


BASELINES = {"default template", "bare class name", "best hand-made", "best starting template"}


class Words(FakeEvaluator):
    """A FakeEvaluator that may fail, or know nothing, where it is examined."""

    def __init__(
        self, *, examine: Callable[[Sequence[Sequence[str]], bool], None] | None = None,
        unknown: Callable[[Sequence[str]], bool] = lambda _templates: False, **more: Any,
    ) -> None:  # fmt: skip
        super().__init__(**{name: more.pop(name) for name in ("val", "max_words") if name in more})
        self._before = examine
        self._unknown = unknown
        self._info = replace(self._info, **more)

    def examine(self, ensembles: Sequence[Sequence[str]], *, test: bool = True) -> list[Any]:
        """As the base says, with holes."""
        if self._before is not None:
            self._before(ensembles, test)
        scores_of_all = super().examine(ensembles, test=test)
        pairs = zip(ensembles, scores_of_all, strict=True)
        return [None if self._unknown(ensemble) else scores for ensemble, scores in pairs]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A run that has begun."""
    with Store.create(tmp_path / "run", {"identity": {}}) as new_store:
        yield new_store


def ended(evaluator: FakeEvaluator, **more: Any) -> SearchOutcome:
    """One restart that scored five templates."""
    record = RestartRecord(1, replayed=2, skipped=1)
    record.rejected.update({"no_slot": 3})
    for number, template in enumerate((*INITIAL, *FOUND)):
        (score,) = evaluator.score([template])
        assert isinstance(score, Score)
        conversation = int(number >= len(INITIAL))
        record.scored.append(
            Entry(
                candidate=Template.parse(template),
                score=score,
                value=score.train,
                position=Position(1, conversation, conversation),
            )
        )
    return SearchOutcome(records=[record], **more)


async def finish(
    config: SearchConfig, evaluator: FakeEvaluator, store: Store, searched: SearchOutcome, *,
    chat: object | None = None,
) -> SearchResult:  # fmt: skip
    """The result alone."""
    session = session_of(config, evaluator, store, chat=chat)
    return (await choose_and_test(session, searched))[0]


def fail(*, on_test: bool = True, always: bool = False) -> Callable[[Sequence[Sequence[str]], bool], None]:
    """Something that breaks when ensembles are examined."""

    def check(_ensembles: Sequence[Sequence[str]], test: bool) -> None:
        if always or (on_test and test):
            raise DataError("test/7.png: the image is torn")

    return check


async def test_a_finished_search_is_examined_once_on_every_split(store: Store) -> None:
    """Forms and baselines in one call, whose number is kept on disk."""
    evaluator = Words()
    result = await finish(CONFIG, evaluator, store, ended(evaluator))
    board = [row.template for row in result.leaderboard]
    assert (result.status, result.stop_reason, result.complete) == ("finished", None, True)
    assert sorted(board) == sorted((*INITIAL, *FOUND))
    assert result.best.template == board[0]
    best, texts = FakeEvaluator().examine([board[:1], result.texts.templates])
    assert (result.best.train, result.best.val, result.best.test) == (best.train, best.val, best.test)
    assert (result.texts.train, result.texts.test) == (texts.train, texts.test)
    assert set(result.baselines) == BASELINES
    assert result.baselines["best starting template"].templates[0] in INITIAL
    assert all(group.test is not None for group in result.baselines.values())
    assert (evaluator.opened, result.test_opened, store.value("test_opened")) == (1, 1, 1)


async def test_the_result_says_what_it_took_and_what_ran(store: Store) -> None:
    """Counts of all restarts, the start from the manifest, versions, notes of the evaluator."""
    evaluator = Words(notes={"device": "cuda:0", "data": ["split by rule"]})
    searched = ended(evaluator, budget={"calls": 3.0})
    result = await finish(CONFIG, evaluator, store, searched)
    assert (result.evaluated, result.skipped, result.usage.replayed) == (5, 1, 2)
    assert (dict(result.rejected), dict(result.budget)) == ({"no_slot": 3}, {"calls": 3.0})
    assert result.started == store.manifest.started
    assert result.device == "cuda:0"
    assert result.versions is not None
    assert result.versions.program == program_version()
    assert result.notes["data"] == ["split by rule"]


@pytest.mark.parametrize(
    ("vendor_calls", "price", "cost", "reported"),
    [(3, None, 0.5, 0.2), (2, None, None, 0.2), (2, "1/2", 0.5, 0.2), (0, "auto", 0.5, None)],
)
async def test_money_is_known_where_a_price_or_the_endpoint_says_it(
    store: Store, vendor_calls: int, price: str | None, cost: float | None, reported: float | None
) -> None:
    """Of every call; what endpoints reported is in the result as they reported it."""
    spent = Spent(
        calls=3, picodollars=5 * 10**11, vendor_calls=vendor_calls,
        vendor_picodollars=2 * 10**11 if vendor_calls else 0, cached_tokens=7, reasoning_tokens=8,
    )  # fmt: skip
    await store.put_usage(Bill(spent))
    evaluator = Words()
    config = SearchConfig(data="words", llm="m", price=price)
    usage = (await finish(config, evaluator, store, ended(evaluator))).usage
    assert (usage.cost_usd, usage.reported_usd) == (cost, reported)
    assert (usage.cached_tokens, usage.cache_written_tokens, usage.reasoning_tokens) == (7, 0, 8)


async def test_a_stopped_search_leaves_the_test_split_held_out(store: Store) -> None:
    """It goes on some day, so it has train and val only; the finished one opens it, for the first time."""
    evaluator = Words()
    stopped = await finish(CONFIG, evaluator, store, ended(evaluator, stopped=STOPPED))
    assert (stopped.status, stopped.complete, stopped.test_opened, evaluator.opened) == (
        "stopped",
        False,
        0,
        0,
    )
    everything = [stopped.best, stopped.texts, *stopped.baselines.values()]
    assert all(
        group.test is None and group.train is not None and group.val is not None for group in everything
    )
    done = await finish(CONFIG, evaluator, store, ended(evaluator))
    assert (done.test_opened, evaluator.opened, done.best.test is None) == (1, 1, False)


async def test_a_test_split_that_cannot_be_opened_ends_the_run(store: Store) -> None:
    """The attempt counts as an opening, and a resumed run evaluates again."""
    evaluator = Words(examine=fail())
    with pytest.raises(PromptclimbError, match=r"test/7\.png: the image is torn"):
        await finish(CONFIG, evaluator, store, ended(evaluator))
    fixed = await finish(CONFIG, Words(), store, ended(evaluator))
    assert (fixed.complete, fixed.test_opened, fixed.best.test is None) == (True, 2, False)


async def test_an_evaluator_that_fails_on_what_it_scores_is_an_error_of_ours(store: Store) -> None:
    """It is not met by a traceback of somebody else's."""

    def broken(_templates: object) -> None:
        raise RuntimeError("device lost")

    evaluator = Words(baselines={"hand-made": FOUND})
    searched = ended(evaluator)
    evaluator._before_batch = broken
    with pytest.raises(EvaluationFailedError, match="device lost"):
        await finish(CONFIG, evaluator, store, searched)


async def test_what_cannot_be_averaged_is_not_among_the_texts(store: Store) -> None:
    """A black box that knows single templates only: a single one is chosen, which has a figure."""
    evaluator = Words(unknown=lambda templates: len(templates) > 1)
    result = await finish(CONFIG, evaluator, store, ended(evaluator))
    assert len(result.texts.templates) == 1
    assert result.texts.test is not None


async def test_scores_without_train_leave_what_was_known_of_the_best(store: Store) -> None:
    """An answer may have holes; the best template's training accuracy is known all the same."""

    class Holes(Words):
        def examine(self, ensembles: Sequence[Sequence[str]], *, test: bool = True) -> list[Any]:
            return [SplitScores(None, None, 0.5) for _ in ensembles]  # type: ignore[arg-type]

    evaluator = Holes()
    result = await finish(CONFIG, evaluator, store, ended(evaluator))
    first = result.leaderboard[0]
    assert (result.best.train, result.best.val, result.best.test) == (first.train, first.val, 0.5)
    assert (result.texts.train, result.texts.test) == (first.train, 0.5)


async def test_a_hand_made_template_that_cannot_be_read_costs_its_own_figure_alone(store: Store) -> None:
    """It is left out, as is a list that has it; a rejection is not an accuracy of 0."""
    long = "a " * 20 + "{}"
    lists = {"default template": (INITIAL[0],), "long": (long,), "hand-made": (FOUND[0], long), "none": ()}
    evaluator = Words(max_words=10, baselines=lists)
    result = await finish(CONFIG, evaluator, store, ended(evaluator))
    assert set(result.baselines) == BASELINES
    assert result.baselines["best hand-made"].templates == (FOUND[0],)
    assert result.complete
    assert result.best.test is not None


async def test_without_test_images_nothing_is_opened(store: Store) -> None:
    """The search is finished, and its test accuracies are None."""
    sizes = {"train": 160, "val": 40, "test": 0}

    class Untested(Words):
        def examine(self, ensembles: Sequence[Sequence[str]], *, test: bool = True) -> list[Any]:
            assert not test
            return [SplitScores(0.5, None, None) for _ in ensembles]

    evaluator = Untested(sizes=sizes)
    result = await finish(CONFIG, evaluator, store, ended(evaluator))
    assert (result.complete, result.best.test, result.test_opened) == (True, None, 0)


async def test_a_chat_from_python_is_not_stored_under_an_address(store: Store) -> None:
    """The config's address is that of the endpoint which would have been asked; this one answers here."""
    evaluator = Words()
    asked = await finish(ASKING, evaluator, store, ended(evaluator))
    assert (asked.llm.model, asked.llm.base_url) == ("m", "https://api.openai.com/v1")
    of_object = await finish(ASKING, evaluator, store, ended(evaluator), chat=object())
    assert (of_object.llm.model, of_object.llm.base_url) == ("m", None)
    without = await finish(CONFIG, evaluator, store, ended(evaluator))
    assert (without.llm.model, without.llm.base_url) == (None, None)


async def test_nothing_scored_is_no_result(store: Store) -> None:
    """There is nothing to choose from, and the test split stays held out."""
    evaluator = Words()
    with pytest.raises(PromptclimbError, match="before the first template was scored"):
        await finish(CONFIG, evaluator, store, SearchOutcome(records=[RestartRecord(1)]))
    assert store.value("test_opened") is None


class Predicting(Words):
    """A FakeEvaluator that says what it takes each of ten test images for."""

    def __init__(self) -> None:
        super().__init__(sizes={"train": 160, "val": 40, "test": 10}, classes=2, class_names=("cat", "dog"))

    def predict(self, ensembles: Sequence[Sequence[str]], *, split: str) -> Predictions:
        """Say that the first images are sorted correctly, as many as ``examine`` says."""
        assert self.opened or split != "test"
        right, images = [self._correct(ensemble, split) for ensemble in ensembles], self._info.sizes[split]
        return Predictions((1,) * images, tuple((1,) * count + (0,) * (images - count) for count in right))


async def test_a_finished_search_says_its_gain_with_paired_intervals(store: Store) -> None:
    """From predictions on test, once it is open; no prediction is in the result, their counts are."""
    stopped = await finish(CONFIG, Predicting(), store, ended(Predicting(), stopped=STOPPED))
    assert (stopped.recommended.over, stopped.recommended.verdict, stopped.inspection) == ({}, "", None)
    done = await finish(CONFIG, Predicting(), store, ended(Predicting()))
    assert done.inspection is not None
    assert [(row.images, row.correct) for row in done.inspection.classes] == [
        (0, 0),
        (10, round(10 * (done.recommended.test or 0.0))),
    ]
    difference = done.recommended.over["default template"]
    assert done.recommended.test is not None
    more = round(10 * done.recommended.test - 10 * (done.baselines["default template"].test or 0.0))
    assert (difference.better, difference.worse) == (max(more, 0), max(-more, 0))
    assert difference.paired
    assert done.test_opened == 1
    assert SearchResult.from_json(done.to_json()) == done
    # All test images are of one class.
    assert done.metrics["best"] == {"mean_per_class_recall": done.best.test}
    assert done.metrics.keys() >= {"texts", "default template"}
    assert stopped.metrics == {}


async def test_without_predictions_the_gain_says_that_it_is_not_paired(store: Store) -> None:
    """Of a black box that says accuracies alone; one that fails to say more ends the run."""

    class Broken(Words):
        def predict(self, ensembles: Sequence[Sequence[str]], *, split: str) -> Predictions:
            raise RuntimeError("device lost")

    plain = await finish(CONFIG, Words(), store, ended(Words()))
    assert not plain.recommended.over["default template"].paired
    with pytest.raises(EvaluationFailedError, match="device lost"):
        await finish(CONFIG, Broken(), store, ended(Broken()))


class FewLabels(Predicting):
    """Leaves out the last image."""

    def predict(self, ensembles: Sequence[Sequence[str]], *, split: str) -> Predictions:
        reported = super().predict(ensembles, split=split)
        return Predictions(
            reported.labels[:-1], tuple(labels[:-1] for labels in reported.predicted if labels is not None)
        )


class Shuffled(Predicting):
    """Says other classes than those that its accuracies come from."""

    def predict(self, ensembles: Sequence[Sequence[str]], *, split: str) -> Predictions:
        reported = super().predict(ensembles, split=split)
        return Predictions((0,) * len(reported.labels), reported.predicted)


@pytest.mark.parametrize(
    ("evaluator", "note"),
    [(FewLabels(), "predict reports 9 labels of the 10 images on test"), (Shuffled(), "and examine 0.")],
)
async def test_predictions_that_contradict_the_accuracies_end_the_run(
    store: Store, evaluator: Predicting, note: str
) -> None:
    """The error says in what they differ."""
    with pytest.raises(EvaluationFailedError, match=note):
        await finish(CONFIG, evaluator, store, ended(evaluator))
