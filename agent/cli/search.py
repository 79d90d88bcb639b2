"""Start a run with ``search``, and continue one with ``resume``."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

from ...evaluator.counts import enumerated
from ...evaluator.errors import ModelError, StoreFullError, UsageError
from ...evaluator.files import user_path
from ...evaluator.pico.models import REAL_MODEL, REAL_WEIGHTS, TOY_MODEL
from ...evaluator.spec import BUNDLED_WEIGHTS
from ..config.fields import without_credentials
from ..config.schema import OPTIONS, SearchConfig
from ..config.sources import by_source, from_sources, on_command_line
from ..errors import EndpointError, InterruptedRunError, ModelNotFoundError, StoreGoneError, UntrustedRunError
from ..events.types import Bus
from ..limits import COST, LIMIT_SETTINGS, MINUTES, SCORER_CALLS
from ..methods.registry import described
from ..present.page import write_report
from ..present.sentences import save_without_search, unlike_labelled, what_may_help
from ..present.terminal import Display, print_result
from ..results.history import Progress, state_of
from ..results.result import NOTHING_USABLE, SearchResult
from ..results.run_dir import REPORT, is_run, runs_in, stored_config
from ..search.bound import check_new_search
from ..search.opening import RunRequest
from ..search.run import resume_run, start_run
from ..secrets import is_azure
from ..stop import Stop
from ..text import one_line
from .folders import run_folder
from .interrupts import run_interruptible
from .options import (
    add_json,
    add_search_options,
    changed_settings,
    given_layers,
)
from .output import (
    EXIT_NOTHING_USABLE,
    FAILED,
    FINISHED,
    console,
    print_json,
    program,
    result_alone,
    resume_command,
    say,
    short_path,
    with_higher,
)
from .parser import Parser

EXAMPLE = """\
example on a bundled set, without images of yours:
  promptclimb search --data backgrounds \\
      --describe "things before a coloured background"
find templates, such as "a satellite photo of {}", without an LLM:
  promptclimb search --data path/to/images \\
      --model ViT-B-32 --pretrained laion2b_s34b_b79k \\
      --describe "satellite images, seen from above"
find names for classes that the model does not know, with an LLM, for $1 at most:
  promptclimb search --data path/to/images \\
      --model ViT-B-32 --pretrained laion2b_s34b_b79k \\
      --search-for class-names --llm gpt-4o-mini \\
      --describe "mushrooms, photographed in the wood" --price auto --max-cost 1
with a model behind an API, whose key is in SCORER_API_KEY:
  promptclimb search --data path/to/images --scorer embeddings \\
      --model NAME --scorer-url http://127.0.0.1:8000/v1 \\
      --describe "satellite images, seen from above" --dry-run
"""
RESUMED = """\
examples: go on, with a higher limit, and with more restarts than a finished run had:
  promptclimb resume runs/mine
  promptclimb resume runs/mine --max-cost 4
  promptclimb resume runs/mine --restarts 8

