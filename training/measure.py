"""How much the words of a template matter to the bundled models: ``python -m training.measure``.

For each bundled set, and for real scanned digits: the default template, the best, median and worst of a fixed
list, words that match the pictures against words that contradict them, how well few training pictures rank
the templates, and what the template that they pick gains on the test pictures.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr  # type: ignore[import-untyped]
from torch import Tensor

from promptclimb.evaluator.datasets.loading import read_splits
from promptclimb.evaluator.datasets.pictures import open_rgb
from promptclimb.evaluator.datasets.sampling import draw
from promptclimb.evaluator.datasets.values import Item
from promptclimb.evaluator.errors import ModelError, UsageError
from promptclimb.evaluator.pico.models import NAMES, bundled_models

from . import sets
from .model import encode_text, fast
from .wordings import NEUTRAL, PLAIN, TEMPLATES, wording_of

SHOTS = 16
SEEDS = (1, 2, 3)


@dataclass(frozen=True, kw_only=True)
class Row:
    """What was measured for one model on one set; accuracies are fractions of 1, on the test pictures.

    Attributes:
        model: Name of the model.
        data: Name of the set.
        classes: Number of classes.
        test: Number of test pictures.
        plain: Accuracy of "a photo of a {}".
        best: Highest accuracy of the list of templates.
        middle: Median accuracy of the list.
        worst: Lowest accuracy of the list.
        best_template: The template that reached ``best``.
        matching: Mean accuracy of the templates whose words fit the pictures.
        neutral: Mean accuracy of the templates that say nothing of how the pictures are made.
        contradicting: Mean accuracy of templates whose words say what the pictures are not.
        rank_one: Spearman correlation of 1-shot training accuracy with test accuracy over the list; mean of
            seeds.
        rank_many: The same with 16 shots.
        gain_one: Test accuracy of the template that 1 shot picks, less ``plain``; mean of ties and seeds.
        gain_many: The same with 16 shots.
        picks: For each few-shot sample of 16, the places of the templates that it picks.
        accuracies: Test accuracy of every template of the list.
    """

    model: str
    data: str
    classes: int
    test: int
    plain: float
    best: float
    middle: float
    worst: float
    best_template: str
    matching: float
    neutral: float
    contradicting: float
    rank_one: float
    rank_many: float
    gain_one: float
    gain_many: float
    picks: tuple[tuple[int, ...], ...]
    accuracies: tuple[float, ...]


class Transfer(NamedTuple):
    """What the first model's findings are worth on the second one, for one set.

    Attributes:
        rank: Spearman correlation of the templates' test accuracies on both.
        gain: Test accuracy on the second of what 16 shots pick on the first, less the second's plain one.
    """

    rank: float
    gain: float


def transfer(rows: Sequence[Row]) -> dict[str, Transfer]:
    """Return how the first model's choices fare under the second one, for each set that both have."""
    first, *further = dict.fromkeys(row.model for row in rows)
    there = {row.data: row for row in rows if row.model in further[:1]}
    here = [row for row in rows if row.model == first and row.data in there]
    return {row.data: _carried(row, there[row.data]) for row in here}


def _carried(here: Row, there: Row) -> Transfer:
    gain = fmean(fmean(there.accuracies[index] for index in tied) for tied in here.picks) - there.plain
    return Transfer(float(spearmanr(here.accuracies, there.accuracies).statistic), gain)


_COLUMNS = {
    "data": "set",
    "classes": "classes",
    "plain": "plain",
    "best": "best",
    "middle": "median",
    "worst": "worst",
    "matching": "matching",
    "neutral": "neutral",
    "contradicting": "contradicting",
    "rank_one": "rank 1",
    "rank_many": "rank 16",
    "gain_one": "gain 1",
    "gain_many": "gain 16",
    "best_template": "best template",
}


def _cell(row: Row, column: str) -> str:
    value = getattr(row, column)
    if not isinstance(value, float):
        return str(value)
    if column.startswith("rank"):
        return f"{value:.2f}"
    return f"{100 * value:+.1f}" if column.startswith("gain") else f"{100 * value:.1f}"


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table; accuracies and gains in percent."""
    lines = [list(_COLUMNS.values()), ["---"] * len(_COLUMNS)]
    lines += [[_cell(row, column) for column in _COLUMNS] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def summary(rows: Sequence[Row]) -> dict[str, float | int]:
    """Return counts and means over the sets of one model."""
    return {
        "sets": len(rows),
        "plain": fmean(r.plain for r in rows),
        "best": fmean(r.best for r in rows),
        "spread_15_points": sum(r.best - r.worst >= 0.15 for r in rows),
        "picked_gains_5_points": sum(r.gain_many >= 0.05 for r in rows),
        "matching_beats_neutral": sum(r.matching > r.neutral for r in rows),
        "rank_one": fmean(r.rank_one for r in rows),
        "rank_many": fmean(r.rank_many for r in rows),
    }


class Scored:
    """One model's features of pictures and texts, each picture encoded once."""

    def __init__(self, name: str, weights: Path, config: Path) -> None:
        open_clip.add_model_config(config)
        model, _, self._transform = open_clip.create_model_and_transforms(name, pretrained=str(weights))
        self._model, self._tokenize = model.eval(), open_clip.get_tokenizer(name)
        self._known: dict[Path, Tensor] = {}

    @torch.no_grad()
    def pictures(self, items: Sequence[Item]) -> Tensor:
        """Return unit features of some pictures, [items, width]."""
        missing = [item.path for item in items if item.path not in self._known]
        for first in range(0, len(missing), 256):
            paths = missing[first : first + 256]
            pixels = torch.stack([self._transform(open_rgb(path)) for path in paths])
            with fast():
                features = self._model.encode_image(pixels, normalize=True).float()
            self._known.update(zip(paths, features, strict=True))
        return torch.stack([self._known[item.path] for item in items])

    @torch.no_grad()
    def texts(self, templates: Sequence[str], classes: Sequence[str]) -> Tensor:
        """Return unit features of all texts, [templates, classes, width]."""
        tokens = self._tokenize([t.replace("{}", name) for t in templates for name in classes])
        tokens = tokens[:, : int(tokens.argmax(-1).max()) + 1]
        return encode_text(self._model, tokens).reshape(len(templates), len(classes), -1)


