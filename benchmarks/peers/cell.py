"""One cell, in a process of its own: ``python -m benchmarks.peers.cell FOLDER BASE_URL``.

It reads a job, a line of JSON, from standard input, and leaves what came of it in the folder. It ends when
standard input does: without the comparison there is nobody to ask. Its time is that of the search, from the
opened black box to the pick; the test split is opened after it.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.peers.black_box import BlackBox, Dear
from benchmarks.peers.hits import packed
from benchmarks.peers.job import OURS, RESULT, Job, Pick, Place
from promptclimb.evaluator.open import open_evaluator
from promptclimb.evaluator.spec import EvaluatorSpec


def played(job: Job, place: Place) -> dict[str, Any]:
    """Play a cell; return what is known of it here."""
    spec = EvaluatorSpec(
        data=job.data,
        shots=job.shots,
        seed=job.seed,
        model=job.model,
        custom_scorer=job.evaluator or None,
        augmentations=job.of.views,
    )
    evaluator = open_evaluator(spec)
    box = BlackBox(evaluator)
    play = importlib.import_module(f"benchmarks.peers.{job.of.player}_player").play
    began = time.monotonic()
    ours = evaluator if job.scorings is None else Dear(evaluator)
    pick: Pick = play(job, place, ours if job.of.player == OURS else box)
    wall_s = time.monotonic() - began
    right = box.right_on_test(pick.text)
    return {
        "test": sum(right) / len(right),
        "images": len(right),
        "right": packed(right),
        "template": pick.text,
        "scored": round(pick.scored, 2),
        "templates": pick.templates,
        "ended": pick.ended,
        "wall_s": round(wall_s, 2),
        "version": version(job.of.package) if job.of.package else version("promptclimb"),
    }


def _watch() -> None:
    # Below the layer that is locked while it reads: a process that ends waits for no lock.
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(1)


def main() -> None:
    """Play what standard input says."""
    folder, base_url = Path(sys.argv[1]), sys.argv[2]
    job = Job(**json.loads(sys.stdin.readline()))
    threading.Thread(target=_watch, daemon=True).start()
    found = played(job, Place(folder, base_url))
    (folder / RESULT).write_text(json.dumps(found), "utf-8")


if __name__ == "__main__":
    main()
