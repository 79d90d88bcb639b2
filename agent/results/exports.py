"""Write the templates of a run for other tools.

To add a format, write its function and name it in ``FORMS``: help, messages and the command follow.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...evaluator.classifier import Classifier
from ...evaluator.datasets.class_names import SPLIT, line_of
from ...evaluator.datasets.loading import load_data
from ...evaluator.errors import UsageError
from ...evaluator.files import user_path
from ...evaluator.head import Head
from ...evaluator.open import open_evaluator
from ...evaluator.regular_files import irregular
from ...evaluator.scoring import FeatureEvaluator
from ...evaluator.settings import near
from ...evaluator.spec import Report
from ...evaluator.threads import at_once
from ...prompts.kinds import INSTRUCTION, CandidateError
from ...prompts.template import SLOT, positional
from ..config.schema import OPTIONS, SearchConfig
from ..store.trust import OF_EVALUATOR
from .accuracies import BEST, TEXTS
from .details import read_details
from .result import SearchResult, kind_of
from .run_dir import (
    CLASSIFIER,
    RESULT,
    check_not_of_a_run,
    leaderboard_csv,
    output_file,
    result_of,
    stored_config,
    stored_manifest,
    templates_json,
    write_atomically,
)

FOLDER = "exports"
ALL = "all"
"""Stands for every format."""


@dataclass(frozen=True, slots=True)
class ChosenPrompts:
    """A run to export; ``only`` is ``BEST`` or ``TEXTS``, or None for what the run recommends."""

    run_dir: Path
    result: SearchResult
    only: str | None = None

    def __post_init__(self) -> None:
        if self.only not in (None, BEST, TEXTS):
            raise UsageError(f"`only = {self.only}`: it takes {BEST} or {TEXTS}")

    @property
    def templates(self) -> tuple[str, ...]:
        """The templates to write, best first."""
        texts, kind = self.result.scored_as(*self.candidates), kind_of(self.result.prompts)
        for text in texts:
            try:
                kind.parse_scored(text)
            except CandidateError as error:
                raise UsageError(
                    f"{self.run_dir / RESULT} was changed from outside: {text!r} is not "
                    f"{kind.words.a_noun}: {error}"
                ) from error
        return texts

    @property
    def candidates(self) -> tuple[str, ...]:
        return (self.result.best if self.only == BEST else self.result.texts).templates

    def named(self, classes: Sequence[str]) -> list[str]:
        """Return class names with the new ones that the run accepted for its texts."""
        new = self.result.best.class_names or {}
        return [new.get(name, name) for name in classes]

    def saved_classifier(self, *, device: str = "auto", report: Report = lambda _line: None) -> Classifier:
        """Return the recommended classifier, from the run's file.

        Raises:
            UsageError: There is no such file, or it holds the classifier of something else.
        """
        file = self.run_dir / CLASSIFIER
        saved = Classifier.load(file, device=device, report=report)
        about, result, kept = saved.about, self.result, self._kept_class_names
        of_run = (result.recommended.form, result.recommended_group.templates, result.dataset.classes)
        if (
            (about.form, about.templates, len(about.classes)) != of_run
            or kept not in ((), about.classes)
            # Of the model, the classes and the labelled images.
            or about.fingerprint not in ("", stored_manifest(self.run_dir).identity.get("fingerprint"))
        ):
            raise UsageError(
                f"{file} is not the classifier of this run, whose {RESULT} says otherwise: put the run's own "
                "file back, or use its texts (`only = texts`)"
            )
        return saved

    @property
    def config(self) -> SearchConfig:
        """The run's config, from its store, to read its data; nothing is written where it says."""
        return stored_config(self.run_dir, safe=OPTIONS).model_copy(update={"cache_dir": None})

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names by label, as the run kept them, else from its data."""
        return self._kept_class_names or self.classes_of_data

    @property
    def _kept_class_names(self) -> tuple[str, ...]:
        """Class names by label, as the run kept them; empty if it did not."""
        details = read_details(self.run_dir)
        return () if details is None or details.decisions is None else details.decisions.classes

    @property
    def classes_of_data(self) -> tuple[str, ...]:
        try:
            return load_data(self.config).classes
        except UsageError:
            self.check_named("class names to export")
            raise

    def check_named(self, what: str) -> None:
        """Raise UsageError if the run's evaluator was a Python object, which the config cannot name."""
        if (evaluator := stored_manifest(self.run_dir).given.get("evaluator")) is not None:
            raise UsageError(
                f"{self.run_dir} was made in Python with its own scorer ({evaluator}), so there are no {what}"
            )

    def check_clip(self, what: str) -> None:
        """Raise UsageError unless a CLIP model was the scorer: nothing else is opened here."""
        self.check_named(what)
        if (scorer := self.config.scorer_name) is not None:
            named = self.config.custom_scorer or self.config.model
            raise UsageError(
                f"{self.run_dir} was made with {scorer} ({named}), so there are no {what}: they need a CLIP "
                "model"
            )


