"""Compare with other optimizers, on the same black box and with the same LLM.

    python benchmarks/optimizers.py --llm local --keep optimizers --markdown optimizers.md --json

Each cell (a set, a seed, a row) is a process of its own: a search by this project, or by GEPA or
promptolution from the package index (``pip install -e '.[optimizers,local]'``). All use one endpoint, which
counts; all score templates by accuracy on the same few shots, and the pick alone is evaluated on test.
Two tables: at equal LLM calls, and at equal template scorings with a bound on the calls.
Cells are played seed by seed and set by set, so that what is there is balanced; ``--keep`` holds finished
ones, a row of JSON each.

    python benchmarks/optimizers.py --llm by-hand --answers FILE --tables calls --json

plays with answers that were recorded; what is not there is asked of ``--base-url`` and added.

    python benchmarks/optimizers.py --faults --json

measures instead what a kill in the middle and a 429 do to each, against a fake LLM. docs/results.md has
what came of it.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# In front of this folder, where the name `evaluator` is another benchmark.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.peers import faults, tables
from benchmarks.peers.answers import Answers
from benchmarks.peers.door import Door
from benchmarks.peers.grid import TABLES, is_local, jobs, sentences
from benchmarks.peers.job import INITIAL, PROPOSALS, Job
from benchmarks.peers.kept import ROWS_KEPT, add_line, kept, whole
from benchmarks.peers.playing import outcome
from promptclimb.agent.errors import EndpointError, StoreError
from promptclimb.agent.llm.local_models import model_name
from promptclimb.agent.llm.local_server import LlamaServer, LlamaSettings, make_ready
from promptclimb.agent.store.lock import lock_folder
from promptclimb.evaluator.counts import counted


def check_installed(asked: Iterable[Job]) -> None:
    """See that the peers are there, before anybody plays."""
    packages = {job.of.package for job in asked if job.of.package}
    if missing := sorted(package for package in packages if find_spec(package) is None):
        raise SystemExit(f"not installed: {', '.join(missing)}; pip install -e '.[optimizers]'")


async def table(options: argparse.Namespace, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Play what is not there; return the rows of each table."""
    asked = list(jobs(options))
    found = kept(folder)
    if options.as_it_is:
        return {name: whole([job for own, job in asked if own == name], found) for name in options.tables}
    check_installed(job for _, job in asked)
    # One cell may stand in both tables.
    left = {job.key: (place, name, job) for place, (name, job) in enumerate(asked, 1) if job.key not in found}
    free = asyncio.Semaphore(options.at_once)

    async def play(place: int, name: str, job: Job) -> None:
        async with free:
            found[job.key] = row = await _played(job, folder, door, options)
        where = f"{place} of {len(asked)}, {name}: {job.data}, seed {job.seed}, {job.row}"
        print(f"{where}: {_briefly(row)}", file=sys.stderr, flush=True)

    try:
        async with _endpoint(options) as door, asyncio.TaskGroup() as playing:
            for each in left.values():
                playing.create_task(play(*each))
    except* EndpointError as errors:
        raise SystemExit(str(errors.exceptions[0])) from None
    return {name: [found[job.key] for own, job in asked if own == name] for name in options.tables}


async def _played(job: Job, folder: Path, door: Door, options: argparse.Namespace) -> dict[str, Any]:
    """Play one cell and keep its row."""
    cell = hashlib.sha256(job.key.encode()).hexdigest()[:12]
    played_in = folder / "cells" / cell
    shutil.rmtree(played_in, ignore_errors=True)  # of a comparison that was killed: begun anew
    row = await outcome(job, played_in, door, cell, minutes=options.cell_minutes)
    if door.closed:
        raise EndpointError(f"--base-url: {door.closed}")
    row["at_once"] = options.at_once
    add_line(folder / ROWS_KEPT, row)
    if "error" not in row:
        shutil.rmtree(played_in, ignore_errors=True)
    return row


def _briefly(row: Mapping[str, Any]) -> str:
    return row.get("error") or f"{100 * row['test']:.1f} %, {row['answered']} calls, {row['wall_s']:.0f} s"


@asynccontextmanager
async def _endpoint(options: argparse.Namespace) -> AsyncIterator[Door]:
    """Open the door to the LLM: one that is started here, or an endpoint with the key of the environment."""
    answers = None
    if options.answers is not None:
        try:
            answers = Answers(options.answers)
            if options.base_url or is_local(options):
                options.answers.open("a").close()  # fails before anything is paid that cannot be kept
        except (OSError, ValueError) as error:
            raise SystemExit(f"--answers {options.answers}: {error}") from error
    if not is_local(options):
        key = os.environ.get("OPENAI_API_KEY", "").strip()
        async with Door(options.base_url or "", key, answers) as door:
            yield door
        return
    file = await _found(options.llm)
    name, slots = model_name(options.llm), options.at_once
    server = LlamaServer(
        LlamaSettings(model=file, name=name, threads=options.threads, slots=slots, context=16_384 * slots)
    )
    await server.start()
    try:
        async with Door(server.base_url, server.key.reveal(), answers) as door:
            yield door
    finally:
        await server.close()


async def _found(llm: str) -> Path:
    try:
        return await make_ready(llm, lambda _: None)
    except EndpointError as error:
        raise SystemExit(f"--llm {llm}: {error}") from error


