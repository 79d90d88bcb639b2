"""What a search returns, beside its rivals with equal labels, on sets in class folders.

    python benchmarks/returned.py FOLDER/SET ... --model Tags-pico --shots 1,16 --seeds 10 --rows FILE.jsonl
    python benchmarks/returned.py FOLDER/SET ... --rivals coop,ridge,probe --seeds 3 --rows FILE.jsonl
    python benchmarks/returned.py --table FILE.jsonl

A row is one set, number of shots and seed: test accuracies by name, and how many test images the recommended
classifier alone, or another alone, classifies correctly. A search is the program's own, by ``combine``, on
features that are computed once for each set. Rivals learn from the same training and validation images and
augmented copies; ``, texts`` says that they start from the texts that the search returned, ``, {}`` from the
bare class name. Existing rows are kept.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold
from torch import Tensor
from torch.nn import functional

from benchmarks.common import few_images, over_sets, print_document, read_rows, rows_of, whole_numbers
from benchmarks.fine_tuned import Fit, chosen_by_folds, chosen_on_val, folds, task_residual, tip_adapter_f
from promptclimb.agent.api import search_sync
from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.results.details import read_details
from promptclimb.agent.results.gain import paired
from promptclimb.evaluator.clip.in_process import image_encoder
from promptclimb.evaluator.clip.models import LoadedModel, load_model, parse_devices
from promptclimb.evaluator.clip.open_clip_evaluator import OpenClipEvaluator
from promptclimb.evaluator.clip.text_encoder import TextEncoder
from promptclimb.evaluator.clip.zero_shot import Labelled, classifier, decide
from promptclimb.evaluator.datasets.hand_made import for_dataset
from promptclimb.evaluator.datasets.loading import read_splits
from promptclimb.evaluator.held_near import LabelledFeatures, learn
from promptclimb.evaluator.scoring import EvaluatorInfo
from promptclimb.evaluator.spec import EvaluatorSpec
from promptclimb.evaluator.white_box import coop, cross_modal, linear_probe, tip_adapter
from promptclimb.evaluator.white_box.problem import Problem
from promptclimb.evaluator.white_box.references import CoopOptions

COPIES = 8
MOST_VAL_SHOTS = 4
RECOMMENDED = "recommended"
SHRINKAGES = (0.1, 0.3, 0.6, 0.9)
SHARES = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
TEMPERATURES = (0.25, 0.5, 1.0)
CACHE_WEIGHTS = (0.0, 0.3, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0)
SHARPNESS = (1.0, 3.0, 5.5, 10.0, 20.0, 40.0)
RIDGES = (1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
RIDGE_WEIGHTS = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0)


@dataclass(frozen=True)
class Shots:
    """Few-shot images of one draw: features [n, E] with copies [n, COPIES, E], and labels [n]."""

    train: Labelled
    val: Labelled
    train_copies: Tensor
    val_copies: Tensor

    @cached_property
    def features(self) -> Tensor:
        """Return the mean of each image and its copies, of length 1: [n, E]."""
        return functional.normalize(self.versions.mean(dim=1), dim=1)

    @cached_property
    def versions(self) -> Tensor:
        """Return each image before its copies: [n, 1 + COPIES, E]."""
        copies = torch.cat([self.train_copies, self.val_copies])
        return torch.cat([self.images[:, None], copies], dim=1)

    @cached_property
    def images(self) -> Tensor:
        return torch.cat([self.train.features, self.val.features])

    @cached_property
    def labels(self) -> Tensor:
        return torch.cat([self.train.labels, self.val.labels])


class Bed:
    """A set under one model, whose images are encoded once."""

    def __init__(
        self, folder: Path, loaded: LoadedModel, model: str, pretrained: str, describe: Path
    ) -> None:
        self.name, self.loaded, self.model, self.pretrained = folder.name, loaded, model, pretrained
        splits = read_splits(str(folder), data_root=None)
        self.classes = tuple(splits.classes)
        spec = EvaluatorSpec(data=str(folder), model=model, pretrained=pretrained)
        images = image_encoder(spec, loaded, lambda: loaded, lambda _line: None, lambda *_given: None)
        self.splits: dict[str, Labelled] = {}
        self.copies: dict[str, Tensor] = {}
        for name in ("train", "val", "test"):
            items = getattr(splits, name)
            paths = [item.path for item in items]
            vectors = images.features(paths).vectors.clone()
            labels = torch.tensor([item.label for item in items])
            self.splits[name] = Labelled(vectors, labels, len(self.classes))
            if name != "test":
                self.copies[name] = (
                    images.features(paths, COPIES).vectors.reshape(len(items), COPIES, -1).clone()
                )
        texts = tomllib.loads(describe.read_text("utf-8"))["describe"] if describe.exists() else {}
        self.description: str | None = texts.get(self.name)
        self.encoder = TextEncoder(
            loaded.model, loaded.tokenizer, self.classes, loaded.context_length, dtype=torch.float32
        )

    def draw(self, shots: int, seed: int) -> Shots:
        """Draw the few-shot images of a seed."""
        rng = Random(seed)
        rows = {
            name: few_images(self.splits[name].labels.numpy(), most, rng)
            for name, most in (("train", shots), ("val", min(MOST_VAL_SHOTS, shots)))
        }
        train, val = (
            Labelled(self.splits[name].features[own], self.splits[name].labels[own], len(self.classes))
            for name, own in rows.items()
        )
        return Shots(train, val, *(self.copies[name][own] for name, own in rows.items()))

    def evaluator(self, drawn: Shots, shots: int, seed: int) -> OpenClipEvaluator:
        """Return the program's evaluator on a draw."""
        copies = torch.cat([drawn.train_copies, drawn.val_copies])
        number = copies.shape[1]
        labels = drawn.labels.repeat_interleave(number)
        return OpenClipEvaluator(
            info=EvaluatorInfo(
                dataset=self.name,
                classes=len(self.classes),
                class_names=self.classes,
                shots=shots,
                seed=seed,
                sizes={
                    "train": len(drawn.train),
                    "val": len(drawn.val),
                    "test": len(self.splits["test"]),
                },
                model=self.model,
                pretrained=self.pretrained,
                fingerprint=f"{self.name} {self.model} {shots} {seed}",
                # As for a person's own images: hand-made templates of our sets are captions of theirs.
                baselines=for_dataset("own images"),
                content={"weights": self.loaded.weights},
                cheap=True,
                copies=number,
            ),
            encoder=self.encoder,
            class_names=self.classes,
            train=drawn.train,
            val=drawn.val,
            augmented=Labelled(copies.flatten(0, 1), labels, len(self.classes)) if number else None,
            open_test=lambda: self.splits["test"],
            logit_scale=self.loaded.logit_scale,
        )

    def problem(self, drawn: Shots, shots: int, seed: int) -> Problem:
        """Return the draw as the white-box references get it, all labels among the training images."""
        return Problem(
            dataset=self.name,
            class_names=self.classes,
            shots=shots,
            seed=seed,
            logit_scale=self.loaded.logit_scale,
            encoder=self.encoder,
            train=Labelled(drawn.images, drawn.labels, len(self.classes)),
            val=drawn.val,
            open_test=lambda: self.splits["test"],
            versions=drawn.versions,
        )

    def texts(self, templates: Sequence[str]) -> Tensor:
        """Return text features: [T, C, E]."""
        return self.encoder.vectors(list(templates)).clone()


