"""``resume``: a run goes on from where it ended."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from ...evaluator.user_paths import user_path
from ..config.fields import without_credentials
from ..config.schema import SearchConfig
from ..config.sources import with_files
from ..results.run_config import stored_config
from .options import add_json, add_search_options, given_settings
from .search import run_session

if TYPE_CHECKING:
    from .parser import Commands


def resume(arguments: argparse.Namespace) -> int:
    """Go on with a run."""
    run_dir = user_path(arguments.directory, "RUN_DIR")
    config = _with_credentials(stored_config(run_dir, with_files(given_settings(arguments))))
    return run_session(config, lambda session: session.resume(run_dir), as_json=arguments.as_json)


def _with_credentials(config: SearchConfig) -> SearchConfig:
    """Put back the credentials that the stored address lacks, where the environment has them."""
    url = os.environ.get("OPENAI_BASE_URL")
    if url and config.base_url and without_credentials(url).rstrip("/") == config.base_url:
        return config.model_copy(update={"base_url": url.rstrip("/")})
    return config


def add_parser(commands: Commands, line: str) -> None:
    """Add ``resume``."""
    parser = commands.add_parser("resume", help=line)
    parser.add_argument("directory", metavar="RUN_DIR")
    add_search_options(parser, leave_out=("run_dir",))
    add_json(parser)
    parser.set_defaults(run=resume)