async def troubled(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Measure what kills and 429s do to each that asks an LLM."""
    first = next(iter(sentences())) if options.data == "all" else options.data.split(",")[0]
    alone = argparse.Namespace(
        **{**vars(options), "data": first, "seeds": [1], "tables": ["calls"], "llm": "fake"}
    )
    asking = [job for _, job in jobs(alone) if job.of.method != "random" and not job.of.pool]
    one_each = {(job.of.player, job.of.method): job for job in reversed(asking)}
    check_installed(asking)
    shutil.rmtree(folder / "faults", ignore_errors=True)
    return await faults.measured(
        list(reversed(one_each.values())),
        folder / "faults",
        minutes=options.cell_minutes,
        refuse_s=options.refuse_seconds,
    )


@contextmanager
def _held(options: argparse.Namespace, scratch: Path) -> Iterator[Path]:
    """Give the folder of finished cells; two comparisons in one would play the same cells."""
    folder = (options.keep or scratch).resolve()  # cells are played in another working directory
    if options.as_it_is:
        yield folder
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = lock_folder(folder)
    except (OSError, StoreError) as error:
        raise SystemExit(f"--keep {folder}: {error}") from error
    try:
        yield folder
    finally:
        lock.release()


def _faults(options: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], str, int]:
    """Return the document, the tables, and how many cells failed."""
    rows = asyncio.run(troubled(options, folder))
    return {"faults": rows}, tables.faults_markdown(rows), 0


def _tables(options: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], str, int]:
    """As ``_faults``."""
    played = asyncio.run(table(options, folder))
    document = {name: tables.document(rows) for name, rows in played.items()}
    bound = f"in at most {options.most_calls} calls"
    titles = {
        "calls": f"{options.calls} LLM calls each",
        "scorings": f"{options.scorings} templates scored each, {bound}",
    }
    shown = "\n".join(tables.markdown(titles[name], one) for name, one in document.items())
    return document, shown, len({row["key"] for rows in played.values() for row in rows if "error" in row})


def _number(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word!r} is no whole number from 1 on")
    return int(word)


def _numbers(words: str) -> list[int]:
    return [_number(word) for word in words.split(",")]


def _table_names(words: str) -> list[str]:
    if unknown := [word for word in words.split(",") if word not in TABLES]:
        raise argparse.ArgumentTypeError(f"{','.join(unknown)}: none; there are {', '.join(TABLES)}")
    return words.split(",")


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="all", help=f"sets, of {', '.join(sentences())}; or all")
    parser.add_argument("--seeds", type=_numbers, default="1,2,3")
    parser.add_argument("--shots", type=_number, default=16, help="training images a class")
    parser.add_argument("--model", default="RN-pico", help="the black box")
    parser.add_argument("--evaluator", default="", help="another black box than the model, MODULE:FACTORY")
    parser.add_argument("--only", default="", help="names of rows, or words in them, with ; between")
    parser.add_argument(
        "--tables", type=_table_names, default=",".join(TABLES), help=f"of {', '.join(TABLES)}"
    )
    parser.add_argument("--calls", type=_number, default=12, help="LLM calls of each, in the table of calls")
    parser.add_argument(
        "--scorings", type=_number, default=140, help="templates scored by each, in the other"
    )
    parser.add_argument("--most-calls", type=_number, default=60, help="LLM calls at most in that one")
    parser.add_argument("--llm", default="local", help="local, local:1.5b, or the model's name at --base-url")
    parser.add_argument("--base-url", help="an endpoint; its key is $OPENAI_API_KEY")
    parser.add_argument("--answers", type=Path, help="file of recorded answers; new ones are added")
    parser.add_argument(
        "--patient", action="store_true", help="an answer may take hours, as by hand: nobody is timed out"
    )
    parser.add_argument("--at-once", type=_number, default=1, help="cells that are played side by side")
    parser.add_argument("--threads", type=_number, help="of the local LLM; default: as many as are free")
    parser.add_argument("--keep", type=Path, help="folder of finished cells, which are not played again")
    parser.add_argument("--as-it-is", action="store_true", help="play nothing: tables of what is kept")
    parser.add_argument("--cell-minutes", type=float, default=120.0, help="how long one cell may take")
    parser.add_argument("--faults", action="store_true", help="what kills and 429s do, instead of the tables")
    parser.add_argument("--refuse-seconds", type=float, default=30.0, help="of the long 429")
    parser.add_argument("--markdown", type=Path, help="file to write the tables to")
    parser.add_argument("--json", action="store_true", help="the document on one line")
    options = parser.parse_args(words)
    plays = not (options.faults or options.as_it_is)
    if plays and not (is_local(options) or options.base_url or options.answers):
        parser.error(f"--llm {options.llm} needs --base-url")
    if plays and options.answers and not (options.base_url or options.answers.is_file()):
        parser.error(f"--answers {options.answers}: no such file; without --base-url all answers are there")
    if options.scorings < (least := INITIAL + PROPOSALS):
        parser.error(f"--scorings {options.scorings}: a search of ours scores {least} at least")
    if options.as_it_is and options.keep is None:
        parser.error("--as-it-is needs --keep")
    return options


def main() -> None:
    """Play, and print."""
    options = parsed()
    if options.markdown is not None:
        try:
            options.markdown.open("a").close()  # fails before anything is paid
        except OSError as error:
            raise SystemExit(f"--markdown {options.markdown}: {error.strerror}") from error
    with tempfile.TemporaryDirectory() as scratch, _held(options, Path(scratch)) as folder:
        try:
            document, shown, failed = (_faults if options.faults else _tables)(options, folder)
        except KeyboardInterrupt:
            goes_on = "" if options.faults else "; with --keep the same command goes on from here"
            print(f"interrupted{goes_on}", file=sys.stderr)
            raise SystemExit(130) from None
    if options.markdown is not None:
        options.markdown.write_text(shown, "utf-8")
    print(json.dumps(document, indent=None if options.json else 2))
    if failed:
        raise SystemExit(
            f"{counted(failed, 'cell')} failed, as the column of errors says; take its line out of "
            f"{ROWS_KEPT} in the folder of --keep, and the same command plays it again"
        )


if __name__ == "__main__":
    main()
