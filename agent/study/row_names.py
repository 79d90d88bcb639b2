"""Names in the file of a study: what a table calls one thing, it calls no other."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

from ...evaluator.settings import shown
from .file_parts import Method

TOGETHER = " ensemble"
"""What follows a method's name where the templates that it chose together are meant."""
_UNSEEN = ("Cc", "Cf", "Cn", "Cs", "Zl", "Zp")
"""Unicode's categories of what no table or picture can show."""


def check_names(what: str, names: Sequence[str]) -> None:
    """Make sure that the names of one list can be seen, and be told apart by who sees them.

    Args:
        what: The list.
        names: Its names.

    Raises:
        ValueError: They cannot.
    """
    seen: dict[str, str] = {}
    for name in names:
        if unseen := next((one for one in name if unicodedata.category(one) in _UNSEEN), None):
            code = f"U+{ord(unseen):04X}"
            raise ValueError(f"{what} names {shown(name)}: {code} in it cannot be seen; leave it out")
        if not _read(name):
            raise ValueError(f"{what} names {shown(name)}, and of that nothing can be seen")
        other = seen.setdefault(_read(name), name)
        if other != name:
            raise ValueError(
                f"{what} names {shown(other)} and {shown(name)}, which look the same; rename one"
            )


def check_rows(methods: Sequence[Method], llms: Sequence[str], references: Sequence[str]) -> None:
    """Make sure that no method is called what the tables call something else.

    Args:
        methods: All of the study.
        llms: What the tables call those who propose.
        references: What a search is compared with anyway.

    Raises:
        ValueError: One is.
    """
    taken = {name: "a reference" for one in references for name in (one, one)}
    for method in methods:
        own = dict(_called(method, llms))
        for name in own:
            if (other := taken.get(_read(name))) is not None:
                mine = "which" if name == method.row else f"whose {shown(name)}"
                raise ValueError(f"methods names {shown(method.row)}, {mine} is {other} already; rename it")
        taken |= {_read(name): meaning for name, meaning in own.items()}


def _called(method: Method, llms: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield every name by which the file or a table means a method, with what it means."""
    row = shown(method.row)
    if method.is_white_box:
        yield method.row, f"the method {row}"
        yield white_box_label(method.row), f"the row of {row}"
        return
    for name, what in ((method.row, "method"), (method.row + TOGETHER, "ensemble of")):
        yield name, f"the {what} {row}"
        for llm in llms if method.asks and len(llms) > 1 else ():
            yield llm_label(name, llm), f"the {what} {row} with {shown(llm)}"


def white_box_label(name: str) -> str:
    """Return what a row is called that looks into the model."""
    return f"{name} (white box)"


def llm_label(name: str, llm: str) -> str:
    """Return what a row is called of one LLM among several."""
    return f"{name}, {llm}"


def _read(name: str) -> str:
    """Return a name as it is read: accents in one form, and spaces between words alone."""
    return " ".join(unicodedata.normalize("NFC", name).split())
