"""Keywords of ``EvaluatorSpec``, for type checkers: with the types that its fields are made from."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypedDict

from .scoring import Objective


class EvaluatorKeywords(TypedDict, total=False):
    """Each setting of data and scorer; a path may be a text."""

    data: Path | str
    data_root: Path | str | None
    shots: int | None
    seed: int
    class_names: Path | str | None
    few_shot_file: Path | str | None
    columns: str | None
    test_images: int | None
    allow_leak: bool
    on_bad_image: Literal["fail", "skip"]
    model: str
    pretrained: Path | str
    precision: Literal["fp32", "best"]
    device: str
    scorer: Literal["clip", "chat", "zero-shot", "embeddings"]
    scorer_url: str | None
    scorer_dialect: str | None
    scorer_image_size: int
    scorer_detail: Literal["low", "high", "auto"] | None
    scorer_samples: int
    scorer_answer_tokens: int
    custom_scorer: str | None
    ray: str | None
    objective: Objective
    augmentations: int | None
    cache_dir: Path | str | None
    workers: int
    image_batch: int
    text_rows: int | None
