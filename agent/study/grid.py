"""The runs of a study, in the order in which they are made."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...evaluator.errors import ConfigError
from ...evaluator.settings import shown
from ..config.schema import OPTIONS, SearchConfig
from ..config.sources import COMMAND_LINE, ENVIRONMENT, absolute, build, flag_of, from_environment, with_files
from ..search.suite import Cell
from .file_parts import AXES, Llm, Method, Model
from .study_file import Study

_LONGEST_PART = 40
_MARK = 8
STAND_IN = "random"
"""The method in the config of a run that searches nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyCell:
    """One run of a study.

    Attributes:
        data: The data set, as the tables call it.
        shots: Training images a class.
        seed: Seed of sample and search.
        model: The black box, as the tables call it.
        method: The method, as the tables call it.
        llm: Who proposes, as the tables call it; None where nobody is asked.
        config: What is searched, folder and limits included.
        white_box: The reference that is fitted in place of a search; None for a search.
        options: What is said to that reference.
    """

    data: str
    shots: int
    seed: int
    model: str
    method: str
    llm: str | None
    config: SearchConfig
    white_box: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def run_dir(self) -> Path:
        """Its folder."""
        return self.cell.run_dir

    @property
    def cell(self) -> Cell:
        """The same as a search of a suite."""
        return Cell(data=self.data, config=self.config)

    @property
    def block(self) -> tuple[str, int, str, int]:
        """What it shares with all that it may be compared with: model, shots, data set, seed."""
        return self.model, self.shots, self.data, self.seed


def cells_of(
    study: Study, folder: Path, environment: Mapping[str, str], flags: Mapping[str, Any]
) -> list[StudyCell]:
    """Return every run of a study, its config checked.

    All of one seed come before the next seed, and all methods of one data set together: whenever it is
    stopped, what is there can be compared.

    Args:
        study: The file.
        folder: Where the runs are kept.
        environment: Such as ``os.environ``; what decides a result is not taken from it.
        flags: Settings of the command line by name; none that decides a result.

    Raises:
        ConfigError: A setting is wrong, or the tables would call two data sets alike.
    """
    _check_names(study)
    beside = {name: value for name, value in from_environment(environment)[0].items() if not decides(name)}
    cells, taken = [], set[str]()
    for seed, shots, model, data in itertools.product(study.seeds, study.shots, study.models, study.data):
        for method, llm in _asked(study, model, shots):
            given = _settings(study, method, llm, model, data)
            names = [model.row, shown_data(data), method.row, *([] if llm is None else [llm.row])]
            own = _folder(seed, shots, names, taken)
            taken.add(own.casefold())
            fixed = {"data": data, "shots": shots, "seed": seed, "run_dir": folder / own}
            layers = [("the suite file", {**given, **fixed}), (ENVIRONMENT, beside), (COMMAND_LINE, flags)]
            config = absolute(build([(place, with_files(layer)) for place, layer in layers if layer]))
            cells.append(_cell(data, shots, method, llm, model, config))
    return cells


def _check_names(study: Study) -> None:
    """Refuse two data sets of one name: the tables could not tell them apart.

    Raises:
        ConfigError: There are such.
    """
    by_name: dict[str, str] = {}
    for data in study.data:
        if (other := by_name.setdefault(shown_data(data), data)) != data:
            raise ConfigError(
                f"data: {shown(other)} and {shown(data)} would both be {shown(shown_data(data))} in the "
                "tables, and share a folder; rename one"
            )


def decides(name: str) -> bool:
    """Return whether a setting decides what is found, so that the file alone may say it."""
    return name in AXES or OPTIONS[name].decides


def _asked(study: Study, model: Model, shots: int) -> Iterator[tuple[Method, Llm | None]]:
    """Yield every method that is run on a model with so many shots, with every LLM that it asks."""
    for method in (one for one in study.methods if one.runs_on(model.row, shots)):
        for llm in study.llms if method.asks else (None,):
            yield method, llm


def _settings(study: Study, method: Method, llm: Llm | None, model: Model, data: str) -> dict[str, Any]:
    """Return the settings of one run: what is said of all, then of the set, model, method and LLM."""
    own = study.sets[data].options if data in study.sets else {}
    options = {} if method.is_white_box else method.options
    found = {**study.search.options, **own, **model.options, **options}
    found |= {"model": model.model, "pretrained": model.pretrained}
    found["method"] = STAND_IN if method.is_white_box else method.method
    if llm is not None:
        found |= {**llm.options, "llm": llm.llm}
    if method.uses_description and not found.get("blind") and data in study.describe:
        found["describe"] = study.describe[data]
    return {**found, **study.budget.model_dump(exclude_none=True)}


def _cell(
    data: str, shots: int, method: Method, llm: Llm | None, model: Model, config: SearchConfig
) -> StudyCell:
    return StudyCell(
        data=shown_data(data),
        shots=shots,
        seed=config.seed,
        model=model.row,
        method=method.row,
        llm=None if llm is None else llm.row,
        config=config,
        white_box=method.method if method.is_white_box else None,
        options=method.options if method.is_white_box else {},
    )


def shown_data(data: str) -> str:
    """Return what the tables call a data set: the last part of a path."""
    return Path(data).name or data


def _folder(seed: int, shots: int, names: Sequence[str], taken: Container[str]) -> str:
    """Return a folder's name, with a mark where names that differ in what no folder shows have taken it.

    The first goes without, so that a study that is given more keeps the folders that it has. Where letters
    are lost each has a mark: of names in Chinese nothing is left, and which comes first is no property of a
    run, so that a file in another order would look for one in the folder of another. Capitals make no other
    folder on many disks.
    """
    found = "-".join([f"seed{seed}", f"{shots}shot", *map(_plain, names)])
    if found.casefold() not in taken and all(name.isascii() for name in names):
        return found
    mark = hashlib.sha256(json.dumps(names).encode()).hexdigest()
    return f"{found}-{mark[:_MARK]}"


def _plain(text: str) -> str:
    kept = "".join(one if one.isascii() and (one.isalnum() or one in "._") else "-" for one in text)
    return kept.strip("-.")[:_LONGEST_PART] or "x"


def refuse_deciding(flags: Mapping[str, Any], file: Path) -> None:
    """Make sure that the command line leaves what is found to the file.

    Raises:
        ConfigError: It does not.
    """
    for name in flags:
        if decides(name):
            raise ConfigError(f"{flag_of(name)} decides what is found: with a suite file, say it in {file}")
