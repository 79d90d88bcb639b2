"""Captions made by rule: some thousand varied templates of a grammar, and frames for words of a description.

A *pattern* is a template with symbols in angle brackets; a symbol stands for each of its words. Patterns
of one kind of caption are one *production*. Where the words of two symbols can be combined in too many ways,
``MOST_OF_A_PATTERN`` combinations are taken, spread evenly, so that no pattern outweighs the others.

A *frame* is a caption with a gap for words of a description, beside the slot for the class name. ``phrases``
takes a description apart; ``framed`` puts what it finds into a frame.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from math import prod
from types import MappingProxyType

from .template import Template

MOST_OF_A_PATTERN = 80
_SYMBOL = re.compile(r"<(\w+)>")


def _listed(text: str) -> tuple[str, ...]:
    return tuple(" ".join(item.split()) for item in text.split(","))


SYMBOLS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        name: _listed(words)
        for name, words in {
            "shot": "a photo, a picture, an image, a snapshot, a close-up, a video still",
            "photo": """a photo, a picture, a snapshot, a close-up, a macro shot, a wide shot, an aerial
                photo, a portrait, a selfie, a product photo, a stock photo, a news photo, a studio photo, a
                postcard, a polaroid, a screenshot, a webcam picture, a film still, a security camera frame,
                a scan, a thumbnail, a photo negative, a slide, a time-lapse frame, a drone shot""",
            "quality": """bright, dark, blurry, sharp, grainy, noisy, pixelated, faded, overexposed,
                cropped, low-resolution, high-resolution, good, bad, black and white, sepia, colourful,
                cluttered, old, candid, retouched, compressed, tilted, weird, cool, small, large, close-up,
                upside-down""",
            "work": """a sketch, a pencil drawing, a line drawing, an ink drawing, a charcoal drawing, a
                doodle, a chalk drawing, a crayon drawing, a watercolour, an oil painting, an etching, a
                woodcut, an engraving, a lithograph, a mosaic, a mural, a fresco, graffiti, a stencil, a
                collage, a cartoon, a comic panel, a caricature, clip art, a vector illustration, an icon,
                an emoji, a pictogram, a logo, a sticker, pixel art, a 3D rendering, a low-poly model, a
                blueprint, a diagram, a technical drawing, a cross-section, a chart, a map, a floor plan, an
                infographic, a poster, a book illustration, a colouring page, a tattoo, a stamp, a coat of
                arms, a tapestry, an embroidery, a quilt, a carving, a statue, a relief, a bust, a bronze, a
                clay figure, an origami figure, a paper cut-out, a papier-mache model, a toy, a plush toy, a
                figurine, a costume, a stained-glass window, a neon sign, a halftone print, a silhouette, an
                outline""",
            "style": """impressionist, cubist, surrealist, baroque, medieval, minimalist, abstract,
                realistic, childlike, vintage, futuristic, art deco, pop art, gothic, naive, monochrome,
                psychedelic, isometric, flat, hand-drawn, computer-generated, prehistoric""",
            "scan": """an X-ray, a microscope image, an electron micrograph, a CT scan, an MRI scan, an
                ultrasound, a thermal image, an infrared image, a night-vision image, a satellite image, a
                radar image, a telescope image, a depth map, a spectrogram, a histology slide, a fundus
                photograph, a fluorescence image""",
            "view": """from above, from below, from behind, from the side, from the front, from far away,
                from very close, at an angle, in profile, head on, upside down, lying on its side, in a
                mirror, through a window, through a keyhole, at the edge of the picture, in the corner, in
                the middle, in the foreground, in the background, cut in half, mirrored, turned by ninety
                degrees, without any background""",
            "light": """at night, at dawn, at sunset, in bright sunlight, in the shade, by candlelight,
                under fluorescent light, in moonlight, backlit, lit from below, in dim light, in a
                spotlight, in neon light, in the dark, in the fog, in the rain, in the snow, in a storm,
                under water, in smoke, in the dust, in autumn, in spring, in winter, in flames""",
            "place": """on a table, on a shelf, on the floor, on a wall, on a plate, in a bowl, in a box, in
                a basket, in a drawer, in a jar, in a cage, in a hand, in a pocket, in a kitchen, in a
                bedroom, in an office, in a classroom, in a workshop, in a laboratory, in a hospital, in a
                church, in a shop window, in a market, in a museum, in a stadium, on a stage, in the street,
                at a bus stop, on a bridge, in a car park, at the airport, in a harbour, on a ship, on a
                farm, in a garden, in a field, in the grass, in a forest, in a swamp, in the desert, on the
                beach, in the sea, by a river, by a lake, in the mountains, on a glacier, in a cave, in the
                sky, in space, on a rooftop, on a fence, in a tree""",
            "stuff": """wood, stone, marble, bronze, iron, steel, gold, silver, copper, glass, crystal, ice,
                snow, sand, clay, porcelain, concrete, brick, plaster, plastic, rubber, foam, wax, soap,
                paper, cardboard, leather, wool, felt, silk, lace, straw, wicker, bamboo, bone, ivory,
                shells, feathers, leaves, flowers, chocolate, bread, dough, sugar, fruit, vegetables, candy,
                wire, rope, string, beads, buttons, sticks, matches, stones, bricks, dots, lines, strokes,
                squares, circles, triangles, tiles, pixels, stars, light, fire, smoke, water, clouds,
                shadows""",
            "mark": """printed, painted, written, drawn, carved, stamped, engraved, embossed, embroidered,
                scratched, sprayed, stencilled, glued, burned, chalked, typed""",
            "carrier": """a sign, a road sign, a wall, a door, a blackboard, a whiteboard, a poster, a
                banner, a billboard, a flag, a label, a price tag, a box, a bottle, a mug, a plate, a
                T-shirt, a cap, a jersey, a bag, a coin, a banknote, a stamp, a ticket, a card, a book
                cover, a page, a newspaper, a map, a screen, a keyboard key, a button, a tile, a stone, a
                gravestone, a tree, a cake, a balloon, a bus, a truck, a ship, a racing car, a licence
                plate, a medal, a badge, a scoreboard, a calendar, a cheque, an envelope, a napkin""",
            "script": """Arabic numerals, Roman numerals, Chinese characters, Greek letters, Cyrillic
                letters, Hebrew letters, Arabic script, Japanese characters, runes, hieroglyphs, cuneiform,
                braille, Morse code, semaphore, sign language, shorthand, tally marks, binary, hexadecimal,
                binary digits, ones and zeros, dots and dashes, dots, raised dots, strokes, notches, capital
                letters, small letters, block letters, bubble letters, italics, bold type, cursive,
                calligraphy, handwriting, print, Gothic type, typewriter type, stencil letters, neon
                letters, pixel letters, a digital font, seven segments, musical notes, a barcode, fingers,
                words, digits, symbols, pictures, knots, flags, colours, mirror writing, ink, pencil,
                crayon, chalk, invisible ink""",
            "hand": """handwritten, printed, typed, painted, carved, embossed, scribbled, neat, crooked,
                old-fashioned, decorated, illuminated, glowing, digital, pixelated, three-dimensional,
                outlined, hollow, bold, italic, cursive, curly, slanted, mirrored, upside-down, crossed-out,
                underlined, enormous, tiny, capital, lower-case, wooden, metal, magnetic, plastic""",
            "sign": """number, numeral, digit, letter, character, word, symbol, sign, figure, glyph, name,
                code, mark, initial, abbreviation, unit, formula, note, punctuation mark, arrow""",
            "code": """Roman, Arabic, Chinese, Greek, Cyrillic, Hebrew, Japanese, Braille, Morse, semaphore,
                binary, decimal, hexadecimal, Egyptian, Babylonian, Mayan, phonetic, chemical, musical,
                mathematical, astrological, nautical, maritime, military, railway, heraldic, electrical,
                alphabetic, numeric, secret""",
            "signal": """signal, hand signal, hand sign, gesture, finger sign, flag, signal flag, pennant,
                light signal, traffic sign, warning sign, road marking, semaphore, code, emblem, symbol,
                logo, badge, coat of arms, icon, pictogram, emoji, arm position, whistle signal""",
            "signing": """signalling, signing, spelling, showing, pointing at, counting to, writing,
                drawing, tracing, waving, gesturing, miming, telegraphing, typing, reading, holding up""",
            "counted": """things, objects, items, pieces, dots, pips, marks, strokes, lines, bars, sticks,
                balls, coins, buttons, beads, stones, shells, cards, blocks, boxes, circles, squares,
                triangles, stars, fingers, people, animals, birds, flowers, fruits, candles, lights,
                windows, holes, petals, legs, sides, corners, points, stripes, steps, books, bottles""",
            "group": """a group, a pile, a row, a set, a handful, a heap, a stack, a cluster, a collection,
                a bunch, a pattern, a circle, a column, a pair""",
            "dial": """a clock, a watch, a stopwatch, a timer, a thermometer, a barometer, a gauge, a
                pressure gauge, a fuel gauge, a speedometer, an altimeter, a compass, a scale, a ruler, a
                measuring tape, a voltmeter, a meter, a counter, a calculator, a display, a digital display,
                a scoreboard, a sundial, an hourglass, a weather vane, a metronome, a dial, a knob, a
                switch, a slider, a lock, an abacus, a slide rule, a calendar, a telephone, a traffic light,
                a spinner, a roulette wheel, a battery indicator, a lift panel""",
            "hands": """the hand, the long hand, the short hand, the minute hand, the hour hand, the needle,
                the pointer, the arrow, the marker, the cursor, the bead, the tip, the finger, the shadow,
                the red line, the level, the scale""",
            "game": """a die, dice, two dice, a domino, a playing card, a chess piece, a dartboard, a bingo
                ball, a billiard ball, a lottery ball, a puzzle, a board game, a crossword, a jigsaw piece,
                a token, a scorecard, a slot machine, a mahjong tile, a tarot card, a spinning top, building
                blocks, a Rubik's cube""",
            "part": """background, foreground, border, frame, edge, outline, centre, middle, inside,
                outside, surface, top, bottom, left side, right side, corner, ground, sky, wall, floor,
                cover, label, ink, paint, text, writing, lettering, line, stripe, spot, patch, shadow,
                light, object, thing, shape, figure, person, animal, clothing, hair, eye, skin, fur, petal,
                leaf, wheel, handle, lid""",
            "double": """the shadow, the reflection, the silhouette, the outline, the skeleton, the
                footprint, the shape, the drawing, the photo, the mask, the ghost, the memory, the dream,
                the name, the sound, the smell, the back, the inside, the top, the tip, the end, the edge,
                the middle, the beginning, the remains, the owner, the colour, the texture, the label, the
                picture""",
            "where": """on the left, on the right, at the top, at the bottom, in the middle, in the corner,
                in front, behind, inside, outside, around something, inside something, above something,
                below something, beside something, between two things, on top of something, far away, near
                the camera, next to a person, next to another, in a circle, in a square, in a frame, in a
                bubble, in a row, in a crowd, at the end, alone""",
            "kind": """animal, bird, fish, insect, dog, cat, plant, flower, tree, fruit, vegetable,
                mushroom, food, dish, drink, dessert, tool, machine, device, instrument, musical instrument,
                weapon, vehicle, car, aircraft, ship, train, building, landmark, room, landscape, rock,
                mineral, fabric, pattern, texture, colour, shape, garment, shoe, hat, jewel, toy, game,
                sport, dance, profession, emotion, disease, planet, star sign, flag, sign, symbol, logo,
                brand, film character, monster, country, city, product, piece of furniture, household item,
                body part, creature, material, unit, role""",
            "purpose": """work, play, cooking, eating, cleaning, sleeping, travelling, writing, measuring,
                counting, cutting, building, gardening, fishing, hunting, farming, medicine, science, music,
                sport, war, safety, decoration, learning, sewing, shopping, a party, a wedding, a ceremony,
                children, the office, the home, carrying things, keeping warm""",
            "person": """a man, a woman, a child, a baby, an old man, a doctor, a worker, a farmer, a
                soldier, a sailor, a musician, an athlete, a dancer, a student, a chef, a referee, a crowd,
                a couple, somebody, someone in uniform""",
            "doing": """holding, wearing, using, eating, making, selling, buying, looking at, pointing at,
                playing with, playing, riding, carrying, repairing, cleaning, painting, drawing, dreaming
                of, thinking of, afraid of, dressed as, sitting on, standing beside, walking with, hugging""",
            "state": """young, old, big, small, tiny, huge, clean, dirty, new, broken, rusty, wet, dry,
                frozen, burnt, melted, cracked, torn, folded, open, closed, empty, full, half, sliced,
                peeled, cooked, raw, ripe, rotten, shiny, dull, transparent, striped, spotted, furry,
                smooth, rough, round, flat, tall, long, thin, thick, bent, twisted, tied, wrapped, painted,
                decorated, hidden, lost, abandoned, ancient, modern, antique, homemade, famous, rare,
                common, typical, strange, funny, ugly, beautiful, cute, scary, sleeping, running, flying,
                swimming, jumping, wild, tame, dead, living, real, fake, imaginary, solid, hollow, filled,
                inflated, floating, glowing""",
            "aspect": """texture, pattern, colour, shade, tone, paint, ink, fabric, shape, outline, contour,
                form, figure, border, background, stripe, dot, light, glow, sound, smell, taste, mood,
                expression, face, look, style, design, theme, atmosphere, scene, landscape, weather,
                position, pose, movement, direction, amount, size, price, score, result, time, date,
                temperature, speed, weight, age, level, grade, rank, floor, room, page, chapter, channel,
                year""",
        }.items()
    }
)  # fmt: skip
"""What a symbol stands for."""

PRODUCTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "photo": (
            "<photo> of a {}", "<photo> of {}", "a <quality> photo of a {}", "a <quality> picture of {}",
        ),
        "photo somewhere": ("<photo> of a {} <place>", "<photo> of a {} <light>"),
        "work": ("<work> of a {}", "<work> of {}", "<work> showing a {}", "a {} as <work>"),
        "style": ("a <style> picture of a {}", "a <style> {}", "a {} in <style> style"),
        "scan": ("<scan> of a {}", "<scan> showing {}", "<scan> with {}"),
        "view": ("a {} seen <view>", "a {} <view>", "<shot> of a {} <view>"),
        "light": ("a {} <light>", "{} <light>"),
        "place": ("a {} <place>", "{} <place>", "<shot> of {} <place>"),
        "stuff": ("a {} made of <stuff>", "{} in <stuff>", "<stuff> in the shape of a {}", "{} <stuff>"),
        "carrier": ("a {} on <carrier>", "{} <mark> on <carrier>", "<carrier> with {} on it"),
        "carrier says": ("<carrier> that says {}", "<carrier> showing {}", "<carrier> for {}"),
        "script": ("{} in <script>", "{} written in <script>", "the {} written as <script>"),
        "script for": ("<script> for {}", "<shot> of {} in <script>", "<script> that mean {}"),
        "hand": ("a <hand> {}", "a <hand> <sign> {}", "<shot> of a <hand> {}", "<hand> {}"),
        "sign": ("the <sign> {}", "a <sign> that means {}", "the <sign> for {}", "a {} <mark> as a <sign>"),
        "code": ("the <code> <sign> {}", "the <code> <sign> for {}", "{} in <code>", "<code> {}"),
        "signal": ("the <signal> for {}", "a <signal> that means {}", "the <code> <signal> {}"),
        "signing": ("someone <signing> {}", "<person> <signing> {}", "a hand <signing> {}"),
        "count": ("{} <counted>", "<group> of {} <counted>", "a count of {}", "{} <counted> <where>"),
        "count shown": ("<shot> of {} <counted>", "{} shown by <counted>", "the number of <counted> is {}"),
        "dial": ("<dial> showing {}", "<dial> at {}", "{} on <dial>", "<dial> set to {}", "<dial> with {}"),
        "hands": ("<hands> points at {}", "<hands> at {}", "<dial> with <hands> on {}"),
        "game": ("<game> showing {}", "{} on <game>", "<game> with {}", "a {} with <game>"),
        "part": ("a {} <part>", "the <part> is {}", "the <part> of a {}", "something with a {} <part>"),
        "part shown": (
            "<shot> of a {} <part>", "<shot> with a {} <part>", "<shot> of something on a {} <part>",
        ),
        "double": ("<double> of a {}", "<double> of {}", "<shot> of <double> of a {}"),
        "where": ("a {} <where>", "<shot> of a {} <where>", "the one <where> is a {}"),
        "kind": (
            "a {}, a kind of <kind>", "a <kind> called {}", "the <kind> {}", "<kind>: {}", "a {} <kind>",
        ),
        "kind shown": ("<shot> of a {}, a <kind>", "<shot> of the <kind> {}", "a {} shaped <kind>"),
        "purpose": ("a {} for <purpose>", "a {}, used for <purpose>", "{}, <purpose>"),
        "person": (
            "<person> with a {}", "<person> <doing> a {}", "<person> who is {}", "the {} of <person>",
        ),
        "state": ("a <state> {}", "<shot> of a <state> {}", "the {} is <state>"),
        "aspect": ("a {} <aspect>", "the <aspect> is {}", "the <aspect> of {}", "something of {} <aspect>"),
        "saying": (
            "it looks {}", "it is {}", "this is {}", "here is a {}", "look, a {}",
            "what a {} looks like", "{}", "{}, isolated", "{} everywhere", "many {}", "one {}",
            "several {}", "no {}", "more {}", "my {}", "our {}", "the best {}", "a {} or two",
            "nothing but {}", "how to draw a {}",
        ),
    }
)  # fmt: skip
"""The patterns of each kind of caption."""


