"""The model of a study: its searches, methods and comparisons, from a TOML file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from ...evaluator.counts import counted
from ...evaluator.errors import ConfigError
from ...evaluator.messages import shown
from ...evaluator.scoring import Shots
from ...evaluator.settings import MOST_PROBLEMS, near, plain
from ...evaluator.spec import CheckedShots
from ...evaluator.white_box.references import REFERENCES as WHITE_BOX
from ...evaluator.white_box.references import check_reference
from ..config.fields import LONGEST_MINUTES
from ..config.schema import MOST_COUNTED
from ..config.sources import FILE_SETTINGS, read_toml
from ..methods.registry import METHODS
from ..prices import MOST_DOLLARS
from ..results.accuracies import BEST, TEXTS, WITH_IMAGES

AXES = ("data", "shots", "seed", "model", "pretrained", "method", "llm")
NOT_OPTIONS = frozenset({*AXES, "describe", "run_dir", "max_calls", "max_tokens", "max_cost", "max_minutes"})
OPTIONS = tuple(name for name in FILE_SETTINGS if name not in NOT_OPTIONS)
"""Settings of a search that a table may give."""
FIGURE_BY_SUFFIX: Mapping[str, str] = {
    " template": BEST,
    " texts": TEXTS,
    " with images": WITH_IMAGES,
}
"""Follows a method's name where another form than the recommended one is meant."""
ReferenceName: TypeAlias = Literal[
    "default template",
    "bare class name",
    "OpenAI's 80 templates",
    "best hand-made",
    "hand-made",
    "best starting template",
    "best without a search",
]
REFERENCES: tuple[ReferenceName, ...] = get_args(ReferenceName)
"""Baselines of every search, in table order; some data sets lack hand-made templates."""
_NAMED = ("models", "methods", "llms")
"""Lists in which a name stands for a table."""

Truth = Annotated[bool, Field(strict=True)]
CountLimit = Annotated[int, Field(strict=True, ge=0, le=MOST_COUNTED)]
Chance: TypeAlias = Literal["images", "seeds", "sets"]
Whole = Annotated[int, Field(strict=True)]
Seed = Annotated[Whole, Field(ge=0, lt=2**63)]
Name = Annotated[str, Field(max_length=60)]


class Table(BaseModel):
    """A table of a study."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


class StudyOptions(Table):
    """A table that may hold settings of searches, such as ``[search]`` and ``[sets.NAME]``."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="before")
    @classmethod
    def _is_no_api(cls, table: Any) -> Any:
        scorer = table.get("scorer", "clip") if isinstance(table, dict) else "clip"
        if scorer != "clip":  # first: the table's other faults are not worth fixing then
            raise ValueError(
                f"a study cannot use a model behind an API (`scorer = {shown(scorer)}`); run `promptclimb "
                "search` for each of its runs"
            )
        return table

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        self._check_options()
        return self

    def _check_options(self) -> None:
        for name in self.options:
            if name in NOT_OPTIONS:
                raise ValueError(
                    f"{name!r} does not stand here: data, shots, seeds, models, methods and llms are "
                    "lists at the top, limits stand in [budget], sentences in [describe], and each run has "
                    "its own folder"
                )
            if name not in OPTIONS:
                raise ValueError(f"unknown key {name!r}{near(name, [*type(self).model_fields, *OPTIONS])}")

    @property
    def options(self) -> dict[str, Any]:
        return self.model_extra or {}


class StudyMethod(StudyOptions):
    """One of ``[[methods]]``, a row of the tables: a method of ``search``, or a white-box reference.

    ``describe``: use the description in ``[describe]``. ``shots`` and ``models``: run with these only; None
    for all.
    """

    method: str
    name: Name = ""
    describe: Truth = True
    shots: tuple[CheckedShots, ...] | None = Field(default=None, min_length=1)
    models: tuple[str, ...] | None = Field(default=None, min_length=1)

    def _check_options(self) -> None:
        methods = [*METHODS, *WHITE_BOX]
        if self.method not in methods:
            raise ValueError(f"unknown method {shown(self.method)}{near(self.method, methods)}")
        if not self.is_white_box:
            super()._check_options()
            return
        try:
            check_reference(self.method, self.options)  # its options are its own
        except ConfigError as error:
            raise ValueError(str(error)) from error

    @property
    def row(self) -> str:
        return self.name or self.method

    @property
    def rows(self) -> tuple[str, ...]:
        """Its names in the tables: its own, and those of its forms."""
        suffixes = () if self.is_white_box else tuple(FIGURE_BY_SUFFIX)
        return tuple(f"{self.row}{suffix}" for suffix in ("", *suffixes))

    @property
    def is_white_box(self) -> bool:
        """Whether it uses the model's weights and gradients."""
        return self.method in WHITE_BOX

    @property
    def asks(self) -> bool:
        return self.method in METHODS and METHODS[self.method].asks_llm

    @property
    def uses_description(self) -> bool:
        """Whether it is given the description of a data set."""
        return self.describe and self.method in METHODS and METHODS[self.method].uses_description

    def runs_on(self, model: str, shots: Shots | None) -> bool:
        return shots in (self.shots or (shots,)) and model in (self.models or (model,))