def searched(bed: Bed, drawn: Shots, shots: int, seed: int) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the predictions on test of all that a search evaluates, by name, and its texts."""
    with tempfile.TemporaryDirectory() as folder:
        config = SearchConfig(
            data="digits",  # is not read
            method="combine",
            describe=bed.description,
            restarts=1,
            conversations=1,
            rounds=6,
            initial=80,
            shots=shots,
            seed=seed,
            model=bed.model,
            pretrained=bed.pretrained,
            run_dir=Path(folder) / "run",
        )
        result = search_sync(config, custom_scorer=bed.evaluator(drawn, shots, seed))
        details = read_details(Path(folder) / "run")
    assert details is not None
    assert details.decisions is not None
    assert result.recommended is not None
    predicted = {name: torch.tensor(labels) for name, labels in details.decisions.predicted.items()}
    return {**predicted, RECOMMENDED: predicted[result.recommended.name]}, result.texts.templates


def cache(drawn: Shots, weights: Tensor, scale: float, test: Labelled) -> Tensor:
    """Return decisions of a Tip-Adapter whose alpha and beta come from leaving out each key of its own."""
    keys = drawn.features
    values = functional.one_hot(drawn.labels, len(weights)).float()
    own, texts = drawn.images @ keys.T, scale * drawn.images @ weights.T
    own.fill_diagonal_(-torch.inf)
    tried = (
        (logprob(t * texts + a * (-b * (1 - own)).exp() @ values, drawn.labels), -a, a, b, t)
        for b in SHARPNESS
        for a in CACHE_WEIGHTS
        for t in TEMPERATURES
    )
    _, _, alpha, beta, temperature = max(tried)
    kept = (-beta * (1 - test.features @ keys.T)).exp() @ values
    return (temperature * scale * test.features @ weights.T + alpha * kept).argmax(dim=1)


def discriminant(drawn: Shots, weights: Tensor, scale: float, test: Labelled) -> Tensor:
    """Return decisions of a Gaussian discriminant and the texts, mixed by folds, if there are any."""
    labels, classes = drawn.labels, len(weights)
    fold = folds(labels)
    if not fold.any():
        return decide(test, weights)

    def head(rows: Tensor, shrinkage: float) -> tuple[Tensor, Tensor]:
        features, own = drawn.features[rows], labels[rows]
        means = torch.stack([features[own == label].mean(dim=0) for label in range(classes)])
        residues = features - means[own]
        covariance = residues.T @ residues / len(own)
        eye = torch.eye(len(covariance)) * covariance.trace() / len(covariance)
        slopes = torch.linalg.solve(
            (1 - shrinkage) * covariance + shrinkage * eye + 1e-6 * torch.eye(len(eye)), means.T
        )
        return slopes, -0.5 * (means.T * slopes).sum(dim=0)

    texts = scale * drawn.images @ weights.T
    tried = []
    for shrinkage in SHRINKAGES:
        logits = torch.empty(len(labels), classes)
        for number in fold.unique().tolist():
            slopes, offsets = head((fold != number).nonzero()[:, 0], shrinkage)
            logits[fold == number] = drawn.images[fold == number] @ slopes + offsets
        tried += [
            (logprob(t * texts + share * logits, labels), -share, share, shrinkage, t)
            for share in SHARES
            for t in TEMPERATURES
        ]
    _, _, share, shrinkage, temperature = max(tried)
    slopes, offsets = head(torch.arange(len(labels)), shrinkage)
    logits = test.features @ slopes + offsets
    return (temperature * scale * test.features @ weights.T + share * logits).argmax(dim=1)


def kernel_ridge(drawn: Shots, weights: Tensor, scale: float, test: Labelled) -> Tensor:
    """Return logits of a kernel ridge added to the texts, chosen by the exact leave-one-out error.

    Its kernel is that of a Tip-Adapter, at the authors' beta.
    """
    labels, texts = drawn.labels, (scale * drawn.images @ weights.T).double()
    targets = functional.one_hot(labels, len(weights)).double() - 1 / len(weights)
    affinity = (drawn.features @ drawn.features.T).double()
    values, vectors = torch.linalg.eigh((-5.5 * (1 - affinity)).exp())
    tried = []
    for ridge in RIDGES:
        hat = vectors * (values / (values + ridge)) @ vectors.T
        own = hat.diagonal()[:, None]
        left_out = (hat @ targets - own * targets) / (1 - own)
        tried += [
            (logprob(t * texts + share * left_out, labels), -share, share, ridge, t)
            for share in RIDGE_WEIGHTS
            for t in TEMPERATURES
        ]
    _, _, share, ridge, temperature = max(tried)
    learned = vectors / (values + ridge) @ vectors.T @ targets
    kept = (-5.5 * (1 - test.features @ drawn.features.T)).exp().double() @ learned
    logits: Tensor = temperature * scale * test.features @ weights.T + share * kept
    return logits


def lp_plus_plus(drawn: Shots, weights: Tensor, scale: float, test: Labelled) -> Tensor:
    """Return decisions of LP++ (CVPR 2024): vectors and weights of the texts, learned in 300 steps.

    The texts begin with the model's own logit scale, at which they decide as they do alone; with the authors'
    250 for every model they begin near zero here, and do worse.
    """
    features, labels, classes = drawn.features, drawn.labels, len(weights)
    targets = functional.one_hot(labels, classes).float()
    step = 1.0 / float(torch.linalg.eigvalsh(features.T @ features / len(labels)).max())
    vectors = targets.T @ features / len(labels) * step
    texts, alpha = features @ weights.T, torch.full((classes,), scale)
    text_step = 1.0 / float((texts.square().sum(dim=0) / len(labels)).max())
    for _ in range(300):
        wrong = ((features @ vectors.T + alpha * texts).softmax(dim=1) - targets) / len(labels)
        vectors = vectors - step * wrong.T @ features
        alpha = alpha - text_step * (wrong * texts).sum(dim=0)
    return (test.features @ vectors.T + alpha * (test.features @ weights.T)).argmax(dim=1)


def logprob(logits: Tensor, labels: Tensor) -> float:
    """Return the mean log-probability of the true class."""
    return -float(functional.cross_entropy(logits, labels))


def rivals_from(
    bed: Bed, drawn: Shots, templates: Sequence[str], mark: str, seed: int
) -> Iterator[tuple[str, Tensor]]:
    """Yield the decisions of rivals that start from these templates."""
    vectors, test, scale = bed.texts(templates), bed.splits["test"], bed.loaded.logit_scale
    weights = classifier(vectors)
    yield f"Tip-Adapter by leaving one out{mark}", cache(drawn, weights, scale, test)
    yield from tip_adapters(drawn, weights, scale, test, mark)
    yield f"discriminant{mark}", discriminant(drawn, weights, scale, test)
    yield f"LP++{mark}", lp_plus_plus(drawn, weights, scale, test)
    count, classes, width = vectors.shape
    texts = Labelled(vectors.reshape(-1, width), torch.arange(classes).repeat(count), classes)
    half = min(4, len(texts), len(drawn.train))
    head = cross_modal.train(weights, (drawn.train, texts), drawn.val, half=half, steps=3000, seed=seed)
    yield f"cross-modal{mark}", decide(test, head.weights)


def tip_adapters(
    drawn: Shots, weights: Tensor, scale: float, test: Labelled, mark: str
) -> Iterator[tuple[str, Tensor]]:
    """Yield the decisions of Tip-Adapter with the authors' settings, and with those that are best on val."""
    own = Labelled(drawn.features, drawn.labels, len(weights))
    logits = tip_adapter.logits(test.features, own, weights, scale, 1.0, 5.5)
    yield f"Tip-Adapter{mark}", logits.argmax(dim=1)
    alpha, beta = tip_adapter.search(drawn.val, drawn.train, weights, scale)
    logits = tip_adapter.logits(test.features, drawn.train, weights, scale, alpha, beta)
    yield f"Tip-Adapter, tuned on val{mark}", logits.argmax(dim=1)


