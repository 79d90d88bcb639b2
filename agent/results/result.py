"""What a search gives back, and the form that it has in ``result.json``.

``to_json`` writes every field; ``from_json`` leaves aside what it does not know and takes what an older
program did not write for unknown, so that fields may be added without another schema.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ...evaluator.scoring import ClassAccuracy, Confusion
from ...prompts.kinds import KINDS, TEMPLATE, CandidateError, kind_named
from .gain import Gain
from .notes import EMPTY as EMPTY
from .notes import ENDED_EARLY as ENDED_EARLY
from .notes import NOTHING_USABLE as NOTHING_USABLE
from .notes import PROMINENT as PROMINENT
from .notes import UNEXAMINED as UNEXAMINED
from .notes import UNGROWN as UNGROWN
from .notes import UNINSPECTED as UNINSPECTED
from .notes import UNOPENED as UNOPENED
from .notes import UNPAIRED as UNPAIRED
from .notes import Notes as Notes
from .plain_json import checked, made, plain
from .spent import Usage as Usage

SCHEMA = 3
MOST_CONFUSIONS = 20
Status = Literal["finished", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Numbers of images."""

    train: int = 0
    val: int = 0
    test: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """What was searched on.

    Attributes:
        name: Its name.
        classes: Number of classes; 0 where the evaluator does not say.
        shots: Training images a class.
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
    """The black box: its name, and the tag or file of its weights."""

    name: str
    pretrained: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Llm:
    """Who proposed.

    Attributes:
        model: Its name; None where no LLM was asked.
        base_url: Where it was asked; None for one in this process: a local one, or an object from Python.
    """

    model: str | None
    base_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """One template with its accuracies, as fractions of 1; None where there is none."""

    template: str
    train: float
    val: float | None
    test: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """Templates whose text embeddings are averaged, with the accuracies of that average.

    An accuracy is None where there is no such split or where it was not measured: a black box that knows no
    embeddings cannot average them.
    """

    templates: tuple[str, ...]
    train: float | None
    val: float | None
    test: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the leaderboard; ``conversation`` and ``round`` are 0 for an initial template.

    ``source`` is who made the template: ``initial``, ``llm``, or the way that asks none, such as ``combine``;
    None where an older program did not say. ``views`` is the share of altered views of the training and
    validation images that are correctly classified; None where none were looked at.
    """

    rank: int
    template: str
    train: float
    val: float | None
    restart: int
    conversation: int
    round: int
    source: str | None = None
    views: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """How the best template does class by class.

    Attributes:
        split: On which images.
        classes: Each class, by label.
        confusions: The pairs of classes most often confused, at most ``MOST_CONFUSIONS``.
    """

    split: str
    classes: tuple[ClassAccuracy, ...]
    confusions: tuple[Confusion, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """What ran; None for a package that took no part."""

    program: str
    python: str
    torch: str | None = None
    open_clip: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """The result of a search; ``to_json`` is the document that ``result.json`` holds.

    Attributes:
        status: ``finished``, or ``stopped`` by a budget.
        stop_reason: What stopped it; None when it finished.
        dataset: What was searched on.
        model: The black box.
        llm: Who proposed.
        method: Name of the method.
        objective: What was maximised.
        best: The template that the selection rule puts first.
        ensemble: Templates of the leaderboard, averaged; one that stands there twice weighs twice.
        baselines: By name: hand-made templates, and the best starting template.
        leaderboard: Every template scored, best first.
        usage: What it took.
        evaluated: Number of distinct templates scored.
        rejected: Lines and templates refused, by reason.
        wall_s: Seconds of active time, all sessions together.
        skipped: Rounds that got no answer after all retries.
        budget: What is left of each limit that was set.
        notes: Facts that belong beside the figures, by a short name: what was let through, a method used in
            place of another. A plain mapping of JSON values becomes ``Notes``.
        inspection: How each class fares under the best template; None where the test split stayed sealed or
            the evaluator does not tell.
        versions: What ran; None where an older program did not say.
        started: When the run was started, in ISO 8601; None where an older program did not say.
        device: Where the black box computed; None where the evaluator does not say.
        test_opened: How often the test split was opened over the run's life; None where an older program did
            not count.
        limits: The limits that stopped it: ``calls``, ``tokens``, ``cost``, ``minutes``; going on takes more
            of each.
        gain: What the test images say of the choice, with intervals; None where they stayed sealed,
            or an older program did not say.
        prompts: The prompt kind of ``best``, ``ensemble`` and ``leaderboard``.
        run_dir: The folder that it came from, an absolute path; None where it was read from a document alone.
            It is no part of the document, and two results are equal wherever they lie.
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
    notes: Notes = field(default_factory=Notes)
    inspection: Inspected | None = None
    versions: Versions | None = None
    started: str | None = None
    device: str | None = None
    test_opened: int | None = None
    limits: tuple[str, ...] = ()
    gain: Gain | None = None
    prompts: str = TEMPLATE
    run_dir: Path | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.notes, Notes):
            object.__setattr__(self, "notes", Notes(self.notes))

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do: the search is over, and its test split, if any, was examined."""
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
        document = {"schema": SCHEMA, **plain(self)}
        del document["run_dir"]  # a folder may be moved, and its files with it
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> SearchResult:
        """Return the result that a document holds: the inverse of ``to_json``.

        Raises:
            ValueError: It is of another schema, or not a result at all.
        """
        if not isinstance(document, Mapping):
            raise ValueError("not a result: no JSON object")
        if document.get("schema") != SCHEMA:
            raise ValueError(
                f"a result of schema {document.get('schema')!r}, and this program reads {SCHEMA}"
            )
        try:
            values = {name: value for name, value in document.items() if name != "run_dir"}
            values["dataset"] = made(
                Dataset, {**values["dataset"], "sizes": made(Sizes, values["dataset"]["sizes"])}
            )
            for name, kind in (("model", Model), ("llm", Llm), ("best", Best), ("usage", Usage)):
                values[name] = made(kind, values[name])
            values["ensemble"] = _ensemble(values["ensemble"])
            values["baselines"] = {name: _ensemble(found) for name, found in values["baselines"].items()}
            values["leaderboard"] = tuple(made(Row, row) for row in values["leaderboard"])
            values["limits"] = tuple(values.get("limits", ()))
            if (look := values.get("inspection")) is not None:
                classes = tuple(made(ClassAccuracy, one) for one in look["classes"])
                confusions = tuple(made(Confusion, one) for one in look["confusions"])
                values["inspection"] = Inspected(split=look["split"], classes=classes, confusions=confusions)
            if values.get("versions") is not None:
                values["versions"] = made(Versions, values["versions"])
            if values.get("gain") is not None:
                values["gain"] = Gain.from_json(values["gain"])
            return checked(made(cls, values))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"not a result: {error}") from error

    def dumps(self) -> str:
        """Return the text of ``result.json``.

        Raises:
            ValueError: A figure is nan or infinite, which JSON has no word for.
        """
        return json.dumps(self.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _ensemble(found: Mapping[str, Any]) -> Ensemble:
    # A baseline may come without ``val``.
    return made(Ensemble, {"val": None, **found, "templates": tuple(found["templates"])})
