"""The built-in pool: captions as under pictures of all kinds, written for this project, a line each."""

from __future__ import annotations

CAPTIONS = """\
a photo of a {}
a picture of a {}
an image of a {}
a snapshot of the {}
a {} on its own
this is a {}
here you can see a {}
a typical {}
one single {}
several {} together
a good photo of a {}
a poor photo of a {}
a close-up of a {}
an extreme close-up of a {}
a macro shot of a {}, every detail visible
a wide shot with a {} in it
a {} seen from far away
a distant {} on the horizon
a tiny {} in a large picture
a {} that fills the whole frame
part of a {}
a detail of a {}
a cropped picture of a {}
a {} cut off at the edge of the picture
a {} seen from above
a top-down view of a {}
an aerial photo of a {}
a satellite view of {}
a bird's-eye view of {}
a {} seen from below
a {} seen from behind
a {} seen from the side
a side profile of a {}
a front view of a {}
a {} at an angle
a tilted photo of a {}
a {} lying on its side
an upside-down {}
a {} in the middle of the picture
a {} in the corner of the picture
a portrait of a {}
a group portrait with a {}
a selfie with a {}
a bright photo of a {}
a dark photo of a {}
a dimly lit {}
a {} in the shade
a {} at night, lit by street lamps
a {} at sunrise
a {} in the last light of the day
a {} against the setting sun
a {} in bright midday sun
a {} by candlelight
a {} in the beam of a torch
a {} under fluorescent tubes
a backlit {}
the dark outline of a {}
the shadow of a {}
a black silhouette of a {} on a light ground
a white shape of a {} on a dark ground
the reflection of a {} in a window
a {} in a mirror
an overexposed photo of a {}
a high-contrast picture of a {}
a washed-out picture of a {}
a black and white photo of a {}
a sepia photograph of a {}
an old, faded photograph of a {}
a daguerreotype of a {}
a polaroid of a {}
a scanned slide of a {}
a photo negative of a {}
a colourful picture of a {}
a {} in pastel colours
a monochrome blue picture of a {}
a red {} on white
a blurry photo of a {}
an out-of-focus {}
a {} in motion
a grainy photo of a {}
a noisy picture of a {}, taken in poor light
a pixelated image of a {}
a low-resolution picture of a {}
a badly compressed picture of a {}
a thumbnail of a {}
a sharp, high-resolution photo of a {}
a studio photo of a {}
a product shot of a {} on a white background
a {} on a plain grey background
a {} cut out, without any background
a {} against a patterned wallpaper
a {} in front of a brick wall
a stock photo of a {}
an amateur snapshot of a {}
a professional photograph of a {}
a prize-winning photo of a {}
a news photo showing a {}
a paparazzi picture of a {}
a frame from a security camera showing a {}
a still from a film with a {}
a video frame of a {}
a screenshot of a video game with a {}
a webcam picture of a {}
a photo of a {} taken with a phone
a thermal image of a {}
an infrared photo of a {}
a night-vision picture of a {}
an X-ray of a {}
a microscope image of {}
a medical scan showing {}
a {} under water
a {} in the rain
a {} behind a wet window
a {} in thick fog
a {} in falling snow
a {} covered in snow
a {} in a storm
a {} in the mud
a {} half buried in sand
a {} on fire
a {} in a cloud of smoke
a {} behind a fence
a {} behind glass
a {} partly hidden by leaves
a {} half hidden behind something else
a {} among many other things
a cluttered scene with a {}
a {} in an empty room
a {} on a table
a {} on a wooden desk
a {} on a shelf
a {} on the floor
a {} in a kitchen
a {} on a plate
a {} in a box
a {} in a basket
a {} held in a hand
a {} between two fingers
a person with a {}
a child playing with a {}
a {} for sale in a shop window
a {} at a flea market
a {} in a museum case
a {} in a garden
a {} in the grass
a {} in a forest
a {} in the desert
a {} on the beach
a {} in the mountains
a {} by a river
a {} in a field of flowers
a {} in the street
a {} at a railway station
a {} in a car park
a {} in the sky
a {} on a rooftop
a {} at home
a {} at work
a {} in the wild
a wild {}
a young {}
an old {}
a large {}
a small {}
a clean {}
a dirty {}
a broken {}
a brand-new {}
a rusty {}
a strange {}
a funny {}
a beautiful {}
an ugly {}
a cute little {}
a rare kind of {}
a common kind of {}
a kind of animal: {}
a kind of plant: {}
a kind of food: {}
a kind of tool: {}
a musical instrument, the {}
a vehicle, namely a {}
a piece of clothing: {}
a building called {}
a texture described as {}
a surface that looks {}
a sport: {}
somebody doing {}
a person who is a {}
a game piece: {}
a sign that means {}
a symbol for {}
the number {}
the letter {}
the word "{}"
the written character {}
a handwritten {}
a {} written with a fountain pen
a {} scribbled in pencil
a printed {} in a book
a {} in bold type
a {} spray-painted on a wall
a {} written in chalk on a blackboard
a {} scratched into stone
a {} drawn in the sand with a finger
a {} on a display made of glowing segments
a {} laid out with pebbles
a {} in dots and dashes
a {} shown by strokes and tallies
a {} shown on dice
a {} shown with the fingers of a hand
a {} on a playing card
a {} on a road sign
a {} on a keyboard key
a pictogram of a {}
an icon of a {}
an emoji of a {}
a logo with a {}
a sticker of a {}
a stamp with a {} on it
a coin with a {} on it
a flag with a {}
a poster of a {}
a book cover with a {}
a page from an encyclopedia about the {}
a labelled diagram of a {}
a technical drawing of a {}
a blueprint of a {}
a map of {}
an infographic about the {}
a sketch of a {}
a rough pencil sketch of a {}
a charcoal drawing of a {}
a line drawing of a {}
an ink drawing of a {}
a child's crayon drawing of a {}
a doodle of a {} in the margin of a notebook
a chalk drawing of a {}
a page of a colouring book with a {}
a comic panel showing a {}
a cartoon {}
an anime {}
clip art of a {}
a flat vector illustration of a {}
a glossy 3D icon of a {}
a computer rendering of a {}
a low-poly model of a {}
pixel art of a {}
an oil painting of a {}
a watercolour of a {}
a still life with a {}
an impressionist painting of a {}
a cubist picture of a {}
a medieval illumination showing a {}
a cave painting of a {}
a woodcut of a {}
an engraving of a {}
a halftone print of a {}
a stencil of a {}
graffiti of a {}
a mural of a {}
a tattoo of a {}
a mosaic of a {}
a stained-glass window with a {}
an embroidered {}
a knitted {}
a {} woven into a carpet
a patch with a {} sewn on
a plush {}
a toy {}
a plastic {}
a {} made of bricks and blocks
a wooden carving of a {}
a stone sculpture of a {}
a bronze statue of a {}
a clay model of a {}
an origami {}
a paper cut-out of a {}
a balloon in the shape of a {}
a cake in the shape of a {}
a cookie in the shape of a {}
a neon sign in the shape of a {}
a glowing outline of a {} at night
a {} made of light
a {} made of glass
a golden {}
a {} carved from ice
a {} from an old catalogue
a {} as seen in a dream
a {} in an advertisement
a greeting card with a {}
a photo of the {}, a thing people use every day
a photo of a {}, found in nature
a photograph, subject: {}
{}
{}, isolated
{}, close up
{} in the foreground, blurred background
{} next to another {}
many small {} arranged in a pattern
a collage of {} pictures
a before-and-after picture of a {}
a comparison of one {} with another {}
it looks like a {}
what a {} looks like
my favourite {}
look at that {}!
guess what this is: a {}
"""
