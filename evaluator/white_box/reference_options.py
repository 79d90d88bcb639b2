"""What can be said to each white-box method; the defaults are what its authors published."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from ..settings import Settings, technical

RANDOM = "random"
"""``init`` of a context that starts from noise and not from words."""
Texts = Literal["hand-made", "plain"]


class MethodOptions(Settings):
    """Options of one method; every one decides its result.

    Raises:
        ConfigError: A name or a value is wrong.
    """

    @property
    def chooses_on_val(self) -> bool:
        """Whether something is chosen on validation images, so that there have to be some."""
        return False


class CoopOptions(MethodOptions):
    """CoOp; with ``tuned``, the best on the validation images of a grid over lr, context, init and epochs."""

    context: int = technical(16, "learned vectors before the class name", ge=1, le=1024)
    class_specific: bool = technical(False, "learn a context for each class")
    init: str = technical(RANDOM, "random, or words whose embeddings the context begins as", min_length=1)
    lr: float = technical(2e-3, "learning rate of SGD", gt=0, le=1000)
    epochs: int | None = technical(None, "None for 50, 100 or 200 by shots", ge=1, le=100_000)
    tuned: bool = technical(False, "choose lr, context, init and epochs on the validation images")

    @property
    def chooses_on_val(self) -> bool:
        """True where it is tuned."""
        return self.tuned

    @model_validator(mode="after")
    def _words_are_counted(self) -> Self:
        if self.init != RANDOM and "context" in self.model_fields_set:
            raise ValueError("{context} is how many tokens the words of {init} have; leave one of them out")
        return self


class TipAdapterOptions(MethodOptions):
    """Tip-Adapter; with ``tuned``, alpha and beta are searched on the validation images."""

    alpha: float = technical(1.0, "weight of the cache", ge=0)
    beta: float = technical(5.5, "sharpness of the affinity", ge=0)
    tuned: bool = technical(False, "search alpha and beta on the validation images")
    texts: Texts = technical("hand-made", "templates of the text classifier")

    @property
    def chooses_on_val(self) -> bool:
        """True where it is tuned."""
        return self.tuned


class LinearProbeOptions(MethodOptions):
    """Logistic regression on image features."""

    c: float | None = technical(None, "inverse of the penalty; None to search on val", gt=0)

    @property
    def chooses_on_val(self) -> bool:
        """True where C is searched."""
        return self.c is None


class CrossModalOptions(MethodOptions):
    """Cross-modal linear probe: one linear head that learns from images and from texts."""

    iterations: int = technical(12800, "steps of AdamW", ge=1, le=10_000_000)
    texts: Texts = technical("hand-made", "templates of the texts that it learns from")

    @property
    def chooses_on_val(self) -> bool:
        """It stops early, and picks one of several heads."""
        return True
