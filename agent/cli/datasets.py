"""List data sets and models: ``datasets``, which also shows a few-shot split, and ``models``."""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import asdict, replace
from typing import Any

from ...evaluator.counts import counted
from ...evaluator.settings import applying_to
from ..config.schema import OPTIONS, SearchConfig
from ..config.sources import ARGUMENT
from .options import add_json, add_search_options, given_spec
from .output import PROGRAM, print_json, print_table, say
from .parser import Parser

EXAMPLES = """\
examples:
  promptclimb datasets
  promptclimb datasets path/to/images --shots 4
"""


def datasets(arguments: argparse.Namespace) -> int:
    """List the named data sets, or show one few-shot split."""
    from ...evaluator.datasets.checks import check_repeats, fault_of, looked_at, note_on_unusable
    from ...evaluator.datasets.loading import known
    from ...evaluator.datasets.values import describe
    from ..api import load_data

    if arguments.dataset is None:
        rows = [asdict(data_set) for data_set in known()]
        if arguments.as_json:
            print_json(rows)
        else:
            print_table(("name", "kind", "title", "where"), rows)
        return 0
    # Also show data that a search would refuse.
    spec = given_spec(arguments, (ARGUMENT, {"data": arguments.dataset, "allow_leak": True}))
    data = load_data(spec.model_copy(update={"on_bad_image": "skip"}))
    shots = (*data.train, *data.val)
    faults = looked_at(lambda item: fault_of(item.path), shots)
    unusable = [(item.path, fault) for item, fault in zip(shots, faults, strict=True) if fault]
    notes = (
        *data.notes,
        *([note_on_unusable(unusable, len(shots), "labelled images", skip=True)] if unusable else []),
        *check_repeats(data.test.open(), data.classes, "test image"),
    )
    broken = {path for path, _fault in unusable}
    train, val = (
        tuple(item for item in items if item.path not in broken) for items in (data.train, data.val)
    )
    if spec.on_bad_image == "fail":
        data = replace(data, notes=tuple(map(_as_refused, notes)))
    else:
        data = replace(data, notes=notes, train=train, val=val)
    if arguments.as_json:
        print_json(describe(data, test=arguments.split == "test"))
        return 0
    for note in (*data.chosen, *data.notes):
        say(f"note: {note}")
    _split_table(describe(data, test=True))
    if train:
        say(f"a labelled image: {train[0].path}")
    if spec.shots != "all":
        say("only these labelled images were opened; to check all: --shots all")
    return 0


def _as_refused(note: str) -> str:
    from ...evaluator.datasets.checks import HOW_TO_GO_ON, SKIPPED

    if not note.startswith(SKIPPED):
        return note
    fault = note.removeprefix(SKIPPED)
    return f"evaluate and search with these shots and seed will stop: {fault}; {HOW_TO_GO_ON}"


def _split_table(document: dict[str, Any]) -> None:
    classes = document["classes"]
    counts = {
        split: Counter(item["label"] for item in document.get(split, ()))
        for split in ("train", "val", "test")
    }
    filled = [split for split in counts if document.get(split)]
    rows = [
        {"label": label, "source": source, "class": name, **{split: counts[split][label] for split in filled}}
        for label, (source, name) in enumerate(zip(document["sources"], classes, strict=True))
    ]
    say(f"{document['name']}: {len(classes)} classes, {counted(document['test_size'], 'test image')}")
    # Folders, or a table's labels, unless they are merely tidied.
    renamed = [" ".join(source.replace("_", " ").split()) for source in document["sources"]] != classes
    print_table(("label", *(["source"] if renamed else []), "class", *filled), rows)


def add_options(parser: Parser) -> None:
    """Add the options of ``datasets``."""
    parser.description = EXAMPLES
    parser.add_argument(
        "dataset",
        nargs="?",
        metavar=ARGUMENT,
        help="a data set by name, folder DIR/CLASS/*.jpg, table, hf:NAME or torchvision:NAME (default: list "
        "all that have a name)",
    )
    parser.add_argument("--split", choices=("test",), help="with --json: also list the test images")
    leave_out = ("data", *applying_to(SearchConfig, "reading images"))
    add_search_options(parser, groups=("Data",), leave_out=leave_out, first=OPTIONS)
    add_json(parser)


def models(arguments: argparse.Namespace) -> int:
    """List the bundled models, or all that match a text, open_clip's too."""
    from ...evaluator.pico.models import bundled_models

    rows = bundled_models()
    if arguments.grep is not None:
        from ...evaluator.clip.model_files import pretrained_pairs

        text = arguments.grep.lower()
        rows += [{"name": name, "pretrained": tag} for name, tag in pretrained_pairs()]
        rows = [row for row in rows if text in row["name"].lower() or text in row["pretrained"].lower()]
    if arguments.as_json:
        print_json(rows)
    elif not rows:
        say(f"no model has {arguments.grep!r} in its name or tag")
    else:
        print_table(("name", "pretrained"), rows)  # the files' paths are longer than a line
    if arguments.grep is None:
        say(f"open_clip's own models work too: `{PROGRAM} models --grep ViT-B-32` lists them")
    return 0


def add_models_options(parser: Parser) -> None:
    """Add the options of ``models``."""
    parser.add_argument(
        "--grep", metavar="TEXT", help="models with this text in name or tag, open_clip's too"
    )
    add_json(parser)
