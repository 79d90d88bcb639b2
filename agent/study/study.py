"""A study: its searches, methods and comparisons, from a TOML file or the options of ``suite``."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from ...evaluator.counts import counted
from ...evaluator.errors import ConfigError
from ...evaluator.settings import MOST_PROBLEMS, near, plain, shown, with_current_names
from ...evaluator.white_box.references import REFERENCES as WHITE_BOX
from ...evaluator.white_box.references import check_reference
from ..config.fields import LONGEST_MINUTES, MOST_DOLLARS
from ..config.schema import MOST_COUNTED, SearchConfig
from ..config.sources import flag_of, read_toml
from ..methods.registry import METHODS, REMOVED, check_method

AXES = ("data", "shots", "seed", "model", "pretrained", "method", "llm")
NOT_OPTIONS = frozenset({*AXES, "describe", "run_dir", "max_calls", "max_tokens", "max_cost", "max_minutes"})
OPTIONS = tuple(name for name in SearchConfig.model_fields if flag_of(name) and name not in NOT_OPTIONS)
"""Settings of a search that a table may give."""
_ELSEWHERE = (
    "data, shots, seeds, models, methods and llms are lists at the top, limits stand in [budget], sentences "
    "in [describe], and each run has its own folder"
)
ENSEMBLE_SUFFIX = " ensemble"
"""Follows a method's name where its ensemble is meant."""
ReferenceName: TypeAlias = Literal[
    "default template",
    "openai-imagenet",
    "simple-imagenet",
    "best hand-made",
    "hand-made",
    "best starting template",
]
REFERENCES: tuple[ReferenceName, ...] = get_args(ReferenceName)
"""Baselines of every search, in table order; some data sets lack hand-made templates."""
_POINTS = (10, 20, 40, 80, 160, 320, 640)
_NAMED = ("models", "methods", "llms")
"""Lists in which a name stands for a table."""
_INVISIBLE = ("Cc", "Cf", "Cn", "Cs", "Zl", "Zp")
"""Unicode categories that no table or picture can show."""

Truth = Annotated[bool, Field(strict=True)]
CountLimit = Annotated[int, Field(strict=True, ge=0, le=MOST_COUNTED)]
Chance: TypeAlias = Literal["images", "seeds", "sets"]
Whole = Annotated[int, Field(strict=True)]
Shots = Annotated[Whole, Field(ge=1, le=1_000_000)]
Seed = Annotated[Whole, Field(ge=0, lt=2**63)]
CurvePoint = Annotated[Whole, Field(ge=1, le=10**9)]
Name = Annotated[str, Field(max_length=60)]


class Table(BaseModel):
    """A table of a study."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


class StudyOptions(Table):
    """A table that may hold settings of searches, such as ``[search]`` and ``[sets.NAME]``."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="after")
    def _known(self) -> Self:
        self._check_options()
        return self

    def _check_options(self) -> None:
        for name in self.options:
            if name in NOT_OPTIONS:
                raise ValueError(f"{name!r} does not stand here: {_ELSEWHERE}")
            if name not in OPTIONS:
                raise ValueError(f"unknown key {name!r}{near(name, [*type(self).model_fields, *OPTIONS])}")

    @property
    def options(self) -> dict[str, Any]:
        return with_current_names(self.model_extra or {}, SearchConfig)


class StudyMethod(StudyOptions):
    """One of ``[[methods]]``, a row of the tables: a method of ``search``, or a white-box reference.

    ``describe``: use the description in ``[describe]``. ``shots`` and ``models``: run with these only; None
    for all.
    """

    method: str
    name: Name = ""
    describe: Truth = True
    shots: tuple[Whole, ...] | None = Field(default=None, min_length=1)
    models: tuple[str, ...] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        if self.method in REMOVED:
            check_method(self.method)
        known = [*METHODS, *WHITE_BOX]
        if self.method not in known:
            raise ValueError(f"unknown method {shown(self.method)}{near(self.method, known)}")
        return self

    def _check_options(self) -> None:
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

    def runs_on(self, model: str, shots: int | None) -> bool:
        return shots in (self.shots or (shots,)) and model in (self.models or (model,))


class StudyLlm(StudyOptions):
    """One of ``[[llms]]``; ``llm`` as ``--llm`` takes it."""

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
    """One of ``[[compare]]``: a difference to report, between methods, their ensembles or references.

    The LLMs are named if the sides differ in them. The interval resamples ``resample``.
    """

    first: str
    second: str
    first_llm: str | None = None
    second_llm: str | None = None
    resample: tuple[Chance, ...] = Field(default=("images", "seeds"), min_length=1)

    @field_validator("resample")
    @classmethod
    def _each_once(cls, names: tuple[Chance, ...]) -> tuple[Chance, ...]:
        if len(set(names)) < len(names):
            raise ValueError("it names one of them twice")
        return tuple(name for name in get_args(Chance) if name in names)


