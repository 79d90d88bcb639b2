"""The tables of the results are what the raw data in docs/results come to."""

from __future__ import annotations

import pytest

from benchmarks import results_page
from tests.paths import ROOT

DOCS = ROOT / "docs"
RESULTS = DOCS / "results"


DRAWN_AGAIN = ("optimizers", "differences", "returned")
"""Kinds of tables with intervals, which are drawn again."""
PARTS = {
    f"{table['kind']} {table['name']} of {page}": table[0]
    for page in results_page.PAGES
    for table in results_page.TABLE.finditer((DOCS / page).read_text("utf-8"))
}


@pytest.mark.parametrize(
    "table", [pytest.param(name, marks=[pytest.mark.slow] * name.startswith(DRAWN_AGAIN)) for name in PARTS]
)
def test_a_table_is_that_of_the_raw_data(table: str) -> None:
    """Made again, it is the same; intervals of the comparison are drawn again too, which takes a while."""
    assert results_page.renewed(PARTS[table], RESULTS) == PARTS[table], (
        "run python benchmarks/results_page.py"
    )


@pytest.mark.parametrize(("name", "kind"), [("no such", "row"), ("- no such", "column")])
def test_a_row_or_column_that_is_not_there_is_refused(name: str, kind: str) -> None:
    """With the names that there are."""
    page = f"<!-- names: ambiguous-names\n{name} -->\n<!-- end -->"
    with pytest.raises(ValueError, match=f"ambiguous-names has no {kind} 'no such'; it has: "):
        results_page.renewed(page, RESULTS)
