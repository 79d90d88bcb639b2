"""List the bundled models. Imports nothing heavy, as the help needs it too."""

from __future__ import annotations

from pathlib import Path

NAMES = ("RN-pico", "ViT-pico")
ROOM = Path(__file__).resolve().parent
CHECKPOINTS = ROOM / "checkpoints"


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
