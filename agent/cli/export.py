"""Write the templates of a run for another tool."""

from __future__ import annotations

import argparse

from ...evaluator.counts import counted, some_of
from ...evaluator.errors import UsageError
from ..config.sources import on_command_line
from ..present.sentences import UNSUPPORTED, without_images
from ..results import exports
from ..results.accuracies import BEST, TEXTS
from ..results.result import UNCHECKED, SearchResult
from ..results.run_dir import result_of
from ..text import printable
from .folders import folder_with_result
from .output import print_line, say
from .parser import Parser


def export(arguments: argparse.Namespace) -> int:
    """Write the file, or all, and print the path and which templates it holds."""
    run_dir = folder_with_result(arguments.directory)
    form, only = arguments.form, arguments.only
    if form is None:
        raise UsageError(f"export needs --format: choose from {', '.join((*exports.FORMS, exports.ALL))}")
    result = result_of(run_dir)
    if doubts := doubted_names(result):
        say(doubts)
    if form == exports.ALL:
        exports.export_all(
            run_dir, out=arguments.out, only=only, report=say, written=lambda file: print_line(str(file))
        )
        say(which_templates(result, "open-clip", only).replace("It holds", "Files of templates hold", 1))
        return 0
    print_line(str(exports.export(run_dir, form, out=arguments.out, only=only)))
    if line := which_templates(result, form, only):
        say(line)
    return 0


def doubted_names(result: SearchResult) -> str:
    """Return in a line which new class names to doubt, as an export's files have no marks; empty for none."""
    best, names = result.best, result.best.class_names or {}
    if best.unchecked and names:
        return f"note: the new class names are {UNCHECKED}"
    pairs = [f"{printable(old)} -> {printable(names[old])}" for old in best.unsupported]
    return f"note: {UNSUPPORTED[0].lower()}{UNSUPPORTED[1:]}: {some_of(pairs)}" if pairs else ""


def which_templates(result: SearchResult, form: str, only: str | None = None) -> str:
    """Return in a line what an export holds, and what it lacks; empty if the format has no choice."""
    if not exports.FORMS[form].chooses:
        return ""
    noun = result.words.noun
    what = "texts with the new class names" if result.only_texts_renamed else "recommended texts"
    if only == BEST:
        what = f"best {noun} alone"
    texts, names = result.best if only == BEST else result.texts, result.best.new_names
    left_out = without_images(result, texts)
    if left_out and form == "safetensors" and only is None and result.with_images is not None:
        texts, names, left_out = result.with_images, result.new_names, ""
        images = counted(result.with_images.images, "labelled image")
        what = f"recommended classifier, which learned from {images}, and its texts"
    line = f"It holds the {what}: {counted(len(texts.templates), noun)}"
    if left_out:
        how = "leave out --only to have" if form == "safetensors" else "--format safetensors has"
        line += f". {left_out[0].upper()}{left_out[1:]}; {how} the classifier"
    if names:
        line += "; --format class-names writes the class names that belong to it"
    return f"{line}."


def add_options(parser: Parser) -> None:
    """Add the options of ``export``."""
    parser.usage = "%(prog)s RUN_DIR --format FORMAT [OPTION ...]"
    formats = {name: form.about for name, form in exports.FORMS.items()} | {
        exports.ALL: "all that this run can have"
    }
    parser.description = (
        "example:\n  promptclimb export runs/mine --format safetensors\n\nformats:\n"
        + "\n".join(f"  {name:<15} {on_command_line(about)}" for name, about in formats.items())
        + "\n\nOnly safetensors holds what was learned from images."
    )
    parser.add_argument("directory", metavar="RUN_DIR", help="a finished or stopped run")
    parser.add_argument("--format", dest="form", metavar="FORMAT", help="required: one of the formats above")
    parser.add_argument(
        "--out",
        metavar="FILE",
        help=f"file to write, or with {exports.ALL} a folder (default: in RUN_DIR/exports/)",
    )
    parser.add_argument(
        "--only",
        choices=(BEST, TEXTS),
        metavar="WHICH",
        help="best: the best template alone; texts: for safetensors, the texts without what was learned from "
        "images (default: the recommended classifier in safetensors, the texts elsewhere)",
    )
