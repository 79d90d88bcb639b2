"""Draw accuracy against the number of templates scored, from the rows in docs/results.

    python benchmarks/scorings_picture.py          # docs/scorings.svg; needs matplotlib

Lines are methods without an LLM at few scorings, points are optimizers with a strong LLM at the mean number
that they score. All have the same ten sets and three seeds.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import few_scorings
from benchmarks.common import RESULTS, read_rows
from benchmarks.result_tables import COMPARED, compared_optimizers

TICKS = (5, 10, 20, 40, 80, 160)
WITHOUT_LLM = (few_scorings.COMBINE, "random")
WITHOUT = ", without description"
"""Drawn as an outline."""
MARKERS = "D^vPXp*h<>dH8s+x1"


def points(results: Path) -> dict[str, tuple[float, float]]:
    """Return the mean number of templates scored and the test accuracy in %, by optimizer."""
    rows = compared_optimizers(read_rows(results / f"{COMPARED[0]}.jsonl"))
    return {name: (row["scored"], row["test"]) for name, row in rows.items()}


def lines(results: Path) -> dict[str, list[tuple[float, float]]]:
    """Return the same along a curve, by method without an LLM."""
    table = few_scorings.summary(read_rows(results / "few-scorings.jsonl"))
    return {name: [(float(n), test) for n, test in table[name].items()] for name in WITHOUT_LLM}


def svg(results: Path) -> str:
    """Return the picture, the same for the same rows."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "scorings", "svg.fonttype": "path", "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(8.0, 4.4), layout="constrained")
        axes = figure.subplots()
        for (name, curve), style in zip(lines(results).items(), ("o-", "s--"), strict=True):
            axes.plot(*zip(*curve, strict=True), style, label=f"{name} (no LLM)", color="black")
        for number, (name, (scored, test)) in enumerate(points(results).items()):
            colour = f"C{number % 10}"
            inside = "none" if WITHOUT in name else colour
            axes.plot(scored, test, MARKERS[number], color=colour, markerfacecolor=inside, label=name)
        axes.set_xscale("log")
        axes.set_xticks(TICKS, [str(tick) for tick in TICKS])
        axes.minorticks_off()
        axes.set_xlabel("templates scored")
        axes.set_ylabel("test accuracy (%)")
        axes.grid(alpha=0.3)
        figure.legend(loc="outside right center", fontsize=7)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


if __name__ == "__main__":
    (RESULTS.parent / "scorings.svg").write_text(svg(RESULTS), "utf-8")
