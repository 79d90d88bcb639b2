"""From a run directory to one exported file."""

from __future__ import annotations

from pathlib import Path

from ....evaluator.user_paths import user_path
from ...errors import UsageError
from ..run_dir import belongs_to_a_run, result_of, write_atomically
from .forms import FORMS, Found

FOLDER = "exports"


def export(run_dir: Path | str, form: str, *, out: Path | str | None = None) -> Path:
    """Write what a run found in the form of another tool.

    Args:
        run_dir: The folder of a run that has a result.
        form: A name from ``FORMS``.
        out: The file to write; in ``RUN_DIR/exports`` under a name of its own if None.

    Returns:
        The file.

    Raises:
        UsageError: The form is unknown, the folder holds no result, or the file cannot be written or is one
            that a run lives by; or the form needs more than the result, and the run was made by another
            version.
        InputError: The data set or the model of the run cannot be opened any more (``cupl`` needs the class
            names, ``safetensors`` the model too).
    """
    if form not in FORMS:
        raise UsageError(f"there is no export format {form!r}; choose from {', '.join(FORMS)}")
    run_dir = user_path(run_dir, "RUN_DIR")
    if out is None:
        target = run_dir / FOLDER / FORMS[form].file
    elif belongs_to_a_run(user_path(out, "--out")):
        raise UsageError(f"--out {out} is a run's own file, which that run needs; choose another name")
    else:
        target = Path(out).expanduser()
    found = Found(run_dir, result_of(run_dir))
    content = FORMS[form].content(found)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, content)
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror or error}") from error
    return target
