"""What a run found, in the forms that other tools read."""

from __future__ import annotations

from .exporting import FORMATS, export

__all__ = ["FORMATS", "export"]
