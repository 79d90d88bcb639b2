"""The file of a study: what is searched, how, and what is asked of it, checked when it is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias, get_args

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from ...evaluator.errors import ConfigError
from ...evaluator.settings import MOST_PROBLEMS, near, plain, shown
from ..config.sources import read_toml
from .file_parts import Budget, Compare, Llm, Method, Model, Options, Table, Truth
from .row_names import TOGETHER, check_names, check_rows

MOST_RUNS = 100_000
"""The most runs of a study: far more than anybody pays for, so that a slip of the finger is told."""
Reference: TypeAlias = Literal[
    "default template",
    "openai-imagenet",
    "simple-imagenet",
    "best hand-made",
    "hand-made",
    "best starting template",
]
REFERENCES: tuple[Reference, ...] = get_args(Reference)
"""What a search is compared with anyway, in the order of a table's rows; hand-made ones not of every set."""
_POINTS = (10, 20, 40, 80, 160, 320, 640)


def _tables_of(key: str) -> BeforeValidator:
    """Let a bare name stand for the table that has nothing else."""

    def tables(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return [{key: one} if isinstance(one, str) else one for one in value]

    return BeforeValidator(tables)


Whole = Annotated[int, Field(strict=True)]
Shots = Annotated[Whole, Field(ge=1, le=1_000_000)]
Seed = Annotated[Whole, Field(ge=0, lt=2**63)]
Point = Annotated[Whole, Field(ge=1, le=10**9)]


class Study(Table):
    """A whole file.

    Attributes:
        title: What stands over its tables.
        data: Data sets.
        shots: Training images a class.
        seeds: Seeds of sample and search.
        models: Black boxes.
        methods: Rows.
        llms: Who proposes; each for every method that asks.
        search: Settings of every search.
        sets: Settings of one data set's searches, by its name.
        describe: What the pictures of a data set show, by its name.
        budget: Limits over all runs.
        references: What else the tables show.
        ensembles: Whether the tables show what was chosen together, too.
        compare: The differences that are asked for.
        curve: Numbers of templates after which the choice of that moment is looked at, in the end.
        transfer: Whether what was found on one model is scored on the others, in the end.
    """

    title: str = ""
    data: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=1)
    shots: tuple[Shots, ...] = Field(default=(16,), min_length=1)
    seeds: tuple[Seed, ...] = Field(default=(1, 2, 3), min_length=1)
    models: Annotated[tuple[Model, ...], _tables_of("model")] = Field(
        default=(Model(model="RN-pico"),), min_length=1
    )
    methods: Annotated[tuple[Method, ...], _tables_of("method")] = Field(min_length=1)
    llms: Annotated[tuple[Llm, ...], _tables_of("llm")] = ()
    search: Options = Options()
    sets: Mapping[str, Options] = Field(default_factory=dict)
    describe: Mapping[str, str] = Field(default_factory=dict)
    budget: Budget = Budget()
    references: tuple[Reference, ...] = REFERENCES
    ensembles: Truth = False
    compare: tuple[Compare, ...] = ()
    curve: tuple[Point, ...] = _POINTS
    transfer: Truth = False

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for what, names in self._listed().items():
            if twice := [name for name, times in Counter(names).items() if times > 1]:
                raise ValueError(f"{what} names {shown(twice[0])} twice")
            if what in _NAMED:
                check_names(what, names)
        check_rows(self.methods, [one.row for one in self.llms], REFERENCES)
        if any(one.asks for one in self.methods) and not self.llms:
            asking = next(one.row for one in self.methods if one.asks)
            raise ValueError(f"method {shown(asking)} asks an LLM, and llms names none")
        for table, named in (("describe", list(self.describe)), ("sets", list(self.sets))):
            for name in named:
                if name not in self.data:
                    hint = near(name, self.data)
                    raise ValueError(f"{table} speaks of {shown(name)}, which data does not name{hint}")
        for method in self.methods:
            for what, own, all_of in (
                ("shots", method.shots or (), self.shots),
                ("models", method.models or (), [one.row for one in self.models]),
            ):
                if strange := [one for one in own if one not in all_of]:
                    raise ValueError(
                        f"method {shown(method.row)} is for {what} {shown(strange[0])}, which the study lacks"
                    )
        if self.transfer and len(self.models) < 2:
            raise ValueError("transfer goes from one model to another, and models names one only")
        self._check_compared()
        return self

    def _listed(self) -> dict[str, Sequence[Any]]:
        return {
            "data": self.data,
            "shots": self.shots,
            "seeds": self.seeds,
            "models": [one.row for one in self.models],
            "methods": [one.row for one in self.methods],
            "llms": [one.row for one in self.llms],
            "references": self.references,
            "curve": self.curve,
        }

    def _check_compared(self) -> None:
        rows = self.comparable
        llms = [one.row for one in self.llms]
        asking = {row for one in self.methods if one.asks for row in (one.row, one.row + TOGETHER)}
        for pair in self.compare:
            for side, llm in ((pair.first, pair.first_llm), (pair.second, pair.second_llm)):
                if side not in rows:
                    raise ValueError(f"compare names {shown(side)}, which is no row{near(side, rows)}")
                if llm is not None and llm not in llms:
                    raise ValueError(f"compare names {shown(llm)}, which llms does not{near(llm, llms)}")
                if llm is not None and side not in asking:
                    raise ValueError(f"compare gives {shown(side)} an LLM, and it asks none")
            if pair.is_of_one_row:
                alone = " (the other LLM is left out)" if pair.first_llm or pair.second_llm else ""
                raise ValueError(f"compare sets {shown(pair.first)} against itself{alone}")
        if len(set(self.compare)) < len(self.compare):
            twice, _ = Counter(self.compare).most_common(1)[0]
            raise ValueError(f"compare asks twice for {shown(twice.first)} over {shown(twice.second)}")

    @property
    def comparable(self) -> list[str]:
        """Everything that a difference may be asked of."""
        rows = [one.row for one in self.methods]
        together = [one.row + TOGETHER for one in self.methods if not one.is_white_box]
        return [*rows, *together, *REFERENCES]


