"""The result of a search and its document, ``result.json``.

Fields may be added without another schema: a reader ignores fields that it does not know, and each later
field has a default.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import ConfigDict, JsonValue, TypeAdapter, ValidationError

from ...evaluator.counts import counted
from ...evaluator.scoring import ClassAccuracy, Confusion
from ...prompts.kinds import KINDS, TEMPLATE, CandidateError, kind_named

SCHEMA = 3
MOST_CONFUSIONS = 20
Status = Literal["finished", "stopped"]
Interval = tuple[float, float]
T = TypeVar("T")

UNOPENED = "test_unopened"
UNEXAMINED = "unexamined"
UNINSPECTED = "uninspected"
UNGROWN = "ensemble_ungrown"
UNPAIRED = "unpaired"
EMPTY = "empty_answers"
NOTHING_USABLE = "nothing_usable"
ENDED_EARLY = "ended_early"
LLM_FALLBACK = "llm_fallback"
"""Names of notes that a search makes; a custom scorer may note more."""
PROMINENT = (LLM_FALLBACK, ENDED_EARLY, UNOPENED, UNEXAMINED, EMPTY, NOTHING_USABLE)
"""Notes without which the figures would be misread."""


def parsed(kind: type[T], document: Mapping[str, Any], name: str) -> T:
    """Return the dataclass that a JSON object holds, every member of the declared type.

    Args:
        kind: The dataclass.
        document: The object; unknown members are ignored.
        name: The name of such a document, for the message.

    Raises:
        ValueError: A member is missing or of another type: the file was changed, or is another program's.
    """
    model: Any = kind
    try:
        found: T = adapter(model).validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"not {name}: {f'{place}: ' if place else ''}{first['msg']}") from error
    return found


@cache
def adapter(kind: Any) -> TypeAdapter[Any]:
    """Return what reads and writes a persisted dataclass."""
    return TypeAdapter(kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Numbers of images."""

    train: int = 0
    val: int = 0
    test: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """The data that were searched on.

    Attributes:
        name: Its name.
        classes: Number of classes; 0 where the evaluator does not say.
        shots: Training images per class.
        seed: Seed of the few-shot sample and of the search.
        sizes: Images in each split.
    """

    name: str
    classes: int
    shots: int
    seed: int
    sizes: Sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The scored model: its name, and the tag or file of its weights."""

    name: str
    pretrained: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Llm:
    """The LLM that proposed.

    Attributes:
        model: Its name; None where no LLM was asked.
        base_url: Its address; None for an LLM in this process: a local one, or an object from Python.
    """

    model: str | None
    base_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """One template with its accuracies, as fractions of 1; None for a split that was not measured."""

    template: str
    train: float
    val: float | None
    test: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """Templates whose text embeddings are averaged, with the accuracies of that average.

    An accuracy is None where there is no such split or where it was not measured: a custom scorer without
    embeddings cannot average them.
    """

    templates: tuple[str, ...]
    train: float | None
    val: float | None = None
    test: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the leaderboard.

    Attributes:
        rank: 1 for the best; 0 before the search has chosen.
        template: Its text.
        train: Its training accuracy.
        val: Its validation accuracy; None without a validation split.
        restart: The restart that found it.
        conversation: In which conversation; 0 for a starting template.
        round: In which round; 0 for a starting template.
        source: ``initial``, ``llm``, or the method that made it without an LLM, such as ``combine``.
        views: Accuracy on augmented copies of the training and validation images; None without any.
    """

    rank: int = 0
    template: str
    train: float
    val: float | None = None
    restart: int
    conversation: int
    round: int
    source: str | None = None
    views: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """Accuracy of the best template class by class.

    Attributes:
        split: The split that was inspected.
        classes: Each class, by label.
        confusions: The pairs of classes most often confused, at most ``MOST_CONFUSIONS``.
    """

    split: str
    classes: tuple[ClassAccuracy, ...]
    confusions: tuple[Confusion, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """Versions of the software; None for a package that was not loaded."""

    program: str
    python: str
    torch: str | None = None
    open_clip: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """LLM usage of a run, all its sessions together.

    Attributes:
        calls: Requests that were answered, usably or not.
        failed_calls: Requests that were given up.
        retries: Attempts after the first.
        replayed: Answers that this session found on disk.
        prompt_tokens: Tokens sent.
        completion_tokens: Tokens received.
        cost_usd: Dollars, as the endpoint reports them, else by the price; None where neither is known.
        estimated_tokens: The most tokens of requests whose usage was not reported: they were cut off, or the
            endpoint does not report it. They count against limits.
        estimated_usd: The most dollars for those.
        cached_tokens: Tokens sent that a vendor's cache held.
        cache_written_tokens: Tokens sent that were written to it.
        reasoning_tokens: Tokens of reasoning received.
        reported_usd: The part of the dollars that the endpoint reported; None where it reported none.
    """

    calls: int = 0
    failed_calls: int = 0
    retries: int = 0
    replayed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = None
    estimated_tokens: int = 0
    estimated_usd: float | None = None
    cached_tokens: int = 0
    cache_written_tokens: int = 0
    reasoning_tokens: int = 0
    reported_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The difference of two test accuracies, in percentage points.

    Attributes:
        points: The difference in the sample.
        interval: Its 95 % interval.
        paired: Whether the interval is over pairs of decisions on the same images; else it takes the two
            accuracies for independent, and is wider than necessary.
        images: Test images.
        better: Images that only the first classifies correctly; None where decisions are not known.
        worse: Images that only the second classifies correctly; None where decisions are not known.
    """

    points: float
    interval: Interval
    paired: bool
    images: int
    better: int | None = None
    worse: int | None = None

    @property
    def same_template(self) -> bool:
        """Whether both are the same template, so that there is nothing to estimate."""
        return self.interval == (0.0, 0.0)

    @property
    def sign(self) -> int:
        """1 where the first is better, -1 where it is worse, 0 where the interval contains 0."""
        low, high = self.interval
        return (low > 0.0) - (high < 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """The gain of a search on the test images.

    Attributes:
        over: The difference of ``best`` to each baseline, by its name.
        ensemble: The difference of the ensemble to ``best``; None where it was not measured.
        verdict: One sentence.
    """

    over: Mapping[str, Difference]
    ensemble: Difference | None = None
    verdict: str

    @property
    def ensemble_is_worse(self) -> bool:
        """Whether the ensemble is worse than the best template alone."""
        return self.ensemble is not None and self.ensemble.sign < 0

    @property
    def sentence(self) -> str:
        """The verdict with the number of test images."""
        images = max((one.images for one in self.over.values()), default=0)
        return f"on test ({counted(images, 'image')}): {self.verdict}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """The result of a search; ``to_json`` returns the document that ``result.json`` holds.

    Attributes:
        status: ``finished``, or ``stopped`` by a limit or an outage.
        stop_reason: Why it stopped; None when it finished.
        dataset: The data.
        model: The scored model.
        llm: The LLM that proposed.
        method: Name of the method.
        objective: What was maximised.
        best: The template that the selection rule puts first.
        ensemble: Templates of the leaderboard, averaged; one that is listed twice weighs twice.
        baselines: By name: hand-made templates, and the best starting template.
        leaderboard: Every template scored, best first.
        usage: LLM usage.
        evaluated: Number of distinct templates scored.
        rejected: Rejected lines and templates, by reason.
        wall_s: Seconds of active time, all sessions together.
        skipped: Rounds without an answer after all retries.
        budget: What is left of each limit that was set.
        notes: Facts that belong beside the figures, by a short name: warnings, a method used in place of
            another. A custom scorer may note any JSON value under any name.
        inspection: Accuracy of the best template class by class; None where test was not evaluated or the
            evaluator does not give classes.
        versions: Versions of the software.
        started: When the run was started, in ISO 8601.
        device: Where the model computed; None where the evaluator does not say.
        test_opened: How often test was evaluated over the run's life.
        limits: The limits that stopped it: ``calls``, ``tokens``, ``cost``, ``minutes``.
        gain: The gain on test, with intervals; None where test was not evaluated.
        prompts: The prompt kind of ``best``, ``ensemble`` and ``leaderboard``.
        run_dir: The folder that it was read from, an absolute path; None without one. It is not in the
            document, and does not count in comparisons.
    """

    status: Status
    stop_reason: str | None
    dataset: Dataset
    model: Model
    llm: Llm
    method: str
    objective: str
    best: Best
    ensemble: Ensemble
    baselines: Mapping[str, Ensemble]
    leaderboard: tuple[Row, ...]
    usage: Usage
    evaluated: int
    rejected: Mapping[str, int]
    wall_s: float
    skipped: int = 0
    budget: Mapping[str, float] = field(default_factory=dict)
    notes: Mapping[str, JsonValue] = field(default_factory=dict)
    inspection: Inspected | None = None
    versions: Versions | None = None
    started: str | None = None
    device: str | None = None
    test_opened: int | None = None
    limits: tuple[str, ...] = ()
    gain: Gain | None = None
    prompts: str = TEMPLATE
    run_dir: Path | None = field(default=None, compare=False)

    __pydantic_config__ = ConfigDict(allow_inf_nan=False)

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do: the search is over, and its test split, if any, was evaluated."""
        return self.status == "finished" and UNOPENED not in self.notes

    def scored_as(self, *texts: str) -> tuple[str, ...]:
        """Return candidates of this result as the templates that the scorer got.

        A text that is not a candidate, in a file that another program wrote, stays as it is.
        """
        kind = kind_named(self.prompts) if self.prompts in KINDS else None
        found = []
        for text in texts:
            with suppress(CandidateError):
                text = text if kind is None else kind.parse_own(text).scored_as
            found.append(text)
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of JSON values, in the order of the documentation."""
        # A folder may be moved, and its files with it.
        found = adapter(SearchResult).dump_python(self, mode="json", exclude={"run_dir"}, warnings=False)
        return {"schema": SCHEMA, **found}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> SearchResult:
        """Return the result that a document holds: the inverse of ``to_json``.

        Raises:
            ValueError: It is of another schema, or not a result at all.
        """
        if not isinstance(document, Mapping):
            raise ValueError("not a result: not a JSON object")
        if document.get("schema") != SCHEMA:
            raise ValueError(
                f"it is a result of schema {document.get('schema')!r}, and this version reads schema "
                f"{SCHEMA}; use the version that made it"
            )
        return parsed(cls, {name: one for name, one in document.items() if name != "run_dir"}, "a result")

    def dumps(self) -> str:
        """Return the text of ``result.json``.

        Raises:
            ValueError: A figure is nan or infinite, which JSON cannot hold.
        """
        return json.dumps(self.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
