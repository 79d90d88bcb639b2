"""From a run directory to one exported file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ...config.schema import SearchConfig
from ...errors import UsageError
from ...search.api import stored_config
from ..result import SearchResult
from ..run_dir import RESULT, read_result, write_atomically
from . import forms
from .matrix import write_classifier

FOLDER = "exports"

Text = Callable[[SearchResult, Callable[[], SearchConfig]], str]

_TEXTS: dict[str, tuple[str, Text]] = {
    "open-clip": ("open-clip-templates.json", lambda result, _config: forms.open_clip(result)),
    "clip-benchmark": ("clip-benchmark-templates.json", lambda result, _config: forms.clip_benchmark(result)),
    "clip-benchmark-custom": (
        "clip-benchmark-custom-templates.json",
        lambda result, _config: forms.clip_benchmark_custom(result),
    ),
    "cupl": ("cupl-prompts.json", lambda result, config: forms.cupl(result, class_names(config()))),
    "csv": ("leaderboard.csv", lambda result, _config: forms.leaderboard(result)),
    "coop": ("coop-templates.json", lambda result, _config: forms.coop(result)),
}
MATRIX = "safetensors"
FORMATS: tuple[str, ...] = (*_TEXTS, MATRIX)


def export(run_dir: Path | str, form: str, *, out: Path | None = None) -> Path:
    """Writes what a run found in the form of another tool.

    Args:
        run_dir: The folder of a run that has a result.
        form: One of ``FORMATS``.
        out: The file to write; in ``RUN_DIR/exports`` under a name of its own if None.

    Returns:
        The file.

    Raises:
        UsageError: The form is unknown, the folder holds no result, or the file cannot be written.
        DataError, ModelError: The data set or the model of the run cannot be opened any more (``cupl``
            needs the class names, ``safetensors`` the model too).
    """
    if form not in FORMATS:
        raise UsageError(f"there is no export format {form!r}; choose from {', '.join(FORMATS)}")
    run_dir = Path(run_dir)
    result = result_of(run_dir)
    name, text = _TEXTS.get(form, ("classifier.safetensors", None))
    target = run_dir / FOLDER / name if out is None else out.expanduser()
    content = None if text is None else text(result, lambda: stored_config(run_dir, {}))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            write_classifier(target, result, stored_config(run_dir, {}))
        else:
            write_atomically(target, content)
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror or error}") from error
    return target


def result_of(run_dir: Path) -> SearchResult:
    """The result that a run left.

    Raises:
        UsageError: There is none, or it cannot be read.
    """
    try:
        return read_result(run_dir)
    except FileNotFoundError as error:
        reason = f"go on with it by `resume {run_dir}`" if run_dir.is_dir() else "there is no such folder"
        raise UsageError(f"{run_dir} holds no {RESULT}: {reason}") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{run_dir / RESULT} cannot be read: {error}") from error


def class_names(config: SearchConfig) -> tuple[str, ...]:
    """The class names of the data set that a run was made on.

    Raises:
        DataError: The data set cannot be read any more.
    """
    from ....evaluator.datasets import load_data

    return load_data(config).classes
