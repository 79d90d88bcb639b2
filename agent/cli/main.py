"""Options -> command -> exit code; and no error reaches the user as a traceback."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from agent.cli.options import add_config_file, add_json, add_search_options
from agent.cli.output import say
from agent.errors import InterruptedRunError, PromptclimbError, UsageError
from agent.secrets import Scrubber, split_userinfo
from evaluator.errors import EvaluatorError, InputError
from prompts.pools import PoolError

FINISHED, FAILED, WRONG = 0, 1, 2


class Parser(argparse.ArgumentParser):
    """An argument parser that takes options in full only, and says in one line what is wrong."""

    def __init__(self, **given: Any) -> None:
        super().__init__(allow_abbrev=False, **given)

    def error(self, message: str) -> NoReturn:
        """Prints the line and leaves with exit code 2."""
        self.exit(WRONG, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Returns:
        0 finished, or stopped by a budget; 1 failed; 2 wrong usage or input; 130 or 143 interrupted.
    """
    try:
        given = parser().parse_args(arguments)
    except SystemExit as leaving:
        return int(leaving.code or 0)
    scrub = environment_scrubber()
    try:
        return int(_body(given.command)(given))
    except (UsageError, InputError, PoolError) as error:
        say(f"error: {scrub(str(error))}")
        return WRONG
    except InterruptedRunError as error:
        return 128 + error.signal
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of standard output has gone, as with `| head`; nothing is left to say to anybody.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - lives as long as the process
        return FAILED
    except (PromptclimbError, EvaluatorError, OSError) as error:
        say(f"error: {scrub(str(error) or type(error).__name__)}")
        return FAILED
    except Exception as error:  # noqa: BLE001 - the last stop: a line for the user, the rest in a file
        say(f"error: {scrub(_crash(error, scrub))}")
        return FAILED


def environment_scrubber() -> Callable[[str], str]:
    """Takes out of a text whatever in the environment is named like a secret."""
    scrubber = Scrubber()
    for name, value in os.environ.items():
        if name.upper().endswith(("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")):
            scrubber.add(value)
        if name.upper().endswith("_URL"):
            scrubber.add(split_userinfo(value).userinfo)
    return scrubber.scrub


def parser() -> Parser:
    """The whole command line."""
    top = Parser(
        prog=Path(sys.argv[0]).name
        if sys.argv and sys.argv[0].endswith(("run_agent.py", "promptclimb"))
        else None,
        description="Finds better prompts for a vision-language model: an LLM proposes, the model scores.",
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)

    searching = commands.add_parser("search", help="search for better templates")
    add_search_options(searching)
    add_config_file(searching)
    searching.add_argument(
        "--dry-run", action="store_true", help="say what the search would do and cost at most, and do nothing"
    )
    add_json(searching)

    resuming = commands.add_parser("resume", help="go on with a run that was stopped")
    resuming.add_argument("directory", type=Path, metavar="RUN_DIR")
    add_search_options(resuming, leave_out=("run_dir",))
    add_json(resuming)

    evaluating = commands.add_parser("evaluate", help="score templates of your own")
    evaluating.add_argument(
        "--templates", type=Path, required=True, metavar="FILE", help="JSON list, or one a line"
    )
    evaluating.add_argument(
        "--split", choices=("train", "val", "test"), default="test", help="images (default: test)"
    )
    add_search_options(evaluating, groups=("task",), leave_out=("objective",))
    add_json(evaluating)

    listing = commands.add_parser("datasets", help="list known data sets, or show the few-shot split of one")
    listing.add_argument("dataset", nargs="?", metavar="NAME|DIR")
    listing.add_argument("--split", choices=("test",), help="show the test images too")
    add_search_options(listing, groups=("task",), leave_out=_NOT_FOR_DATASETS)
    add_json(listing)

    models = commands.add_parser("models", help="list the bundled models, and open_clip's")
    models.add_argument(
        "--grep", metavar="TEXT", help="open_clip's pretrained pairs whose name holds this text"
    )
    add_json(models)

    doctor = commands.add_parser("doctor", help="check this installation")
    add_search_options(doctor, groups=(), leave_out=())
    doctor.add_argument(
        "--base-url", dest="base_url", metavar="URL", default=argparse.SUPPRESS, help="endpoint to try"
    )
    add_json(doctor)
    return top


_NOT_FOR_DATASETS = (
    "data",
    "model",
    "pretrained",
    "objective",
    "precision",
    "device",
    "on_bad_image",
)
_BODIES = {
    "search": ("agent.cli.searching", "search"),
    "resume": ("agent.cli.searching", "resume"),
    "evaluate": ("agent.cli.evaluating", "evaluate"),
    "datasets": ("agent.cli.listing", "datasets"),
    "models": ("agent.cli.listing", "models"),
    "doctor": ("agent.cli.checking", "doctor"),
}


def _body(command: str) -> Callable[[argparse.Namespace], int]:
    module, name = _BODIES[command]
    body: Callable[[argparse.Namespace], int] = getattr(importlib.import_module(module), name)
    return body


def _crash(error: Exception, scrub: Callable[[str], str]) -> str:
    """Writes the traceback to a file and says where."""
    text = scrub("".join(traceback.format_exception(error)))
    for folder in (Path.cwd(), Path(tempfile.gettempdir())):
        path = folder / f"promptclimb-crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
        with contextlib.suppress(OSError):
            path.write_text(text, "utf-8")
            return f"unexpected {type(error).__name__}: {error}; please report it with the file {path}"
    return f"unexpected {type(error).__name__}: {error}"
