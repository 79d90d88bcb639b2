"""``evaluate``: templates of your own, scored."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from ...evaluator.open import open_evaluator
from ...evaluator.scoring import Evaluator, Inspector, SplitScores
from ..errors import TemplateRejectedError, UsageError
from ..search.inputs import read_template_file
from .options import add_json, add_search_options, given_spec, positive_number
from .output import console, print_json, say

if TYPE_CHECKING:
    from .parser import Commands


def evaluate(arguments: argparse.Namespace) -> int:
    """Score the templates of a file, one by one and as an ensemble, on one split."""
    templates = [template.text for template in read_template_file(arguments.templates, "--templates")]
    evaluator = open_evaluator(given_spec(arguments), report=say)
    document = scores_document(evaluator, templates, arguments.split)
    if arguments.confusions is not None:
        document |= confusions_document(evaluator, templates, arguments.split, most=arguments.confusions)
    if arguments.as_json:
        print_json(document)
    else:
        _print_table(document, arguments.split, evaluator.info.dataset)
        if arguments.confusions is not None:
            _print_confusions(document)
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


def confusions_document(
    evaluator: Evaluator, templates: Sequence[str], split: str, *, most: int
) -> dict[str, Any]:
    """Return how each class fares under all templates together, and which classes are confused most often.

    Raises:
        UsageError: The evaluator does not tell, as one of the user's own may not.
    """
    if not isinstance(evaluator, Inspector):
        raise UsageError("--confusions: this evaluator does not say which classes it confuses")
    found = evaluator.inspect(templates, split=split)
    return {
        "classes": [one.to_json() for one in found.classes],
        "confusions": [one.to_json() for one in found.confusions[:most]],
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


def _print_confusions(document: dict[str, Any]) -> None:
    """Print the classes, the worst first, and the pairs most often confused."""
    classes = Table(title="correctly classified, class by class", title_justify="left")
    for name in ("class", "images", "in %"):
        classes.add_column(name, justify="left" if name == "class" else "right")
    for row in sorted(document["classes"], key=lambda row: (row["accuracy"] is None, row["accuracy"])):
        classes.add_row(Text(row["name"]), str(row["images"]), _percent(row["accuracy"]))
    pairs = Table(title="most often confused", title_justify="left")
    for name in ("class", "taken for", "images"):
        pairs.add_column(name, justify="right" if name == "images" else "left")
    for row in document["confusions"]:
        pairs.add_row(Text(row["true"]), Text(row["taken_for"]), str(row["images"]))
    shown = console()
    shown.stderr = False
    shown.print(classes)
    shown.print(pairs)


def add_parser(commands: Commands, line: str) -> None:
    """Add ``evaluate``."""
    parser = commands.add_parser("evaluate", help=line)
    parser.add_argument("--templates", type=Path, required=True, metavar="FILE", help="JSON, or one a line")
    parser.add_argument(
        "--split", choices=("train", "val", "test"), default="test", help="which images (default: test)"
    )
    parser.add_argument(
        "--confusions",
        type=positive_number,
        nargs="?",
        const=10,
        metavar="N",
        help="for all templates together, say how each class fares and the N pairs most often confused "
        "(default: 10)",
    )
    add_search_options(parser, groups=("task",), leave_out=("objective",))
    add_json(parser)
    parser.set_defaults(run=evaluate)
