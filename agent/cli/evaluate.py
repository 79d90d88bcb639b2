"""Measure what people use today, or the user's own templates."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ...evaluator.classifier import ENDING as CLASSIFIER_ENDING
from ...evaluator.counts import counted
from ...evaluator.errors import ConfigError, PromptclimbError, UsageError, reason_of
from ...evaluator.files import user_path
from ...evaluator.scoring import BARE_NAME, BASELINE_DEFAULT, HAND_MADE, OTHER_MODEL, Inspection
from ...evaluator.settings import applying_to
from ...evaluator.white_box.references import REFERENCES, names_in
from ...prompts.kinds import KINDS
from .. import api
from ..config.schema import OPTIONS, ScoringConfig, SearchConfig
from ..config.sources import on_command_line
from ..present.sentences import unlike, unused_images
from ..present.terminal import table_of
from ..results.accuracies import CHANCE_MARK, score_text, way_name
from ..results.gain import beside_chance, chance_in_words, losing_classes
from ..results.result import words_of
from ..results.run_dir import is_run, output_file, write_atomically
from ..search.inputs import read_template_file
from ..search.measuring import TEXTS_COLUMN, Evaluation
from ..secrets import typed_address
from ..text import printable
from .options import (
    HIDDEN_ALIASES,
    add_json,
    add_search_options,
    bad_image_variable,
    given_settings,
    given_spec,
    positive_number,
)
from .output import console, print_json, print_line, program, result_alone, say, short_path
from .parser import Parser
from .predict import CsvWriter, Unclassified, opened, spent_on

ABOUT = """\
Each is measured alone, and with a classifier that learns from your labelled images."""
EXAMPLES = """\
examples (the first and the last need no images of yours):
  promptclimb evaluate --data backgrounds
  promptclimb evaluate --data path/to/images --model ViT-B-32 \\
      --pretrained laion2b_s34b_b79k --save best.safetensors
  promptclimb evaluate --data path/to/images --scorer embeddings \\
      --model NAME --scorer-url http://127.0.0.1:8000/v1
  promptclimb evaluate --data backgrounds --templates "a toy {}"
