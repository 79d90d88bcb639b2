"""Show the state of runs, live ones too."""

from __future__ import annotations

import argparse
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ...evaluator.counts import counted
from ...evaluator.errors import UsageError
from ...evaluator.files import user_path
from ..config.sources import on_command_line
from ..events.types import NamesChosen, UsageEvent
from ..llm.local_models import shown_llm
from ..present.sentences import event_text, gains_in_words, left_text, method_text, spent_text, verdict_lines
from ..results.accuracies import score_text
from ..results.history import OTHER_VERSION, RunView, state_of
from ..results.result import left_of_both, words_of_all
from ..results.run_dir import LABEL_FILES, is_run, runs_below
from .folders import existing_folder
from .options import add_json
from .output import (
    print_json,
    print_line,
    print_table,
    program,
    resume_command,
    say,
    short_path,
    with_higher,
)
from .parser import Parser

_EXAMPLES = """\
examples:
  promptclimb status            all runs in runs/
  promptclimb status runs/mine  one: the best so far, what it used of its limits, and
                                how to go on"""
_ABOUT = """\
The best so far is the best on training images. The final choice counts validation
images and augmented copies too, so it may be another template."""
_COLUMNS = ("run", "state", "rounds", "calls", "train")


def status(arguments: argparse.Namespace) -> int:
    """Print the state of one run, or a list of all in a folder."""
    if arguments.directory is None:
        folder = user_path("runs", "RUN_DIR")
        runs = runs_below(folder)
        if not runs and not arguments.as_json:
            print_line("No runs in runs/.")
            return 0
        _list(folder, runs, as_json=arguments.as_json)
        return 0
    run_dir = existing_folder(arguments.directory)
    if not is_run(run_dir):
        if runs := runs_below(run_dir):
            return _list(run_dir, runs, as_json=arguments.as_json)
        if all(path.name in LABEL_FILES for path in run_dir.iterdir()):
            raise UsageError(
                f"{run_dir} holds no run yet. A search there is opening data and model, or ended while it "
                "did; then start it again"
            )
        raise UsageError(
            f"{run_dir} holds no run. Give a run's folder, or nothing for a list of the runs in runs/."
        )
    state = state_of(run_dir)
    if arguments.as_json:
        print_json(_document(state))
    else:
        for line in _lines(state):
            print_line(line)
    return 0


def _list(folder: Path, runs: Sequence[Path], *, as_json: bool) -> int:
    """Print the runs in a folder; those of a subfolder, such as a suite's, have one row together."""
    states = [state_of(run_dir) for run_dir in runs]
    if as_json:
        print_json([_document(state) for state in states])
        return 0
    best = f"best {words_of_all(state.prompts for state in states).noun}"
    asked = ["scorer's calls"] if any(_paid(state)[1] for state in states) else []
    rows: list[dict[str, str]] = []
    suites: dict[Path, list[RunView]] = {}
    for state in states:
        above = state.run_dir.parent
        if above == folder:
            rows.append({**_row(state), best: _best(state)})
        else:
            suites.setdefault(above, []).append(state)
    rows += [_row_of_suite(suite, own) for suite, own in suites.items()]
    print_table((*_COLUMNS, *asked, best), rows)
    if suites:
        say(f"To list the runs of a suite: {program()} status {shlex.quote(short_path(next(iter(suites))))}")
    return 0


def _row_of_suite(folder: Path, states: Sequence[RunView]) -> dict[str, str]:
    """Return the row of all runs in a subfolder: their states, and the calls of all together."""
    counts = Counter(state.state for state in states)
    usages, scorers = zip(*map(_paid, states), strict=True)
    return {
        "run": f"{short_path(folder)} ({counted(len(states), 'run')})",
        "state": ", ".join(f"{count:,} {state}" for state, count in counts.items()),
        "calls": f"{_calls(usages):,}",
        "scorer's calls": f"{_calls(scorers):,}" if any(scorers) else "-",
    }


def _calls(usages: Iterable[UsageEvent | None]) -> int:
    return sum(usage.calls for usage in usages if usage is not None)


