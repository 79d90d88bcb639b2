"""The dot plot of a benchmark's rows: differences to the bare class name, on a common scale."""

from __future__ import annotations

import re
from typing import Any

import pytest

from benchmarks.dot_plot import differences, dot_plot


def row(data: str, seed: int, **test: float) -> dict[str, Any]:
    names = {name.replace("_", " "): accuracy for name, accuracy in test.items()}
    return {"model": "RN-pico", "shots": 1, "set": data, "seed": seed, "test": names}


ROWS = [
    row("easy", 1, bare_class_name=0.9, recommended=0.95, default_template=0.85),
    row("hard", 1, bare_class_name=0.2, recommended=0.35, default_template=0.15),
    row("easy", 1, coop=0.85),
    row("hard", 1, coop=0.05),
    row("other", 1, coop=0.99),
]


def test_a_rival_is_compared_where_the_bare_name_was_measured() -> None:
    """On the same set and seed; a set without it does not count."""
    (column,) = differences(ROWS).values()
    means = {name: gap.mean for name, gap in column.items()}
    assert means == pytest.approx({"recommended": 10, "default template": -5, "coop": -10})


def test_dots_stand_at_their_differences_best_first() -> None:
    """As far from the line of the bare name as they are points away, with their intervals around them."""
    plot = dot_plot(differences(ROWS))
    line = float(re.search(r'<line x1="([\d.]+)"[^>]*stroke="#0f172a"', plot)[1])  # type: ignore[index]
    dots = [float(x) - line for x in re.findall(r'<circle cx="([\d.]+)"', plot)]
    ours, default, coop = dots
    assert ours == pytest.approx(-coop, abs=0.2)
    assert default == pytest.approx(coop / 2, abs=0.2)
    names = re.findall(r'text-anchor="end"[^>]*>([^<]+)<', plot)
    assert names == ["promptclimb recommends", "a photo of a {}", "CoOp, all labels"]
    low, high = map(float, re.findall(r'x1="([\d.]+)"[^>]*x2="([\d.]+)"[^>]*stroke="#c2410c"', plot)[0])
    assert low - line < ours < high - line