def measure(bed: Bed, cell: Mapping[str, Any]) -> dict[str, Any]:
    """Return accuracies on test by name, and the counts of the recommended one against each other."""
    shots, seed = cell["shots"], cell["seed"]
    drawn, test = bed.draw(shots, seed), bed.splits["test"]
    predicted, templates = searched(bed, drawn, shots, seed)
    for mark, start in ((", {}", ["{}"]), (", texts", templates)):
        predicted |= rivals_from(bed, drawn, start, mark, seed)
    probe = linear_probe.trained(drawn.train, linear_probe.search(drawn.train, drawn.val))
    predicted["linear probe"] = torch.from_numpy(probe.predict(test.features.numpy()))
    right = {name: labels == test.labels for name, labels in predicted.items()}
    ours = right[RECOMMENDED]
    return {
        "test": {name: round(float(own.double().mean()), 6) for name, own in right.items()},
        "ahead": {name: [int((ours & ~own).sum()), int((own & ~ours).sum())] for name, own in right.items()},
        "images": len(test),
    }


def measure_alone(bed: Bed, cell: Mapping[str, Any]) -> dict[str, Any]:
    """Return the accuracies of a rival, or of a search without copies, with all labels but for tuned CoOp."""
    drawn, test = bed.draw(cell["shots"], cell["seed"]), bed.splits["test"]
    alone = {
        "ridge": from_bare_name, "probe": probe, "fine-tuned": fine_tuned, "no-copies": without_copies,
        "tip-adapter": training_free,
    }  # fmt: skip
    rival = alone.get(cell["rival"], coop_alone)
    return {
        "test": {
            name: round(float((labels == test.labels).double().mean()), 6)
            for name, labels in rival(bed, drawn, cell).items()
        }
    }


