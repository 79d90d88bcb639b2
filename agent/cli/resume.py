"""Resume a run."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from ...evaluator.errors import UsageError
from ...evaluator.files import user_path
from ..config.fields import without_credentials
from ..config.schema import OPTIONS, SearchConfig
from ..errors import UntrustedRunError
from ..llm.budget import LIMITS
from ..results.history import state_of
from ..results.run_dir import runs_in, stored_config
from ..search.run import resume_run
from .folders import run_folder
from .options import add_json, add_live, add_search_options, changed_settings
from .output import resume_command, say, short_path
from .parser import Parser
from .search import run_session


def resume(arguments: argparse.Namespace) -> int:
    """Resume a run."""
    run_dir = _latest() if arguments.directory is None else run_folder(arguments.directory)
    try:
        config = _with_credentials(stored_config(run_dir, changed_settings(arguments), trust=arguments.trust))
    except UntrustedRunError as error:
        raise UsageError(error, f":\n  {resume_command(run_dir)} --trust") from error
    return run_session(
        config,
        lambda request: resume_run(replace(request, concludes=arguments.conclude), run_dir),
        as_json=arguments.as_json,
        live=arguments.live,
    )


def _latest() -> Path:
    """Return the newest unfinished run in ``runs/``; raise UsageError if there is no such run."""
    for run_dir in runs_in(user_path("runs", "RUN_DIR")):
        if state_of(run_dir).state in ("stopped", "unfinished"):
            say(f"resuming the latest unfinished run, {short_path(run_dir)}")
            return run_dir
    raise UsageError("No unfinished run in runs/. Give the folder of a run.")


def _with_credentials(config: SearchConfig) -> SearchConfig:
    """Restore the credentials that the stored address lacks, if the environment has them."""
    url = os.environ.get("OPENAI_BASE_URL")
    if url and config.base_url and without_credentials(url).rstrip("/") == config.base_url:
        return config.model_copy(update={"base_url": url.rstrip("/")})
    return config


def add_options(parser: Parser) -> None:
    """Add the options of ``resume``."""
    parser.usage = "%(prog)s [OPTION ...] [RUN_DIR]"
    parser.add_argument(
        "directory", metavar="RUN_DIR", nargs="?", help="(default: the latest unfinished one in runs/)"
    )
    may_change = [name for name, option in OPTIONS.items() if option.resumable == "more"]
    shown = (*LIMITS, *may_change, "max_scorer_calls")  # few need the last one
    add_search_options(parser, leave_out=("run_dir",), first=shown, defaults=False)
    parser.add_argument(
        "--conclude",
        action="store_true",
        help="propose nothing more: choose among what is scored, and evaluate on the test images",
    )
    parser.add_argument(
        "--trust",
        action="store_true",
        help="run code and contact addresses of a run that was made elsewhere, has moved or was edited",
    )
    add_live(parser)
    add_json(parser)
