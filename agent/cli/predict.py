"""Classify a folder of images without labels, as CSV or JSON."""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TextIO

from ...evaluator.classifier import Classifier
from ...evaluator.counts import counted
from ...evaluator.datasets.class_names import OPENAI, SPLIT, read_names_file
from ...evaluator.datasets.hand_made import imagenet_class_names
from ...evaluator.errors import ConfigError, PromptclimbError, UsageError, reason_of
from ...evaluator.files import folders_beside, replace_file, user_path
from ...evaluator.prediction import (
    FolderPredictor,
    ImagePredictor,
    PredictedImage,
    SavedPredictor,
    check_images,
)
from ...evaluator.regular_files import open_regular
from ...evaluator.settings import near, options_of
from ...evaluator.spec import EvaluatorSpec
from .. import api
from ..config.schema import ScoringConfig
from ..config.sources import COMMAND_LINE, flag_of, on_command_line
from ..present.sentences import spent_text
from ..results.accuracies import BEST, TEXTS
from ..results.result import ApiUsage
from ..results.run_dir import BYTE_ORDER_MARK, output_file, safe_cell
from ..search.inputs import read_template_file
from ..search.predicting import ApiFolderPredictor, api_predictor_of, predictor_of_run
from ..store.trust import risks
from ..text import printable
from .folders import folder_with_result
from .options import add_search_options, changed_settings, given_settings, given_spec, positive_number
from .output import say, short_path
from .parser import Parser

EXAMPLES = """\
examples:
  promptclimb predict path/to/images --run runs/NAME --out predictions.csv
  promptclimb predict path/to/images --templates templates.txt --class-names names.txt \\
      --model ViT-B-32 --pretrained laion2b_s34b_b79k

With --run, options that you leave out are as in the run. With --templates, the default
of --precision is fp32 and that of --device auto.
"""
TAKEN = ("class_names", "model", "pretrained", "precision", "device", "scorer_url")
"""The settings that this command takes."""
FIXED = ("class_names", "model", "pretrained", "precision")
"""Those that a saved classifier decides."""
MOST_NAMED = 20
"""Most unreadable images, and classes of the summary, that are named."""
EVERY = 1000


def predict(arguments: argparse.Namespace) -> int:
    """Write the predicted class of each image; name the images that cannot be read, and continue."""
    images = user_path(arguments.folder, "FOLDER")
    if not images.exists():
        hint = near(arguments.folder, folders_beside(arguments.folder, images))
        raise UsageError(f"there is no folder or image {images}{hint}")
    check_images(images)
    ending = ".json" if arguments.as_json else ".csv"
    out = None if arguments.out is None else output_file(arguments.out, "`out`", ending)
    predictor = _predictor(arguments)
    top = min(arguments.top, len(predictor.class_names))
    counts, unclassified = Counter[str](), Unclassified()
    with opened(out, as_json=arguments.as_json) as stream:
        predictions = iter(predictor.predict(images, top=top))
        first = list(islice(predictions, 1))  # nothing is written before what it takes is open
        write = (
            _Json(stream, predictor) if arguments.as_json else CsvWriter(stream, top, exact=out is not None)
        )
        for number, image in enumerate(chain(first, predictions), start=1):
            write.row(image)
            if image.error:
                unclassified.add(image)
            else:
                counts[image.classes[0]] += 1
            if out is not None and number % EVERY == 0:
                say(f"{number:,} images")
        write.end(counts.total(), unclassified.images)
    _say_summary(counts, unclassified.images, out)
    if isinstance(predictor, ApiFolderPredictor):
        say(spent_on(predictor.usage, predictor.labels))
    return 0


@dataclass
class Unclassified:
    """Names the first images without a class on standard error, each with the reason, and counts all."""

    images: int = 0

    def add(self, image: PredictedImage) -> None:
        self.images += 1
        if self.images <= MOST_NAMED:
            say(f"not classified: {printable(image.error)}")
        elif self.images == MOST_NAMED + 1:
            say("not classified: more images; their lines have no class")


