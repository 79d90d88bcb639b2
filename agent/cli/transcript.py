"""Print the requests and answers of a run, from its store."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from ..position import NAMES, Position
from ..results.history import state_of
from ..secrets import Scrubber, secrets_named_in
from ..store.records import answer_fields
from ..store.run import Exchange, StoreReader
from ..text import printable
from .folders import run_folder
from .output import print_text, short_path
from .parser import Parser

MARKDOWN, JSONL = "markdown", "jsonl"


def transcript(arguments: argparse.Namespace) -> int:
    """Print the exchanges in the order of positions; the run may be live."""
    run_dir = run_folder(arguments.directory)
    scrub = Scrubber(secrets_named_in(os.environ)).scrub_value
    with StoreReader(run_dir) as stored:
        rows = (scrub(_row(exchange)) for exchange in stored.exchanges())
        is_jsonl = arguments.form == JSONL
        lines = (f"{json.dumps(row)}\n" for row in rows) if is_jsonl else _markdown(rows, run_dir)
        for text in lines:
            print_text(text)
    return 0


def _row(exchange: Exchange) -> dict[str, Any]:
    position, answer = exchange.position, exchange.answer
    return {
        **dict(zip(("restart", "conversation", "round", "sample"), position, strict=True)),
        "messages": None if exchange.messages is None else list(exchange.messages),
        "answer": None if answer is None else answer_fields(answer),
        "skipped": exchange.skipped,
    }


def _markdown(rows: Iterator[dict[str, Any]], run_dir: Path) -> Iterator[str]:
    """Yield headings for restarts and rounds, and each text in a block that it cannot leave."""
    yield f"# Requests and answers of {printable(short_path(run_dir))}\n"
    restart, before, last_messages = -1, (-1, -1), list[Mapping[str, str]]()
    for row in rows:
        position = Position(row["restart"], row["conversation"], row["round"])
        if position.restart != restart:
            restart = position.restart
            yield f"\n## {'Class names' if restart == NAMES else f'Restart {restart}'}\n"
        if position[:2] != before:
            before, last_messages = position[:2], []
        sample = f", sample {row['sample'] + 1}" if row["sample"] else ""
        where = str(position)
        yield f"\n### {where[0].upper()}{where[1:]}{sample}\n\n"
        if row["messages"] is not None:
            yield from _request(row["messages"], last_messages)
            last_messages = row["messages"]
        yield _outcome(row)
    if restart < 0:
        started = state_of(run_dir).progress.started
        is_without_llm = started and not started.llm
        method = printable(started.method) if started else ""
        yield (
            f"\nNo LLM is asked in this run (method {method}).\n"
            if is_without_llm
            else "\nNo requests yet.\n"
        )


def _request(messages: Sequence[Mapping[str, str]], before: Sequence[Mapping[str, str]]) -> Iterator[str]:
    pairs = zip(messages, before, strict=False)
    known = len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
    if known:
        yield f"*{known} messages as above*\n\n" if known > 1 else "*1 message as above*\n\n"
    for message in messages[known:]:
        yield f"**{printable(message['role'])}**\n\n{_block(message['content'])}\n"


def _outcome(row: Mapping[str, Any]) -> str:
    if (answer := row["answer"]) is None:
        return f"**no answer**: {printable(row['skipped'] or '')}\n"
    tokens = f"{answer['prompt_tokens']:,} tokens in, {answer['completion_tokens']:,} out"
    facts = ", ".join(filter(None, (printable(answer["model"]), printable(answer["finish_reason"]), tokens)))
    return f"**answer** ({facts})\n\n{_block(answer['text'])}"


def _block(text: str) -> str:
    """Return a text in a longer fence than any in it, without control characters."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    lines = "\n".join(printable(line) for line in text.split("\n"))
    return f"{fence}text\n{lines}\n{fence}\n"


def add_options(parser: Parser) -> None:
    """Add the options of ``transcript``."""
    parser.add_argument("directory", metavar="RUN_DIR", help="a run, also one that is not finished")
    parser.add_argument(
        "--format",
        dest="form",
        choices=(MARKDOWN, JSONL),
        default=MARKDOWN,
        help="markdown: for people; jsonl: one JSON object a line (default: %(default)s)",
    )
