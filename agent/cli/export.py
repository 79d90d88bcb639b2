"""Write the templates of a run for another tool."""

from __future__ import annotations

import argparse

from ...evaluator.counts import counted
from ...evaluator.errors import UsageError
from ..results import exports
from ..results.details import BEST, ENSEMBLE
from ..results.result import SearchResult
from ..results.run_dir import result_of
from .folders import folder_with_result
from .output import print_line, say
from .parser import Parser

ALL = "all"


def export(arguments: argparse.Namespace) -> int:
    """Write the file, or all, and print the path and which templates it holds."""
    run_dir = folder_with_result(arguments.directory)
    form, only = arguments.form, arguments.only
    if form is None:
        raise UsageError(f"export needs --format: choose from {', '.join((*exports.FORMS, ALL))}")
    if form == ALL:
        files = exports.export_all(run_dir, out=arguments.out, only=only, report=say)
        for file in files:
            print_line(str(file))
        result = result_of(run_dir)
        line = which_templates(result, "open-clip", only)
        several = line.replace("It holds", "Formats for several templates hold", 1)
        say(several if result.averaged else f"Where a file holds one {result.words.noun}, it is the best.")
        return 0
    print_line(str(exports.export(run_dir, form, out=arguments.out, only=only)))
    if line := which_templates(result_of(run_dir), form, only):
        say(line)
    return 0


def which_templates(result: SearchResult, form: str, only: str | None = None) -> str:
    """Return in a line which templates an export holds; empty if the format has no choice."""
    if not exports.FORMS[form].chooses:
        return ""
    chosen = exports.chosen_group(result, form, only)
    if result.best.class_names and chosen == BEST:
        return "It holds the best template; --format class-names writes the class names that belong to it."
    if not result.averaged:
        return f"It holds the best {result.words.noun}."
    worse = result.gain is not None and result.gain.ensemble_is_worse
    if chosen == BEST:
        return "It holds the best template alone" + (": on test the ensemble is worse." if worse else ".")
    if result.ensemble.templates == (result.best.template,):
        return f"It holds the best template{result.best.remark_on_others}, which is the whole ensemble."
    templates = counted(len(result.ensemble.templates), "template")
    holds = f"It holds the ensemble, {templates}{result.best.remark_on_others}"
    if worse:
        return f"{holds}: on test it is worse than the best template alone, which --only best writes."
    return f"{holds}; --only best writes the best alone."


def add_options(parser: Parser) -> None:
    """Add the options of ``export``."""
    parser.add_argument("directory", metavar="RUN_DIR", help="a finished or stopped run")
    parser.add_argument(
        "--format",
        dest="form",
        metavar="FORMAT",
        help=f"one of {', '.join(exports.FORMS)}, or {ALL}: every one that this run can have; required",
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        help=f"file, or with {ALL} a folder, to write to (default: in RUN_DIR/exports/)",
    )
    parser.add_argument(
        "--only",
        choices=(BEST, ENSEMBLE),
        metavar="WHICH",
        help="best (the best template alone) or ensemble (default: ensemble, where the format takes several)",
    )
