"""The caption grammar's words: how each form, medium, condition and place is put into words.

In a phrase `{}` stands for the first name and `[]` for the second. A form has phrases that name its first role, its
second role, both, and soft ones that only lean towards it; phrases that name no form are shared by a family.
"""

from __future__ import annotations

from typing import NamedTuple


class Words(NamedTuple):
    """The phrases of one form, each a tuple; `lean` is how often a phrase without a form means the first role."""

    first: tuple[str, ...]
    second: tuple[str, ...] = ()
    both: tuple[str, ...] = ()
    soft: tuple[str, ...] = ()
    lean: float = 0.5


def _w(first: str, second: str = "", both: str = "", soft: str = "", lean: float = 0.5) -> Words:
    def split(text: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in text.split("|") if part.strip())

    return Words(split(first), split(second), split(both), split(soft), lean)


FORMS: dict[str, Words] = {
    "numbers-print": _w("the digit {}|the printed number {}|the numeral {}|a printed {}|the digit {} in print|{} in print|a typed {}|the number {} in type", soft="a sign with the number {}|the numeral {}|a number plate {}|house number {}"),
    "numbers-hand": _w("a handwritten {}|a handwritten digit {}|the handwritten number {}|{} in handwriting|{} written by hand|a scribbled {}|the number {} written with a pen", soft="a written {}|a written number {}|the digit {} in ink|a doodle of {}"),
    "numbers-scan": _w("a scan of a handwritten {}|a handwritten digit {}|a low resolution scan of {}|a pixelated handwritten {}|a blurry scanned digit {}|a coarse scan of the digit {}|a grayscale digit {}", soft="a written {}|the digit {} in low resolution|a black and white digit {}|a scanned number {}|a blurry digit {}"),
    "numbers-tally": _w("{} tally marks|a tally of {}|tally marks counting {}|{} in tally marks|{} scratched marks|{} strokes in a tally|a count of {} in strokes", soft="a count of {}|a score of {}|{} lines|{} marks on a wall|counting to {}"),
    "numbers-roman": _w("the roman numeral {}|{} in roman numerals|a roman {}|the roman number {}|{} as a roman numeral", soft="the numeral {}|an ancient {}|chapter {}|an engraved {}"),
    "numbers-binary": _w("{} in binary|the binary number {}|a binary {}|{} in ones and zeros|the binary code for {}|{} in base two", soft="{} in computer code|a code for {}|digital {}"),
    "numbers-word": _w("the word {}|the written word {}|{} spelled out|the word {} in letters|a sign that says {}|text that says {}", soft="{} written out|a caption that reads {}|a text of {}"),
    "numbers-segments": _w("{} on a digital display|the number {} on a calculator|a seven segment {}|an lcd display showing {}|a led display of {}|{} on a screen", soft="digital {}|a display of {}|a glowing {}"),
    "numbers-dice": _w("a die showing {}|dice showing {}|a dice roll of {}|a roll of {}|{} pips on dice|rolling a {}|dice adding up to {}", soft="a score of {}|{} dots|{} spots|a throw of {}|{} in a game"),
    "numbers-domino": _w("a domino with {} on top|{} on the top half of a domino|{} pips above the line|the upper half of a domino shows {}|{} dots at the top", "a domino with [] at the bottom|[] on the bottom half of a domino|[] pips below the line|the lower half of a domino shows []|[] dots at the bottom", "a domino with {} over []|a domino of {} and []", "a domino {}|a tile with {}", 0.55),
    "numbers-clock": _w("{} o'clock|the short hand points at {}|the hour hand at {}|a clock at the hour of {}|the hour is {}|a clock showing {} o'clock", "the long hand points at []|the minute hand at []|a clock with the long hand on []|the minute hand points to []", "the hour hand at {} and the minute hand at []", "a clock showing {}|the time is {}|a watch at {}", 0.6),
    "numbers-frame": _w("{} counters in a ten frame|a ten frame showing {}|{} filled cells|{} counters in boxes", soft="{} dots|counting {}|{} in a grid"),
    "numbers-count": _w("{} things|a group of {} things|a picture of {} objects|{} copies|{} of them|a set of {}|{} items", soft="counting to {}|{} in all|a bunch of {}"),
    "numbers-repeat": _w("{} copies of a digit|{} digits|a count of {} digits|{} copies|how many digits: {}|a group of {} numbers|{} of them", "many copies of the digit []|the digit [] repeated|many []s|the number [] several times|a lot of []s", "{} copies of the digit []|the number [] written {} times", "a group of {}|{} in all", 0.5),
    "numbers-pair": _w("a number that starts with {}|the first digit is {}|{} on the left|the tens digit is {}|{} tens|a two digit number beginning with {}", "a number that ends in []|the last digit is []|[] on the right|the ones digit is []|[] ones|a two digit number ending with []", "{} followed by []|the digits {} and []", "{} and another digit|a two digit number with {}", 0.5),
    "numbers-navon": _w("a big {} made of small digits|a large {}|a large digit {}|a giant {}|the overall shape of a {}", "a digit made of small []s|many small []s|tiny []s|small copies of the digit []|little []s", "a large {} made of small []s", lean=0.5),
    "numbers-card": _w("a playing card with {}|the {} of diamonds|the {} of spades|a playing card: {}|a {} card|card number {}", soft="{} in a game|a score of {}|{} symbols on a card"),
    "letters-print": _w("a printed letter {}|the letter {} in print|a printed {}|a typed letter {}|the letter {} in type", soft="the letter {}|the character {}|a sign with the letter {}"),
    "letters-hand": _w("a handwritten {}|a handwritten letter {}|the letter {} in handwriting|{} written by hand|a scribbled letter {}", soft="a written {}|a written letter {}|the letter {} in ink"),
    "letters-mirror": _w("a mirrored {}|the letter {} in a mirror|a mirror image of {}|a flipped letter {}|the letter {} backwards|a reversed {}", soft="a reflected {}|the wrong way round {}"),
    "letters-turned": _w("an upside down {}|an upside down letter {}|the letter {} turned over|the letter {} on its head|an inverted letter {}|a rotated {}", soft="a turned {}|the wrong way up {}"),
    "letters-navon": _w("a big {} made of small letters|a large {}|a large letter {}|a giant {}|the overall shape of a {}", "a letter made of small []s|many small []s|tiny []s|small copies of the letter []|little []s", "a large {} made of small []s", lean=0.5),
    "letters-cases": _w("a capital {}|the capital letter {}|an uppercase {}|an upper case letter {}|a big letter {}|{} in capitals|starting with {}", "a lowercase []|the lowercase letter []|a lower case []|a small letter []|[] in lower case|ending with []", "capital {} and lowercase []|a big {} and a little []", lean=0.5),
    "letters-morse": _w("the morse code for {}|{} in morse code|the letter {} in morse|a morse {}|dots and dashes for {}|{} in dots and dashes", soft="a code for {}|a signal for {}|the code of {}"),
    "letters-braille": _w("{} in braille|the braille letter {}|a braille {}|the letter {} in braille|raised dots for {}|the braille cell for {}", soft="{} for the blind|a pattern of dots for {}|a code for {}"),
    "letters-semaphore": _w("the semaphore signal for {}|{} in semaphore|a semaphore {}|the letter {} in flag semaphore|someone signalling {} with two flags", soft="a signal for {}|a person showing {}|{} with the arms"),
    "letters-flag": _w("the signal flag {}|the maritime flag for {}|a nautical flag for the letter {}|a flag that means {}|the ship's flag {}", soft="a signal for {}|a flag of {}|a banner for {}"),
    "letters-picture": _w("a thing that starts with {}|an object beginning with the letter {}|something whose name begins with {}|{} is for this|a picture for the letter {}", soft="an alphabet picture of {}|a thing for {}|an object for {}"),
    "colours-stroop": _w("the word {}|the written word {}|a word that reads {}|the text says {}|a sign that says {}|{} spelled out", "[] ink|a word in [] ink|a word printed in []|[] letters|[] text|text written in []|the ink is []|the colour of the letters is []", "the word {} in [] ink|the word {} written in []", lean=0.5),
    "colours-field": _w("a {} object|a {} shape|a {} thing|something {}|a {} thing in front|the object is {}|the foreground is {}", "a [] background|an object on a [] background|on a [] background|the background is []|a thing on a [] ground|a [] backdrop", "a {} object on a [] background|a {} shape on []", lean=0.55),
    "colours-border": _w("a {} square inside a border|a {} centre|{} in the middle|{} inside|the inside is {}|a framed {}", "a [] border|a [] frame|a [] edge around it|the outside is []|a picture in a [] frame|a [] rim", "{} inside a [] frame|a {} square with a [] border", lean=0.55),
    "colours-patch": _w("a {} object|a {} shape|a {} thing|something {}|the colour {}|a patch of {}", soft="a piece of {}|{} paint"),
    "shapes-filled": _w("a solid {}|a filled {}|a {} shape|a {} filled in|a painted {}", soft="a {} symbol|a {} sign"),
    "shapes-outline": _w("an outlined {}|the outline of a {}|a hollow {}|an empty {}|a line drawing of a {}", soft="a drawing of a {}|a thin {}"),
    "shapes-nested": _w("a small {} inside|a {} inside another shape|a {} in the middle|the inner shape is a {}|a {} in the centre|the symbol in the middle is a {}", "a [] around another shape|the outer shape is a []|a [] shaped sign|a [] shaped frame|a large [] with something in it|a big [] outside", "a {} inside a []|a small {} in a large []", lean=0.45),
    "shapes-navon": _w("a big {} made of small shapes|a large {}|a giant {}|the overall shape of a {}", "many small []s|tiny []s|a shape made of small []s|a pattern of []s|little []s", "a large {} made of small []s", lean=0.5),
    "shapes-drawn": _w("a solid {}|a filled {}|a {} filled in|a painted {}|a full {}", "an outlined []|the outline of a []|a hollow []|an empty []|a line drawing of a []", "a solid {} and the outline of a []|a filled {} next to a hollow []", lean=0.55),
    "duo-side": _w("a {} on the left|a {} on the left side|the left one is a {}|a {} at left|on the left a {}", "a [] on the right|a [] on the right side|the right one is a []|a [] at right|on the right a []", "a {} on the left and a [] on the right|a {} to the left of a []", lean=0.5),
    "duo-distance": _w("a big {}|a large {} in front|a {} in the foreground|a {} up close|a nearby {}|a close-up of a {}|a huge {}", "a small []|a tiny [] far away|a [] in the background|a distant []|a little [] behind|a [] in the distance", "a big {} and a small []|a {} in front of a distant []", lean=0.65),
    "duo-shadow": _w("a {} in front of a shadow|a {} with a shadow behind it|a colourful {} by the wall|a {} in the light|a real {}", "the shadow of a []|a [] as a shadow|a []'s shadow|a shadow on the wall of a []|a black silhouette of a []|a dark [] shape", "a {} and the shadow of a []|a {} casting the shadow of a []", lean=0.6),
    "duo-reflection": _w("a {} above the water|a {} by the water|a {} on the shore|a {} at the top|a {} over a lake", "the reflection of a []|a [] reflected in the water|a [] mirrored in a lake|a mirror image of a []|a [] under water|a [] below", "a {} and the reflection of a []|a {} above the mirror image of a []", lean=0.6),
    "duo-dream": _w("a {} dreaming|a {} thinking of something|a {} with a thought bubble|a sleeping {}|the dreamer is a {}", "a dream of a []|a thought of a []|dreaming of a []|thinking about a []|a [] in a thought bubble|an imagined []|a [] in a bubble", "a {} dreaming of a []|a {} thinking about a []", lean=0.6),
    "duo-tone": _w("a colourful {}|a {} in color|a bright {}|a colored {}|a vivid {}|a {} in full colour", "a black and white []|a gray []|a [] in grayscale|a colorless []|a [] without color|a grey []", "a colourful {} and a black and white []|a {} in color next to a gray []", lean=0.6),
    "duo-sketch": _w("a real {}|a photo of a real {}|a {} beside a drawing|a true {}|a {} next to a picture", "a drawing of a []|a sketch of a []|a pencil drawing of a []|a line drawing of a []|a doodle of a []|a drawn []|a sketched []", "a {} beside a drawing of a []|a real {} and a sketched []", lean=0.65),
    "duo-turned": _w("an upright {}|a {} the right way up|a standing {}|a normal {}|a {} standing up", "an upside down []|a [] turned over|a [] on its head|an inverted []|a rotated []|a fallen []", "an upright {} and an upside down []", lean=0.6),
    "duo-blur": _w("a sharp {}|a {} in focus|a clear {}|a crisp {}|a clean {}|a good photo of a {}", "a blurry []|a blurred []|a [] out of focus|a blurry photo of a []|a fuzzy []|a hard to see []", "a sharp {} and a blurry []|a {} in focus beside a blurred []", lean=0.65),
    "duo-dark": _w("a {} in the light|a well lit {}|a {} in daylight|a bright photo of a {}|a bright {}|an illuminated {}", "a [] in the dark|a dark []|a dark photo of a []|a [] in the shade|a [] at night|an unlit []", "a {} in the light and a [] in the dark", lean=0.65),
    "duo-label": _w("a picture of a {} with a label|a {} with a word under it|a wrongly labelled {}|a {} and some text|an illustration of a {}", "the word []|a label that says []|a sign that says []|text that reads []|the written word []|a caption saying []|the name [] in letters", "a {} labelled []|a picture of a {} with the word []", lean=0.6),
    "duo-wallpaper": _w("a {} in front of wallpaper|a single {}|one {}|a {} before a pattern|a large {} on a pattern", "many []s|a pattern of []s|wallpaper with []s|a photo of many []s|a texture of []s|lots of little []s|rows of []s", "a {} in front of many []s|a {} on a pattern of []s", lean=0.6),
    "words-written": _w("the word {}|the written word {}|a sign that says {}|text that reads {}|{} in letters|the name {} in writing|lettering that says {}|a caption saying {}", soft="a written {}|a label {}|{} in text"),
}  # fmt: skip
# Phrases that say nothing of the form, by family.
NEUTRAL: dict[str, tuple[str, ...]] = {
    "numbers": ("a {}", "a {}", "{}", "the number {}", "the number {}", "number {}", "a number {}", "the {}", "one {}", "a sign for {}", "a symbol for {}", "the value {}", "the quantity {}"),
    "letters": ("a {}", "a {}", "{}", "the letter {}", "the letter {}", "letter {}", "the {}", "one {}", "a sign for {}", "a symbol for {}", "the character {}"),
    "colours": ("a {}", "{}", "the color {}", "the colour {}", "something {}", "a {} picture", "the {}", "a {} one", "a {} color", "a {}"),
    "shapes": ("a {}", "a {}", "the {}", "{}", "the shape {}", "a {} shape", "a shape: {}", "one {}", "a symbol of a {}"),
    "duo": ("a {}", "a {}", "a {}", "the {}", "one {}", "{}", "my {}", "a {} and another thing", "a scene with a {}", "a {} somewhere"),
    "words": ("a {}", "a {}", "the {}", "{}"),
    "senses": ("a {}", "a {}", "the {}", "{}", "my {}"),
    "everyday": ("a {}", "a {}", "the {}", "{}", "my {}", "one {}", "a nice {}", "a weird {}", "a cool {}", "the {} here", "a clean {}", "a dirty {}"),
}  # fmt: skip
# How a medium is named: before "of a cat", as an adjective, and after.
MEDIA: dict[str, tuple[str, str, str]] = {
    "photo": ("photo|picture|photograph|image|snapshot|shot|good photo", "real", ""),
    "clipart": ("clip art picture|cartoon|icon|rendering|sticker|digital illustration|rendition|graphic", "cartoon|plastic|toy|plushie|clip art", "in a cartoon|on a white background|on plain white"),
    "sketch": ("sketch|pencil drawing|drawing|doodle|line drawing|pencil sketch|pen drawing", "sketched|drawn|hand drawn", "drawn in pencil|drawn with a pen|on paper"),
    "chalk": ("chalk drawing|chalkboard drawing|drawing in chalk", "chalk", "on a blackboard|in chalk|on a chalkboard|drawn with chalk"),
    "blueprint": ("blueprint|technical drawing|plan|diagram|schematic", "", "on a blueprint|in white lines on blue|as a diagram"),
    "neon": ("neon sign|neon light|glowing sign|neon picture", "neon|glowing", "in neon|in glowing lines|as a neon sign|at night in neon"),
    "thermal": ("thermal image|heat map|infrared image|thermal camera picture", "hot", "in infrared|seen by its heat"),
    "pixel": ("pixel art picture|pixelated image|video game sprite|8-bit picture|mosaic", "pixelated|pixel art|8-bit", "in a video game|in big pixels|in pixel art"),
    "stone": ("sculpture|carving|stone relief|statue|engraving", "stone|carved|sculpted|engraved", "carved in stone|in stone|engraved on rock|on a stone wall"),
    "embroidery": ("embroidery|patch|stitched picture|textile", "embroidered|stitched|woven", "in thread|on cloth|stitched on fabric|sewn on a shirt"),
    "halftone": ("halftone print|newspaper print|comic print|dotted print|print", "printed|dotted", "in a newspaper|in a comic|in dots"),
    "graffiti": ("graffiti|street art picture|mural|spray painting|tattoo", "spray painted|graffiti", "on a brick wall|sprayed on a wall|as graffiti"),
    "oil": ("oil painting|painting|canvas|impressionist painting|work of art|art", "painted", "in oil|on canvas|in thick paint"),
    "silhouette": ("silhouette|outline|shadow|black shape|paper cut|origami", "black|origami", "against the light|at sunset|in silhouette"),
    "monochrome": ("black and white photo|grayscale photo|monochrome picture|gray photo", "black and white|gray", "in black and white|in grayscale|without color"),
    "sepia": ("sepia photo|old photo|vintage photo|antique picture", "old|vintage|antique", "in sepia|from long ago|in brown tones"),
    "xray": ("x-ray|x-ray image|radiograph|medical scan|negative", "", "in an x-ray|under x-rays"),
    "watercolour": ("watercolor|watercolor painting|watercolour|pale painting", "painted|pale", "in watercolor|in soft washes|in thin paint"),
}  # fmt: skip
# How a condition is named: as an adjective of the picture, and after.
CONDITIONS: dict[str, tuple[str, str]] = {
    "small": ("distant|wide shot", "far away|in the distance|seen from afar|that is small"),
    "closeup": ("close-up|cropped|zoomed in|macro|detailed", "up close|cut off at the edge|from very near"),
    "turned": ("upside down|rotated|flipped", "upside down|turned over|on its head"),
    "tilted": ("tilted|rotated|sideways|slanted", "at an angle|lying on its side|on a slant"),
    "dark": ("dark|dim|underexposed|night", "in the dark|at night|in low light|in the shadows"),
    "bright": ("bright|overexposed|washed out|sunny", "in bright light|in the sun|in glaring light"),
    "blur": ("blurry|blurred|unfocused|bad|fuzzy", "out of focus|in motion|seen unclearly"),
    "noise": ("noisy|grainy|bad|poor|jpeg corrupted", "with grain|with noise|on bad film"),
    "lowres": ("low resolution|pixelated|tiny|poor quality|satellite|low quality", "in low resolution|in few pixels"),
    "rain": ("rainy|wet", "in the rain|on a rainy day|in a storm"),
    "fog": ("foggy|misty|hazy|faded", "in fog|in the mist|hard to see|behind haze"),
    "snow": ("snowy|winter", "in the snow|in a snowstorm|in winter"),
    "clutter": ("cluttered|messy|busy", "among other things|in a mess|with clutter around"),
    "fence": ("fenced", "behind a fence|behind bars|in a cage"),
    "underwater": ("underwater|blue", "under water|in the sea|with bubbles"),
}  # fmt: skip
GROUNDS: dict[str, str] = {
    "paper": "on paper|on a sheet of paper", "wood": "on wood|on a wooden table", "grass": "on grass|in the garden", "sky": "in the sky|in front of the sky",
    "sand": "on sand|on the beach", "brick": "on a brick wall|on bricks", "snow": "on snow|on white ground", "stone": "on stone|on concrete|on a wall",
    "fabric": "on cloth|on fabric", "metal": "on metal|on steel", "leaves": "in the leaves|in the forest", "plain": "on a plain background|on a flat background",
    "scenery": "outdoors|in a blurred scene|somewhere outside", "night": "at night|under the stars", "water": "on the water|in the water",
}  # fmt: skip
KINDS: dict[str, str] = {"tool": "tool", "clothing": "piece of clothing", "sky": "thing in the sky", "thing": "thing", "ball": "ball for a game", "toy": "toy", "device": "device"}
SENSES: dict[str, str] = {
    "animal": "an animal|a living animal|a creature", "sport": "a thing for sport|sports gear", "computer": "a computer part|a device", "weapon": "a weapon",
    "ribbon": "a ribbon|a decoration", "fruit": "a fruit|food", "colour": "a colour|a paint", "tree": "a tree|a plant", "hand": "a part of the body|a hand",
    "instrument": "a musical instrument", "fish": "a fish|an animal", "bird": "a bird|an animal", "food": "food|a dish", "shape": "a shape|a symbol",
    "sky": "a thing in the sky", "stamp": "a stamp|a mark", "season": "a season|blossom", "water": "water|a hot bath", "card": "a card suit|a symbol on cards",
    "tool": "a tool", "jewel": "a jewel|a stone", "organ": "a part of the body|an organ", "coin": "a coin|a token",
}  # fmt: skip
