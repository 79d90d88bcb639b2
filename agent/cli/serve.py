"""Serve a model on this machine in the forms of three public protocols."""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex

from ...evaluator.errors import ConfigError
from ...evaluator.serving.server import DEFAULT_MAX_BODY_MB, DEFAULT_PORT, LOOPBACK, ServerSettings, serving
from ...evaluator.settings import options_of
from ...evaluator.spec import EvaluatorSpec
from ..errors import InterruptedRunError
from ..stop import Stop
from .interrupts import run_interruptible
from .options import add_search_options, given_spec, port_number, positive_number
from .output import print_text, program, say
from .parser import Parser

EXAMPLES = """\
examples:
  promptclimb serve RN-pico
  promptclimb serve ViT-B-32 --pretrained laion2b_s34b_b79k --port 8000

It answers zero-shot image classification in Hugging Face's form at /v1, embeddings at /v1/embeddings, and
chat with one image at /v1/chat/completions. The chat model is simulated with the CLIP model: see
docs/remote.md.
"""
KEY = "SERVE_API_KEY"
TAKEN = ("pretrained", "device")
"""The settings that this command takes."""


def serve(arguments: argparse.Namespace) -> int:
    """Serve until a signal; a signal is the usual end, so the exit code is 0."""
    settings = _settings(arguments)
    try:
        run_interruptible(lambda stop: _serve(settings, stop))
    except InterruptedRunError:
        say("The server has stopped.")
    return 0


def _settings(arguments: argparse.Namespace) -> ServerSettings:
    key = os.environ.get(KEY) or None
    if arguments.host not in LOOPBACK:
        if not arguments.allow_remote:
            raise ConfigError(
                f"--host {arguments.host}: other machines could ask this server; add --allow-remote and set "
                f"{KEY}, or leave --host out"
            )
        if key is None:
            raise ConfigError(f"--allow-remote needs a key: set {KEY}, which every request must then bring")
    spec = given_spec(arguments, model=arguments.served)
    return ServerSettings(
        spec=spec,
        host=arguments.host,
        port=arguments.port,
        key=key,
        max_body=arguments.max_body * 2**20,
        scores=arguments.scores,
    )


async def _serve(settings: ServerSettings, stop: Stop) -> None:
    with stop.watching():
        async with serving(settings, say) as url:
            print_text(f"{settings.spec.model} at {url}, for example: {example(settings, url)}\n")
            await asyncio.Event().wait()


def example(settings: ServerSettings, url: str) -> str:
    """Return a search that asks the server; it needs no LLM."""
    key = f"SCORER_API_KEY=${KEY} " if settings.key else ""
    model = shlex.quote(settings.spec.model)
    return f"{key}{program()} search --method random --scorer zero-shot --scorer-url {url} --model {model}"


def add_options(parser: Parser) -> None:
    """Add the options of ``serve``."""
    parser.usage = "%(prog)s MODEL [OPTION ...]"
    parser.description = EXAMPLES
    parser.add_argument(
        "served", metavar="MODEL", help="open_clip's name of a model, or a bundled one (RN-pico, ViT-pico)"
    )
    parser.add_argument(
        "--port",
        type=port_number,
        default=DEFAULT_PORT,
        metavar="PORT",
        help=f"0 for any free one (default: {DEFAULT_PORT})",
    )
    parser.add_argument(
        "--host", default=LOOPBACK[0], metavar="HOST", help=f"where to listen (default: {LOOPBACK[0]})"
    )
    parser.add_argument(
        "--allow-remote", action="store_true", help=f"let other machines connect, with the key in {KEY}"
    )
    parser.add_argument(
        "--scores", action="store_true", help="give probabilities in zero-shot replies, not the label alone"
    )
    parser.add_argument(
        "--max-body",
        type=positive_number,
        default=DEFAULT_MAX_BODY_MB,
        metavar="MIB",
        help=f"largest request (default: {DEFAULT_MAX_BODY_MB})",
    )
    leave_out = options_of(EvaluatorSpec).keys() - TAKEN
    add_search_options(parser, of=EvaluatorSpec, leave_out=leave_out, first=TAKEN)