_NAMED = ("models", "methods", "llms")
"""Lists in which a name stands for a table."""
_NO_TABLE = ("model_type", "model_attributes_type", "dict_type", "mapping_type")
_SAID = {"tuple_type": "write a list, [A, B]", "too_short": "it is empty"}
"""What a list is told that is none."""


def read_study(file: Path) -> Study:
    """Read the file of a study.

    Raises:
        ConfigError: It cannot be read, or something in it is wrong; the message names file and place.
    """
    document = read_toml(file, "the suite file", "suite FILE")
    try:
        return Study.model_validate(document)
    except ValidationError as error:
        found = error.errors()
        # A list of which one is wrong is said to be too short besides.
        inside = {part["loc"][:steps] for part in found for steps in range(len(part["loc"]))}
        parts = [part for part in found if part["type"] != "too_short" or part["loc"] not in inside]
        said = "; ".join(_explained(part, document) for part in parts[:MOST_PROBLEMS])
        raise ConfigError(f"{file}: {said}") from None


def _explained(part: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    """Return what is wrong, with where it stands and what stands there."""
    *above, name = part["loc"] or ("",)
    where = ".".join(str(step + 1) if isinstance(step, int) else step for step in part["loc"])
    if part["type"] == "extra_forbidden":
        inside = f" in {_place(above)}" if above else ""
        return f"unknown key {name!r}{inside}{near(str(name), _names(above))}"
    if part["type"] == "missing":
        return f"{where} is missing"
    if part["type"] in _SAID:
        return f"{where}: {_SAID[part['type']]}"
    value = _value(document, part["loc"])
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
    tables: Mapping[str, type[Table]] = {"budget": Budget, "compare": Compare}
    return tables.get(str(above[0]), Study).model_fields if above else Study.model_fields


def _value(document: Any, steps: Sequence[str | int]) -> Any:
    for step in steps:
        try:
            document = document[step]
        except (KeyError, IndexError, TypeError):
            return {}
    return document
