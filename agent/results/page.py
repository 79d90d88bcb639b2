"""``report.html``: one page about a run, in one file that needs nothing else.

It is a function of what is known of the run, has no script, and may be made before the run has ended. Texts
come from a language model and from file names, so Jinja escapes every one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...evaluator.errors import UsageError
from .figures import about_test as about_test
from .figures import score_text
from .page_facts import facts_of
from .page_parts import Page, origin, page_of
from .run_dir import REPORT, RESULT, result_of, write_atomically
from .run_state import is_run
from .run_view import RunView, view_of

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
_CONTROLS = {number: " " for number in (*range(32), *range(127, 160)) if chr(number) not in "\t\n"}


def write_report(run_dir: Path, view: RunView | None = None) -> Path:
    """Write the page of a run and return where it is.

    Args:
        run_dir: The run's folder.
        view: What is known of it; None to read that from the folder.

    Raises:
        OSError: It cannot be written.
    """
    path = run_dir / REPORT
    write_atomically(path, render(view_of(run_dir) if view is None else view))
    return path


def rewrite_report(run_dir: Path, *, pictures: bool = True) -> Path:
    """Write the page of a run anew where a user asks for it, and return where it is.

    Args:
        run_dir: The run's folder; of a live or an unfinished run the page is as far as the run is.
        pictures: False leaves small pictures of test images out.

    Raises:
        UsageError: There is no run, its result cannot be read, or the page cannot be written.
    """
    view = view_of(run_dir, pictures=pictures)
    unfinished = is_run(run_dir) and not (run_dir / RESULT).exists()
    if view.result is None and view.state.state != "live" and not unfinished:
        result_of(run_dir)  # says what is wrong with it
    try:
        return write_report(run_dir, view)
    except OSError as error:
        raise UsageError(f"{error.filename or run_dir} cannot be written: {error.strerror}") from error


def render(view: RunView) -> str:
    """Return the page's text; of a run that has not ended, what is known so far.

    Args:
        view: What is known of the run.
    """
    page: Page = page_of(view)
    environment = _environment().overlay()
    environment.filters = {
        **environment.filters,
        "score": partial(score_text, percent=view.percent),
        "origin": origin,
    }
    text = environment.get_template("page.html.j2").render(page=page, facts=facts_of(view), style=_style())
    # Halves of characters can be in no file.
    return text.encode("utf-8", "replace").decode("utf-8")


def render_comparison(
    runs: Sequence[str], lines: Sequence[tuple[str, Sequence[str]]], notes: Sequence[str]
) -> str:
    """Return a page with several runs side by side.

    Args:
        runs: How each is called.
        lines: Names with a cell for each run.
        notes: Sentences below.
    """
    template = _environment().get_template("compare.html.j2")
    text = template.render(runs=runs, lines=lines, notes=notes, style=_style())
    return text.encode("utf-8", "replace").decode("utf-8")


@cache
def _environment() -> Environment:
    # Imported here: a search needs it at its end alone.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _shown(value: Any) -> Any:
    """Return a value as it is shown: text without control characters, which no page may hold."""
    return value.translate(_CONTROLS) if isinstance(value, str) else value


def _style() -> Any:
    from markupsafe import Markup

    return Markup((TEMPLATES / "page.css").read_text("utf-8"))
