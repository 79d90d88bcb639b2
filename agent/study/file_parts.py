"""The tables that the file of a study is made of, each checked by itself."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ...evaluator.errors import ConfigError
from ...evaluator.settings import near, shown
from ...evaluator.white_box.references import REFERENCES as WHITE_BOX
from ...evaluator.white_box.references import check_reference
from ..config.fields import LONGEST_MINUTES, MOST_DOLLARS
from ..config.schema import MOST_COUNTED, SearchConfig
from ..config.sources import flag_of
from ..methods.registry import METHODS

AXES = ("data", "shots", "seed", "model", "pretrained", "method", "llm")
"""Settings that a study goes through."""
_ELSEWHERE = (
    "data, shots, seeds, models, methods and llms are lists at the top, limits stand in [budget], sentences "
    "in [describe], and each run has its folder"
)
NOT_OPTIONS = frozenset({*AXES, "describe", "run_dir", "max_calls", "max_tokens", "max_cost", "max_minutes"})
OPTIONS = tuple(name for name in SearchConfig.model_fields if flag_of(name) and name not in NOT_OPTIONS)
"""Settings of a single search that a table may give."""


Truth = Annotated[bool, Field(strict=True)]
Amount = Annotated[int, Field(strict=True, ge=0, le=MOST_COUNTED)]
Chance: TypeAlias = Literal["images", "seeds", "sets"]


class Table(BaseModel):
    """A table of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


class WithOptions(Table):
    """A table in which settings of a single search may stand."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="after")
    def _known(self) -> Self:
        self._check_options()
        return self

    def _check_options(self) -> None:
        own = list(type(self).model_fields)
        for name in self.options:
            if name in NOT_OPTIONS:
                raise ValueError(f"{name!r} does not stand here: {_ELSEWHERE}")
            if name not in OPTIONS:
                raise ValueError(f"unknown key {name!r}{near(name, [*own, *OPTIONS])}")

    @property
    def options(self) -> dict[str, Any]:
        """Settings by name."""
        return dict(self.model_extra or {})


class Options(WithOptions):
    """``[search]`` and ``[sets.NAME]``: settings of single searches."""


class Method(WithOptions):
    """One of ``[[methods]]``: a row of the tables.

    Attributes:
        method: A method of ``search``, or a white-box reference.
        name: What the row is called; the method's name where nothing else is said.
        describe: Whether the sentences of ``[describe]`` are told, to a method that can be told.
        shots: The only numbers of shots that it is run with; None for all of the study's.
        models: The only models that it is run on, as the tables call them; None for all of the study's.
    """

    method: str
    name: str = Field(default="", max_length=60)
    describe: Truth = True
    shots: tuple[Annotated[int, Field(strict=True)], ...] | None = Field(default=None, min_length=1)
    models: tuple[str, ...] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        if self.method not in (*METHODS, *WHITE_BOX):
            raise ValueError(
                f"unknown method {shown(self.method)}{near(self.method, [*METHODS, *WHITE_BOX])}"
            )
        return self

    def _check_options(self) -> None:
        if self.method not in WHITE_BOX:
            super()._check_options()
            return
        try:
            check_reference(self.method, self.options)  # the options of one are its own
        except ConfigError as error:
            raise ValueError(str(error)) from error

    @property
    def row(self) -> str:
        """What the row is called."""
        return self.name or self.method

    def runs_on(self, model: str, shots: int) -> bool:
        """Return whether it is run on a model with so many shots."""
        return shots in (self.shots or (shots,)) and model in (self.models or (model,))

    @property
    def is_white_box(self) -> bool:
        """Whether it looks into the model."""
        return self.method in WHITE_BOX

    @property
    def uses_description(self) -> bool:
        """Whether it can use the sentences of ``[describe]``, and may."""
        return self.describe and self.method in METHODS and METHODS[self.method].uses_description

    @property
    def asks(self) -> bool:
        """Whether it asks an LLM."""
        return self.method in METHODS and METHODS[self.method].asks_llm


class Llm(WithOptions):
    """One of ``[[llms]]``.

    Attributes:
        llm: As ``--llm`` takes it.
        name: What it is called in the tables.
    """

    llm: str = Field(min_length=1)
    name: str = Field(default="", max_length=60)

    @property
    def row(self) -> str:
        """What it is called."""
        return self.name or self.llm


class Model(WithOptions):
    """One of ``[[models]]``: the black box.

    Attributes:
        model: As ``--model`` takes it.
        pretrained: As ``--pretrained`` takes it.
        name: What it is called in the tables.
    """

    model: str = Field(min_length=1)
    pretrained: str = "pico"
    name: str = Field(default="", max_length=60)

    @property
    def row(self) -> str:
        """What it is called."""
        return self.name or self.model


class Budget(Table):
    """``[budget]``: limits over all runs together."""

    max_calls: Amount | None = None
    max_tokens: Amount | None = None
    max_cost: float | None = Field(default=None, strict=True, ge=0, le=MOST_DOLLARS)
    max_minutes: float | None = Field(default=None, strict=True, ge=0, le=LONGEST_MINUTES)


class Compare(Table):
    """One of ``[[compare]]``: a difference that is asked for.

    Attributes:
        first: A row: a method's name, also with " ensemble" after it, or a reference.
        second: What it is compared with.
        first_llm: Which LLM's, where the two are to differ in that.
        second_llm: Likewise.
        resample: What the interval takes for chance.
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

    @property
    def is_of_one_row(self) -> bool:
        """Whether both sides are, or hold, the same row: an LLM that is not said is each of them."""
        llms = {self.first_llm, self.second_llm}
        return self.first == self.second and (None in llms or len(llms) == 1)
