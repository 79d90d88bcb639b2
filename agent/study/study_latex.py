"""A study's tables in LaTeX."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from ..results.gain import CHANCE_MARK
from ..text import printable
from .study_forms import parts

_ESCAPED = {
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "|": "\\textbar{}",
    **{one: f"\\{one}" for one in "&%$#_{}"},
}
_LIGATURE = re.compile(r"([-,'`])(?=\1)|([?!])(?=`)")
"""Characters that LaTeX would make one of with the next."""
_PDFLATEX = frozenset(
    [chr(code) for code in (*range(0xA1, 0xAD), *range(0xAE, 0x17F), *range(0x218, 0x21C))]
) - set("ĦħĸĿŀŉŦŧ") | set("–—‘’‚“”„†‡•…‰‹›€")
"""What pdfLaTeX sets with T1 fonts and nothing else besides ASCII, each of them tried."""


def latex(document: Mapping[str, Any]) -> str:
    """Return every table of a study in LaTeX; comments at the top say what it needs."""
    pages = []
    for heading, about, (head, *lines) in parts(document):
        body = [_row(head), "\\midrule", *map(_row, lines)]
        pages += [
            "\\begin{table}",
            "\\centering",
            f"\\caption{{{_escaped(heading)}. {_escaped(about)}}}",
            f"\\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
            "\\toprule",
            *body,
            "\\bottomrule",
            "\\end{tabular}",
            "\\end{table}",
        ]
    text = "\n".join(pages) + "\n"
    return _needed(text) + text


def _needed(text: str) -> str:
    others = dict.fromkeys(one for one in text if not one.isascii() and one != CHANCE_MARK)
    unknown = [one for one in others if one not in _PDFLATEX]
    lines = ["% \\usepackage{booktabs}"]
    if unknown:
        some = " ".join(unknown[:10])
        lines.insert(0, f"% XeLaTeX or LuaLaTeX, and a font that has all of it: pdfLaTeX cannot set {some}")
    elif others:
        lines.append("% \\usepackage[T1]{fontenc}")
    return "".join(f"{line}\n" for line in lines)


def _row(cells: Sequence[str]) -> str:
    row = " & ".join(map(_escaped, cells))
    # After the end of a row, or a rule, these would be its options.
    guard = "{}" if row.lstrip().startswith(("[", "*")) else ""
    return f"{guard}{row} \\\\"


def _escaped(text: str) -> str:
    apart = _LIGATURE.sub(lambda found: f"{found[0]}\0", unicodedata.normalize("NFC", printable(text)))
    return "".join(_ESCAPED.get(one, one) for one in apart).replace("\0", "{}")