def _predictor(arguments: argparse.Namespace) -> ImagePredictor:
    if (arguments.of_run is None) == (arguments.templates is None):
        raise ConfigError("give --run RUN_DIR, or --templates FILE with --class-names FILE")
    if arguments.of_run is not None:
        if (file := user_path(arguments.of_run, "--run")).is_file():
            return _saved_predictor(arguments, file)
        changes = changed_settings(arguments)
        names = changes.pop("class_names", None)
        return predictor_of_run(
            folder_with_result(arguments.of_run),
            only=arguments.only,
            class_names=None if names is None else _names(names),
            changes=changes,
            report=say,
        )
    if arguments.only:
        raise ConfigError("--only applies to --run; templates of a file are always averaged")
    templates = [template.text for template in read_template_file(arguments.templates, "`templates`")]
    spec = given_spec(arguments)
    if spec.class_names is None:
        raise ConfigError("give --class-names FILE, one class name a line")
    names = _names(spec.class_names)
    return FolderPredictor(spec, tuple(names.values()) if isinstance(names, dict) else names, templates, say)


def _saved_predictor(arguments: argparse.Namespace, file: Path) -> ImagePredictor:
    """Open a classifier's file; its model may run code only if the user names it too."""
    classifier, flags = Classifier.load(file), given_settings(arguments)
    about = classifier.about
    own = {"model": about.model, "pretrained": about.pretrained}
    if arguments.only or any(flags.get(name, own.get(name)) != own.get(name) for name in FIXED):
        raise ConfigError(
            f"{file} is one classifier of one model: leave out --only, {', '.join(map(flag_of, FIXED))}"
        )
    if about.scorer == "embeddings":
        of_file = {"scorer": about.scorer, "model": about.model}
        config = given_spec(arguments, (short_path(file), of_file))
        return api_predictor_of(classifier, config, say)
    config = given_spec(arguments, (COMMAND_LINE, own))
    classifier = api.load(file, device=config.device, trust=risks(own).keys() <= flags.keys(), report=say)
    return SavedPredictor(classifier, say)


def _names(choice: str) -> tuple[str, ...] | dict[str, str]:
    if choice == SPLIT:
        raise ConfigError("`class_names = split`: images without labels have no names; give a file")
    if choice == OPENAI:
        return imagenet_class_names()
    return read_names_file(user_path(choice, "`class_names`"))


