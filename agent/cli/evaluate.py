"""``evaluate``: templates of your own, scored."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from ...evaluator.errors import InputError, ScoringError
from ...evaluator.scoring import Evaluator, Rejection, SplitScores
from ...evaluator.spec import open_evaluator
from ...prompts.pools import read_templates
from ..config.evaluation import spec_of
from ..config.schema import SearchConfig
from ..config.sources import from_sources
from .options import given_settings
from .output import console, print_json, say


def evaluate(arguments: argparse.Namespace) -> int:
    """Scores the templates of a file, one by one and as an ensemble, on one split."""
    templates = [template.text for template in read_templates(arguments.templates)]
    config = scoring_config(arguments)
    evaluator = open_evaluator(spec_of(config), report=say)
    document = scores_document(evaluator, templates, arguments.split)
    if arguments.as_json:
        print_json(document)
    else:
        _print_table(document, arguments.split, evaluator.info.dataset)
    return 0


def scoring_config(arguments: argparse.Namespace) -> SearchConfig:
    """A config of which only what is scored matters."""
    return from_sources({**given_settings(arguments), "method": "random"}, os.environ)


def scores_document(evaluator: Evaluator, templates: Sequence[str], split: str) -> dict[str, Any]:
    """The document of ``evaluate --json``.

    Raises:
        InputError: A template cannot be scored by this model, or the split is empty.
    """
    if not evaluator.info.sizes.get(split):
        raise InputError(f"{evaluator.info.dataset} has no {split} images")
    rejected = [
        f"{template!r}: {answer.message}"
        for template, answer in zip(templates, evaluator.score(list(templates)), strict=True)
        if isinstance(answer, Rejection)
    ]
    if rejected:
        raise InputError(
            "; ".join(rejected[:3]) + (f"; and {len(rejected) - 3} more" if len(rejected) > 3 else "")
        )
    try:
        ensembles = [*([template] for template in templates), list(templates)]
        *singles, together = evaluator.examine(ensembles, test=split == "test")
    except ScoringError as error:
        raise InputError(str(error)) from error
    return {
        "dataset": evaluator.info.dataset,
        "model": {"name": evaluator.info.model, "pretrained": evaluator.info.pretrained},
        "split": split,
        "scores": [
            {"template": template, split: _of(scores, split)}
            for template, scores in zip(templates, singles, strict=True)
        ],
        "ensemble": {"templates": list(templates), split: _of(together, split)},
    }


def _of(scores: SplitScores | None, split: str) -> float | None:
    found: float | None = getattr(scores, split, None)
    return found


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _print_table(document: dict[str, Any], split: str, dataset: str) -> None:
    table = Table(title=f"{dataset}: {split} accuracy in %", title_justify="left")
    table.add_column("template", overflow="fold")
    table.add_column(split, justify="right")
    for row in document["scores"]:
        table.add_row(Text(row["template"]), _percent(row[split]))
    if len(document["scores"]) > 1:
        table.add_row(
            Text(f"ensemble of all {len(document['scores'])}"),
            _percent(document["ensemble"][split]),
            style="bold",
        )
    shown = console()
    shown.stderr = False
    shown.print(table)