def from_bare_name(bed: Bed, drawn: Shots, cell: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return decisions of the program's classifier held near ``{}``, of a kernel ridge, and of both."""
    weights, scale, test = classifier(bed.texts(["{}"])), bed.loaded.logit_scale, bed.splits["test"]
    learned = learn(weights, LabelledFeatures(drawn.versions, drawn.labels), scale, seed=cell["seed"])
    near = (learned.scale * test.features @ learned.weights.T).log_softmax(dim=1)
    ridge = kernel_ridge(drawn, weights, scale, test).log_softmax(dim=1)
    logits = {"held near": near, "kernel ridge": ridge, "mean of both": near + ridge}
    return {f"{name}, {{}}": values.argmax(dim=1) for name, values in logits.items()}


def training_free(bed: Bed, drawn: Shots, _cell: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return decisions of Tip-Adapter from ``{}``, as ``measure`` does."""
    weights, scale = classifier(bed.texts(["{}"])), bed.loaded.logit_scale
    return dict(tip_adapters(drawn, weights, scale, bed.splits["test"], ", {}"))


def without_copies(bed: Bed, drawn: Shots, cell: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return decisions of what a search returns that has no augmented copies."""
    bare = replace(drawn, train_copies=drawn.train_copies[:, :0], val_copies=drawn.val_copies[:, :0])
    predicted, _ = searched(bed, bare, cell["shots"], cell["seed"])
    return {f"{name}, without copies": predicted[name] for name in (RECOMMENDED, "texts")}


def probe(bed: Bed, drawn: Shots, _cell: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return decisions of a linear probe whose C comes from folds."""
    folds = StratifiedKFold(min(5, int(torch.bincount(drawn.labels).min())), shuffle=True, random_state=0)
    model = LogisticRegressionCV(
        Cs=[0.1, 1, 10, 100],
        l1_ratios=(0.0,),
        cv=folds,
        scoring="neg_log_loss",
        max_iter=200,
        use_legacy_attributes=False,
    ).fit(drawn.images.numpy(), drawn.labels.numpy())
    return {"linear probe, all labels": torch.from_numpy(model.predict(bed.splits["test"].features.numpy()))}


def fine_tuned(bed: Bed, drawn: Shots, cell: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return decisions of Tip-Adapter-F and TaskRes, whose settings come from val, or from folds."""
    given = {
        "weights": classifier(bed.texts(["{}"])),
        "scale": bed.loaded.logit_scale,
        "seed": cell["seed"],
    }
    epochs = 200 if cell["shots"] >= 8 else 100  # the authors'
    fits: dict[str, Fit] = {
        "Tip-Adapter-F": partial(tip_adapter_f, **given),
        "TaskRes": partial(task_residual, **given, epochs=epochs),
    }
    learned = {}
    for name, fit in fits.items():
        few = drawn.versions[: len(drawn.train)]
        learned[f"{name}, tuned on val, {{}}"] = chosen_on_val(fit, few, drawn.train.labels, drawn.val)
        learned[f"{name}, all labels, {{}}"] = chosen_by_folds(fit, drawn.versions, drawn.labels)
    test = bed.splits["test"].features
    return {name: logits(test).argmax(dim=1) for name, logits in learned.items()}


def coop_alone(bed: Bed, drawn: Shots, cell: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return decisions of CoOp with all labels, or of the best of its grid on val."""
    problem = bed.problem(drawn, cell["shots"], cell["seed"])
    options = CoopOptions(tuned=cell["rival"] == "coop-tuned")
    if options.tuned:
        problem = Problem(**{**_fields(problem), "train": drawn.train, "versions": None})
    fitted = coop.fit(problem, options, seed=cell["seed"])
    return {cell["rival"]: fitted.decide(bed.splits["test"])}


def _fields(problem: Problem) -> dict[str, Any]:
    return {name: getattr(problem, name) for name in Problem.__dataclass_fields__ if not name.startswith("_")}


def table(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return means over sets and how far the recommended one is ahead, for each model and number of shots."""
    document: dict[str, Any] = {}
    for model, shots in sorted({(row["model"], row["shots"]) for row in rows}):
        own = [row for row in rows if (row["model"], row["shots"]) == (model, shots)]
        accuracy: dict[str, dict[str, dict[int, float]]] = {}
        for row in own:
            for name, value in row["test"].items():
                accuracy.setdefault(name, {}).setdefault(row["set"], {})[row["seed"]] = value
        ours = accuracy[RECOMMENDED]
        lines = {}
        for name, by_set in accuracy.items():
            differences = {
                data: [
                    100 * (ours[data][seed] - value) for seed, value in seeds.items() if seed in ours[data]
                ]
                for data, seeds in by_set.items()
                if data in ours
            }
            gap = over_sets(differences, f"{name} {model} {shots}")
            means = {data: float(np.mean(values)) for data, values in differences.items()}
            worst = min(means, key=means.__getitem__)
            mean = 100 * float(np.mean([np.mean(list(seeds.values())) for seeds in by_set.values()]))
            lines[name] = {
                "accuracy": round(mean, 1),
                "recommended_ahead": round(gap.mean, 1),
                "interval": [round(edge, 1) for edge in gap.interval],
                "worst": [worst, round(means[worst], 1)],
                "sets": len(by_set),
            }
        plain = [
            {
                "set": data,
                "points": round(float(np.mean(points)), 1),
                "interval": [round(e, 1) for e in edges],
            }
            for data, points, edges in against_plain(own)
        ]
        document[f"{model}, {shots} shot{'s' * (shots > 1)}"] = {
            "rows": lines,
            "against_the_better_plain_text": plain,
        }
    return document


def against_plain(
    rows: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[str, list[float], tuple[float, float]]]:
    """Yield each set's gains over the better of ``{}`` and the default by seed, and the mean's interval.

    The images are the same for all seeds, so the interval is that of their mean counts.
    """
    for data in sorted({row["set"] for row in rows if "ahead" in row}):
        own = [row for row in rows if row["set"] == data and "ahead" in row]
        plain = max(
            ("bare class name", "default template"),
            key=lambda name: np.mean([row["test"][name] for row in own]),
        )
        better, worse = (round(float(np.mean([row["ahead"][plain][side] for row in own]))) for side in (0, 1))
        low, high = paired(better, worse, own[0]["images"])
        points = [100 * (row["test"][RECOMMENDED] - row["test"][plain]) for row in own]
        yield data, points, (100 * low, 100 * high)


def main() -> None:
    """Measure, or print the table of measured rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    parser.add_argument("--model", default="Tags-pico")
    parser.add_argument("--pretrained", default="pico", help="tag, or a file of weights")
    parser.add_argument("--shots", type=whole_numbers, default=[1, 16])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument(
        "--rivals",
        default="",
        help="coop, coop-tuned, ridge (and ours from {}), probe, fine-tuned (Tip-Adapter-F, TaskRes), "
        "no-copies (a search without augmented copies), tip-adapter (from {}): measure these alone",
    )
    parser.add_argument(
        "--describe", type=Path, metavar="FILE.toml", help="descriptions, if not in the sets' own folder"
    )
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--table", type=Path, metavar="FILE.jsonl")
    parser.add_argument("--json", action="store_true", help="print the document on one line")
    options = parser.parse_args()
    if options.table is not None:
        print_document(table(read_rows(options.table)), options)
        return
    torch.set_num_threads(1)
    loaded = load_model(options.model, options.pretrained, parse_devices("cpu")[0])
    rivals = [name for name in options.rivals.split(",") if name]
    for folder in options.folders:
        describe = options.describe or folder.parent / "describe.toml"
        bed = Bed(folder, loaded, options.model, options.pretrained, describe)
        cells: list[dict[str, Any]] = [
            {
                "set": bed.name,
                "model": options.model,
                "shots": shots,
                "seed": seed,
                **({"rival": rival} if rival else {}),
            }
            for rival in rivals or [""]
            for shots in options.shots
            for seed in range(1, options.seeds + 1)
        ]
        rows_of(cells, partial(measure_alone if rivals else measure, bed), options.rows)
        print(bed.name, flush=True)


if __name__ == "__main__":
    main()
