"""What a search gives back, and the form that it has in ``result.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

SCHEMA = 1
Status = Literal["finished", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """One template with its accuracies, as fractions of 1; ``val`` is None where there is no such split."""

    template: str
    train: float
    val: float | None
    test: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """Templates whose text embeddings are averaged, with the accuracies of that average.

    They are None where the evaluator cannot average.
    """

    templates: tuple[str, ...]
    train: float | None
    val: float | None
    test: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the leaderboard; ``reset`` and ``iteration`` are 0 for an initial template."""

    rank: int
    template: str
    train: float
    val: float | None
    climb: int
    reset: int
    iteration: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a run used, all its stretches together.

    Attributes:
        calls: Requests that were answered, usefully or not.
        failed_calls: Requests that were given up.
        retries: Attempts after the first.
        replayed: Answers that this stretch found on disk.
        prompt_tokens: Tokens sent.
        completion_tokens: Tokens received.
        cost_usd: Dollars, by the prices given; None where no price is known.
    """

    calls: int = 0
    failed_calls: int = 0
    retries: int = 0
    replayed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """The result of a search; ``to_json`` is the document that ``result.json`` holds.

    Attributes:
        status: ``finished``, or ``stopped`` by a budget.
        stop_reason: What stopped it; None when it finished.
        dataset: ``name``, ``classes``, ``shots``, ``seed`` and ``sizes``.
        model: ``name`` and ``pretrained``.
        llm: ``model`` and ``base_url``; both None where no LLM was asked.
        method: Name of the method.
        objective: What was climbed.
        best: The template that the selection rule puts first.
        ensemble: The first few of the leaderboard, averaged.
        baselines: ``{name: {"templates", "train", "test"}}``: hand-made ones, and the best initial template.
        leaderboard: Every template scored, best first.
        usage: What it took.
        evaluated: Number of distinct templates scored.
        rejected: Lines and templates refused, by reason.
        skipped: Turns that got no answer after all retries.
        wall_s: Seconds of active time, all stretches together.
        budget: What is left of each limit that was set.
        notes: Facts that belong beside the figures, such as a method used in place of another.
    """

    status: Status
    stop_reason: str | None
    dataset: Mapping[str, Any]
    model: Mapping[str, Any]
    llm: Mapping[str, Any]
    method: str
    objective: str
    best: Best
    ensemble: Ensemble
    baselines: Mapping[str, Mapping[str, Any]]
    leaderboard: tuple[Row, ...]
    usage: Usage
    evaluated: int
    rejected: Mapping[str, int]
    wall_s: float
    skipped: int = 0
    budget: Mapping[str, float] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA

    def to_json(self) -> dict[str, Any]:
        """A dictionary of JSON values, in the order of the documentation."""
        document = {"schema": self.schema, **asdict(self)}
        document["ensemble"]["templates"] = list(self.ensemble.templates)
        document["leaderboard"] = list(document["leaderboard"])
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> SearchResult:
        """The inverse of ``to_json``.

        Raises:
            ValueError: It is of another schema, or not a result at all.
        """
        values = dict(document)
        if values.get("schema") != SCHEMA:
            raise ValueError(f"a result of schema {values.get('schema')!r}, and this program reads {SCHEMA}")
        try:
            ensemble = dict(values["ensemble"], templates=tuple(values["ensemble"]["templates"]))
            values["best"] = Best(**values["best"])
            values["ensemble"] = Ensemble(**ensemble)
            values["leaderboard"] = tuple(Row(**row) for row in values["leaderboard"])
            values["usage"] = Usage(**values["usage"])
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a result: {error}") from error

    def dumps(self) -> str:
        """The text of ``result.json``."""
        return json.dumps(self.to_json(), indent=2, ensure_ascii=False) + "\n"
