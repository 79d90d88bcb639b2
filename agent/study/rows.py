"""The rows of a study's tables: methods, with each LLM that they ask, and what they are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..results.details import BEST
from ..results.gain import ENSEMBLE
from .outcomes import Figure, Outcome
from .row_names import TOGETHER, llm_label, white_box_label
from .study_file import REFERENCES, Study


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Attributes:
        label: What it is called.
        method: The method; None for what every search is compared with.
        llm: Who proposes; None where nobody is asked.
        figure: Which of a run's figures it shows.
        white_box: Whether it looks into the model, which is said wherever it is shown.
    """

    label: str
    method: str | None
    llm: str | None = None
    figure: str = BEST
    white_box: bool = False

    @property
    def binds(self) -> bool:
        """Whether a data set and seed without it is in no row's mean."""
        return self.method is not None and self.figure == BEST

    def runs_on(self, study: Study, model: str, shots: int) -> bool:
        """Return whether it is run on a model with so many shots; a reference always is."""
        return self.method is None or any(
            one.row == self.method and one.runs_on(model, shots) for one in study.methods
        )

    def of(self, block: Sequence[Outcome]) -> Figure | None:
        """Return its figure among the runs of one model, shot number, data set and seed."""
        for one in block:
            own = self.method is None or (self.method, self.llm) == (one.cell.method, one.cell.llm)
            if own and (found := one.figures.get(self.figure)) is not None:
                return found
        return None


def rows_of(study: Study, model: str, shots: int) -> list[Row]:
    """Return the rows of one table of a study, in their order: what is compared with first.

    Args:
        study: The file.
        model: The table's.
        shots: The table's.
    """
    rows = [Row(name, None, figure=name) for name in study.references]
    for row in (one.row for one in study.methods if one.runs_on(model, shots)):
        rows += rows_named(study, row)
        if study.ensembles:
            rows += rows_named(study, row + TOGETHER)
    return rows


def rows_named(study: Study, name: str, llm: str | None = None) -> list[Row]:
    """Return the rows that a name in the file stands for: one for each LLM, where the method asks.

    Args:
        study: The file.
        name: A method's, also with " ensemble" after it, or that of a reference.
        llm: The only LLM that is meant; None for all.
    """
    if name in REFERENCES:
        return [Row(name, None, figure=name)]
    own = name.removesuffix(TOGETHER) if name not in [one.row for one in study.methods] else name
    figure = BEST if own == name else ENSEMBLE
    (method,) = (one for one in study.methods if one.row == own)
    if method.is_white_box:
        return [] if figure == ENSEMBLE else [Row(white_box_label(name), own, white_box=True)]
    if not method.asks:
        return [Row(name, own, figure=figure)]
    several = len(study.llms) > 1
    return [
        Row(llm_label(name, one.row) if several else name, own, one.row, figure)
        for one in study.llms
        if llm in (None, one.row)
    ]
