"""The sets, rows and cells of the comparison, as its options name them."""

from __future__ import annotations

import argparse
import itertools
import tomllib
from collections.abc import Collection, Iterator

from benchmarks.peers.job import ROWS, Job, Row
from benchmarks.peers.playing import ROOT
from promptclimb.agent.llm.local_models import model_name

SUITE = ROOT / "suites" / "bundled.toml"
LEFT_OUT = ("photos", "artworks", "digits")
TABLES = ("calls", "scorings")


def all_sentences() -> dict[str, str]:
    """Return the sets of the bundled study, each with the sentence that says what it shows."""
    study = tomllib.loads(SUITE.read_text("utf-8"))
    return {name: study["describe"][name] for name in study["data"]}


def sentences() -> dict[str, str]:
    """Return those of the comparison."""
    return {name: sentence for name, sentence in all_sentences().items() if name not in LEFT_OUT}


def rows_asked(only: str) -> list[Row]:
    """Return the rows that are named, or whose names hold one of some words; all if empty."""
    wanted = [word.strip().lower() for word in only.split(";") if word.strip()]
    names = {row.name.lower() for row in ROWS}
    found = [row for row in ROWS if not wanted or any(_is_meant(row, word, names) for word in wanted)]
    if not found:
        raise SystemExit(f"--only {only}: no row; there are {'; '.join(row.name for row in ROWS)}")
    return found


def _is_meant(row: Row, word: str, names: Collection[str]) -> bool:
    name = row.name.lower()
    return name == word if word in names else word in name


def jobs(options: argparse.Namespace) -> Iterator[tuple[str, Job]]:
    """Yield every cell with its table: table by table, seed by seed, set by set."""
    sets_described, rows = sentences(), rows_asked(options.only)
    sets = list(sets_described) if options.data == "all" else options.data.split(",")
    if unknown := [name for name in sets if name not in sets_described]:
        raise SystemExit(
            f"--data {','.join(unknown)}: not of the comparison; there are {', '.join(sets_described)}"
        )
    for table, seed, data, row in itertools.product(options.tables, options.seeds, sets, rows):
        equal_calls = table == "calls"
        yield (
            table,
            Job(
                row=row.name,
                data=data,
                seed=seed,
                shots=options.shots,
                model=options.model,
                sentence=sets_described[data] if row.described else "",
                calls=options.calls if equal_calls else options.most_calls,
                scorings=None if equal_calls else options.scorings,
                llm=model_name(options.llm) if is_local(options) else options.llm,
                patient=options.patient or is_local(options),
                evaluator=options.evaluator,
            ),
        )


def is_local(options: argparse.Namespace) -> bool:
    """Return whether the LLM is one that is started here."""
    return options.llm == "local" or options.llm.startswith("local:")