class StudyLlm(StudyOptions):
    """One of ``[[llms]]``; ``llm`` as the setting takes it."""

    llm: str = Field(min_length=1)
    name: Name = ""

    @property
    def row(self) -> str:
        return self.name or self.llm


class StudyModel(StudyOptions):
    """One of ``[[models]]``; ``model`` and ``pretrained`` as the options take them."""

    model: str = Field(min_length=1)
    pretrained: str = "pico"
    name: Name = ""

    @property
    def row(self) -> str:
        return self.name or self.model


class StudyBudget(Table):
    """``[budget]``: limits over all runs together."""

    max_calls: CountLimit | None = None
    max_tokens: CountLimit | None = None
    max_cost: float | None = Field(default=None, strict=True, ge=0, le=MOST_DOLLARS)
    max_minutes: float | None = Field(default=None, strict=True, ge=0, le=LONGEST_MINUTES)


class Compare(Table):
    """One of ``[[compare]]``: a difference to report, between methods, their forms or references.

    The LLMs are named if the sides differ in them. The interval resamples ``resample``.
    """

    first: str
    second: str
    first_llm: str | None = None
    second_llm: str | None = None
    resample: tuple[Chance, ...] = Field(default=("images", "seeds"), min_length=1)


def _tables_of(key: str) -> BeforeValidator:
    """Let a bare name stand for a table with that key alone."""

    def tables(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return [{key: member} if isinstance(member, str) else member for member in value]

    return BeforeValidator(tables)


class Study(Table):
    """A whole study.

    Attributes:
        shots: Training images per class, or ``all``; None for the search's own default.
        seeds: Seeds of sample and search.
        llms: Each is asked by every method that asks.
        sets: Settings of the searches on one data set, by its name.
        describe: Descriptions by data set name.
        references: Baselines that the tables show.
        forms: Whether the tables show each form of a method's result too.
        transfer: Whether templates found on one model are scored on the others.
    """

    title: str = ""
    data: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=1)
    shots: tuple[CheckedShots | None, ...] = Field(default=(16,), min_length=1)
    seeds: tuple[Seed, ...] = Field(default=(1, 2, 3), min_length=1)
    models: Annotated[tuple[StudyModel, ...], _tables_of("model")] = Field(
        default=(StudyModel(model="RN-pico"),), min_length=1
    )
    methods: Annotated[tuple[StudyMethod, ...], _tables_of("method")] = Field(min_length=1)
    llms: Annotated[tuple[StudyLlm, ...], _tables_of("llm")] = ()
    search: StudyOptions = StudyOptions()
    sets: Mapping[str, StudyOptions] = Field(default_factory=dict)
    describe: Mapping[str, str] = Field(default_factory=dict)
    budget: StudyBudget = StudyBudget()
    references: tuple[ReferenceName, ...] = REFERENCES
    forms: Truth = False
    compare: tuple[Compare, ...] = ()
    transfer: Truth = False

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        self._check_names()
        asking = [method.row for method in self.methods if method.asks]
        if asking and not self.llms:
            raise ValueError(f"method {shown(asking[0])} asks an LLM, and llms names none")
        for table, names in (("describe", self.describe), ("sets", self.sets)):
            for name in names:
                if name not in self.data:
                    hint = near(name, self.data)
                    raise ValueError(f"{table} names {shown(name)}, which is not in data{hint}")
        models = [model.row for model in self.models]
        for method in self.methods:
            axes = (("shots", method.shots, self.shots), ("models", method.models, models))
            for axis, wanted, allowed in axes:
                if missing := [value for value in wanted or () if value not in allowed]:
                    raise ValueError(
                        f"method {shown(method.row)} is for {axis} {shown(missing[0])}, which the study lacks"
                    )
        if self.transfer and len(self.models) < 2:
            raise ValueError("transfer needs two models, and models names only one")
        for pair in self.compare:
            self._check_pair(pair)
        return self

    def _check_names(self) -> None:
        """Refuse a name that stands twice in a list, or for two rows of the tables."""
        labels = list[str](REFERENCES)
        for method in self.methods:
            labels += method.rows
            if method.is_white_box:
                labels.append(white_box_label(method.row))
            elif method.asks and len(self.llms) > 1:
                labels += [llm_label(row, llm.row) for row in method.rows for llm in self.llms]
        lists: dict[str, Sequence[Any]] = {
            **{name: getattr(self, name) for name in ("data", "shots", "seeds", "references")},
            **{name: [entry.row for entry in getattr(self, name)] for name in _NAMED},
            "the rows of the tables": labels,
        }
        for key, names in lists.items():
            if twice := [name for name, times in Counter(names).items() if times > 1]:
                raise ValueError(f"{key}: {shown(twice[0])} stands there twice")

    def _check_pair(self, pair: Compare) -> None:
        rows = self.comparable
        llms = [llm.row for llm in self.llms]
        asking = {row for method in self.methods if method.asks for row in method.rows}
        for side, llm in ((pair.first, pair.first_llm), (pair.second, pair.second_llm)):
            if side not in rows:
                raise ValueError(f"compare names {shown(side)}, which is not a row{near(side, rows)}")
            if llm is not None and llm not in llms:
                raise ValueError(f"compare names {shown(llm)}, which llms does not{near(llm, llms)}")
            if llm is not None and side not in asking:
                raise ValueError(f"compare gives {shown(side)} an LLM, but it does not ask one")
        # An LLM that is not named stands for each of them.
        sides = {pair.first_llm, pair.second_llm}
        if pair.first == pair.second and (None in sides or len(sides) == 1):
            hint = " (the other LLM is left out)" if sides != {None} else ""
            raise ValueError(f"compare sets {shown(pair.first)} against itself{hint}")

    @property
    def comparable(self) -> list[str]:
        """Names of all rows that a difference may compare."""
        return [*(row for method in self.methods for row in method.rows), *REFERENCES]


