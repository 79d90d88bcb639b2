"""How much longer a hostile answer takes to read than a plain one of the same size.

``python benchmarks/reading.py --json``: every hostile answer is 65,000 characters made of one piece, again
and again. ``times_plain`` compares it with a plain list in the same run; ``growth`` compares two answers of
which the one has lines twice as long as the other and as many of them: 2 is linear, 4 quadratic.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from promptclimb.prompts.replies import MAX_LINE_CHARACTERS, parse_reply

SIZE = 65_000
HOSTILE = {
    "dashes": "- ",
    "numbers": "1. ",
    "headings": "- #",
    "labels": "template: ",
    "bold labels": "**a:** ",
    "scores": " (5 %)",
    "half scores": "(5 %",
    "remarks": " (new)",
    "arrows": " -> ",
    "colons": ": a",
    "quotes": '"a b" ',
    "apostrophes": "'a",
    "curly quotes": "‘a’",
    "stars": "**a ",
    "escapes": "\\*",
    "spaces": " ",
    "braces": "{",
    "brackets": "[",
    "bracketed words": "[a] ",
    "placeholders": "<class> ",
}
WHOLE = {
    "thoughts": "<think>" * 9_000,
    "open lists": "[\n" * 200 + '"a {}",\n' * 8_000,
    "steps": "step 1\n- a {}\n" * 4_600,
}


def lines(piece: str, length: int) -> str:
    """Return as many lines of a length as the size has of the longest, with a slot at both ends of each."""
    line = ("{} " + piece * length)[: length - 3] + " {}"
    return "\n".join([line] * (SIZE // MAX_LINE_CHARACTERS))


def seconds(answer: str) -> float:
    """Return the least processor time that reading takes in five goes."""
    found = []
    for _ in range(5):
        start = time.process_time()
        parse_reply(answer)
        found.append(time.process_time() - start)
    return min(found)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print JSON (it always does)")
    parser.parse_args()
    plain = seconds("\n".join(f"- a plain photo number {number} of a {{}}" for number in range(1_800)))
    found: dict[str, dict[str, float]] = {}
    for name, piece in HOSTILE.items():
        half, full = (seconds(lines(piece, length - 10)) for length in (1_000, 2_000))
        found[name] = {"times_plain": round(full / plain, 1), "growth": round(full / half, 1)}
    for name, answer in WHOLE.items():
        found[name] = {"times_plain": round(seconds(answer[:SIZE]) / plain, 1)}
    worst = {
        what: max(row[what] for row in found.values() if what in row) for what in ("times_plain", "growth")
    }
    sys.stdout.write(json.dumps({"worst": worst, "answers": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