def _tables_of(key: str) -> BeforeValidator:
    """Let a bare name stand for a table with that key alone."""

    def tables(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return [{key: one} if isinstance(one, str) else one for one in value]

    return BeforeValidator(tables)


class Study(Table):
    """A whole study.

    Attributes:
        shots: Training images per class; None for the search's own default.
        seeds: Seeds of sample and search.
        llms: Each is asked by every method that asks.
        sets: Settings of the searches on one data set, by its name.
        describe: Descriptions by data set name.
        references: Baselines that the tables show.
        ensembles: Whether the tables show each method's ensemble too.
        curve: Numbers of templates after which the current choice is evaluated on test.
        transfer: Whether templates found on one model are scored on the others.
    """

    title: str = ""
    data: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=1)
    shots: tuple[Shots | None, ...] = Field(default=(16,), min_length=1)
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
    ensembles: Truth = False
    compare: tuple[Compare, ...] = ()
    curve: tuple[CurvePoint, ...] = _POINTS
    transfer: Truth = False

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        self._check_lists()
        _check_rows(self.methods, [one.row for one in self.llms])
        if any(one.asks for one in self.methods) and not self.llms:
            asking = next(one.row for one in self.methods if one.asks)
            raise ValueError(f"method {shown(asking)} asks an LLM, and llms names none")
        for table, named in (("describe", self.describe), ("sets", self.sets)):
            for name in named:
                if name not in self.data:
                    hint = near(name, self.data)
                    raise ValueError(f"{table} names {shown(name)}, which is not in data{hint}")
        self._check_restricted()
        if self.transfer and len(self.models) < 2:
            raise ValueError("transfer needs two models, and models names only one")
        self._check_compared()
        return self

    def _check_lists(self) -> None:
        lists: dict[str, Sequence[Any]] = {
            **{name: getattr(self, name) for name in ("data", "shots", "seeds", "references", "curve")},
            **{name: [one.row for one in getattr(self, name)] for name in _NAMED},
        }
        for what, names in lists.items():
            if twice := [name for name, times in Counter(names).items() if times > 1]:
                raise ValueError(f"{what} names {shown(twice[0])} twice")
            if what in _NAMED:
                _check_names(what, names)

    def _check_restricted(self) -> None:
        models = [one.row for one in self.models]
        for method in self.methods:
            for what, own, known in (("shots", method.shots, self.shots), ("models", method.models, models)):
                for one in own or ():
                    if one not in known:
                        raise ValueError(
                            f"method {shown(method.row)} is for {what} {shown(one)}, which the study lacks"
                        )

    def _check_compared(self) -> None:
        rows = self.comparable
        llms = [one.row for one in self.llms]
        asking = {row for one in self.methods if one.asks for row in (one.row, one.row + ENSEMBLE_SUFFIX)}
        for pair in self.compare:
            for side, llm in ((pair.first, pair.first_llm), (pair.second, pair.second_llm)):
                if side not in rows:
                    raise ValueError(f"compare names {shown(side)}, which is not a row{near(side, rows)}")
                if llm is not None and llm not in llms:
                    raise ValueError(f"compare names {shown(llm)}, which llms does not{near(llm, llms)}")
                if llm is not None and side not in asking:
                    raise ValueError(f"compare gives {shown(side)} an LLM, but it does not ask one")
            # An LLM that is not named stands for each of them.
            own = {pair.first_llm, pair.second_llm}
            if pair.first == pair.second and (None in own or len(own) == 1):
                alone = " (the other LLM is left out)" if own != {None} else ""
                raise ValueError(f"compare sets {shown(pair.first)} against itself{alone}")
        if len(set(self.compare)) < len(self.compare):
            twice, _ = Counter(self.compare).most_common(1)[0]
            raise ValueError(f"compare asks twice for {shown(twice.first)} over {shown(twice.second)}")

    @property
    def comparable(self) -> list[str]:
        """Names of all rows that a difference may compare."""
        rows = [one.row for one in self.methods]
        ensembles = [one.row + ENSEMBLE_SUFFIX for one in self.methods if not one.is_white_box]
        return [*rows, *ensembles, *REFERENCES]


