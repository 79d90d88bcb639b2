"""What a run found, in the forms that other tools read: each form is a function, listed once in ``forms``."""

from __future__ import annotations

from .forms import FORMS
from .to_file import export, which

__all__ = ["FORMS", "export", "which"]
