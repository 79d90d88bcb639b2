"""What a user says about the black box, as one frozen value that is checked when it is built.

The command line's options are made from these fields, and a search's config extends them, so that no field,
default or help text stands twice. Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Self

from pydantic import field_validator, model_validator

from .columns import parse_columns
from .scoring import COUNTED, OBJECTIVES, EvaluatorInfo, Objective
from .settings import Settings, known_name, setting, technical
from .user_paths import NameOrPath, UserPath, checked_path

Report = Callable[[str], None]
"""Told a fact worth knowing, a line of text."""
Progress = Callable[[int, int], None]
"""Told how many images of how many are encoded."""

DEFAULT_DATA = "backgrounds"
DEFAULT_SHOTS, MOST_SHOTS = 16, 1_000_000
"""Training images a class: where nothing is said and the smallest class has so many; at most."""
DEFAULT_VIEWS, MOST_VIEWS = 8, 32
"""Altered views of an image: where nothing is said and the images are few; at most."""
FREE_VIEWS = 8192
"""The most views of all images together that are made unasked."""


class EvaluatorSpec(Settings):
    """Everything that decides what an evaluator is, and how it is run.

    The default is 16 shots, or as many as the smallest class has, because the template that one image a class
    picks is mostly luck (``shots=1`` is the paper's setting). Until the data are read it is None.

    Raises:
        ConfigError: A value is wrong; the message names the field.
    """

    data: NameOrPath = setting(
        DEFAULT_DATA,
        "data set by name (see `datasets`), a folder of class folders, a table, hf:NAME or torchvision:NAME",
        "task",
        decides=True,
        show="NAME|DIR|FILE",
        min_length=1,
    )
    data_root: UserPath | None = setting(None, "where data sets lie (default: $DATA)", "task", show="DIR")
    model: str = setting(
        "RN-pico",
        "open_clip's name of the model, a bundled one (RN-pico, ViT-pico), hf-hub:OWNER/NAME or "
        "local-dir:FOLDER",
        "task",
        decides=True,
        show="NAME",
        min_length=1,
    )
    pretrained: NameOrPath = setting(
        "pico",
        "its weights: open_clip's tag, or a checkpoint file",
        "task",
        decides=True,
        show="TAG|FILE",
        min_length=1,
    )
    shots: int | None = setting(
        None,
        f"training images a class (default: {DEFAULT_SHOTS}, or as many as the smallest class has)",
        "task",
        decides=True,
        show="N",
        ge=1,
        le=MOST_SHOTS,
    )
    seed: int = setting(
        1, "seed of the few-shot sample and of the search", "task", decides=True, show="N", ge=0, lt=2**63
    )
    class_names: NameOrPath | None = setting(
        None,
        "openai, split, or a file with one class name a line",
        "task",
        decides=True,
        show="openai|split|FILE",
    )
    few_shot_file: UserPath | None = setting(
        None, "published few-shot indices to use instead of sampling", "task", decides=True, show="FILE"
    )
    columns: str | None = setting(
        None,
        "columns of a table that are not called path, label and split, such as path=file,label=species",
        "task",
        show="path=NAME,label=NAME",
    )
    objective: Objective = setting(
        "accuracy",
        "what is maximised: accuracy or class_mean; logprob and margin look at logits, "
        "so the model is no black box any more",
        "task",
        decides=True,
        show="NAME",
    )
    views: int | None = setting(
        None,
        "altered views of each few-shot image that count when a template is chosen "
        f"(default: {DEFAULT_VIEWS}, fewer where the images are many; 0: none)",
        "task",
        decides=True,
        show="N",
        ge=0,
        le=MOST_VIEWS,
    )
    precision: Literal["fp32", "best"] = setting(
        "fp32", "fp32, or best: what the device does fastest", "task", decides=True, show="fp32|best"
    )
    allow_leak: bool = setting(
        False, "go on although an image lies in train and in test", "task", decides=True
    )
    on_bad_image: Literal["fail", "skip"] = setting(
        "fail", "what to do with an image that cannot be read", "task", show="fail|skip"
    )
    evaluator: str | None = setting(
        None,
        "a black box of your own: a function or class that makes one, from a module or FILE.py",
        "task",
        decides=True,
        show="MODULE:FACTORY",
    )
    device: str = setting(
        "auto", "auto, cpu, cuda, cuda:1, cuda:0,1 or mps", "task", show="DEVICE", min_length=1
    )
    ray: str | None = setting(
        None,
        "score on a Ray cluster: its address, or nothing for the one at hand",
        "task",
        show="[ADDRESS]",
        min_length=1,
    )

    cache_dir: UserPath | None = technical(None, "where features are kept; None for the user's cache")
    workers: int = technical(4, "threads that decode images", ge=1, le=1024)
    image_batch: int = technical(64, "images encoded at once", ge=1, le=1_000_000)
    text_rows: int | None = technical(
        None, "tokens that go through the text tower at once; None to fit the device", ge=1, le=1_000_000_000
    )

    @field_validator("objective", mode="before")
    @classmethod
    def _objective(cls, name: str) -> str:
        return known_name("objective", name, OBJECTIVES)

    @field_validator("columns")
    @classmethod
    def _columns(cls, text: str | None) -> str | None:
        parse_columns(text)
        return text

    @field_validator("evaluator")
    @classmethod
    def _evaluator(cls, name: str | None) -> str | None:
        source, _, factory = (name or "").rpartition(":")
        if name is not None and not (source and factory.isidentifier()):
            raise ValueError("write MODULE:FACTORY or FILE.py:FACTORY, such as my_scorers:make")
        if source.endswith(".py"):
            checked_path(source)
        return name

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.evaluator is not None and self.ray is not None:
            raise ValueError("{ray} deals out CLIP to a cluster; leave it out with {evaluator}")
        return self

    @model_validator(mode="after")
    def _views_of_what(self) -> Self:
        if self.views and self.evaluator is not None:
            raise ValueError("{views} alters the images of a CLIP; leave it out with {evaluator}")
        if self.views and self.objective not in COUNTED:
            raise ValueError("{views} is for accuracy and class_mean; leave it out with this {objective}")
        return self

    def with_shots(self, found: int = DEFAULT_SHOTS) -> Self:
        """Return the specification with the number of shots in fact used, where it has none."""
        if self.shots is not None:
            return self
        return self.model_copy(update={"shots": found if 1 <= found <= MOST_SHOTS else DEFAULT_SHOTS})

    def views_of(self, images: int) -> int:
        """Return how many altered views of each of so many few-shot images are made."""
        if self.evaluator is not None or self.objective not in COUNTED or not images:
            return 0
        if self.views is not None:
            return self.views
        most = min(DEFAULT_VIEWS, FREE_VIEWS // images)
        # One view says too little for what it costs.
        return most if most > 1 else 0

    def as_opened(self, info: EvaluatorInfo) -> Self:
        """Return the specification with the numbers of shots and of views in fact used, where it has none."""
        told = info.views if 0 <= info.views <= MOST_VIEWS else 0
        views = told if self.views is None else self.views
        return self.with_shots(info.shots).model_copy(update={"views": views})

    def bare(self) -> EvaluatorSpec:
        """Return the specification alone, without what a config adds to it."""
        return EvaluatorSpec(**{name: getattr(self, name) for name in EvaluatorSpec.model_fields})
