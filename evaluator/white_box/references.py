"""List the white-box references, their options and their results. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, Self

from pydantic import model_validator

from ..errors import ConfigError
from ..messages import shown
from ..scoring import Predictions
from ..settings import Settings, near, technical

RANDOM = "random"
"""``init`` of a context that starts from noise instead of words."""
Texts = Literal["hand-made", "plain", "openai-imagenet"]


class MethodOptions(Settings):
    """Options of one method; each decides its result."""

    all_labels: bool = technical(
        False, "learn from the validation images and the augmented copies of a search too"
    )

    @property
    def chooses_on_val(self) -> bool:
        """It needs validation images to choose something."""
        return bool(getattr(self, "tuned", False))

    @model_validator(mode="after")
    def _val_is_used_once(self) -> Self:
        if self.all_labels and self.chooses_on_val:
            raise ValueError("`all_labels` would learn from the validation images, on which it chooses")
        return self


class CoopOptions(MethodOptions):
    """CoOp; ``tuned`` takes the best of a grid over lr, context, init and epochs on the validation images."""

    tuned: bool = technical(False, "choose settings on the validation images")
    context: int = technical(16, "learned vectors before the class name", ge=1, le=1024)
    init: str = technical(RANDOM, "random, or words whose embeddings the context begins as", min_length=1)
    lr: float = technical(2e-3, "learning rate of SGD", gt=0, le=1000)
    epochs: int | None = technical(None, "None for 50, 100 or 200 by shots", ge=1, le=100_000)

    @model_validator(mode="after")
    def _words_are_counted(self) -> Self:
        if self.init != RANDOM and "context" in self.model_fields_set:
            raise ValueError("`context` is how many tokens the words of `init` have; leave one of them out")
        return self


class TipAdapterOptions(MethodOptions):
    """Tip-Adapter; ``tuned`` searches alpha and beta on the validation images."""

    tuned: bool = technical(False, "choose settings on the validation images")
    alpha: float = technical(1.0, "weight of the cache", ge=0)
    beta: float = technical(5.5, "sharpness of the affinity", ge=0)
    texts: Texts = technical("hand-made", "templates of the text classifier")


class LinearProbeOptions(MethodOptions):
    """Logistic regression on image features."""

    c: float | None = technical(None, "inverse of the penalty; None to search on val", gt=0)

    @property
    def chooses_on_val(self) -> bool:
        return self.c is None


class CrossModalOptions(MethodOptions):
    """Cross-modal linear probe: one linear head that learns from images and texts."""

    steps: int = technical(12800, "steps of AdamW", ge=1, le=10_000_000)
    texts: Texts = technical("hand-made", "templates of the texts that it learns from")

    @property
    def chooses_on_val(self) -> bool:
        """True: it stops early, and picks one of several heads."""
        return True


@dataclass(frozen=True, slots=True)
class Reference:
    """A method with its options."""

    module: str  # module in this folder with its ``fit``
    options: type[MethodOptions]
    preset: Mapping[str, Any] = field(default_factory=dict)  # options that its name says


REFERENCES: Mapping[str, Reference] = MappingProxyType(
    {
        "coop": Reference("coop", CoopOptions),
        "coop-tuned": Reference("coop", CoopOptions, {"tuned": True}),
        "tip-adapter": Reference("tip_adapter", TipAdapterOptions),
        "tip-adapter-tuned": Reference("tip_adapter", TipAdapterOptions, {"tuned": True}),
        "linear-probe": Reference("linear_probe", LinearProbeOptions),
        "cross-modal": Reference("cross_modal", CrossModalOptions),
    }
)
"""The references by name; docs/baselines.md describes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WhiteBoxResult:
    """The result of a white-box reference."""

    name: str
    train: float
    val: float | None
    test: float | None  # None unless the split was asked for
    split: str
    # true classes, and one row of predictions for that split
    predictions: Predictions
    # JSON values: options as given, and what was chosen on val
    chosen: Mapping[str, Any]
    trained: int
    seconds: float
    images: int = 0  # labelled ones that it learned from
    # hashes as in ``EvaluatorInfo``, and of the images of the split by the split's name
    content: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the accuracies and their settings as JSON values, without the predictions."""
        return {
            "name": self.name,
            "train": self.train,
            "val": self.val,
            "test": self.test,
            "chosen": dict(self.chosen),
            "labelled_images": self.images,
            "trained_parameters": self.trained,
            "seconds": round(self.seconds, 3),
        }


def names_in(text: str) -> tuple[str, ...]:
    """Return the references of a comma-separated list, each once."""
    names = tuple(dict.fromkeys(filter(None, map(str.strip, text.split(",")))))
    if not names:
        raise ConfigError(f"no white-box reference is named; known are {', '.join(REFERENCES)}")
    for name in names:
        check_reference(name)
    return names


def check_reference(name: str, options: Mapping[str, Any] | None = None) -> MethodOptions:
    """Return the checked options of a reference, without running anything."""
    reference = REFERENCES.get(name)
    if reference is None:
        hint = near(name, REFERENCES) or f"; known are {', '.join(REFERENCES)}"
        raise ConfigError(f"there is no white-box reference {shown(name)}{hint}")
    try:
        return reference.options(**{**reference.preset, **(options or {})})
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error