"""


def evaluate(arguments: argparse.Namespace) -> int:
    """Measure what people use today, or the templates of a file; and references beside them."""
    _check(arguments)
    files = {
        name: output_file(raw, f"`{name}`", ending)
        for name, ending in (("save", CLASSIFIER_ENDING), ("predictions", ".csv"), ("matrix", ".csv"))
        if (raw := getattr(arguments, name)) is not None
    }
    if len({file.resolve() for file in files.values()}) < len(files):
        raise ConfigError(f"{', '.join(f'`{name}`' for name in files)} name the same file; give each its own")
    config = given_spec(arguments)
    if "predictions" in files and config.custom_scorer is not None:
        raise ConfigError("`predictions` names images, and a custom scorer does not; leave it out")
    kind = config.kind
    templates = None
    if arguments.templates is not None:
        candidates = read_template_file(arguments.templates, "`templates`", kind.name)
        templates = [candidate.scored_as for candidate in candidates]
    labels = {"all_labels": True} if arguments.all_labels else {}
    if (
        arguments.white_box
        and templates is not None
        and arguments.split == "test"
        and not arguments.all_labels
    ):
        say(
            "references of --white-box learn from training images alone here; --all-labels lets them learn "
            "from every labelled image, as the column with images does"
        )
    with result_alone():
        evaluation = api.evaluate(
            templates,
            config,
            split=arguments.split,
            inspect=arguments.confusions is not None or "matrix" in files,
            white_box=dict.fromkeys(arguments.white_box or (), labels),
            recommends=not files.keys().isdisjoint(("save", "predictions")),
            report=say,
        )
    if evaluation.scorer_usage is not None:
        say(spent_on(evaluation.scorer_usage, evaluation.labels or Path()))
    if arguments.as_json:
        print_json(evaluation.to_json(most_confusions=arguments.confusions))
        if (note := evaluation.notes.get(OTHER_MODEL)) is not None:
            say(f"note: {note}")
    else:
        _print(evaluation, arguments, config)
    # Last: a full disk must not cost the table.
    _write(evaluation, files, config)
    return 0


def _print(evaluation: Evaluation, arguments: argparse.Namespace, config: SearchConfig) -> None:
    command = search_command(arguments, config, evaluation.labels)
    print_ways(evaluation, command, saved=arguments.save is not None)
    if evaluation.inspection is not None and arguments.confusions is not None:
        _print_inspection(evaluation, evaluation.inspection, most=arguments.confusions)


def _write(evaluation: Evaluation, files: Mapping[str, Path], config: SearchConfig) -> None:
    """Write every file that was asked for, by option.

    Raises:
        PromptclimbError: Some cannot be written; the others are. It is no UsageError, as scores may have been
            paid for.
    """
    writers: dict[str, Callable[[Path], str]] = {
        "save": partial(_write_classifier, evaluation, config),
        "predictions": partial(_write_predictions, evaluation, user_path(config.data, "`data`")),
        "matrix": partial(_write_matrix, evaluation),
    }
    unwritten = []
    for name, file in files.items():
        replaced = "; an earlier file is replaced" if file.exists() else ""
        try:
            say(f"{writers[name](file)}{replaced}")
        except OSError as error:
            unwritten.append(f"{file} cannot be written: {reason_of(error)}")
        except PromptclimbError as error:
            unwritten.append(error.message)
    if unwritten:
        raise PromptclimbError("; ".join(unwritten))


def _write_classifier(evaluation: Evaluation, config: SearchConfig, file: Path) -> str:
    """Write the recommended classifier, and return a line on its use."""
    assert evaluation.classifier is not None, "checked before it was measured"
    evaluation.classifier.save(file)
    return f"classifier: {shlex.quote(short_path(file))}; to use it: {_predict_command(file, config)}"


def _write_predictions(evaluation: Evaluation, data: Path, file: Path) -> str:
    """Write a row for each image, named relative to the folder of the data, and return a line on them."""
    folder = data.parent if data.is_file() else data
    with opened(file) as stream:
        writer = CsvWriter(stream, 1, exact=True, labelled=True)
        unclassified = Unclassified()
        for image in (each.below(folder) for each in evaluation.predictions):
            writer.row(image)
            if image.error:
                unclassified.add(image)
    wrong = sum(image.classes != (image.true_class,) for image in evaluation.predictions)
    more = f", {unclassified.images:,} of them without a class" if unclassified.images else ""
    of_all = f"{wrong:,} of {len(evaluation.predictions):,}"
    return f"predictions of what is recommended: {short_path(file)}; {of_all} are wrong{more}"


def _write_matrix(evaluation: Evaluation, file: Path) -> str:
    """Write the confusion matrix, and return a line on it."""
    if evaluation.matrix is None:
        raise UsageError("--matrix: this scorer reports a confusion with a class that it does not name")
    write_atomically(file, evaluation.matrix.to_csv())
    return f"confusion matrix of {_inspected(evaluation)}: {short_path(file)}"


def _check(arguments: argparse.Namespace) -> None:
    """Raise ConfigError for options that have no effect together."""
    if arguments.all_labels and arguments.white_box is None:
        raise ConfigError("--all-labels is for the references of --white-box; leave it out")
    if arguments.templates is None:
        if arguments.split != "test":
            raise ConfigError(
                "--split is for --templates FILE; without it, what people use today is measured on test"
            )
    # A settings file may have them for a search.
    elif (
        "augmentations" in given_settings(arguments)
        and arguments.split != "test"
        and not arguments.all_labels
    ):
        raise ConfigError(
            "`augmentations` has no effect with --split, where nothing learns from images; leave it out"
        )


def print_ways(evaluation: Evaluation, command: str = "", *, saved: bool = False) -> None:
    """Print accuracies without and with images, what the labelled images recommend, and what to type next."""
    accuracies, noun = evaluation.accuracies, words_of(evaluation.prompts).noun
    _, *rows = accuracies.lines()
    heads = [noun if evaluation.templates else "", *accuracies.columns]
    console(stderr=False).print(table_of(evaluation.title, [heads, *rows]))
    best, cells = evaluation.recommended, accuracies.cells
    _explain(evaluation)
    if evaluation.templates and best is None:
        if len(evaluation.templates) > 1 and evaluation.split == "test":
            say(f"note: do not choose one {noun} by its test accuracy; use --split val to choose")
        return
    print_line(recommendation(evaluation))
    if losing := _losing_classes(evaluation):
        print_line(losing)
    if best is not None and best.with_images is not None and (test := best.with_images.accuracy) is not None:
        held_out = evaluation.held_out or 0.0
        if line := unlike((held_out, evaluation.labelled), (test, evaluation.images)):
            print_line(line)
    is_perfect = any(cell.value == 1 for cell in cells if best is None or cell.recommended)
    if best is not None and not is_perfect and (unused := unused_images(evaluation.notes)):
        print_line(on_command_line(f"What usually helps most: {unused}."))
    if evaluation.classifier is not None and not saved:
        has_errors = evaluation.predictions and not is_perfect
        errors = "; to see which images it gets wrong: --predictions FILE.csv" if has_errors else ""
        print_line(f"to use it: add --save best.safetensors{errors}")
    if is_perfect:
        learns = best is not None and best.form == "with_images"
        how = "with the labelled images, " if learns else ""
        print_line(f"{how}every test image is classified correctly, so a search has nothing to beat here")
    elif evaluation.labelled and command:
        print_line(f"to try to beat it: {command}")
    by_texts = [row.cells[accuracies.columns[0]] for row in accuracies.rows if row.templates]
    by_images = [cell for cell in cells if cell not in by_texts and cell.value is not None]
    # Where the images do not tell the classes apart either, names are not to blame.
    if (
        command
        and not is_perfect
        and all(cell.may_be_chance for cell in by_texts)
        and not (by_images and all(cell.may_be_chance for cell in by_images))
    ):
        options = "--search-for class-names --llm MODEL"
        add = f"add {options} to the search above"
        how = add if evaluation.labelled else f"{command} --shots 0 {options}"
        print_line(f"the model may not know these names; to ask an LLM for others: {how}")


def _explain(evaluation: Evaluation) -> None:
    """Print what brackets and marks of the table mean, and what may make its figures wrong."""
    cells = evaluation.accuracies.cells
    if any(cell.interval for cell in cells):
        below = f"; below: the difference to the {BARE_NAME}" if any(cell.gain for cell in cells) else ""
        print_line(f"in brackets: 95 % intervals{below}")
    marked = [cell.value for cell in cells if cell.may_be_chance and cell.value is not None]
    if marked:
        by_frequency = evaluation.chance > 1 / evaluation.classes
        chance = chance_in_words(evaluation.classes, evaluation.chance, by_frequency=by_frequency)
        compared = beside_chance((value, evaluation.images, evaluation.chance) for value in marked)
        print_line(f"{CHANCE_MARK} {compared}: {chance}")
    if (note := evaluation.notes.get(OTHER_MODEL)) is not None:
        print_line(f"note: {printable(on_command_line(str(note)))}")


def recommendation(evaluation: Evaluation) -> str:
    """Return in a line what the labelled images recommend."""
    best, images = evaluation.recommended, counted(evaluation.labelled - evaluation.refused, "labelled image")
    if best is None:
        why = "the scorer was asked about test images alone"
        why = why if evaluation.labelled else "there are no labelled images"
        return f"Nothing is recommended, as {why}; a search chooses by labelled images."
    words, learns = words_of(evaluation.prompts), best.form == "with_images"
    name = printable(way_name(best.name, words))
    if best.templates == (best.name,):
        name = f'"{name}"'
    elif best.name in (BASELINE_DEFAULT, HAND_MADE):
        name = f"the {name}"
    if best.name != BARE_NAME:
        use = f"Use {name}" + (" with the labelled images" if learns else "")
    elif learns:
        why = "on these, no other texts beat it both in accuracy and in log-probability"
        use = f"Use the {BARE_NAME} with the labelled images: {why}"
    else:
        use = f"No other texts beat the {BARE_NAME} on the labelled images: use that"
    cells = evaluation.accuracies.cells
    starred = next((cell.value for cell in cells if cell.recommended), None)
    values = [cell.value for cell in cells if cell.value is not None and not cell.recommended]
    ahead = 0 if starred is None else sum(value > starred for value in values)
    ties = sum(value == starred for value in values)
    others = " and ".join(
        f"{counted(count, 'other')} {'is' if count == 1 else 'are'} {how}"
        for count, how in ((ahead, "more accurate"), (ties, "as accurate"))
        if count
    )
    others = others and f", on which {others}"
    return f"* {use}. Chosen on your {images}, not the test images{others}."


def _losing_classes(evaluation: Evaluation) -> str:
    """Return a sentence on the classes that lose with what is recommended; empty if that is not known."""
    images, bare = evaluation.predictions, evaluation.bare_name_right
    if not images or len(images) != len(bare):
        return ""
    right = [image.classes == (image.true_class,) for image in images]
    return losing_classes([image.true_class or "" for image in images], right, bare, BARE_NAME)


def _predict_command(file: Path, config: SearchConfig) -> str:
    """Return the command that uses a saved classifier; a key in an address is left out."""
    words = ["predict", "FOLDER", "--run", short_path(file)]
    if config.scorer_url is not None:
        words += ["--model", config.model, "--scorer-url", typed_address(config.scorer_url)]
    if config.shared_cache is not None:  # what it holds is not paid for again
        words += ["--shared-cache", short_path(config.shared_cache)]
    return f"{program()} {shlex.join(words)}"


def search_command(arguments: argparse.Namespace, config: SearchConfig, labels: Path | None = None) -> str:
    """Return the search on the same data and model, which does not pay again for what ``labels`` keeps.

    A key in an address is left out. Empty for the settings of a run: a search with them would have its
    folder, and is refused.
    """
    if arguments.config_file is not None and is_run(Path(arguments.config_file).expanduser().parent):
        return ""
    variables = [f"{name}={shlex.quote(value)}" for name, value in bad_image_variable().items()]
    words = [*variables, program(), "search"]
    for name, value in given_settings(arguments).items():
        flag = OPTIONS[name].flag
        if flag and (OPTIONS[name].group in ("Data", "Model") or name == "search_for"):
            shown = typed_address(value) if name == "scorer_url" else str(value)
            words += [flag] if value is True else [flag, shlex.quote(shown)]
    if arguments.config_file is not None:
        words += ["--config", shlex.quote(str(arguments.config_file))]
    if labels is not None:
        words += ["--shared-cache", shlex.quote(short_path(labels.parent))]
    if not config.description:
        words.append('--describe "what kind of images these are"')
    return " ".join(words)


def _percent(share: float | None) -> str:
    return score_text(share, percent=True)


def _inspected(evaluation: Evaluation) -> str:
    """Return what the inspection and the matrix of an evaluation are of."""
    noun = words_of(evaluation.prompts).noun
    if not evaluation.templates:
        return "what is recommended"
    of = f"the ensemble of all {noun}s" if len(evaluation.templates) > 1 else f"the {noun}"
    return f"{of}, {TEXTS_COLUMN}" if any(way.with_images for way in evaluation.ways) else of


def _print_inspection(evaluation: Evaluation, inspection: Inspection, *, most: int) -> None:
    matrix = evaluation.matrix
    ordered = sorted(
        enumerate(inspection.classes), key=lambda item: (item[1].accuracy is None, item[1].accuracy)
    )
    classes = [("class", "images", "recall, %", *(("precision, %",) if matrix else ()))]
    for label, row in ordered:
        precision = [_percent(matrix.precision(label))] if matrix else []
        classes.append((printable(row.name), str(row.images), _percent(row.accuracy), *precision))
    pairs = [
        (printable(pair.true), printable(pair.taken_for), str(pair.images))
        for pair in inspection.confusions[:most]
    ]
    console(stderr=False).print(table_of(f"each class, by {_inspected(evaluation)}", classes))
    if matrix is not None and (count := matrix.images_without_class):
        images = sum(row.images for row in inspection.classes)
        say(f"{counted(count, 'answer')} of {images:,} name no class")
    if not pairs:
        print_line("no image is taken for another class")
        return
    console(stderr=False).print(
        table_of("most often confused", [("class", "taken for", "images"), *pairs], texts=(0, 1))
    )


def _names(text: str) -> tuple[str, ...]:
    try:
        return names_in(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(on_command_line(error.message)) from error


def add_options(parser: Parser) -> None:
    """Add the options of ``evaluate``."""
    parser.description = f"{ABOUT}\n\n{EXAMPLES}"
    # White-box references may learn from the augmented copies.
    leave_out = {*applying_to(ScoringConfig, "choice of templates")} - {"augmentations"}
    first = ("data", "model", "pretrained", "shots")
    add_search_options(parser, of=ScoringConfig, leave_out=leave_out, first=first)
    parser.add_argument(
        "--templates",
        metavar="FILE",
        help="your templates: a file with JSON or one per line, or one template itself (default: what people "
        "use today: the bare class name, the default template and published lists)",
    )
    parser.add_argument(
        "--save",
        metavar="FILE.safetensors",
        help="write the recommended classifier, which `predict` and promptclimb.load take",
    )
    parser.add_argument(
        "--predictions",
        metavar="FILE.csv",
        help="write what the recommended classifier predicts for each test image, with the true class",
    )
    parser.add_argument(
        "--confusions",
        type=positive_number,
        nargs="?",
        const=10,
        metavar="N",
        help="show recall and precision of each class, and the N pairs of classes most often confused "
        "(default: 10), by the recommended classifier, or with --templates by their average",
    )
    parser.add_argument(
        "--split",
        choices=("train", "val", "test"),
        default="test",
        help="images to measure on (default: test); train and val need --templates",
    )
    parser.add_argument(
        "--white-box",
        type=_names,
        metavar="NAMES",
        help="also measure references that see inside the model and learn from the same labelled images, "
        f"several with commas: {', '.join(REFERENCES)}",
    )
    parser.add_to(
        "Data",
        "--all-labels",
        action="store_true",
        help="let references also learn from validation images and augmented copies, as a search does "
        "(always so without --templates; a reference that chooses on validation images cannot)",
    )
    kind: dict[str, Any] = {"dest": "search_for", "choices": tuple(KINDS), "default": argparse.SUPPRESS}
    holds = f"what the file of --templates holds: {', '.join(KINDS)} (default: what the scorer takes)"
    parser.add_to("Data", "--search-for", metavar="KIND", help=holds, **kind)
    parser.add_argument(HIDDEN_ALIASES["search_for"], help=argparse.SUPPRESS, **kind)
    matrix = "write the whole confusion matrix, of the same as --confusions"
    parser.add_to("Output", "--matrix", metavar="FILE.csv", help=matrix)
    add_json(parser)