A finished run continues with more restarts, conversations or rounds than it had.
Apart from these, only settings that do not decide the result may change, such as
limits and pace.
"""
DETAILS = """\
what --data takes:
  backgrounds                   a set by name; `datasets` lists them
  path/to/images                folders DIR/CLASS/*.jpg, or DIR/{train,val,test}/CLASS/*
  images.csv                    a table (.csv, .tsv, .jsonl) with path, label, optionally split; see --columns
  hf:OWNER/NAME, hf:FOLDER      a data set of Hugging Face, from the hub or a folder (extra [hf])
  torchvision:NAME              a data set of torchvision, under --data-root

what --model takes:
  RN-pico, ViT-pico, ...        a bundled model; `models` lists them
  ViT-B-32                      an open_clip model, with --pretrained TAG or FILE; `models --grep` lists them
  hf-hub:OWNER/NAME             a model on Hugging Face's hub
  local-dir:FOLDER              a folder with open_clip_config.json and weights

more examples:
  promptclimb search --data chinese-names --search-for class-names \\
      --llm local --describe "small cartoon pictures"
  promptclimb search --data images.csv --columns path=file,label=species \\
      --describe "birds at a feeder" --dry-run
"""


def search(arguments: argparse.Namespace) -> int:
    """Start a new run."""
    config = from_sources(given_layers(arguments), report=lambda line: say(f"note: {line}"))
    for line in unused([config]):
        say(f"note: {by_source(line, arguments.layers)}")
    if arguments.dry_run:
        from .dry_run import dry_run_search

        return dry_run_search(config, as_json=arguments.as_json)
    check_new_search(config)
    return run_session(config, start_run, as_json=arguments.as_json)


def resume(arguments: argparse.Namespace) -> int:
    """Resume a run."""
    run_dir = _latest() if arguments.directory is None else run_folder(arguments.directory)
    try:
        config = _with_credentials(stored_config(run_dir, changed_settings(arguments), trust=arguments.trust))
    except UntrustedRunError as error:
        raise UsageError(f"{error}: {resume_command(run_dir)} --trust") from error
    return run_session(
        config,
        lambda request: resume_run(request, run_dir),
        as_json=arguments.as_json,
    )


def _latest() -> Path:
    """Return the newest unfinished run in ``runs/``; raise UsageError if there is no such run."""
    for run_dir in runs_in(user_path("runs", "RUN_DIR")):
        if state_of(run_dir).state in ("stopped", "unfinished"):
            say(f"resuming the latest unfinished run, {short_path(run_dir)}")
            return run_dir
    raise UsageError("no unfinished run in runs/; give the folder of a run")


def _with_credentials(config: SearchConfig) -> SearchConfig:
    """Restore the credentials that the stored address lacks, if the environment has them."""
    url = os.environ.get("OPENAI_BASE_URL")
    if url and config.base_url and without_credentials(url).rstrip("/") == config.base_url:
        return config.model_copy(update={"base_url": url.rstrip("/")})
    return config


def unused(configs: Sequence[SearchConfig]) -> Iterator[str]:
    """Yield which settings have no effect: a description, an LLM, and limits if no LLM is asked."""
    yield from dict.fromkeys(config.unused_description for config in configs if config.unused_description)
    if any(config.needs_llm for config in configs):
        return
    if any(config.llm for config in configs):
        yield f"method {configs[0].method} asks no LLM for templates: `llm` is not used"
    limits = [name for name in LIMIT_SETTINGS if any(getattr(config, name) is not None for config in configs)]
    useful = {MINUTES.setting, *([COST.setting] if any(config.scorer_price for config in configs) else ())}
    if idle := [f"`{name}`" for name in limits if name not in useful]:
        verb = "limits" if len(idle) == 1 else "limit"
        yield f"{enumerated(idle)} {verb} LLM usage, and no LLM is asked"


def _say_how_to_resume(
    progress: Progress, config: SearchConfig, error: BaseException | None = None, *, quits: bool = False
) -> None:
    """Print how to resume; ``quits`` if open requests are not waited for."""
    if progress.started is None:
        if error is None or isinstance(error, InterruptedRunError):
            say("Stopped while data and model were opened: nothing was requested or scored.")
        return
    run_dir = Path(progress.started.run_dir)
    limits = () if progress.stopped is None else progress.stopped.limits
    if isinstance(error, StoreGoneError) or not is_run(run_dir):
        say(
            f"{short_path(run_dir)} is gone. If you moved it, resume it at its new place: all "
            "but the requests in flight is kept. If you removed it, nothing is kept."
        )
        return
    command = resume_command(run_dir, limits)
    if isinstance(error, StoreFullError):
        say(f"Everything written before is kept. Free some disk space, then resume with: {command}")
    elif isinstance(error, ModelError) and config.is_api:  # another model is at the address
        say(f"Everything is kept for the model that was asked before. With it, resume with: {command}")
    elif quits and config.asks_endpoints:
        say(f"Everything but the open requests is kept. Resume with: {command}")
    elif isinstance(error, EndpointError) and isinstance(error.__cause__, ModelNotFoundError):
        is_address_right = config.llm_url.endswith("/v1") or is_azure(config.llm_url)
        what, option = ("model", "--llm MODEL") if is_address_right else ("address", "--base-url URL/v1")
        say(f"Everything is kept. Resume with the right {what}: {command} {option}")
    else:
        other = " (--base-url URL/v1 asks another endpoint)" if config.unchecked and not limits else ""
        say(f"Everything is kept. Resume{with_higher(limits) or ' with'}: {command}{other}")
    if (lost := _not_kept(config)) is not None:
        say(lost)


def _not_kept(config: SearchConfig) -> str | None:
    """Return which credentials a resumed run lacks, and what to do; None if it has all."""
    if config.scorer_url is not None and config.scorer_url != without_credentials(config.scorer_url):
        return "The credentials in the scorer's address are not kept: give it with --scorer-url"
    if config.shown_url in (None, config.llm_url):
        return None
    return "The credentials in the address are not kept: give it with --base-url or OPENAI_BASE_URL"


def run_session(
    config: SearchConfig,
    work: Callable[[RunRequest], Awaitable[SearchResult]],
    *,
    as_json: bool,
) -> int:
    """Run a session with a display, and print its result."""
    display = Display(console())
    progress = display.progress

    async def run(stop: Stop) -> SearchResult:
        with display:
            request = RunRequest(config=config, emit=Bus(display), stop=stop, write_page=write_report)
            return await work(request)

    try:
        with result_alone():
            result = run_interruptible(
                run,
                lambda: _say_how_to_resume(progress, config, quits=True),
                has_requests=config.asks_endpoints,
            )
    except BaseException as error:
        _say_how_to_resume(progress, config, error)
        raise
    # The table goes to standard output, unless a document does.
    out, run_dir = console(stderr=as_json), result.run_dir
    shown = None if run_dir is None else Path(short_path(run_dir))
    print_result(out, result, shown, opening_s=display.opening_s)
    if result.status == "stopped":
        _say_how_to_resume(progress, config)
    elif run_dir is not None:
        for line in _next_steps(result, config, run_dir):
            out.print(one_line(line), markup=False, highlight=False, soft_wrap=True)
    if as_json:
        print_json(result.to_json())
    return exit_code(result)


def _next_steps(result: SearchResult, config: SearchConfig, run_dir: Path) -> list[str]:
    """Return where the report of a finished run is, how to open it, and the next command."""
    folder, report = shlex.quote(short_path(run_dir)), run_dir / REPORT
    lines = []
    if report.is_file():
        lines.append(f"report: {short_path(report)}; to open it: {program()} report {folder} --open")
    if NOTHING_USABLE in result.notes:
        lines.append(f"next, to see what the LLM answered: {program()} transcript {folder}")
    elif result.model.pretrained == BUNDLED_WEIGHTS:
        if TOY_MODEL not in result.notes:  # the note names the real model
            options = f"--data DIR --model {REAL_MODEL} --pretrained {REAL_WEIGHTS}"
            lines.append(f"next, with your images and a real model: the same search with {options}")
    elif config.custom_scorer is None:
        lines.append(f"next: {program()} predict FOLDER --run {folder}")
    else:
        lines.append(f"next: {program()} export {folder} --format all")
    if save := save_without_search(result, run_dir, folder):
        lines.append(f"for the best without a search: {program()} {save}")
    lines += map(on_command_line, filter(None, [unlike_labelled(result), what_may_help(result)]))
    return lines


def exit_code(result: SearchResult) -> int:
    """Return the code of a search that ended.

    One that an outage stopped after an answer has failed.
    """
    if NOTHING_USABLE in result.notes:
        return EXIT_NOTHING_USABLE
    return FINISHED if result.complete or result.limits else FAILED


def add_options(parser: Parser) -> None:
    """Add the options of ``search``."""
    parser.description = f"{EXAMPLE}\nmethods (the last five are for comparison):\n{described()}"
    parser.epilog = DETAILS
    add_search_options(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check data and settings, and print the most that the search may cost; requests nothing and "
        "downloads no model",
    )
    add_json(parser)


def add_resume_options(parser: Parser) -> None:
    """Add the options of ``resume``."""
    parser.description = RESUMED
    parser.add_argument(
        "directory", metavar="RUN_DIR", nargs="?", help="a run (default: the latest unfinished in runs/)"
    )
    may_change = [name for name, option in OPTIONS.items() if option.resumable == "more"]
    shown = (*LIMIT_SETTINGS, *may_change, SCORER_CALLS.setting)  # few need the last one
    add_search_options(parser, leave_out=("run_dir",), first=shown, resumes=True)
    parser.add_argument(
        "--trust",
        action="store_true",
        help="run code and contact addresses of a run that was made elsewhere, has moved or was edited",
    )
    add_json(parser)