@cache
def grammar() -> Mapping[str, tuple[Template, ...]]:
    """Return the templates of each production, in their order; none stands twice."""
    known: set[str] = set()
    found: dict[str, tuple[Template, ...]] = {}
    for name, patterns in PRODUCTIONS.items():
        made = [Template.parse(text) for pattern in patterns for text in _expanded(pattern)]
        fresh = {template.key: template for template in made if template.key not in known}
        known |= set(fresh)
        found[name] = tuple(fresh.values())
    return MappingProxyType(found)


def all_of_grammar() -> tuple[Template, ...]:
    """Return every template of the grammar, production by production."""
    return tuple(template for templates in grammar().values() for template in templates)


def _expanded(pattern: str) -> Iterator[str]:
    symbols = _SYMBOL.findall(pattern)
    choices = [SYMBOLS[symbol] for symbol in symbols]
    size = prod(map(len, choices))
    wanted = min(size, MOST_OF_A_PATTERN)
    kept = {step * size // wanted for step in range(wanted)}
    for place, words in enumerate(product(*choices)):
        if place in kept:
            given = iter(words)
            yield _with_article(_SYMBOL.sub(lambda _: next(given), pattern))  # noqa: B023 - used at once


def _with_article(text: str) -> str:
    """Return a caption with *an* before a vowel, as its words ask for."""
    return re.sub(r"\b([Aa]) (?=[aeiouAEIOU](?!ne\b|ni|se))", r"\1n ", text)


_GAP, _SECOND = "<w>", "<v>"
FRAMES: tuple[str, ...] = (
    "{} <w>", "<w> {}", "a {} <w>", "the <w> {}", "a <w> {}", "{} in <w>", "{} as <w>", "{} on <w>",
    "{} by <w>", "{} with <w>", "<w> for {}", "<w> of {}", "<w> with {}", "<w> in {}", "<w> at {}",
    "<w> showing {}", "<w> that means {}", "<w> named {}", "the <w> is {}", "the <w> of {}",
    "the {} of <w>", "{}, <w>", "<w>: {}", "a photo of {} <w>", "a photo of <w> {}",
    "a photo of {} in <w>", "a photo of <w> showing {}", "a picture of {} with <w>",
    "a picture of <w> for {}", "{} written in <w>", "{} shown by <w>", "{} made of <w>",
)  # fmt: skip
"""Frames of one gap."""
DOUBLE_FRAMES: tuple[str, ...] = (
    "{} <w> in <v>", "<w> {} in <v>", "{} <w> <v>", "<w> <v> {}", "<w> {} <v>", "a {} <w> on <v>",
    "<w> of {} <v>", "<w> for {} in <v>", "<w> with {} <v>", "the <w> of <v> is {}",
    "a photo of {} <w>, <v>",
)  # fmt: skip
"""Frames of two gaps."""
NEUTRAL: tuple[str, ...] = tuple(
    dict.fromkeys(
        word for name in ("sign", "code", "signal", "counted", "part", "aspect") for word in SYMBOLS[name]
    )
)
"""Words of form to fill gaps with where nothing is described."""

MOST_PHRASES = 200
LONGEST_PHRASE = 4
_CLAUSE = re.compile(r"[.,;:!?()\[\]\"“”„«»…|/]+|\s[-–—]+\s|\band\b|\bor\b|\bbut\b", re.IGNORECASE)
_WORD = re.compile(r"[^\s{}<>]+")
_FUNCTION_WORDS = """
a an the this that these those it its they them their he she we you i my your our some any each every
all both one is are was were be been being am has have had do does did can could will would shall should
may might must of in on at by to from with without for as into onto over under than then so not no nor
only also just very too here there where which who whom whose what when how if because while about like
up down out off through between among other another same such more most less least few many much several
show shows showing shown see seen picture pictures image images photo photos photograph photographs
class classes named called name names
"""
_WITHOUT_CONTENT = frozenset(_FUNCTION_WORDS.split())


def phrases(description: str, class_names: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the words and phrases of a description that may stand in a caption, each once.

    A phrase is a run of at most four words of one clause that begins and ends with words of content;
    one that holds a class name would pull towards that class and is left out. A plural is given in the
    singular as well. Single words come first.
    """
    taboo = {name.casefold() for name in class_names}
    runs = [_WORD.findall(clause) for clause in _CLAUSE.split(description)]
    found: dict[str, None] = {}
    for length in range(1, LONGEST_PHRASE + 1):
        for run in runs:
            for start in range(len(run) - length + 1):
                words = run[start : start + length]
                if _is_content(words[0]) and _is_content(words[-1]) and not _named(words, taboo):
                    found |= dict.fromkeys(_forms(words))
    return tuple(found)[:MOST_PHRASES]


def framed(frame: str, first: str, second: str = "") -> str:
    """Return a frame with its gaps filled."""
    return frame.replace(_GAP, first).replace(_SECOND, second)


def _is_content(word: str) -> bool:
    return word.casefold() not in _WITHOUT_CONTENT and any(map(str.isalnum, word))


def _named(words: Sequence[str], taboo: set[str]) -> bool:
    bare = [word.casefold() for word in words]
    return any(
        " ".join(bare[start:end]) in taboo
        for start in range(len(bare))
        for end in range(start + 1, len(bare) + 1)
    )


def _forms(words: Sequence[str]) -> Iterator[str]:
    *before, last = words
    yield " ".join(words)
    if (one := singular(last)) != last:
        yield " ".join((*before, one))


def singular(word: str) -> str:
    """Return an English plural's singular, by its ending; what seems to be none as it is."""
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    return word[:-2] if word.endswith(("xes", "ches", "shes", "sses", "zes")) else word[:-1]
