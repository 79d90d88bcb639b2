"""The whole command line: commands and their options."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, NoReturn

from .options import add_config_file, add_json, add_search_options, positive_number

WRONG_USAGE = 2
EXPORTS = ("open-clip", "clip-benchmark", "clip-benchmark-custom", "cupl", "csv", "coop", "safetensors")
_PROGRAMS = ("run_agent.py", "promptclimb")
_NOT_FOR_DATASETS = (
    "data",
    "model",
    "pretrained",
    "objective",
    "precision",
    "device",
    "on_bad_image",
    "ray",
    "evaluator",
)


class Parser(argparse.ArgumentParser):
    """An argument parser that takes options in full only, and says in one line what is wrong."""

    def __init__(self, **given: Any) -> None:
        super().__init__(allow_abbrev=False, **given)

    def error(self, message: str) -> NoReturn:
        """Prints the line and leaves with exit code 2."""
        self.exit(WRONG_USAGE, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def make_parser() -> Parser:
    """The parser of every command."""
    called = Path(sys.argv[0]).name if sys.argv else ""
    parser = Parser(
        prog=called if called in _PROGRAMS else "run_agent.py",
        description="Finds better prompts for a vision-language model: an LLM proposes, the model scores.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    _add_search(commands.add_parser("search", help="search for better templates"))
    _add_resume(commands.add_parser("resume", help="go on with a run that was stopped"))
    _add_evaluate(commands.add_parser("evaluate", help="score templates of your own"))
    _add_suite(commands.add_parser("suite", help="several searches: data sets x methods x seeds"))
    _add_report(commands.add_parser("report", help="write the page about a run, report.html"))
    _add_export(commands.add_parser("export", help="write what a run found for another tool"))
    _add_datasets(commands.add_parser("datasets", help="list data sets, or show the few-shot split of one"))
    _add_models(commands.add_parser("models", help="list the bundled models, and open_clip's"))
    _add_doctor(commands.add_parser("doctor", help="check this installation"))
    return parser


def _add_search(parser: argparse.ArgumentParser) -> None:
    add_search_options(parser)
    add_config_file(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="say what the search would do and cost at most, and do nothing"
    )
    add_json(parser)


def _add_resume(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, metavar="RUN_DIR")
    add_search_options(parser, leave_out=("run_dir",))
    add_json(parser)


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
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


def _add_suite(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", dest="datasets", required=True, metavar="A,B,...", help="data sets, folders"
    )
    parser.add_argument("--methods", default="pn", metavar="A,B,...", help="methods (default: pn)")
    parser.add_argument("--seeds", default="1-3", metavar="1,2,3|1-3", help="seeds (default: 1-3)")
    parser.add_argument(
        "--suite-dir",
        type=Path,
        default=Path("runs/suite"),
        metavar="DIR",
        help="folder; the same command goes on with what is in it (default: runs/suite)",
    )
    add_search_options(parser, leave_out=("data", "method", "seed", "run_dir"))
    add_config_file(parser)
    add_json(parser)


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, metavar="RUN_DIR")


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, metavar="RUN_DIR")
    parser.add_argument(
        "--format", dest="form", required=True, metavar="FORMAT", help=f"one of {', '.join(EXPORTS)}"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to (default: RUN_DIR/exports/)")


def _add_datasets(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", nargs="?", metavar="NAME|DIR")
    parser.add_argument("--split", choices=("test",), help="show the test images too")
    add_search_options(parser, groups=("task",), leave_out=_NOT_FOR_DATASETS)
    add_json(parser)


def _add_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--grep", metavar="TEXT", help="open_clip's pretrained pairs with this text")
    add_json(parser)


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--base-url",
        default=argparse.SUPPRESS,
        metavar="URL",
        help="endpoint to try (default: $OPENAI_BASE_URL)",
    )
    add_json(parser)
