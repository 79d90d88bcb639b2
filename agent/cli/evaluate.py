"""``evaluate``: templates of your own, scored."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from ...evaluator.inspection import Inspection
from ..results.figures import are_shares, score_text
from ..search.evaluation import Evaluation, score_templates
from ..search.inputs import read_template_file
from .options import add_json, add_search_options, given_spec, positive_number
from .output import console, json_alone, print_json, say

if TYPE_CHECKING:
    from .parser import Commands

DIGITS = 2


def evaluate(arguments: argparse.Namespace) -> int:
    """Score the templates of a file, one by one and as an ensemble, on one split."""
    templates = [template.text for template in read_template_file(arguments.templates, "--templates")]
    asked = arguments.confusions is not None
    spec = given_spec(arguments)
    with json_alone(arguments.as_json):
        found = score_templates(templates, spec, split=arguments.split, inspect=asked, report=say)
    if arguments.as_json:
        print_json(found.to_json(most_confusions=arguments.confusions))
        return 0
    _print_table(found)
    if found.inspection is not None:
        _print_inspection(found.inspection, most=arguments.confusions)
    return 0


def _print_table(found: Evaluation) -> None:
    percent = are_shares([*(one.accuracy for one in found.scores), found.ensemble])
    what = "accuracy in %" if percent else "score, higher is better"
    table = Table(title=f"{found.dataset}: {found.split} {what}", title_justify="left")
    table.add_column("template", overflow="fold")
    table.add_column(found.split, justify="right")
    for one in found.scores:
        table.add_row(Text(one.template), score_text(one.accuracy, percent=percent, digits=DIGITS))
    if len(found.scores) > 1:
        name = Text(f"ensemble of all {len(found.scores)}")
        table.add_row(name, score_text(found.ensemble, percent=percent, digits=DIGITS), style="bold")
    console(stderr=False).print(table)


def _print_inspection(found: Inspection, *, most: int) -> None:
    """Print the classes, the worst first, and the pairs most often confused."""
    classes = Table(title="correctly classified, class by class", title_justify="left")
    for name in ("class", "images", "in %"):
        classes.add_column(name, justify="left" if name == "class" else "right")
    for one in sorted(found.classes, key=lambda one: (one.accuracy is None, one.accuracy)):
        classes.add_row(
            Text(one.name), str(one.images), score_text(one.accuracy, percent=True, digits=DIGITS)
        )
    pairs = Table(title="most often confused", title_justify="left")
    for name in ("class", "taken for", "images"):
        pairs.add_column(name, justify="right" if name == "images" else "left")
    for pair in found.confusions[:most]:
        pairs.add_row(Text(pair.true), Text(pair.taken_for), str(pair.images))
    shown = console(stderr=False)
    shown.print(classes)
    shown.print(pairs)


def add_parser(commands: Commands, line: str) -> None:
    """Add ``evaluate``."""
    parser = commands.add_parser("evaluate", help=line)
    parser.add_argument("--templates", required=True, metavar="FILE", help="JSON, or one a line")
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
