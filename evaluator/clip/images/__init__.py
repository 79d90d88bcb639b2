"""Images to features, encoded once per model and image set and kept."""

from __future__ import annotations

from .image_encoder import Features, ImageEncoder

__all__ = ["Features", "ImageEncoder"]
