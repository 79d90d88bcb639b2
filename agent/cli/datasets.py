"""``datasets`` and ``models``."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..config.evaluation import spec_of
from ..config.sources import from_sources
from .options import given_settings
from .output import aligned, print_json, print_text, say


def datasets(arguments: argparse.Namespace) -> int:
    """Lists what is known, or shows one few-shot split."""
    from ...evaluator.datasets import check_readable, describe, known
    from ...evaluator.spec import load_data

    if arguments.dataset is None:
        rows = [asdict(found) for found in known()]
        if arguments.as_json:
            print_json(rows)
        else:
            _table(("name", "kind", "title", "where"), rows)
        return 0
    config = from_sources(
        {**given_settings(arguments), "data": arguments.dataset, "method": "random"}, os.environ
    )
    # This command shows what a search would refuse.
    data = load_data(replace(spec_of(config), allow_leak=True))
    faults = list(check_readable((*data.train, *data.val), skip=True))
    document = describe(data, test=arguments.split == "test")
    if arguments.as_json:
        print_json(document)
        return 0
    for note in (*data.notes, *faults):
        say(f"note: {note}")
    _split_table(document)
    return 0


def models(arguments: argparse.Namespace) -> int:
    """Lists the bundled models, and those of open_clip that a text picks."""
    from ...evaluator.pico import models as bundled

    rows = [{name: str(value) for name, value in model.items()} for model in bundled()]
    if arguments.grep is not None:
        from ...evaluator.clip.models import pretrained_pairs

        text = arguments.grep.lower()
        rows += [
            {"name": name, "pretrained": tag}
            for name, tag in pretrained_pairs()
            if text in name.lower() or text in tag.lower()
        ]
    if arguments.as_json:
        print_json(rows)
        return 0
    _table(("name", "pretrained", "file", "config"), rows)
    if arguments.grep is None:
        say("open_clip's own models work too: `models --grep ViT-B-32` lists them")
    return 0


def _table(columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    cells = [["" if (value := row.get(column)) is None else str(value) for column in columns] for row in rows]
    print_text(aligned([columns, *cells]))


def _split_table(document: dict[str, Any]) -> None:
    classes = document["classes"]
    counts = {
        split: Counter(item["label"] for item in document.get(split, ()))
        for split in ("train", "val", "test")
    }
    rows = [
        {
            "label": label,
            "class": name,
            **{split: counts[split][label] for split in counts if document.get(split)},
        }
        for label, name in enumerate(classes)
    ]
    say(f"{document['name']}: {len(classes)} classes, {document['test_size']} test images")
    _table(("label", "class", *(split for split in counts if document.get(split))), rows)
    example = document["train"][0]["path"] if document["train"] else ""
    if example:
        say(f"for example {Path(example)}")
