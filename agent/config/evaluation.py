"""What to score on, as the evaluator wants it."""

from __future__ import annotations

from ...evaluator.scoring import parse_objective
from ...evaluator.spec import EvaluatorSpec
from .schema import SearchConfig


def spec_of(config: SearchConfig) -> EvaluatorSpec:
    """Return the part of a config that the evaluator is opened from."""
    return EvaluatorSpec(
        data=config.data,
        data_root=config.data_root,
        model=config.model,
        pretrained=config.pretrained,
        shots=config.shots,
        seed=config.seed,
        few_shot_file=config.few_shot_file,
        class_names=config.class_names,
        allow_leak=config.allow_leak,
        on_bad_image=config.on_bad_image,
        device=config.device,
        ray=config.ray,
        precision=config.precision,
        objective=parse_objective(config.objective),
    )
