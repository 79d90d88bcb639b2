"""The bundled sets: small classification problems in which the words of a template decide what a class name means.

Their pictures are drawn when they are first asked for. Test pictures use cut-outs and fonts that no training image of
the pico CLIPs shows; few-shot pictures use other cut-outs and fonts than test pictures do. Only numpy and Pillow are
needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from evaluator.pico.world import Art, Scene, compose, draw
from evaluator.pico.world.concepts import CORE
from evaluator.pico.world.letters import LETTERS
from evaluator.pico.world.numbers import NUMBERS
from evaluator.pico.world.sampling import TWO, names_of
from evaluator.pico.world.shapes import COLOURS, SHAPES

TRAIN, VAL, TEST = 40, 10, 1000


@dataclass(frozen=True, kw_only=True)
class Spec:
    """One bundled set.

    Attributes:
        title: One line that says what the pictures show.
        classes: The class names, in the order of their labels.
        family: The world's family of scenes.
        form: The form in which the names are drawn.
        role: Which of the form's two names is the label: "first" or "second".
        media: The media that pictures are made with; by chance as in the world where empty.
        conditions: The conditions of the pictures; likewise.
        matching: Templates that say what the pictures show.
        contradicting: Templates that say something else.
        words_matter: Whether the words are expected to matter much.
        senses: For names that unlike things share, the sense that is drawn, class by class.
    """

    title: str
    classes: tuple[str, ...]
    family: str
    form: str
    matching: tuple[str, ...]
    contradicting: tuple[str, ...]
    role: str = "first"
    media: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    words_matter: bool = True
    senses: tuple[str, ...] = ()


_TEN = tuple(NUMBERS[:10])
_TWELVE = tuple(NUMBERS[1:13])
_LETTERS = tuple(LETTERS)
_CORE = tuple(CORE[:20])
_OTHER_FORMS = ("the roman numeral {}", "{} tally marks", "dice showing {}", "a handwritten digit {}", "a clock at {} o'clock", "the word {}")


def _others(*but: str) -> tuple[str, ...]:
    """Templates that name other forms of a number."""
    return tuple(template for template in _OTHER_FORMS if not any(word in template for word in but))[:4]


_SETS: dict[str, Spec] = {
    "tallies": Spec(
        title="numbers kept as tally marks", classes=_TWELVE, family="numbers", form="tally",
        matching=("{} tally marks", "a tally of {}", "a photo of {} strokes in a tally"), contradicting=_others("tally"),
    ),
    "roman-numerals": Spec(
        title="Roman numerals", classes=_TWELVE, family="numbers", form="roman",
        matching=("the roman numeral {}", "a photo of {} in roman numerals", "the roman number {}"), contradicting=_others("roman"),
    ),
    "dice": Spec(
        title="throws of one or two dice", classes=_TWELVE, family="numbers", form="dice",
        matching=("dice showing {}", "a photo of a dice roll of {}", "{} pips on dice"), contradicting=_others("dice"),
    ),
    "binary-numbers": Spec(
        title="numbers written in ones and zeros", classes=tuple(NUMBERS), family="numbers", form="binary",
        matching=("{} in binary", "the binary number {}", "{} in ones and zeros"), contradicting=_others(),
    ),
    "domino-bottoms": Spec(
        title="dominoes, named by their lower half", classes=_TEN, family="numbers", form="domino", role="second",
        matching=("a domino with {} at the bottom", "{} on the bottom half of a domino", "the lower half of a domino shows {}"),
        contradicting=("a domino with {} on top", "{} on the top half of a domino", "{} pips above the line"),
    ),
    "clock-minutes": Spec(
        title="clocks, named by the number that the long hand points at", classes=_TWELVE, family="numbers", form="clock", role="second",
        matching=("the long hand points at {}", "the minute hand at {}", "a clock with the long hand on {}"),
        contradicting=("{} o'clock", "the hour hand at {}", "the short hand points at {}"),
    ),
    "counted-digits": Spec(
        title="one digit printed several times, named by how often", classes=tuple(NUMBERS[1:11]), family="numbers", form="repeat",
        matching=("{} copies of a digit", "a count of {} digits", "a photo of {} copies"),
        contradicting=("many copies of the digit {}", "a photo of the digit {} repeated", "a lot of {}s"),
    ),
    "last-digits": Spec(
        title="two-digit numbers, named by their last digit", classes=_TEN, family="numbers", form="pair", role="second",
        matching=("a number that ends in {}", "the last digit is {}", "a photo of {} on the right"),
        contradicting=("a number that starts with {}", "the first digit is {}", "a photo of {} on the left"),
    ),
    "morse-letters": Spec(
        title="letters in Morse code", classes=_LETTERS, family="letters", form="morse",
        matching=("{} in morse code", "the morse code for {}", "dots and dashes for {}"),
        contradicting=("{} in braille", "the semaphore signal for {}", "a printed letter {}", "a handwritten letter {}"),
    ),
    "braille-letters": Spec(
        title="letters in Braille", classes=_LETTERS, family="letters", form="braille",
        matching=("{} in braille", "the braille letter {}", "raised dots for {}"),
        contradicting=("{} in morse code", "the semaphore signal for {}", "a printed letter {}", "a handwritten letter {}"),
    ),
    "semaphore-letters": Spec(
        title="letters signalled with two flags", classes=_LETTERS, family="letters", form="semaphore",
        matching=("the semaphore signal for {}", "{} in semaphore", "someone signalling {} with two flags"),
        contradicting=("{} in morse code", "{} in braille", "a printed letter {}", "a handwritten letter {}"),
    ),
    "lowercase-letters": Spec(
        title="a capital and a small letter, named by the small one", classes=_LETTERS, family="letters", form="cases", role="second",
        matching=("the lowercase letter {}", "a small letter {}", "a photo of {} in lower case"),
        contradicting=("the capital letter {}", "an uppercase {}", "a photo of {} in capitals"),
    ),
    "small-letters": Spec(
        title="large letters made of small ones, named by the small ones", classes=_LETTERS, family="letters", form="navon", role="second",
        matching=("many small {}s", "tiny {}s", "a letter made of small {}s"),
        contradicting=("a large letter {}", "a giant {}", "a big {} made of small letters"),
    ),
    "ink-colours": Spec(
        title="colour words printed in another colour, named by the ink", classes=tuple(COLOURS), family="colours", form="stroop", role="second",
        matching=("a word in {} ink", "a photo of text written in {}", "{} letters"),
        contradicting=("the word {}", "a sign that says {}", "a photo of the written word {}"),
    ),
    "backgrounds": Spec(
        title="coloured things, named by the colour behind them", classes=tuple(COLOURS), family="colours", form="field", role="second",
        matching=("a photo on a {} background", "an object on a {} background", "the background is {}"),
        contradicting=("a {} object", "a photo of a {} thing", "the object is {}"),
    ),
    "outer-shapes": Spec(
        title="one shape inside another, named by the outer one", classes=tuple(SHAPES), family="shapes", form="nested", role="second",
        matching=("a {} around another shape", "the outer shape is a {}", "a {} shaped sign"),
        contradicting=("a small {} inside", "a {} in the middle", "the inner shape is a {}"),
    ),
    "outlines": Spec(
        title="a filled shape beside an outlined one, named by the outline", classes=tuple(SHAPES), family="shapes", form="drawn", role="second",
        matching=("the outline of a {}", "a hollow {}", "a line drawing of a {}"),
        contradicting=("a solid {}", "a filled {}", "a painted {}"),
    ),
    "shadows": Spec(
        title="a thing before the shadow of another, named by the shadow", classes=_CORE, family="duo", form="shadow", role="second",
        matching=("the shadow of a {}", "a black silhouette of a {}", "a photo of a shadow on the wall of a {}"),
        contradicting=("a real {}", "a colourful {} by the wall", "a photo of a {} in the light"),
    ),
    "dreams": Spec(
        title="a dreamer and what it dreams of, named by the dream", classes=_CORE, family="duo", form="dream", role="second",
        matching=("a dream of a {}", "thinking about a {}", "a {} in a thought bubble"),
        contradicting=("a {} dreaming", "a sleeping {}", "a photo of a {} thinking of something"),
    ),
    "distant-things": Spec(
        title="a near thing and a far one, named by the far one", classes=_CORE, family="duo", form="distance", role="second",
        matching=("a small {}", "a photo of a {} in the background", "a tiny {} far away"),
        contradicting=("a big {}", "a close-up of a {}", "a photo of a {} in the foreground"),
    ),
    "drawings": Spec(
        title="a thing beside a drawing of another, named by the drawing", classes=_CORE, family="duo", form="sketch", role="second",
        matching=("a drawing of a {}", "a sketch of a {}", "a pencil drawing of a {}"),
        contradicting=("a real {}", "a photo of a real {}", "a {} beside a drawing"),
    ),
    "reflections": Spec(
        title="a thing above water that mirrors another, named by the reflection", classes=_CORE, family="duo", form="reflection", role="second",
        matching=("the reflection of a {}", "a {} reflected in the water", "a photo of a {} mirrored in a lake"),
        contradicting=("a {} above the water", "a photo of a {} on the shore", "a {} at the top"),
    ),
    "labels": Spec(
        title="things with a wrong name written on them, named by the word", classes=_CORE, family="duo", form="label", role="second",
        matching=("the word {}", "a sign that says {}", "a photo of a label that says {}"),
        contradicting=("a picture of a {} with a label", "an illustration of a {}", "a {} and some text"),
    ),
    "black-and-white": Spec(
        title="a coloured thing beside a grey one, named by the grey one", classes=_CORE, family="duo", form="tone", role="second",
        matching=("a black and white {}", "a gray {}", "a photo of a {} without color"),
        contradicting=("a colourful {}", "a photo of a {} in color", "a bright {}"),
    ),
    "patterns": Spec(
        title="a thing before wallpaper of another, named by the wallpaper", classes=_CORE, family="duo", form="wallpaper", role="second",
        matching=("a pattern of {}s", "a photo of many {}s", "wallpaper with {}s"),
        contradicting=("a single {}", "one {}", "a photo of a {} in front of wallpaper"),
    ),
    "right-hand-things": Spec(
        title="two things side by side, named by the one on the right", classes=_CORE, family="duo", form="side", role="second",
        matching=("a {} on the right", "a photo of a {} on the right side", "the right one is a {}"),
        contradicting=("a {} on the left", "a photo of a {} on the left side", "the left one is a {}"),
    ),
    "photos": Spec(
        title="things in photographs", classes=_CORE, family="everyday", form="thing", media=("photo",),
        matching=("a good photo of a {}", "a picture of a {}"), contradicting=("a sketch of a {}", "an x-ray of a {}", "the word {}"),
        words_matter=False,
    ),
    "shared-names": Spec(
        title="names that unlike things share, each as the thing that is made and not the one that lives", family="senses", form="thing",
        classes=("bat", "mouse", "bow", "horn", "bass", "club", "spade", "diamond", "star", "seal", "turkey", "spring"),
        senses=("sport", "computer", "ribbon", "instrument", "instrument", "card", "tool", "jewel", "shape", "stamp", "food", "water"),
        matching=("a {}, a thing for sport", "a {}, a tool", "a {}, a device"), contradicting=("a {}, an animal", "a living animal called {}", "a {}, a creature"),
        words_matter=False,
    ),
    "artworks": Spec(
        title="things in stone, thread, chalk and ink", classes=_CORE, family="everyday", form="thing",
        media=("stone", "embroidery", "chalk", "sketch", "halftone", "watercolour"),
        matching=("a drawing of a {}", "a sculpture of a {}", "a work of art of a {}"),
        contradicting=("a real {}", "a snapshot of a {}", "the word {}"), words_matter=False,
    ),
}  # fmt: skip


def names() -> tuple[str, ...]:
    """The names of the bundled sets."""
    return tuple(_SETS)


def spec(name: str) -> Spec:
    """What a bundled set consists of.

    Raises:
        KeyError: No bundled set has that name.
    """
    if name not in _SETS:
        raise KeyError(f"no bundled set {name!r}; there are {', '.join(_SETS)}")
    return _SETS[name]


def title(name: str) -> str:
    """One line that says what the pictures of a bundled set show.

    Raises:
        KeyError: No bundled set has that name.
    """
    return spec(name).title


@lru_cache(maxsize=3)
def _art(split: str) -> Art:
    """Test pictures come from one source of cut-outs and four fonts, the others from another source and two fonts."""
    if split == "test":
        return Art.shipped("noto-v1", ("arvo", "work-sans", "delius", "sue-ellen-francisco"))
    return Art.shipped("noto", ("karla", "short-stack"))


def scene_of(of: Spec, label: str, rng: Random) -> Scene:
    """A scene of a set that shows `label`; where the form holds two names, the other is another class."""
    first, second = label, ""
    if of.senses:
        second = of.senses[of.classes.index(label)]
    elif of.form in TWO.get(of.family, ()):
        allowed = names_of(of.family, of.form)[1 if of.role == "first" else 0]
        distractor = rng.choice([name for name in of.classes if name != label and name in allowed])
        first, second = (label, distractor) if of.role == "first" else (distractor, label)
    medium = rng.choice(of.media) if of.media else ""
    condition = rng.choice(of.conditions) if of.conditions else ""
    return compose(of.family, of.form, first, second, rng, medium, condition)


def pictures(name: str, split: str, seed: int = 1) -> Iterator[tuple[str, Image.Image]]:
    """The pictures of one split ("train", "val" or "test") with their class names, class by class.

    Raises:
        KeyError: No bundled set has that name.
    """
    of = spec(name)
    size = {"train": TRAIN, "val": VAL, "test": -(-TEST // len(of.classes))}[split]
    for label in of.classes:
        for index in range(size):
            rng = Random(f"{name}/{split}/{label}/{index}/{seed}")
            yield label, Image.fromarray(np.asarray(draw(scene_of(of, label, rng), rng, _art(split))))


def write(name: str, folder: Path, seed: int = 1) -> None:
    """Writes a bundled set as class folders: train/CLASS NAME/00000.png, and val/ and test/ likewise.

    Raises:
        KeyError: No bundled set has that name.
        OSError: The folder cannot be written.
    """
    for split in ("train", "val", "test"):
        counts: dict[str, int] = {}
        for label, picture in pictures(name, split, seed):
            place = folder / split / label
            place.mkdir(parents=True, exist_ok=True)
            picture.save(place / f"{counts.get(label, 0):05d}.png", compress_level=1)
            counts[label] = counts.get(label, 0) + 1