def _document(state: RunView) -> dict[str, Any]:
    """Return the state as JSON values; events as logged."""
    progress, (last, time) = state.progress, state.last_event
    started, usage, scorer_usage = (
        {}
        if event is None
        else {**event.fields(), "event": event.name, "time": progress.times.get(event.name)}
        for event in (progress.started, progress.usage, progress.scorer_usage)
    )
    return {
        "run_dir": str(state.run_dir),
        "state": state.state,
        "started": started,
        "best": state.best,
        "with_names": _remark(state),
        "train": state.train,
        "default": progress.default,
        "starting": progress.starting,
        "rounds": progress.rounds,
        "usage": usage,
        "scorer_usage": scorer_usage,
        "stop_reason": state.stop_reason,
        "gain": _verdict(state),
        "limits": state.limits,
        "last_event": last,
        "last_time": time,
        "prompts": state.prompts,
    }


def _row(state: RunView) -> dict[str, str]:
    usage, scorer = _paid(state)
    return {
        "run": short_path(state.run_dir),
        "state": state.state,
        "rounds": _rounds(state),
        "calls": f"{usage.calls if usage else 0:,}",
        "train": _train(state),
        "scorer's calls": f"{scorer.calls:,}" if scorer else "-",
    }


def _best(state: RunView) -> str:
    return f"{state.best or ''}{_remark(state)}"


def _remark(state: RunView) -> str:
    return "" if state.result is None else state.result.best.remark


def _verdict(state: RunView) -> str | None:
    return None if state.result is None else state.result.recommended.verdict or None


def _lines(state: RunView) -> list[str]:
    lines = [f"{short_path(state.run_dir)}: {state.state}"]
    if state.state == OTHER_VERSION:
        return [f"{lines[0]}: {on_command_line(str(state.stop_reason))}"]
    if started := state.progress.started:
        llm = f"LLM {shown_llm(started.llm)}" if started.llm else "no LLM"
        method = f", {method_text(started)}" if started.restarts else ""
        lines.append(f"{started.dataset}, {started.model}, {llm}{method}")
    if started is None or started.restarts:
        lines.append(f"rounds: {_rounds(state)}")
    if state.state != "finished" and state.progress.restarts_are_done:
        names_left = state.kind.renames_classes and NamesChosen.name not in state.progress.times
        first = "new class names, then " if names_left else ""
        lines.append(f"still to come: {first}the evaluation on test images")
    verdict = _verdict(state)
    if state.best is not None:
        # The template was chosen by its training gain, so show the test gain if known.
        gains = gains_in_words(state.gains, state.words, percent=state.percent) if verdict is None else ()
        so_far = "" if state.state == "finished" else " so far"
        train = f" (train {', '.join([_train(state), *gains])})" if state.train is not None else ""
        lines.append(f"best {state.words.noun}{so_far}: {_best(state)}{train}")
    if verdict is not None:
        lines += verdict_lines(verdict)
    usage, scorer = _paid(state)
    if usage:
        lines.append(spent_text(usage, "LLM: "))
    if scorer:
        lines.append(spent_text(scorer, "scorer: "))
    limits = left_of_both(*(used.left if used else {} for used in (usage, scorer)))
    left = ", ".join(left_text(key, amount) for key, amount in limits.items())
    lines += [f"left: {left}"] * bool(left)
    if state.stop_reason:
        lines.append(f"stopped: {on_command_line(state.stop_reason)}")
    if last := event_text(*state.last_event):
        lines.append(f"last event: {last}")
    if state.state in ("stopped", "unfinished"):
        resume = resume_command(state.run_dir, state.limits)
        lines.append(f"to resume{with_higher(state.limits)}: {resume}")
    return lines


def _paid(state: RunView) -> list[UsageEvent | None]:
    """Return the usage of LLM and scorer, each None if it was not asked."""
    usages = (state.progress.usage, state.progress.scorer_usage)
    return [usage if usage and usage.calls else None for usage in usages]


def _train(state: RunView) -> str:
    return "" if state.train is None else score_text(state.train, percent=state.percent, unit=" %")


def _rounds(state: RunView) -> str:
    started = state.progress.started
    return f"{state.progress.rounds:,}" + (f" of {started.rounds:,}" if started else "")


def add_options(parser: Parser) -> None:
    """Add the options of ``status``."""
    parser.description = _EXAMPLES
    parser.epilog = _ABOUT
    parser.add_argument(
        "directory", metavar="RUN_DIR", nargs="?", help="one run, or a folder of runs (default: runs/)"
    )
    add_json(parser)
