"""The world that the pico CLIPs are trained on: small pictures, and captions that say what they show.

`sample` draws a scene, `draw` its pixels and `caption` its words. One class name is drawn in quite different
ways, and many pictures hold two names in two roles, so that the words around a name decide what it means.
"""

from __future__ import annotations

from evaluator.pico.world.art import Art
from evaluator.pico.world.captions import caption
from evaluator.pico.world.sampling import compose, draw, sample, shown
from evaluator.pico.world.scene import Scene

__all__ = ["Art", "Scene", "caption", "compose", "draw", "sample", "shown"]
