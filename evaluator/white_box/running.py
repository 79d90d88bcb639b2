"""Run white-box references, and check first whether they can run. Imports torch only when needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigError, DataError
from ..scoring import Split
from ..spec import EvaluatorSpec, Report
from .references import REFERENCES, CoopOptions, MethodOptions, WhiteBoxResult, check_reference


def run_all(
    references: Mapping[str, Mapping[str, Any]] | Sequence[str],
    spec: EvaluatorSpec,
    *,
    split: Split = "test",
    seed: int | None = None,
    report: Report = lambda _line: None,
) -> tuple[WhiteBoxResult, ...]:
    """Fit white-box references to the few shots and classify one split; load the model once.

    Args:
        references: Names, or names with their options.
        spec: Data, model, shots and seed; a search's config is one.
        split: Images to classify in the end. Only ``test`` opens the test split, after all fitting.
        seed: Seed of the method's randomness; None for the specification's, which draws the shots.
        report: Called with a line for each fit.

    Raises:
        ConfigError: A name or an option is wrong, or the scorer is not a CLIP.
        DataError: The data set cannot be used, or lacks images of the split or for choosing.
        ModelError: The model cannot be used, or not in this way.
    """
    if not isinstance(references, Mapping):
        references = {name: {} for name in references}
    options = {name: check_reference(name, own) for name, own in references.items()}
    if not spec.is_clip:
        raise ConfigError(f"white-box references look into a CLIP, and {spec.scorer_name} is not one")
    from .problem import open_problem, solve

    all_labels = any(own.all_labels for own in options.values())
    problem = open_problem(spec, all_labels=all_labels, report=report)
    if split == "val" and not len(problem.val):
        raise DataError(f"{problem.dataset} has no val images; choose another split")
    check_val(options, problem.dataset, len(problem.val))
    if seed is None:
        seed = problem.seed
    return tuple(solve(name, problem, own, split=split, seed=seed) for name, own in options.items())


def check_val(options: Mapping[str, MethodOptions], dataset: str, val: int) -> None:
    """Raise DataError if a method chooses on validation images and the data set has no such images."""
    choosing = [name for name, own in options.items() if own.chooses_on_val]
    if choosing and not val:
        usable = [name for name in REFERENCES if not check_reference(name).chooses_on_val]
        raise DataError(
            f"{choosing[0]} chooses on validation images, and {dataset} has none; without them there "
            f"are {', '.join(usable)}"
        )


@dataclass(frozen=True, slots=True)
class Planned:
    """A reference to be fitted on a data set with these classes."""

    name: str
    options: MethodOptions
    classes: tuple[str, ...]


def check_model(spec: EvaluatorSpec, planned: Sequence[Planned], *, report: Report) -> None:
    """Load a model once and check that references, learned vectors included, fit; report only downloads."""
    import torch

    from ..clip.in_process import build_encoder
    from ..clip.models import load_model
    from .coop import check_room

    def downloads(line: str) -> None:
        if line.startswith("downloading"):
            report(line)

    loaded = load_model(spec.model, spec.pretrained, torch.device("cpu"), report=downloads)
    full = spec.model_copy(update={"precision": "fp32"})
    checked: set[tuple[object, ...]] = set()
    for fit in planned:
        key = (fit.options.model_dump_json(), fit.classes)
        if isinstance(fit.options, CoopOptions) and key not in checked:
            checked.add(key)
            encoder = build_encoder(full, [loaded], fit.classes, downloads)
            check_room(encoder, fit.options)