@contextmanager
def opened(out: Path | None, *, as_json: bool = False) -> Iterator[TextIO]:
    """Open standard output, or ``FILE.part``, which becomes the file when everything is written."""
    if out is None:
        yield sys.stdout
        return
    unfinished = out.with_name(f"{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        file = open_regular(unfinished, "wb")
    except OSError as error:
        raise UsageError(f"{error.filename or out} cannot be written: {error.strerror or error}") from error
    # Each line is written at once: what a killed process, or a full disk, leaves is what was classified.
    stream = io.TextIOWrapper(
        file, encoding="utf-8", errors="backslashreplace", newline="", line_buffering=True
    )
    try:
        with stream:
            yield stream
        if not as_json and not (content := unfinished.read_bytes()).isascii():
            replace_file(unfinished, BYTE_ORDER_MARK.encode() + content, mode=0o644)
        unfinished.replace(out)
    except UsageError:
        unfinished.unlink()  # no image was classified
        raise
    except BaseException as error:
        if unfinished.stat().st_size:
            say(f"what was written so far is in {short_path(unfinished)}")
        else:
            unfinished.unlink()
        if isinstance(error, OSError):
            # Images were classified, and perhaps paid for: no wrong usage.
            raise PromptclimbError(f"{out} cannot be written: {reason_of(error)}") from error
        raise


class CsvWriter:
    """One line per image; a spreadsheet takes no cell for a formula.

    ``exact``: write names of files as they are, which a terminal might take for commands. ``labelled``: add
    the class in the data, and whether it is the predicted one.
    """

    def __init__(self, stream: TextIO, top: int, *, exact: bool, labelled: bool = False) -> None:
        self._exact = exact
        columns = [*_columns(top), *(["true_class", "correct"] if labelled else [])]
        self._writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
        self._writer.writeheader()

    def row(self, image: PredictedImage) -> None:
        """Write an image; one that cannot be read has no class."""
        # `./` keeps a path that could be a formula usable, unlike an apostrophe.
        file = image.file if safe_cell(image.file) == printable(image.file) else f"./{image.file}"
        # A lone carriage return is not quoted, and ends a line for some readers.
        cells = [file if self._exact and "\r" not in file else printable(file)]
        for name, share in _pairs(image):
            cells += [safe_cell(name), "" if share is None else f"{share:.6f}"]
        row = dict(zip(_columns(len(image.classes)), cells, strict=True))
        if image.true_class is not None:
            correct = image.classes[:1] == (image.true_class,)
            row |= {"true_class": safe_cell(image.true_class), "correct": "yes" if correct else "no"}
        self._writer.writerow(row)

    def end(self, images: int, unread: int) -> None:
        """Do nothing: every line is complete."""


class _Json:
    """One document, written image by image."""

    def __init__(self, stream: TextIO, predictor: ImagePredictor) -> None:
        self._stream, self._before = stream, "\n"
        spec = predictor.spec
        head = {
            # An API does not say which weights it has: empty, as in the other documents.
            "model": {"name": spec.model, "pretrained": spec.pretrained if spec.is_clip else ""},
            "templates": predictor.templates,
            "classes": predictor.class_names,
        }
        # ASCII, here and below, as a file name may hold bytes that are not text.
        stream.write(json.dumps(head)[:-1] + ', "predictions": [')

    def row(self, image: PredictedImage) -> None:
        """Write an image; one that cannot be read has ``error`` instead of classes."""
        values: list[str | float | None] = [image.file]
        for name, share in _pairs(image):
            values += [name, None if share is None else round(share, 6)]
        row = dict(zip(_columns(len(image.classes)), values, strict=True))
        self._stream.write(self._before + json.dumps(row | ({"error": image.error} if image.error else {})))
        self._before = ",\n"

    def end(self, images: int, unread: int) -> None:
        self._stream.write(f'\n], "images": {images}, "unreadable": {unread}}}\n')


def spent_on(used: ApiUsage, labels: Path) -> str:
    """Return what a scorer behind an API was asked without a search, and where its answers are."""
    if not used.calls:
        kept = f"scorer: 0 calls, as all answers were kept in {short_path(labels)}; if its model has changed"
        return on_command_line(f"{kept} since, name another folder with `shared_cache`")
    return f"{spent_text(used, 'scorer: ')}; answers are kept in {short_path(labels)}"


def _pairs(image: PredictedImage) -> Iterator[tuple[str, float | None]]:
    """Yield the classes of an image with their probabilities, None if the scorer gives none."""
    return zip(image.classes, image.probabilities or [None] * len(image.classes), strict=True)


def _columns(top: int) -> list[str]:
    numbers = ["", *(f"_{rank}" for rank in range(2, top + 1))][:top]
    return ["file", *(f"{name}{number}" for number in numbers for name in ("class", "probability"))]


def _say_summary(counts: Counter[str], unread: int, out: Path | None) -> None:
    most = [f"{printable(name)} {count:,}" for name, count in counts.most_common(MOST_NAMED)]
    more = [f"{len(counts) - MOST_NAMED:,} more classes"] if len(counts) > MOST_NAMED else []
    say(f"{counted(counts.total(), 'image')} classified: {', '.join([*most, *more])}")
    if unread:
        say(f"{counted(unread, 'image')} could not be classified")
    if out is not None:
        say(f"written to {short_path(out)}")


def add_options(parser: Parser) -> None:
    """Add the options of ``predict``."""
    parser.usage = "%(prog)s FOLDER (--run RUN_DIR | --run FILE | --templates FILE) [OPTION ...]"
    parser.description = EXAMPLES
    parser.add_argument(
        "folder", metavar="FOLDER", help="a folder with images, or one image; subfolders count"
    )
    parser.add_argument(
        "--run",
        dest="of_run",
        metavar="RUN_DIR",
        help="a run's folder, or a .safetensors file: use its recommended classifier",
    )
    parser.add_argument(
        "--only",
        choices=(BEST, TEXTS),
        metavar="WHICH",
        help="best: use the run's best template alone; texts: its texts, without what was learned from "
        "images. With either you may name another --model and --pretrained",
    )
    parser.add_argument(
        "--templates",
        metavar="FILE",
        help="your own templates instead of a run, averaged, with a CLIP model: a file with JSON or one per "
        "line, or one template itself",
    )
    parser.add_argument(
        "--class-names",
        default=argparse.SUPPRESS,
        metavar="openai|FILE",
        help="class names, required with --templates: a file with one per line, such as `cow`, or openai: "
        "open_clip's ImageNet names. With --run, they take the place of the run's names, and what was "
        "learned from images is left out. By a line `n01=cow` texts have cow, and the output n01",
    )
    parser.add_argument("--out", metavar="FILE", help="file to write (default: standard output)")
    parser.add_argument(
        "--top",
        type=positive_number,
        default=1,
        metavar="N",
        help="the N most likely classes of each image (default: 1)",
    )
    leave_out = {*options_of(EvaluatorSpec).keys() - TAKEN, "class_names"}
    add_search_options(parser, of=ScoringConfig, leave_out=leave_out, first=TAKEN, defaults=False)
    parser.add_argument("--json", dest="as_json", action="store_true", help="JSON instead of CSV")
