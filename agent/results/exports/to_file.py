"""From a run directory to one exported file, and in a line what that holds."""

from __future__ import annotations

from pathlib import Path

from ....evaluator.counts import counted
from ....evaluator.errors import UsageError
from ....evaluator.user_paths import user_path
from ..details import BEST, ENSEMBLE
from ..result import SearchResult
from ..run_dir import belongs_to_a_run, result_of, write_atomically
from .forms import FORMS, Found

FOLDER = "exports"


def export(run_dir: Path | str, form: str, *, out: Path | str | None = None, only: str | None = None) -> Path:
    """Write what a run found in the form of another tool.

    Args:
        run_dir: The folder of a run that has a result.
        form: A name from ``FORMS``.
        out: The file to write; in ``RUN_DIR/exports`` under a name of its own if None.
        only: ``best`` for the best template alone, ``ensemble`` for those of the ensemble; None for what the
            form holds by default, which is the ensemble wherever a tool takes several.

    Returns:
        The file.

    Raises:
        UsageError: The form is unknown or does not hold what ``only`` asks for, the folder holds no result,
            or the file cannot be written or is one that a run lives by; or the form needs more than the
            result, and the run was made by another version.
        InputError: The data set or the model of the run cannot be opened any more (``cupl`` needs the class
            names, ``safetensors`` the model too).
    """
    if form not in FORMS:
        raise UsageError(f"there is no export format {form!r}; choose from {', '.join(FORMS)}")
    only = _checked(form, only)
    run_dir = user_path(run_dir, "RUN_DIR")
    if out is None:
        target = run_dir / FOLDER / FORMS[form].file
    elif belongs_to_a_run(user_path(out, "--out")):
        raise UsageError(f"--out {out} is a run's own file, which that run needs; choose another name")
    else:
        target = Path(out).expanduser()
    found = Found(run_dir, result_of(run_dir), only)
    content = FORMS[form].content(found)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, content)
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror or error}") from error
    return target


def which(result: SearchResult, form: str, only: str | None = None) -> str:
    """Return in a line which templates an export holds; empty for a form that has no choice of them.

    Args:
        result: What was exported.
        form: A name from ``FORMS``.
        only: As ``export`` took it.
    """
    if not FORMS[form].choices:
        return ""
    worse = result.gain is not None and result.gain.ensemble_is_worse
    if _checked(form, only) == BEST:
        return "It holds the best template alone" + (": on test the ensemble is worse." if worse else ".")
    if result.ensemble.templates == (result.best.template,):
        return "It holds the best template, which is the whole ensemble."
    said = f"It holds the ensemble, {counted(len(result.ensemble.templates), 'template')}"
    if worse:
        return f"{said}: on test it is worse than the best template alone, which --only best writes."
    return f"{said}; --only best writes the best alone."


def _checked(form: str, only: str | None) -> str:
    """Return which templates a form is to hold.

    Raises:
        UsageError: It cannot hold those.
    """
    choices = FORMS[form].choices
    if only is None:
        return choices[0] if choices else ENSEMBLE
    if only not in choices:
        holds = f"takes {' or '.join(choices)}" if choices else "has no choice of templates"
        raise UsageError(f"--only {only}: the format {form} {holds}; leave --only out")
    return only
