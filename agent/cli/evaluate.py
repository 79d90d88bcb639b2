"""``evaluate``: templates of your own, scored."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from ...evaluator.open import open_evaluator
from ...evaluator.scoring import Evaluator, SplitScores
from ..errors import TemplateRejectedError, UsageError
from ..search.inputs import read_template_file
from .options import add_json, add_search_options, given_spec
from .output import console, print_json, say

if TYPE_CHECKING:
    from .parser import Commands


def evaluate(arguments: argparse.Namespace) -> int:
    """Score the templates of a file, one by one and as an ensemble, on one split."""
    templates = [template.text for template in read_template_file(arguments.templates, "--templates")]
    evaluator = open_evaluator(given_spec(arguments), report=say)
    document = scores_document(evaluator, templates, arguments.split)
    if arguments.as_json:
        print_json(document)
    else:
        _print_table(document, arguments.split, evaluator.info.dataset)
    return 0


def scores_document(evaluator: Evaluator, templates: Sequence[str], split: str) -> dict[str, Any]:
    """Return the document of ``evaluate --json``.

    Raises:
        UsageError: A template cannot be scored by this model, or the split is empty.
    """
    # A scorer of the user's own does not say what it scores on.
    if split != "train" and not evaluator.info.sizes.get(split):
        raise UsageError(f"{evaluator.info.dataset} has no {split} images; choose another split by --split")
    try:
        ensembles = [*([template] for template in templates), list(templates)]
        *singles, together = evaluator.examine(ensembles, test=split == "test")
    except TemplateRejectedError as error:
        raise UsageError(str(error)) from error
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


def add_parser(commands: Commands, line: str) -> None:
    """Add ``evaluate``."""
    parser = commands.add_parser("evaluate", help=line)
    parser.add_argument("--templates", type=Path, required=True, metavar="FILE", help="JSON, or one a line")
    parser.add_argument(
        "--split", choices=("train", "val", "test"), default="test", help="which images (default: test)"
    )
    add_search_options(parser, groups=("task",), leave_out=("objective",))
    add_json(parser)
    parser.set_defaults(run=evaluate)
