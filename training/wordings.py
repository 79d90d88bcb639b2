"""The templates that the bundled models are measured with: one list for all sets, and each set's own."""

from __future__ import annotations

from typing import NamedTuple

from . import sets

PLAIN = "a photo of a {}"

NEUTRAL = (
    PLAIN,
    "{}",
    "a {}",
    "the {}",
    "this is a {}",
    "there is a {}",
    "a photo of the {}",
    "a photo showing {}",
    "an image of a {}",
    "a picture of a {}",
    "a picture showing the {}",
    "itap of a {}",
    "itap of my {}",
    "a scene with a {}",
    "a {} somewhere",
    "a nice {}",
)
"""Templates that say that something is shown, and nothing of how."""

MEDIA = (
    "a sketch of a {}",
    "a doodle of a {}",
    "a pencil drawing of a {}",
    "a drawing of the {}",
    "a {} drawn with chalk",
    "a painting of a {}",
    "an oil painting of a {}",
    "a watercolour of a {}",
    "a cartoon {}",
    "clip art of a {}",
    "an illustration of a {}",
    "pixel art of a {}",
    "a {} in a video game",
    "a neon {}",
    "a {} carved in stone",
    "a sculpture of a {}",
    "an embroidered {}",
    "the {} sprayed on a wall",
    "graffiti of a {}",
    "a blueprint of a {}",
    "a printed {}",
    "a {} in a newspaper",
    "a black and white photo of a {}",
    "a grayscale picture of a {}",
    "a sepia photo of a {}",
    "an x-ray of a {}",
    "a {} seen by its heat",
    "the silhouette of a {}",
    "an origami {}",
    "a toy {}",
    "a rendering of a {}",
    "a tattoo of a {}",
)
"""Templates that name what the picture is made with."""

VIEWS = (
    "a bad photo of a {}",
    "a good photo of the {}",
    "a blurry photo of a {}",
    "a dark photo of the {}",
    "a bright photo of a {}",
    "a low resolution photo of a {}",
    "a pixelated photo of the {}",
    "a close-up of a {}",
    "a cropped photo of the {}",
    "a photo of a small {}",
    "a photo of the large {}",
    "a tiny {}",
    "a big {}",
    "a {} in the snow",
    "a {} in the rain",
    "a foggy picture of a {}",
    "a {} under water",
    "a {} behind bars",
    "a photo of a {} among other things",
    "a photo of a hard to see {}",
    "an upside down {}",
    "a rotated {}",
    "a mirrored {}",
    "a {} on a wooden table",
    "a {} on a white background",
    "a {} outdoors",
)
"""Templates that name the view, the light, the weather or the place."""

ROLES = (
    "a {} on the left",
    "a {} on the right",
    "a {} at the top",
    "a {} at the bottom",
    "a {} in front",
    "a {} in the background",
    "the shadow of a {}",
    "the reflection of a {}",
    "one {}",
    "many {}s",
    "a pattern of {}s",
    "the word {}",
    "a sign that says {}",
    "the letter {}",
    "the number {}",
    "a handwritten {}",
    "a {} made of dots",
    "a code for {}",
    "the colour {}",
    "the shape of a {}",
    "a {}, a kind of animal",
    "a {}, a tool",
    "a real {}",
)
"""Templates that say which of several things is meant."""

TEMPLATES = (*NEUTRAL, *MEDIA, *VIEWS, *ROLES)


class Wording(NamedTuple):
    """The templates of one set whose words fit its pictures, and those whose words say what they are not."""

    matching: tuple[str, ...]
    contradicting: tuple[str, ...]


_DIGITS = Wording(
    ("a handwritten {}", "a scan of the handwritten digit {}", "a low resolution scan of {}"),
    ("the roman numeral {}", "{} tally marks", "dice showing {}", "a clock at {} o'clock", "the word {}"),
)


def wording_of(name: str) -> Wording:
    """Return the words of a bundled set, or of the scanned digits.

    Raises:
        KeyError: No set has that name.
    """
    if name == "digits":
        return _DIGITS
    spec = sets.spec(name)
    return Wording(spec.matching, spec.contradicting)
