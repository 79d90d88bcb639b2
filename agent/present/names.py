"""Show the class names of a search: lines on the terminal, and the page's section."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

from ...evaluator.counts import counted, some_of
from ..events import types as events
from ..results.accuracies import ORIGINAL_NAMES
from ..results.details import BEST
from ..results.gain import may_be_chance
from ..results.history import RunView
from ..results.result import SearchResult
from ..text import printable

MOST_NAMES, MOST_NAMES_SHOWN = 12, 20
"""Most new class names in a line, and on the page at once, where the others unfold."""
MOST_TAKEN_FOR = 3
"""Classes that a renamed class was taken for, in its row."""
NameEvent: TypeAlias = events.NamesRead | events.NameRoundFinished | events.NamesChosen


def line_of(event: NameEvent) -> str:
    """Return the terminal's line on an event of the search for class names."""
    if isinstance(event, events.NamesRead):
        return _reading(event.read, event.classes, taken=event.taken)
    start, when = "class names", "in the end"
    if isinstance(event, events.NameRoundFinished):
        start, when = str(event.position), "so far"
    renamed = counted(event.renamed, "class", "classes")
    images = counted(event.images, "few-shot image")
    return f"{start}: {renamed} renamed {when}, {event.right:,} of {images} correct"


def lines_of(result: SearchResult) -> list[str]:
    """Return what is said of new class names below a result's table; empty if none were searched for."""
    if (names := result.best.class_names) is None:
        return []
    return [_new_names(names), *filter(None, [names_read(result)])]


def _new_names(names: Mapping[str, str]) -> str:
    if not names:
        return "class names: no new name was accepted"
    changes = [f"{printable(old)} -> {printable(new)}" for old, new in list(names.items())[:MOST_NAMES]]
    more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    return f"class names, kept for their scores, not for what they mean: {'; '.join(changes)}{more}"


def names_read(result: SearchResult) -> str:
    """Say how the LLM's first reading of the classes did; empty if it was not asked what they are."""
    if (read := result.names_read) is None:
        return ""
    original = result.baselines.get(ORIGINAL_NAMES)
    chance = ", which are no better than chance" if original and may_be_chance(result, original.test) else ""
    return f"{_reading(len(read.names), read.classes, taken=read.taken)}{chance}"


def _reading(read: int, classes: int, *, taken: bool) -> str:
    """Say how many classes the LLM read, and whether the search starts from its names."""
    used = "its names replace" if taken else "its names together are not better than"
    together = f"; {used} the original ones" if read else ""
    return f"the LLM read {read:,} of {counted(classes, 'class', 'classes')}{together}"


def section_of(view: RunView) -> dict[str, Any]:
    """Return the page's section: rows, None if no names were searched for, and what the LLM read first."""
    result = view.result
    original = None if result is None else result.baselines.get(ORIGINAL_NAMES)
    read = "" if result is None else names_read(result)
    return {
        "names": renamed_classes(view),
        "names_shown": MOST_NAMES_SHOWN,
        "names_read": f"{read[0].upper()}{read[1:]}." if read else "",
        "original": "" if original is None else " ".join(original.templates),
    }


class NameRow(NamedTuple):
    """A renamed class; counts are None if test was not evaluated.

    Attributes:
        before: Test images classified correctly with the original names, in the best template for these.
        after: The same with all new ones, in the best template.
        taken_for: What the images were taken for before, with counts.
    """

    old: str
    new: str
    images: int | None = None
    before: int | None = None
    after: int | None = None
    taken_for: str = ""


def renamed_classes(view: RunView) -> list[NameRow] | None:
    """Return the renamed classes, those that gained most first; None if no names were searched for."""
    if view.result is None or (names := view.result.best.class_names) is None:
        return None
    decisions = None if view.details is None else view.details.decisions
    if decisions is None or not {BEST, ORIGINAL_NAMES} <= decisions.predicted.keys():
        return [NameRow(old, new) for old, new in names.items()]
    before, after = decisions.predicted[ORIGINAL_NAMES], decisions.predicted[BEST]
    images_by_class: dict[int, list[int]] = defaultdict(list)
    for image, true in enumerate(decisions.labels):
        images_by_class[true].append(image)
    rows = []
    for label, old in enumerate(decisions.classes):
        if old not in names:
            continue
        images = images_by_class[label]
        wrong = Counter(decisions.class_name(before[image]) for image in images if before[image] != label)
        rows.append(
            NameRow(
                old,
                names[old],
                len(images),
                sum(before[image] == label for image in images),
                sum(after[image] == label for image in images),
                ", ".join(f"{name} ({count})" for name, count in wrong.most_common(MOST_TAKEN_FOR)),
            )
        )
    return sorted(rows, key=lambda row: (row.before or 0) - (row.after or 0))


def about_names(view: RunView, folder: str) -> str:
    """Say which new class names to doubt, and how to leave one out; empty without a new name.

    ``folder`` is the run's in a shell.
    """
    rows = renamed_classes(view)
    if not rows:
        return ""
    hurt = [repr(row.old) for row in rows if (row.after or 0) < (row.before or 0)]
    which = "its new name" if len(hurt) == 1 else "their new names"
    worse = f"Fewer test images of {some_of(hurt)} are right with {which}. " if hurt else ""
    in_order = re.search(r"^class_names\s*=", view.config, re.MULTILINE) is not None
    edit = "write the original name in its line" if in_order else "remove its line"
    return (
        f"Read the new names. {worse}To leave one out, write them to a file (promptclimb export "
        f"{folder} --format class-names), {edit}, and give predict that file (--class-names FILE). "
        "The gains on this page are those of all new names together."
    )
