"""Transfer: templates found on one model are scored on the others once all searches are over."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from ...evaluator.errors import TemplateRejectedError, UsageError
from ...evaluator.open import open_evaluator
from ...evaluator.scoring import BASELINE_DEFAULT, Evaluator, NamePredictor, Share, Shots
from ...evaluator.settings import applying_to
from ...evaluator.spec import EvaluatorSpec, Report
from ...evaluator.threads import at_once
from ..results.accuracies import BEST
from ..results.details import read_details
from ..results.run_dir import write_atomically
from ..search.test_evaluation import shares_right
from ..store.run import StoreReader
from .grid import Cell
from .outcomes import Blocks, RunOutcome, mean_over_sets
from .study import Study
from .tables import StudyRow, rows_of

TRANSFER = "transfer.json"
"""The file in a study's folder with the scores on other models."""
_SCORES = TypeAdapter(dict[str, Share | None])
_OF_THE_SAMPLE = set(applying_to(EvaluatorSpec, "few-shot sample"))
"""Settings that leave test images, class names and model as they are."""
LEAST_GAIN = 0.01
"""Below it, the share of the gain is a ratio of noise."""


class BestPrompt(NamedTuple):
    """The best template of a run, and the new class names accepted for it, sorted by class."""

    template: str
    names: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, run: RunOutcome) -> BestPrompt | None:
        return None if run.template is None else cls(run.template, run.class_names)


class Transferred:
    """Test accuracies of templates on models that they were not found on; nothing is scored twice.

    Settings, data and model are those of the method's own run on the other model.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / TRANSFER
        self._scores: dict[str, float | None] = {}
        with suppress(OSError, ValueError):
            self._scores = _SCORES.validate_json(self._path.read_bytes())
        self._first_by_settings: dict[str, tuple[Cell, str]] = {}

    def test(self, blocks: Blocks, target: Cell, prompt: BestPrompt) -> float | None:
        """Return the test accuracy of a prompt on the model of a run; None if unknown."""
        return self._scores.get(self._key(blocks, target, prompt))

    def complete(self, study: Study, blocks: Blocks, report: Report) -> None:
        """Score what is not known yet; block for as long as that takes.

        Seeds and numbers of shots share a data set's test split, so each model is opened once for it and for
        each set of settings that changes the classifier.
        """
        for target, prompts in _wanted(study, blocks):
            keys = {self._key(blocks, target, prompt): prompt for prompt in prompts}
            missing = {key: prompt for key, prompt in keys.items() if key not in self._scores}
            if not missing:
                continue
            report(f"transfer to {target.model} on {target.data}: {len(missing)} templates")
            config = self._first_alike(blocks, target)[0].config
            evaluator = open_evaluator(config.without_choice())
            for key, prompt in missing.items():
                self._scores[key] = _tested(evaluator, prompt)
            write_atomically(self._path, json.dumps(self._scores, ensure_ascii=False, indent=1) + "\n")

    def _key(self, blocks: Blocks, target: Cell, prompt: BestPrompt) -> str:
        identity = self._first_alike(blocks, target)[1]
        template = prompt if prompt.names else prompt.template
        return json.dumps([target.data, target.model, template, identity], ensure_ascii=False)

    def _first_alike(self, blocks: Blocks, target: Cell) -> tuple[Cell, str]:
        """Return the first of all runs that are scored alike, with its identity."""
        settings = _test_settings(target)
        if settings not in self._first_by_settings:
            cells = (
                run.cell
                for (model, _, data, _), block in blocks.items()
                for run in block
                if (model, data) == (target.model, target.data) and run.cell.white_box is None
            )
            first = next((cell for cell in cells if _test_settings(cell) == settings), target)
            self._first_by_settings[settings] = first, _identity(first)
        return self._first_by_settings[settings]


def _test_settings(cell: Cell) -> str:
    """Return all settings that decide a template's test score, files by their places."""
    return json.dumps([cell.data, cell.model, cell.config.bare().model_dump_json(exclude=_OF_THE_SAMPLE)])