def _check_names(what: str, names: Sequence[str]) -> None:
    """Refuse names that a reader cannot see, or distinguish."""
    seen: dict[str, str] = {}
    for name in names:
        if hidden := next((one for one in name if unicodedata.category(one) in _INVISIBLE), None):
            code = f"U+{ord(hidden):04X}"
            raise ValueError(f"{what} names {shown(name)}: {code} in it is invisible; leave it out")
        if not _as_read(name):
            raise ValueError(f"{what} names {shown(name)}, which is empty to a reader")
        other = seen.setdefault(_as_read(name), name)
        if other != name:
            raise ValueError(
                f"{what} names {shown(other)} and {shown(name)}, which look the same; rename one"
            )


def _check_rows(methods: Sequence[StudyMethod], llms: Sequence[str]) -> None:
    """Refuse a method whose name means something else in the tables."""
    taken = dict.fromkeys(map(str, REFERENCES), "a reference")
    for method in methods:
        own = dict(_called(method, llms))
        for name in own:
            if (other := taken.get(_as_read(name))) is not None:
                mine = "which" if name == method.row else f"whose {shown(name)}"
                raise ValueError(f"methods names {shown(method.row)}, {mine} is {other} already; rename it")
        taken |= {_as_read(name): meaning for name, meaning in own.items()}


def _called(method: StudyMethod, llms: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield every name by which the study or a table means a method, with its meaning."""
    row = shown(method.row)
    if method.is_white_box:
        yield method.row, f"the method {row}"
        yield white_box_label(method.row), f"the row of {row}"
        return
    for name, what in ((method.row, "method"), (method.row + ENSEMBLE_SUFFIX, "ensemble of")):
        yield name, f"the {what} {row}"
        for llm in llms if method.asks and len(llms) > 1 else ():
            yield llm_label(name, llm), f"the {what} {row} with {shown(llm)}"


def white_box_label(name: str) -> str:
    """Return the label of a white-box row."""
    return f"{name} (white box)"


def llm_label(name: str, llm: str) -> str:
    """Return the label of a row with one LLM among several."""
    return f"{name}, {llm}"


def shots_label(shots: int | None) -> str:
    """Return a number of shots in words."""
    return "default shots" if shots is None else counted(shots, "shot")


def _as_read(name: str) -> str:
    """Return a name with accents in one form and single spaces."""
    return " ".join(unicodedata.normalize("NFC", name).split())


_NO_TABLE = ("model_type", "model_attributes_type", "dict_type", "mapping_type")
_SAID = {"tuple_type": "write a list, [A, B]", "too_short": "it is empty"}


def read_study(file: Path) -> Study:
    """Read a study's file; a ConfigError names file and place."""
    return study_of(read_toml(file, "suite file", "suite FILE"), f"{file}: ")


def study_of(tables: Mapping[str, Any], place: str = "") -> Study:
    """Return the study that tables describe; ``place`` begins the message of a ConfigError."""
    try:
        return Study.model_validate(tables)
    except ValidationError as error:
        found = error.errors()
        # pydantic calls a list with a wrong item too short besides.
        inside = {part["loc"][:steps] for part in found for steps in range(len(part["loc"]))}
        parts = [part for part in found if part["type"] != "too_short" or part["loc"] not in inside]
        said = "; ".join(map(_explained, parts[:MOST_PROBLEMS]))
        raise ConfigError(f"{place}{said}") from None


def _explained(part: Mapping[str, Any]) -> str:
    *above, name = part["loc"] or ("",)
    where = ".".join(str(step + 1) if isinstance(step, int) else step for step in part["loc"])
    if part["type"] == "extra_forbidden":
        inside = f" in {_place(above)}" if above else ""
        return f"unknown key {name!r}{inside}{near(str(name), _names(above))}"
    if part["type"] == "missing":
        return f"{where} is missing"
    if part["type"] in _SAID:
        return f"{where}: {_SAID[part['type']]}"
    value = part["input"]
    if part["type"] in _NO_TABLE:
        wanted = "a name or a table" if part["loc"][0] in _NAMED else "a table"
        return f"{where} is {shown(value)}: write {wanted}"
    if not where or isinstance(value, dict | list):
        return f"{where}: {plain(part)}" if where else plain(part)
    return f"{where} is {shown(value)}: {plain(part)}"


def _place(steps: Sequence[str | int]) -> str:
    names = ".".join(step for step in steps if isinstance(step, str))
    return f"[[{names}]]" if any(isinstance(step, int) for step in steps) else f"[{names}]"


def _names(above: Sequence[str | int]) -> Iterable[str]:
    tables: Mapping[str, type[Table]] = {"budget": StudyBudget, "compare": Compare}
    return tables.get(str(above[0]), Study).model_fields if above else Study.model_fields
