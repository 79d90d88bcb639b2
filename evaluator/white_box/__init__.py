"""References that see inside the model: what a search without weights, features and logits is held against.

Nothing here imports torch until one is run.
"""

from __future__ import annotations

from .first_look import Planned, check_model, check_planned
from .references import REFERENCES, Reference, WhiteBoxResult, check_reference, names_in
from .running import run, run_all

__all__ = [
    "REFERENCES",
    "Planned",
    "Reference",
    "WhiteBoxResult",
    "check_model",
    "check_planned",
    "check_reference",
    "names_in",
    "run",
    "run_all",
]
