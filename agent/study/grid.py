"""The runs of a study in order, with their settings and folders."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...evaluator.errors import ConfigError
from ...evaluator.messages import shown
from ...evaluator.scoring import Shots
from ..config.schema import OPTIONS, SearchConfig
from ..config.sources import COMMAND_LINE, absolute, from_environment, from_layers, with_files
from .study import AXES, Study, StudyLlm, StudyMethod, StudyModel

_LONGEST_NAME = 40
"""Characters of each name in a folder's name."""
STAND_IN = "random"
"""The method in the config of a white-box run, which is not a search."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A run of the study's grid, as the tables name it: a search, or a white-box reference with ``options``.

    A ``white_box`` run takes data and model from ``config``, whose method is ``STAND_IN``.
    """

    data: str
    shots: Shots | None
    seed: int
    model: str
    method: str
    llm: str | None
    run_dir: Path
    config: SearchConfig
    white_box: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def block(self) -> tuple[str, Shots | None, str, int]:
        """Model, shots, data set and seed: shared by the runs that it is compared with."""
        return self.model, self.shots, self.data, self.seed


def cells_of(
    study: Study, folder: Path, environment: Mapping[str, str], flags: Mapping[str, Any]
) -> list[Cell]:
    """Return every run of a study with its config checked; the environment and flags decide no results.

    Seeds come one after the other, and all methods of a data set together, so the finished runs of a stopped
    study can be compared.
    """
    by_name: dict[str, str] = {}
    for data in study.data:
        if (first := by_name.setdefault(shown_data(data), data)) != data:
            raise ConfigError(
                f"data: {shown(first)} and {shown(data)} have the same name, {shown(shown_data(data))}, in "
                "tables and folders; rename one"
            )
    harmless = [layer for layer in from_environment(environment)[0] if not any(map(decides, layer[1]))]
    cells, folders = list[Cell](), set[str]()
    for seed, shots, model, data in itertools.product(study.seeds, study.shots, study.models, study.data):
        for method in study.methods:
            if not method.runs_on(model.row, shots):
                continue
            for llm in study.llms if method.asks else (None,):
                names = [model.row, shown_data(data), method.row, *([] if llm is None else [llm.row])]
                run_folder = _folder_name(seed, shots, names, folders)
                folders.add(run_folder.casefold())
                run_dir = folder / run_folder
                axes = {"data": data, "shots": shots, "seed": seed, "run_dir": run_dir}
                settings = {**_settings(study, method, llm, model, data), **axes}
                sources = [("the suite file", settings), *harmless, (COMMAND_LINE, flags)]
                layers = [(source, with_files(layer)) for source, layer in sources]
                cells.append(
                    Cell(
                        data=shown_data(data),
                        shots=shots,
                        seed=seed,
                        model=model.row,
                        method=method.row,
                        llm=None if llm is None else llm.row,
                        run_dir=run_dir,
                        config=absolute(from_layers(layers)),
                        white_box=method.method if method.is_white_box else None,
                        options=method.options if method.is_white_box else {},
                    )
                )
    return cells


def decides(name: str) -> bool:
    """Return whether a setting decides the result of a search."""
    return name in AXES or OPTIONS[name].decides


def _settings(
    study: Study, method: StudyMethod, llm: StudyLlm | None, model: StudyModel, data: str
) -> dict[str, Any]:
    """Return what the study's tables set for one run; the more specific table wins."""
    of_set = study.sets[data].options if data in study.sets else {}
    of_method = {} if method.is_white_box else method.options
    settings = {**study.search.options, **of_set, **model.options, **of_method}
    if data in study.describe:
        settings.setdefault("starting_pool", "general")  # the same for methods without the description
    settings |= {"model": model.model, "pretrained": model.pretrained}
    settings["method"] = STAND_IN if method.is_white_box else method.method
    if llm is not None:
        settings |= {**llm.options, "llm": llm.llm}
    if method.uses_description and not settings.get("blind") and data in study.describe:
        settings["describe"] = study.describe[data]
    return {**settings, **study.budget.model_dump(exclude_none=True)}


def shown_data(data: str) -> str:
    """Return a data set's name in the tables: the last part of a path."""
    return Path(data).name or data


def _folder_name(seed: int, shots: Shots | None, names: list[str], taken: set[str]) -> str:
    """Return the name of a run's folder, with a hash if different names would share it.

    The first has none, so an extended study keeps its folders. A name that is not ASCII always has one: its
    letters are lost, and the order of names must not decide. Many disks ignore case.
    """
    words = [f"seed{seed}", *([] if shots is None else [f"{shots}shot"])]
    for name in names:
        safe = "".join(c if c.isascii() and (c.isalnum() or c in "._") else "-" for c in name)
        words.append(safe.strip("-.")[:_LONGEST_NAME] or "x")
    folder = "-".join(words)
    if folder.casefold() not in taken and all(name.isascii() for name in names):
        return folder
    return f"{folder}-{hashlib.sha256(json.dumps(names).encode()).hexdigest()[:8]}"
