"""A text tower trained from nothing for an image tower that is finished and stays as it is.

"LiT" (Zhai et al. 2022, arXiv 2111.07991) calls it locked-image tuning. As the image tower does not move, its
features are taken once, and a step costs a fifth of one that trains both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor

from .batches import shifted
from .loop import Trainer, contrastive
from .model import encode_image, encode_text, fast

log = structlog.get_logger()

VIEWS = 3  # how often each picture is seen, each time moved by other few pixels
_AT_ONCE = 512


def image_tower(path: Path) -> dict[str, Tensor]:
    """Return the weights of the image tower in a file of a whole CLIP, in fp32 and without their prefix.

    Raises:
        ValueError: The file holds none.
    """
    with safe_open(path, "pt") as file:
        names = [name for name in file.keys() if name.startswith("visual.")]  # noqa: SIM118 (no mapping)
        if not names:
            raise ValueError(f"{path} holds no image tower of an open_clip model")
        return {name.removeprefix("visual."): file.get_tensor(name).float() for name in names}


def digest_of(tower: Mapping[str, Tensor]) -> str:
    """Return a short name for these weights; other weights have another."""
    whole = hashlib.sha256()
    for name, weights in sorted(tower.items()):
        whole.update(name.encode())
        whole.update(weights.contiguous().numpy().tobytes())
    return whole.hexdigest()[:12]


class TextTrainer(Trainer):
    """Trains the text tower alone, for the recipe's image tower; see ``Trainer`` for what is given and kept.

    It uses neither teacher nor patch dropout. The features of all pictures are kept in its folder too.

    Raises:
        ValueError: The image tower is another model's, or the state in ``folder`` is of another one.
    """

    def _resume(self) -> None:
        """Take up a state that is there, and lock the image tower in any case."""
        super()._resume()
        tower = self.recipe.image_tower
        if tower is None:
            raise ValueError("a text tower is trained for an image tower, and the recipe names none")
        locked = image_tower(tower)
        for model in (self.model, self.average):
            if self.step and any(not torch.equal(v, locked[k]) for k, v in model.visual.state_dict().items()):
                raise ValueError(
                    f"{self.folder} was trained for another image tower; remove it, or give another --out"
                )
            try:
                model.visual.load_state_dict(locked)
            except RuntimeError:
                raise ValueError(f"the image tower of {tower} is not one of {self.recipe.name}") from None
        self.model.visual.requires_grad_(False)
        self._features = self._looked_at_once(digest_of(locked))

    def _looked_at_once(self, digest: str) -> NDArray[np.float16]:
        """Return the features of all pictures, [views, pictures, width]; they are kept for a resume.

        The file is named by what they were made with: a folder whose state was removed, to begin anew with
        another image tower, must not lend it the features of the first.
        """
        path = self.folder / f"features-{digest}-{len(self.pictures)}-{self.recipe.seed}.npy"
        if not path.exists():
            width = self.model.visual.output_dim
            features = np.empty((VIEWS, len(self.pictures), width), dtype=np.float16)
            for view in range(VIEWS):
                for first in range(0, len(self.pictures), _AT_ONCE):
                    indices = np.arange(first, min(first + _AT_ONCE, len(self.pictures)))
                    moves = np.random.default_rng((self.recipe.seed, view, first))
                    pixels = torch.from_numpy(shifted(self.pictures.pixels(indices), moves))
                    with torch.inference_mode(), fast(learning=False):
                        features[view, indices] = encode_image(self.average, pixels).numpy()
                log.info("pictures.encoded", view=view + 1, of=VIEWS)
            partial = path.with_suffix(".partial")
            with partial.open("wb") as file:
                np.save(file, features)
            partial.replace(path)
        features_on_disk: NDArray[np.float16] = np.load(path)
        return features_on_disk

    def _seen(self, indices: NDArray[np.int64], order: np.random.Generator) -> Tensor:
        views = order.integers(0, VIEWS, len(indices))
        return torch.from_numpy(self._features[views, indices]).float()

    def _loss(self, pixels: Tensor, tokens: Tensor, text_of: Tensor) -> Tensor:
        texts = encode_text(self.model, tokens)
        return contrastive(self.model.logit_scale.exp() * pixels @ texts.T, text_of)
