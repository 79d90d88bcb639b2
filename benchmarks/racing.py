from __future__ import annotations

import sys
import tempfile
import tomllib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from promptclimb.evaluator.pico import sets
from promptclimb import SearchConfig, search_sync
from promptclimb.agent.position import rng_for
from promptclimb.evaluator.open import open_evaluator
from promptclimb.evaluator.spec import EvaluatorSpec
from promptclimb.prompts.starting import draw
from promptclimb.prompts.template_kind import KIND


def collect(name: str, seed: int, cache: Path):
    path = cache / f"{name}-{seed}.npz"
    if path.is_file():
        return dict(np.load(path))
    starting = [one.text for one in draw(KIND.starting("grammar"), 40, rng_for(seed, "racing", name))]
    sentence = sets.title(name)
    with tempfile.TemporaryDirectory() as folder:
        result = search_sync(
            SearchConfig(
                data=name,
                seed=seed,
                shots=16,
                model="RN-pico",
                method="combine",
                describe=sentence,
                restarts=1,
                conversations=1,
                initial=40,
                rounds=24,
                proposals=5,
                views=0,
                run_dir=Path(folder) / "run",
            )
        )
    rows = sorted(result.leaderboard, key=lambda row: (row.round, row.rank))
    texts = [*starting, *(row.template for row in rows)]
    evaluator = open_evaluator(EvaluatorSpec(data=name, shots=16, seed=seed, model="RN-pico", views=0))
    found = {"templates": np.array(texts), "rounds": np.array([-1] * 40 + [row.round for row in rows])}
    for split in ("train", "val", "test"):
        predictions = evaluator.predict([[one] for one in texts], split=split)
        labels = np.array(predictions.labels)
        right = np.stack([np.array(one) == labels for one in predictions.predicted])
        found[split] = right.mean(1) if split == "test" else right
        if split != "test":
            found[f"{split}_labels"] = labels
    cache.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **found)
    return found