@dataclass(frozen=True, slots=True)
class ExportForm:
    """An export format.

    Attributes:
        file: Name in ``RUN_DIR/exports``.
        about: What it is, in a few words for the help.
        chooses: Whether it holds templates, of which others can be asked for.
        any_kind: Whether it can hold what any search found; otherwise only templates.
    """

    file: str
    content: Callable[[ChosenPrompts], str | bytes]
    about: str
    chooses: bool = True
    any_kind: bool = False


def text(run: ChosenPrompts) -> str:
    """Return one template or instruction a line, as ``initial`` and ``evaluate`` take them."""
    for candidate in run.candidates:
        if candidate.startswith("#"):
            raise UsageError(f"{candidate!r:.80} begins with #, which marks a comment in a file of lines")
    return "".join(f"{candidate}\n" for candidate in run.candidates)


def open_clip(run: ChosenPrompts) -> str:
    """Return a JSON list for ``build_zero_shot_classifier``, which calls ``str.format(class_name)``."""
    return templates_json([positional(template) for template in run.templates])


def clip_benchmark(run: ChosenPrompts) -> str:
    """Return a JSON list for CLIP_benchmark's ``zero_shot_classifier``."""
    return templates_json([template.replace(SLOT, "{c}") for template in run.templates])


def cupl(run: ChosenPrompts) -> str:
    """Return CuPL's prompts: for each class name its filled templates."""
    classes = run.classes_of_data
    pairs = zip(classes, run.named(classes), strict=True)
    prompts = {old: [template.replace(SLOT, name) for template in run.templates] for old, name in pairs}
    return json.dumps(prompts, indent=2, ensure_ascii=False) + "\n"


def class_names(run: ChosenPrompts) -> str:
    """Return a file of the new class names: a line ``CLASS=NAME`` for each renamed class.

    If the run had such a file itself, they are all names in the order of the labels.
    """
    names = run.result.best.class_names
    if not names:
        why = '; a search with `search_for = "class-names"` looks for them'
        if run.config.kind.renames_classes:
            why = ": its search accepted none"
        raise UsageError(f"{run.run_dir} has no new class names{why}")
    if run.config.class_names not in (None, SPLIT):
        return "".join(f"{names.get(name, name)}\n" for name in run.class_names)
    return "".join(f"{line_of(old, new)}\n" for old, new in names.items())


def leaderboard(run: ChosenPrompts) -> str:
    """Return the leaderboard as CSV; no cell is taken for a formula."""
    return leaderboard_csv(run.result.leaderboard)


def safetensors(run: ChosenPrompts) -> bytes:
    """Return a file that ``load`` reads: class vectors, likeness to labelled images, and what it is.

    ``About`` lists the metadata.
    """
    if run.only is None and (run.run_dir / CLASSIFIER).exists():
        return run.saved_classifier().to_bytes()
    run.check_clip("classifier vectors to export")
    evaluator = open_evaluator(stored_config(run.run_dir, safe=OPTIONS.keys() - OF_EVALUATOR))
    if not isinstance(evaluator, FeatureEvaluator):
        raise UsageError("this scorer has no class vectors, so there is no classifier to export")
    names = run.named(evaluator.class_names)
    pairs = enumerate(zip(evaluator.class_names, names, strict=True))
    renaming = {label: new for label, (old, new) in pairs if new != old}
    vectors = at_once(evaluator.classifier(run.templates, renaming))
    return Classifier.of(
        evaluator,
        Head(vectors),
        scale=evaluator.logit_scale,
        form="template" if run.only == BEST else TEXTS,
        templates=run.templates,
        names_in_texts=names,
    ).to_bytes()


FORMS: Mapping[str, ExportForm] = {
    "open-clip": ExportForm("open-clip-templates.json", open_clip, "templates, for open_clip"),
    "clip-benchmark": ExportForm(
        "clip-benchmark-templates.json", clip_benchmark, "templates with {c}, for CLIP_benchmark"
    ),
    "cupl": ExportForm(
        "cupl-prompts.json", cupl, "the prompts of each class, as in CuPL; reads the run's data"
    ),
    "text": ExportForm(
        "prompts.txt", text, "one template per line, for `initial` and `templates`", any_kind=True
    ),
    "csv": ExportForm(
        "leaderboard.csv", leaderboard, "every template with its scores", chooses=False, any_kind=True
    ),
    "safetensors": ExportForm("classifier.safetensors", safetensors, "the recommended classifier"),
    "class-names": ExportForm("class-names.txt", class_names, "new names, as CLASS=NAME", chooses=False),
}


