"""What decides an image's class by its features: a vector for each class, and likeness to labelled images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np

    ClassVectors: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
    Features: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.floating[Any]]]


@dataclass(frozen=True, slots=True)
class Likeness:
    """What likeness to labelled images adds to an image's products with the class vectors.

    Attributes:
        keys: Features of the labelled images, of length 1: float32 [images, dimensions].
        values: What an image equal to one of them gains in each class: float32 [images, classes].
        sharpness: How fast likeness falls with distance.
    """

    keys: ClassVectors
    values: ClassVectors
    sharpness: float

    def added(self, features: Features) -> Features:
        """Return what is added for features of length 1: [n, dimensions] -> [n, classes]."""
        import numpy as np  # takes longer to import than everything that help pages need

        keys, values = self.keys.astype(features.dtype), self.values.astype(features.dtype)
        distances = np.maximum(1 - features @ keys.T, 0)
        gains: Features = np.exp(-self.sharpness * distances) @ values
        return gains


@dataclass(frozen=True, slots=True)
class Head:
    """An image belongs to the class whose vector has the largest product with its own, after what is added.

    Attributes:
        vectors: One for each class: float32 [classes, dimensions].
        likeness: None if the vectors alone decide.
    """

    vectors: ClassVectors
    likeness: Likeness | None = None