def _identity(cell: Cell) -> str:
    """Return a hash of a run's settings, data and model, by content."""
    settings = cell.config.bare().identity()
    content: list[Any] = [{name: settings[name] for name in sorted(settings.keys() - _OF_THE_SAMPLE)}]
    with suppress(UsageError), StoreReader(cell.run_dir) as stored:
        content.append(stored.manifest.identity.get("fingerprint"))
    details = read_details(cell.run_dir)
    if details is not None and (decisions := details.decisions) is not None:
        content += [decisions.image_set, decisions.classes, decisions.labels]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()[:16]


def transfers(study: Study, blocks: Blocks, transferred: Transferred) -> list[dict[str, Any]]:
    """Return, for each method and pair of models, how much of the gain is kept.

    ``kept`` divides the gain over the default template of what was found on the first model by that of a
    search on the other one, both scored there; means over data sets of means over seeds. It is None if that
    search gained less than a point.
    """
    return [
        _transfer(row, shots, source.row, target.row, blocks, transferred)
        for shots in study.shots
        for source in study.models
        for target in study.models
        if source is not target
        for row in rows_of(study, source.row, shots)
        if row.binds and not row.white_box and row in rows_of(study, target.row, shots)
    ]


def _transfer(
    row: StudyRow, shots: Shots | None, source: str, target: str, blocks: Blocks, transferred: Transferred
) -> dict[str, Any]:
    # By data set, the gains of what the source found and of the target's own search, for each seed.
    gains: dict[str, list[tuple[float, float]]] = {}
    for (model, block_shots, data, seed), block in blocks.items():
        if (model, block_shots) != (source, shots):
            continue
        run, native = row.run_in(block), row.run_in(blocks.get((target, shots, data, seed), ()))
        if run is None or native is None or not {BEST, BASELINE_DEFAULT} <= native.figures.keys():
            continue
        prompt = BestPrompt.of(run)
        test = None if prompt is None else transferred.test(blocks, native.cell, prompt)
        if test is not None:
            default = native.figures[BASELINE_DEFAULT].test
            gains.setdefault(data, []).append((test - default, native.figures[BEST].test - default))
    where = {"label": row.label, "shots": shots, "from": source, "to": target, "sets": len(gains)}
    if not gains:
        return {**where, "brought": None, "native": None, "kept": None}
    brought_gain, native_gain = (
        mean_over_sets((pair[side] for pair in pairs) for pairs in gains.values()) for side in (0, 1)
    )
    return {
        **where,
        "brought": round(100 * brought_gain, 4),
        "native": round(100 * native_gain, 4),
        "kept": brought_gain / native_gain if native_gain >= LEAST_GAIN else None,
    }


def _wanted(study: Study, blocks: Blocks) -> Iterator[tuple[Cell, list[BestPrompt]]]:
    """Yield one run for all that are scored alike, with its method's templates from other models."""
    wanted: dict[str, tuple[Cell, dict[BestPrompt, None]]] = {}
    for (model, shots, data, seed), block in blocks.items():
        for target in (other.row for other in study.models if other.row != model):
            natives: Mapping[tuple[str, str | None], Cell] = {
                (run.cell.method, run.cell.llm): run.cell
                for run in blocks.get((target, shots, data, seed), ())
            }
            for run in block:
                native = natives.get((run.cell.method, run.cell.llm))
                prompt = BestPrompt.of(run)
                if prompt is not None and BEST in run.figures and native is not None:
                    wanted.setdefault(_test_settings(native), (native, {}))[1][prompt] = None
    yield from ((cell, list(prompts)) for cell, prompts in wanted.values())


def _tested(evaluator: Evaluator, prompt: BestPrompt) -> float | None:
    try:
        if not prompt.names:
            (scores,) = at_once(evaluator.examine([[prompt.template]], test=True))
            return None if scores is None else scores.test
        classes = evaluator.info.class_names
        renaming = {classes.index(old): new for old, new in prompt.names if old in classes}
        if not isinstance(evaluator, NamePredictor) or len(renaming) < len(prompt.names):
            return None
        predictions = at_once(evaluator.predict_named(prompt.template, [renaming], split="test"))
    except TemplateRejectedError:
        return None  # this model cannot read it
    (share,) = shares_right(predictions)
    return share
