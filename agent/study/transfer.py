"""What is kept of a gain on another model: templates found on one, scored on the others, in the end."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...evaluator.open import open_evaluator
from ...evaluator.scoring import Evaluator
from ...evaluator.spec import Report
from ..errors import TemplateRejectedError
from ..results.details import BEST
from ..results.gain import PLAIN
from ..results.run_dir import write_atomically
from .comparing import Blocks
from .outcomes import Outcome
from .rows import Row, rows_of
from .study_file import Study

TRANSFER = "transfer.json"
"""The file in a study's folder with what was scored on other models: nothing is scored twice."""


class Carried:
    """Test accuracies of templates on models that they were not found on.

    Args:
        folder: The study's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / TRANSFER
        self._known: dict[str, float | None] = _read(self._path)

    def test(self, data: str, model: str, template: str) -> float | None:
        """Return the test accuracy of a template; None where it is not known, or cannot be had."""
        return self._known.get(_key(data, model, template))

    def complete(self, study: Study, blocks: Blocks, report: Report) -> None:
        """Score what is not known yet; block for as long as that takes.

        The test split of a data set is the same for every seed and number of shots, so a model is opened
        once for it.

        Args:
            study: The file.
            blocks: What counts.
            report: Told what is opened.

        Raises:
            UsageError: Data or model cannot be used.
        """
        for data, model, templates in _wanted(study, blocks):
            missing = [one for one in templates if _key(data, model, one) not in self._known]
            config = _config_of(blocks, data, model)
            if not missing or config is None:
                continue
            report(f"transfer to {model} on {data}: {len(missing)} templates")
            evaluator = open_evaluator(config.model_copy(update={"views": 0}))
            for template in missing:
                self._known[_key(data, model, template)] = _tested(evaluator, template)
            write_atomically(self._path, json.dumps(self._known, ensure_ascii=False, indent=1) + "\n")


LEAST_GAIN = 0.01
"""Below a point, a share of the gain is a ratio of chances."""


def transfers(study: Study, blocks: Blocks, carried: Carried) -> list[dict[str, Any]]:
    """Return, for each method and pair of models, how much of the gain is kept.

    ``kept`` is the gain over the plain template, on the other model, of what was found on the first one,
    divided by the gain of what a search on that other model itself found; both are means over data sets of
    means over seeds. It is None where searching there gained less than a point.

    Args:
        study: The file.
        blocks: What counts.
        carried: What was scored on other models.
    """
    return [
        _kept(row, shots, source.row, target.row, blocks, carried)
        for shots in study.shots
        for source in study.models
        for target in study.models
        if source is not target
        for row in rows_of(study, source.row, shots)
        if row.binds and not row.white_box and row in rows_of(study, target.row, shots)
    ]


def _kept(row: Row, shots: int, source: str, target: str, blocks: Blocks, carried: Carried) -> dict[str, Any]:
    gains: dict[str, list[tuple[float, float]]] = {}
    for (model, own_shots, data, seed), block in blocks.items():
        if (model, own_shots) != (source, shots):
            continue
        there = blocks.get((target, shots, data, seed), ())
        native, plain = row.of(there), _plain(there)
        found = next((one for one in block if (one.cell.method, one.cell.llm) == (row.method, row.llm)), None)
        if found is None or native is None or plain is None:
            continue
        brought = carried.test(data, target, found.template or "")
        if brought is not None:
            gains.setdefault(data, []).append((brought - plain, native.test - plain))
    label = {"label": row.label, "shots": shots, "from": source, "to": target, "sets": len(gains)}
    if not gains:
        return {**label, "brought": None, "native": None, "kept": None}
    brought_gain, native_gain = (
        statistics.fmean(statistics.fmean(pair[side] for pair in pairs) for pairs in gains.values())
        for side in (0, 1)
    )
    return {
        **label,
        "brought": round(100 * brought_gain, 4),
        "native": round(100 * native_gain, 4),
        "kept": brought_gain / native_gain if native_gain >= LEAST_GAIN else None,
    }


def _plain(block: Sequence[Outcome]) -> float | None:
    found = Row(PLAIN, None, figure=PLAIN).of(block)
    return None if found is None else found.test


def _wanted(study: Study, blocks: Blocks) -> Iterator[tuple[str, str, list[str]]]:
    """Yield each data set and model with the templates that were found on others."""
    wanted: dict[tuple[str, str], dict[str, None]] = {}
    for (model, _shots, data, _seed), block in blocks.items():
        for one in block:
            if one.template is not None and BEST in one.figures:
                for target in (other.row for other in study.models if other.row != model):
                    wanted.setdefault((data, target), {})[one.template] = None
    yield from ((data, model, list(templates)) for (data, model), templates in wanted.items())


def _config_of(blocks: Blocks, data: str, model: str) -> Any:
    for key, block in blocks.items():
        if (key[0], key[2]) == (model, data) and block:
            return block[0].cell.config
    return None


def _tested(evaluator: Evaluator, template: str) -> float | None:
    try:
        (scores,) = evaluator.examine([[template]], test=True)
    except TemplateRejectedError:
        return None  # this model cannot read it
    return None if scores is None else scores.test


def _key(data: str, model: str, template: str) -> str:
    return json.dumps([data, model, template], ensure_ascii=False)


def _read(path: Path) -> dict[str, float | None]:
    try:
        found: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
        return {key: None if value is None else float(value) for key, value in found.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}
