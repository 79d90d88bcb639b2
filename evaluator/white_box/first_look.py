"""What shows of models, and of references on them, before anything is fitted: one load a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..spec import EvaluatorSpec, Report
from .references import check_reference
from .running import check_val


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A reference that is to be fitted.

    Attributes:
        name: One of ``REFERENCES``.
        options: What is said besides what the name says.
        dataset: Name of the data set.
        classes: Class names by label.
        val: Number of validation images.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    dataset: str
    classes: tuple[str, ...]
    val: int


def check_planned(one: Planned) -> None:
    """Refuse what chooses on validation images where there are none; no model is looked at.

    Raises:
        DataError: There are none.
    """
    check_val({one.name: check_reference(one.name, one.options)}, one.dataset, one.val)


def check_model(spec: EvaluatorSpec, planned: Sequence[Planned], *, report: Report) -> None:
    """Load the model of a specification on the CPU, as far as a checkpoint can be wrong, and let it go again.

    Args:
        spec: Names the model.
        planned: What will be fitted on it: whether the vectors that it learns have room in the model's texts
            is looked at too.
        report: Told of downloads alone.

    Raises:
        ModelError: The model or its checkpoint cannot be used, or not in this way.
    """
    import torch

    from ..clip.in_process import build_encoder
    from ..clip.models import load_model
    from ..clip.texts.text_encoder import TextEncoder
    from .context_optimization import check_room
    from .reference_options import CoopOptions

    def downloads(line: str) -> None:
        if line.startswith("downloading"):
            report(line)

    loaded = load_model(spec.model, spec.pretrained, torch.device("cpu"), report=downloads)
    full = EvaluatorSpec(**{**dict(spec.bare()), "precision": "fp32"})
    looked: set[tuple[object, ...]] = set()
    for one in planned:
        options = check_reference(one.name, one.options)
        key = (options.model_dump_json(), one.classes)
        if isinstance(options, CoopOptions) and key not in looked:
            looked.add(key)
            encoder = build_encoder(full, [loaded], one.classes, downloads)
            assert isinstance(encoder, TextEncoder)  # of one model there are no replicas
            check_room(encoder, options)
