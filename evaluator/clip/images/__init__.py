"""Images to features, encoded once per model and image set and kept."""

from __future__ import annotations

from .altered import RECIPE
from .image_encoder import Features, ImageEncoder

__all__ = ["RECIPE", "Features", "ImageEncoder"]
