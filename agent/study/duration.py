"""Estimate how long a study takes on this machine, from a short measurement with each of its models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ...evaluator.datasets.hand_made import for_dataset
from ...evaluator.spec import DEFAULT_SHOTS
from ...evaluator.white_box.references import CoopOptions, check_reference
from ..config.schema import SearchConfig
from ..present.dry_run import Hours
from .grid import Cell

MOST_VAL = 4
"""Validation images of a class, at most."""
Size = tuple[int, int]
"""Classes and test images of a data set."""


def hours_of(
    cells: Sequence[Cell],
    size_of: Callable[[SearchConfig], Size | None],
    evaluations: Mapping[Path, int],
) -> list[Hours] | None:
    """Return the hours of each model; None if a scorer is not a CLIP or a data set's size is unknown.

    Args:
        cells: The runs of the study.
        size_of: Size of a run's data set, None if unknown.
        evaluations: Templates that a search scores at most, by its folder.

    Raises:
        ModelError: A model cannot be built.
    """
    if any(not cell.config.is_clip or size_of(cell.config) is None for cell in cells):
        return None
    from ...evaluator.white_box.speed import coop_steps, measure  # imports torch

    by_model: dict[str, Hours] = {}
    encoded = set[tuple[object, ...]]()
    for cell in cells:
        config = cell.config
        classes, test = size_of(config) or (0, 0)
        speed = measure(config.model, config.device)
        hours = by_model.setdefault(cell.model, Hours(cell.model, speed.cores))
        shots = config.shots or DEFAULT_SHOTS
        train, val = shots * classes, min(MOST_VAL, shots) * classes
        labelled = (train + val) * (1 + config.augmentations_for(train + val))
        # Features are kept: the test images are encoded once, a sample once for all methods.
        for images, sample in ((test, ()), (labelled, (shots, config.seed))):
            if (key := (cell.model, config.data, *sample)) not in encoded:
                encoded.add(key)
                hours.images += images * speed.image / 3600
        if cell.white_box is None:
            baselines = {
                text for texts in for_dataset(config.data.rpartition(":")[2]).values() for text in texts
            }
            templates = evaluations[cell.run_dir] + len(baselines)
            hours.texts += templates * classes * speed.text / 3600
            continue
        options = check_reference(cell.white_box, cell.options)
        if isinstance(options, CoopOptions):
            steps = coop_steps(options, shots, labelled if options.all_labels else train)
            hours.coop += steps * classes * speed.coop / 3600
    return list(by_model.values())