def _accuracies(pictures: Tensor, items: Sequence[Item], texts: Tensor) -> NDArray[np.float64]:
    """Return the accuracy of each template on some pictures, [templates]."""
    labels = torch.tensor([item.label for item in items])
    nearest = torch.einsum("iw,tcw->tic", pictures, texts).argmax(-1)
    return (nearest == labels).double().mean(-1).numpy()


class Picked(NamedTuple):
    """What few-shot samples say of templates: means over the samples, and what each would pick.

    Attributes:
        rank: Spearman correlation of training with test accuracy.
        test: Test accuracy of the templates picked, tied ones averaged.
        ties: For each sample, the places in the list of the templates with the highest training accuracy.
    """

    rank: float
    test: float
    ties: tuple[tuple[int, ...], ...]


def _pick(
    samples: Sequence[Sequence[Item]], model: Scored, texts: Tensor, test: NDArray[np.float64]
) -> Picked:
    ranks, ties = [], []
    for sample in samples:
        train = _accuracies(model.pictures(sample), sample, texts)
        ranks.append(float(spearmanr(train, test).statistic) if train.min() < train.max() else 0.0)
        ties.append(tuple(np.flatnonzero(train == train.max()).tolist()))
    return Picked(fmean(ranks), fmean(float(test[list(tied)].mean()) for tied in ties), tuple(ties))


def measure(name: str, model_name: str, model: Scored) -> Row:
    """Measure everything about one model on one set.

    Raises:
        DataError: The set cannot be read or written.
    """
    splits = read_splits(name, data_root=None)
    wording = wording_of(name)
    templates = list(dict.fromkeys((*TEMPLATES, *wording.matching, *wording.contradicting)))
    texts = model.texts(templates, splits.classes)
    test = _accuracies(model.pictures(splits.test), splits.test, texts)
    of = dict(zip(templates, test.tolist(), strict=True))
    from_one, from_many = (
        _pick([draw(splits, shots=shots, seed=seed)[0] for seed in SEEDS], model, texts, test)
        for shots in (1, SHOTS)
    )
    return Row(
        model=model_name,
        data=name,
        classes=len(splits.classes),
        test=len(splits.test),
        plain=of[PLAIN],
        best=float(test.max()),
        middle=float(np.median(test)),
        worst=float(test.min()),
        best_template=templates[int(test.argmax())],
        matching=fmean(of[t] for t in wording.matching),
        neutral=fmean(of[t] for t in NEUTRAL),
        contradicting=fmean(of[t] for t in wording.contradicting),
        rank_one=from_one.rank,
        rank_many=from_many.rank,
        gain_one=from_one.test - of[PLAIN],
        gain_many=from_many.test - of[PLAIN],
        picks=from_many.ties,
        accuracies=tuple(test.tolist()),
    )


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.measure", description=__doc__)
    parser.add_argument(
        "--data",
        nargs="+",
        choices=[*sets.names(), "digits"],
        metavar="SET",
        help="sets to measure (default: all bundled sets and digits)",
    )
    parser.add_argument("--model", nargs="+", choices=NAMES, help="models to measure (default: all)")
    parser.add_argument(
        "--weights", type=Path, help="folder with NAME.safetensors (default: the bundled files)"
    )
    parser.add_argument("--threads", type=int, help="processor threads to use")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a Markdown table")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    options = _options(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        _print(options)
    except UsageError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


def _print(options: argparse.Namespace) -> None:
    everything = [
        row
        for entry in bundled_models()
        if not options.model or entry["name"] in options.model
        for row in _rows(entry, options.weights, options.data or (*sets.names(), "digits"))
    ]
    names = dict.fromkeys(row.model for row in everything)
    totals = {name: summary([row for row in everything if row.model == name]) for name in names}
    between = transfer(everything)
    if options.json:
        document = {
            "rows": [asdict(row) for row in everything],
            "summary": totals,
            "transfer": {name: moved._asdict() for name, moved in between.items()},
        }
        sys.stdout.write(json.dumps(document, indent=1) + "\n")
        return
    for name in names:
        lines = table([row for row in everything if row.model == name])
        sys.stdout.write(f"### {name}\n\n{lines}\n\n{json.dumps(totals[name])}\n\n")
    for name, moved in between.items():
        sys.stdout.write(f"- {name}: rank correlation {moved.rank:.2f}, gain {100 * moved.gain:+.1f}\n")


def _rows(entry: Mapping[str, str], folder: Path | None, names: Sequence[str]) -> Iterator[Row]:
    """Yield one bundled model, with its weights from ``folder`` if given, on some sets."""
    weights = (folder or Path(entry["file"]).parent) / f"{entry['name']}.safetensors"
    if not weights.is_file():
        raise ModelError(f"{weights}: there is no such file; --weights wants a folder with {weights.name}")
    scored = Scored(entry["name"], weights, weights.with_suffix(".json"))
    for name in names:
        row = measure(name, entry["name"], scored)
        sys.stderr.write(
            f"{row.model} {name}: plain {row.plain:.3f}, best {row.best:.3f}, worst {row.worst:.3f}\n"
        )
        yield row


if __name__ == "__main__":
    sys.exit(main())
