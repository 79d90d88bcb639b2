"""Data sets: read where they lie and in the form they have; few-shot samples by the published rule."""

from __future__ import annotations

from .describe import describe
from .image_checks import check_readable
from .loading import Known, known, load_data
from .values import FewShotData, Item, SealedTest, Splits

__all__ = [
    "FewShotData",
    "Item",
    "Known",
    "SealedTest",
    "Splits",
    "check_readable",
    "describe",
    "known",
    "load_data",
]