def white_box_label(name: str) -> str:
    """Return the label of a white-box row."""
    return f"{name} (white box)"


def llm_label(name: str, llm: str) -> str:
    """Return the label of a row with one LLM among several."""
    return f"{name}, {llm}"


def shots_label(shots: int | str | None) -> str:
    """Return a number of shots in words; a text is ``all``, or names several."""
    if isinstance(shots, str):
        return f"{shots} shots"
    return "default shots" if shots is None else counted(shots, "shot")


def read_study(file: Path) -> Study:
    """Read a study's file; a ConfigError names file and place."""
    tables = read_toml(file, "suite file", "suite FILE")
    try:
        return Study.model_validate(tables)
    except ValidationError as error:
        problems = error.errors()
        # A list whose only member is wrong is not also empty.
        inside = {problem["loc"][:depth] for problem in problems for depth in range(len(problem["loc"]))}
        explained = map(_explain, [each for each in problems if each["loc"] not in inside][:MOST_PROBLEMS])
        raise ConfigError(f"{file}: {'; '.join(dict.fromkeys(explained))}") from None


def _explain(problem: Mapping[str, Any]) -> str:
    """Return pydantic's error in our words, with its place in the file: numbers count from 1."""
    steps, kind, value = problem["loc"], problem["type"], problem["input"]
    path = ".".join(str(step + 1) if isinstance(step, int) else step for step in steps)
    if kind == "extra_forbidden":
        tables: Mapping[str, type[Table]] = {"budget": StudyBudget, "compare": Compare}
        known_keys = tables.get(str(steps[0]), Study).model_fields
        return f"unknown key {path}{near(str(steps[-1]), known_keys)}"
    if kind == "missing":
        return f"{path} is missing"
    shows_value = bool(path) and not isinstance(value, dict | list)
    return f"{path}{f' is {shown(value)}' if shows_value else ''}{': ' if path else ''}{plain(problem)}"
