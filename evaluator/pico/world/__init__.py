"""The world that the pico CLIPs are trained on: small pictures, and captions that say what they show.

``sample`` draws a scene, ``draw`` its pixels and ``caption`` its words. One class name is drawn in many
ways, and many pictures hold two names in two roles, so that the words around a name decide what it means.
"""

from __future__ import annotations

from .art import Art
from .odds import compose, sample, shown
from .rendering import draw
from .scene import Scene
from .sentences import caption

__all__ = ["Art", "Scene", "caption", "compose", "draw", "sample", "shown"]
