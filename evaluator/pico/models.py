"""List the bundled models. Imports nothing heavy, as the help needs it too."""

from __future__ import annotations

from pathlib import Path

DRAWN_MODELS = ("RN-pico", "ViT-pico")
"""Those trained on drawn images and captions of a grammar."""
TAGS_MODEL = "Tags-pico"
"""The one trained on the texts that came with its pictures."""
CAPTIONS_MODEL = "Captions-pico"
"""The same with half of the captions in general templates."""
NAMES = (*DRAWN_MODELS, TAGS_MODEL, CAPTIONS_MODEL)
ROOM = Path(__file__).resolve().parent
CHECKPOINTS = ROOM / "checkpoints"
TOY_MODEL = "toy_model"
"""Name of the note that a bundled model scored other images than the bundled ones."""
REAL_MODEL, REAL_WEIGHTS = "ViT-B-32", "laion2b_s34b_b79k"
"""A real model to recommend and its pretrained weights; 605 MB are downloaded once."""


def toy_model_note(name: str) -> str:
    """Return the note, with a model to use instead and how to get it."""
    return (
        f"{name} is a bundled toy model, trained on small drawings: its figures say nothing of a real one. "
        f"For your images use {REAL_MODEL} with the pretrained weights {REAL_WEIGHTS} (605 MB, once)"
    )


def bundled_models() -> list[dict[str, str]]:
    """Return name, pretrained tag, weights file and open_clip config file of each bundled model.

    open_clip alone can load them: ``add_model_config(config)``, then
    ``create_model_and_transforms(name, pretrained=file)`` and ``get_tokenizer(name)``.
    """
    return [
        {
            "name": name,
            "pretrained": "pico",
            "file": str(CHECKPOINTS / f"{name}.safetensors"),
            "config": str(CHECKPOINTS / f"{name}.json"),
        }
        for name in NAMES
    ]
