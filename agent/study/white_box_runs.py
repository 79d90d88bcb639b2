"""White-box references as runs of a study: fitted once, and kept."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ...evaluator.errors import UsageError
from ...evaluator.threads import in_thread
from ...evaluator.white_box.references import WhiteBoxResult
from ...evaluator.white_box.running import run
from ..results.details import BEST
from ..results.gain import is_no_better
from ..results.run_dir import write_atomically
from ..search.same_content import CONTENT, Contents, Made, check_content
from ..stop import Stop
from .grid import StudyCell
from .outcomes import Figure, Outcome, digits

FITTED = "white_box.json"
"""The file in the folder of such a run."""
_LABELS = "labels"
"""The true classes of the test images, beside the hashes of its content."""


def is_fitted(cell: StudyCell, contents: Contents) -> bool:
    """Return whether a reference was fitted already.

    Args:
        cell: Which one.
        contents: What its data and its weights hold now.

    Raises:
        UsageError: Its folder holds one with other settings or on other content, or something else.
    """
    if (kept := _kept(cell)) is None:
        return False
    check_content(cell.run_dir, contents.differences(cell.config, _made(kept)))
    return True


def was_fitted(cell: StudyCell) -> bool:
    """Return the same of one whose content was compared before.

    Raises:
        UsageError: Its folder holds one with other settings, or something else.
    """
    return _kept(cell) is not None


def _made(kept: Mapping[str, Any]) -> Made:
    """Return what it was fitted on; nothing of it is known where an older program did not say."""
    known = kept.get(CONTENT)
    if not isinstance(known, Mapping):
        return Made()
    labels = known.get(_LABELS)
    hashes = {name: text for name, text in known.items() if isinstance(text, str)}
    return Made(hashes=hashes, labels=tuple(labels) if isinstance(labels, list) else None)


async def fitted(cell: StudyCell, stop: Stop) -> Outcome:
    """Fit a reference and look at the test split, or return what was found before.

    Args:
        cell: Which one.
        stop: Asks for a stop: then nothing is kept.

    Raises:
        UsageError: See ``is_fitted``; or data or model cannot be used.
    """
    if (kept := _kept(cell)) is None:
        assert cell.white_box is not None
        name, options = cell.white_box, cell.options
        with stop.watching():
            found = await in_thread(lambda: run(name, cell.config, split="test", options=options))
        kept = _document(cell, found)
        cell.run_dir.mkdir(parents=True, exist_ok=True)
        write_atomically(cell.run_dir / FITTED, json.dumps(kept, ensure_ascii=False) + "\n")
    return Outcome(
        cell=cell,
        status="finished",
        counts=True,
        figures={BEST: Figure(test=kept["test"], hits=kept["hits"], guessed=_guessed(kept))},
        spent={"wall_s": kept["seconds"]},
    )


def _guessed(kept: Mapping[str, Any]) -> bool:
    """Return whether it may be no better than always naming the most frequent class, where that is known."""
    labels = _made(kept).labels
    if not labels:
        return False
    (_, most), *_ = Counter(labels).most_common(1)
    return is_no_better(kept["test"], len(labels), most / len(labels))


def _document(cell: StudyCell, found: WhiteBoxResult) -> dict[str, Any]:
    (predicted,) = found.predictions.predicted
    assert predicted is not None
    hits = [one == true for one, true in zip(predicted, found.predictions.labels, strict=True)]
    content = {**found.content, _LABELS: list(found.predictions.labels)}
    return {**found.to_json(), "identity": _identity(cell), CONTENT: content, "hits": digits(hits)}


def _identity(cell: StudyCell) -> dict[str, Any]:
    own = cell.config.bare()
    return {"name": cell.white_box, "options": dict(cell.options), "of": own.identity()}


def _kept(cell: StudyCell) -> Mapping[str, Any] | None:
    path = cell.run_dir / FITTED
    try:
        found: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
        before, test, hits, seconds = (found[key] for key in ("identity", "test", "hits", "seconds"))
    except FileNotFoundError:
        _check_free(cell)
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None  # torn: it is fitted again
    if before != json.loads(json.dumps(_identity(cell))):
        raise UsageError(
            f"--suite-dir {cell.run_dir.parent}: {cell.run_dir.name} in it was fitted with other settings; "
            "give this suite a folder of its own by --suite-dir, or the settings of before"
        )
    return {**found, "test": float(test), "hits": str(hits), "seconds": float(seconds)}


def _check_free(cell: StudyCell) -> None:
    # What a killed process had begun to write is its own, and no result.
    own = f".{FITTED}."
    if cell.run_dir.is_dir() and any(not one.name.startswith(own) for one in cell.run_dir.iterdir()):
        raise UsageError(
            f"--suite-dir {cell.run_dir.parent}: {cell.run_dir.name} in it is not empty and holds no "
            f"{FITTED}; move it away, or choose another folder"
        )
