"""A study's tables in LaTeX: they compile, whatever names hold, and say what they need."""

from __future__ import annotations

import pytest

from promptclimb.agent.study.study_latex import latex
from tests.fakes.study_outcomes import document_of, finished, study


def table(name: str) -> list[str]:
    """The lines of a study's tables, one of whose methods has that name."""
    found = study(methods=[{"name": name, "method": "random"}, "mutate"], curve=[])
    return latex(document_of(found, list(finished(found, {name: "1100", "mutate": "1110"})))).splitlines()


@pytest.mark.parametrize("name", ["[1] cut", "*star", "* star"])
def test_a_row_is_never_the_option_of_the_line_above(name: str) -> None:
    r"""A bracket or a star after ``\\`` or a rule is taken for its own."""
    lines = table(name)
    assert f"{{}}{name} & 50.0 & 50.0 & 50.0 \\\\" in lines
    assert not [line for line in lines if line.startswith(("[", "*"))]


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a--b---c", "a-{}-b-{}-{}-c"),
        ("``x''", "`{}`x'{}'"),
        ("?`,,", "?{}`,{},"),
        ("<a|b>", "\\textless{}a\\textbar{}b\\textgreater{}"),
        ("\\{}~", "\\textbackslash{}\\{\\}\\textasciitilde{}"),
        ("e\u0301", "\u00e9"),
    ],
)
def test_a_name_is_set_as_it_is_written(name: str, written: str) -> None:
    """No ligature, no accent that stands by itself, and no character that an old font has another for."""
    assert any(line.startswith(f"{written} & ") for line in table(name))


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("plain ascii", ["% \\usepackage{booktabs}", "\\begin{table}"]),
        ("\u00e9\u0142\u00ab", ["% \\usepackage{booktabs}", "% \\usepackage[T1]{fontenc}"]),
        (
            "\u732b \u00e9",
            [
                "% XeLaTeX or LuaLaTeX, and a font that has all of it: pdfLaTeX cannot set \u732b",
                "% \\usepackage{booktabs}",
                "\\begin{table}",
            ],
        ),
    ],
)
def test_what_it_needs_stands_at_the_top(name: str, first: list[str]) -> None:
    """A package for accents, and another program for what pdfLaTeX has no fonts for."""
    lines = table(name)
    assert lines[: len(first)] == first