def export(
    run_dir: Path | str,
    form: str,
    *,
    out: Path | str | None = None,
    only: str | None = None,
    report: Callable[[str], None] = lambda _line: None,
) -> Path:
    """Write the templates of a run for another tool, and return the file, or with ``all`` the folder.

    Args:
        run_dir: The folder of a run that has a result.
        form: A name from ``FORMS``, or ``all``, as ``export_all``.
        out: The file or folder to write; None for the format's own name in ``RUN_DIR/exports``.
        only: ``best`` or ``texts``; None for what the run recommends.
        report: Called with a line for each reason why ``all`` leaves formats out.

    Raises:
        UsageError: An argument is wrong, the file cannot be written, or another version made the run.
        DataError, ModelError: ``cupl`` or ``safetensors`` cannot open the run's data set or model any more.
    """
    if form == ALL:
        export_all(run_dir, out=out, only=only, report=report)
        return user_path(run_dir, "RUN_DIR") / FOLDER if out is None else user_path(out, "`out`")
    if form not in FORMS:
        hint = near(form, FORMS) or f"; choose from {', '.join((*FORMS, ALL))}"
        raise UsageError(f"there is no export format {form!r}{hint}")
    run_dir = user_path(run_dir, "RUN_DIR")
    result = result_of(run_dir)
    if out is None:
        target = _own_folder(run_dir) / file_name(form, only)
    else:
        output_file(out, "`out`", Path(FORMS[form].file).suffix)
        target = Path(out).expanduser()
    content = _content(ChosenPrompts(run_dir, result, only), form)
    _write(target, content)
    return target


def _content(run: ChosenPrompts, form: str) -> str | bytes:
    """Return what a file of this format holds; raise UsageError if this run cannot have the format."""
    if run.only is not None and not FORMS[form].chooses:
        raise UsageError(
            f"`only = {run.only}`: the format {form} has no choice of templates; leave `only` out"
        )
    if run.result.prompts == INSTRUCTION and not FORMS[form].any_kind:
        raise UsageError(
            f"{run.run_dir} was made with `search_for = {run.result.prompts}`, so there are no templates to "
            "export in this format; use text"
        )
    return FORMS[form].content(run)


def _write(target: Path, content: str | bytes) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, content)
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror or error}") from error


def _own_folder(run_dir: Path) -> Path:
    """Return the folder of a run's exports; raise UsageError if nothing can, or may, be written there."""
    folder = run_dir / FOLDER
    if (what := irregular(folder)) not in (None, "a folder"):
        raise UsageError(
            f"{folder} is {what}: nothing is written through it; move it away, or "
            f"give another place with `out`"
        )
    if not os.access(folder if folder.is_dir() else run_dir, os.W_OK):
        raise UsageError(f"{run_dir} is read-only for you: give another place with `out`")
    return folder


def file_name(form: str, only: str | None = None) -> str:
    """Return the name of an export; what is asked for does not replace what is recommended."""
    file = Path(FORMS[form].file)
    return str(file.with_stem(f"{file.stem}-{only}") if only and FORMS[form].chooses else file)


def export_all(
    run_dir: Path | str,
    *,
    out: Path | str | None = None,
    only: str | None = None,
    report: Callable[[str], None] = lambda _line: None,
    written: Callable[[Path], None] = lambda _file: None,
) -> list[Path]:
    """Write every format into a folder, and return the files.

    A format that this run cannot have is left out and reported: without data or model, for example.

    Args:
        run_dir: The folder of a run that has a result.
        out: The folder to write; None for ``RUN_DIR/exports``.
        only: ``best`` or ``texts``, for the formats that take it; None for what the run recommends.
        report: Called with a line for each reason why formats are left out.
        written: Called with each file once it is written.

    Raises:
        UsageError: As for ``export``; if a file cannot be written, all others are written first.
    """
    run_dir = user_path(run_dir, "RUN_DIR")
    result = result_of(run_dir)  # without it, no format can be written
    folder = _own_folder(run_dir) if out is None else user_path(out, "`out`")
    if folder.is_file():
        raise UsageError(f"`out = {out}` is a file; with all formats, name a folder")
    files, left_out, unwritten = [], dict[str, list[str]](), []
    for form, about in FORMS.items():
        choice = only if about.chooses else None
        try:
            content = _content(ChosenPrompts(run_dir, result, choice), form)
        except UsageError as error:
            why = error.message.replace(f"{run_dir} ", "the run ", 1)
            left_out.setdefault(why, []).append(form)
            continue
        file = folder / file_name(form, choice)
        try:
            check_not_of_a_run(user_path(file, "`out`"), f"{file}")
            _write(file, content)
        except UsageError as error:
            unwritten.append(error.message)
            continue
        files.append(file)
        written(file)
    for why, forms in left_out.items():
        report(f"left out: {', '.join(forms)}: {why}")
    if unwritten:
        raise UsageError("; ".join(unwritten))
    return files
