"""What the world shows: names, the emoji that stand for each, and the kind of thing each is."""

from __future__ import annotations

_KINDS = {
    "animal": (
        "cat🐈🐱 dog🐕🐶 horse🐎🐴 pig🐖🐷 cow🐄🐮 sheep🐑 goat🐐 rabbit🐇🐰 elephant🐘 tiger🐅🐯 "
        "monkey🐒🐵 bear🐻 panda🐼 koala🐨 frog🐸 snake🐍 turtle🐢 crocodile🐊 camel🐫🐪 leopard🐆 "
        "wolf🐺 ram🐏 boar🐗 dragon🐉🐲 hamster🐹 lion🦁 fox🦊 deer🦌 gorilla🦍 lizard🦎 hedgehog🦔 "
        "giraffe🦒 zebra🦓 kangaroo🦘"
    ),
    "bird": (
        "chicken🐓🐔 duck🦆 eagle🦅 owl🦉 penguin🐧 parrot🦜 swan🦢 flamingo🦩 turkey🦃 chick🐤🐥 dove🕊"
    ),
    "sea animal": (
        "fish🐟🐠 whale🐋🐳 dolphin🐬 octopus🐙 crab🦀 shark🦈 lobster🦞 squid🦑 shrimp🦐 shell🐚 blowfish🐡"
    ),
    "insect": "bee🐝 ant🐜 butterfly🦋 ladybug🐞 spider🕷 snail🐌 caterpillar🐛 scorpion🦂 cricket🦗",
    "fruit": (
        "apple🍎🍏 banana🍌 grapes🍇 strawberry🍓 cherry🍒 pineapple🍍 watermelon🍉 lemon🍋 peach🍑 "
        "pear🍐 melon🍈 kiwi🥝 coconut🥥"
    ),
    "vegetable": (
        "carrot🥕 corn🌽 tomato🍅 eggplant🍆 mushroom🍄 broccoli🥦 potato🥔 cucumber🥒 pepper🌶 chestnut🌰"
    ),
    "food": (
        "pizza🍕 hamburger🍔 bread🍞 cheese🧀 egg🥚🍳 cake🎂🍰 donut🍩 cookie🍪 candy🍬 lollipop🍭 "
        "popcorn🍿 sushi🍣 croissant🥐 pretzel🥨 taco🌮 rice🍚 fries🍟 chocolate🍫 cup☕ beer🍺 "
        "wine🍷 milk🥛 honey🍯"
    ),
    "vehicle": (
        "car🚗🚙 bus🚌 truck🚚 train🚂 bicycle🚲 motorcycle🏍 tractor🚜 boat⛵ ship🚢 airplane✈ "
        "helicopter🚁 rocket🚀 ambulance🚑 taxi🚕 canoe🛶 scooter🛵"
    ),
    "instrument": "guitar🎸 violin🎻 trumpet🎺 drum🥁 saxophone🎷 piano🎹 bell🔔 microphone🎤",
    "tool": (
        "hammer🔨 wrench🔧 axe🪓 saw🪚 scissors✂ knife🔪 pencil✏ brush🖌 key🔑🗝 lock🔒 magnet🧲 "
        "candle🕯 broom🧹 spoon🥄 anchor⚓"
    ),
    "clothing": (
        "shirt👕 dress👗 shoe👞👟 boot👢 hat🎩👒 crown👑 glasses👓 tie👔 jeans👖 sock🧦 glove🧤 "
        "scarf🧣 coat🧥 handbag👜 backpack🎒 umbrella☂☔ ring💍"
    ),
    "furniture": "chair🪑 bed🛏 lamp💡 clock🕰 door🚪 couch🛋 bathtub🛁 toilet🚽",
    "device": (
        "telephone☎📞 television📺 camera📷 computer💻🖥 radio📻 printer🖨 battery🔋 telescope🔭 "
        "microscope🔬 joystick🕹"
    ),
    "toy": "balloon🎈 teddy🧸 kite🪁 robot🤖 puzzle🧩 yoyo🪀 doll🪆",
    "ball": "football⚽ basketball🏀 baseball⚾ tennis🎾 volleyball🏐 bowling🎳",
    "building": (
        "house🏠🏡 castle🏰 church⛪ tent⛺ school🏫 hospital🏥 factory🏭 stadium🏟 fountain⛲ lighthouse🗼"
    ),
    "plant": "tree🌳🌲 flower🌼🌻 rose🌹 tulip🌷 cactus🌵 leaf🍁🍃 clover🍀",
    "sky": "rainbow🌈 cloud☁ snowflake❄ fire🔥 lightning⚡ volcano🌋 earth🌍🌎 comet☄ tornado🌪",
    "thing": (
        "book📕📘 envelope✉📧 trophy🏆 gift🎁 bomb💣 hourglass⏳⌛ pill💊 skull💀 ghost👻 basket🧺 "
        "box📦 flag🚩 map🗺 newspaper📰 money💵💰 medal🏅🥇 bone🦴 feather🪶 alien👽 pumpkin🎃 "
        "snowman⛄☃ tooth🦷 eye👁 ear👂 nose👃 hand✋ foot🦶 brain🧠"
    ),
}
# The names that two-part pictures (a cat and the shadow of a dog) are made of, and the bundled sets.
CORE = [
    "cat",
    "dog",
    "horse",
    "pig",
    "fish",
    "rabbit",
    "elephant",
    "frog",
    "snake",
    "turtle",
    "bee",
    "octopus",
    "apple",
    "banana",
    "car",
    "boat",
    "house",
    "tree",
    "guitar",
    "umbrella",
    "key",
    "bell",
    "hat",
    "mushroom",
]
# Further names whose held-out pictures are shipped for the bundled sets.
EVERYDAY = [
    "cow",
    "sheep",
    "bear",
    "tiger",
    "monkey",
    "penguin",
    "chicken",
    "whale",
    "crab",
    "butterfly",
    "snail",
    "lion",
]
# One name, two unlike things: the kind that a template names decides which.
SENSES: dict[str, dict[str, str]] = {
    "bat": {"animal": "🦇", "sport": "🏏"},
    "mouse": {"animal": "🐁🐭", "computer": "🖱"},
    "bow": {"weapon": "🏹", "ribbon": "🎀"},
    "orange": {"fruit": "🍊", "colour": "🟧"},
    "palm": {"tree": "🌴", "hand": "🤚✋"},
    "horn": {"instrument": "📯", "animal": "🦄"},
    "bass": {"fish": "🐟🐠", "instrument": "🎸"},
    "turkey": {"bird": "🦃", "food": "🍗"},
    "star": {"shape": "⭐", "sky": "🌠"},
    "seal": {"animal": "🦭🐋", "stamp": "💮"},
    "spring": {"season": "🌸", "water": "♨"},
    "club": {"card": "♣", "weapon": "🏑"},
    "spade": {"card": "♠", "tool": "⛏"},
    "diamond": {"card": "♦", "jewel": "💎"},
    "heart": {"card": "♥", "organ": "🫀"},
    "chip": {"food": "🍟", "coin": "🪙"},
}


def codepoint(char: str) -> str:
    """Return the emoji's code point in hexadecimal, four digits at least, as the packages name it."""
    return f"{ord(char):04x}"


def _parse() -> tuple[dict[str, str], dict[str, str]]:
    concepts: dict[str, str] = {}
    kinds: dict[str, str] = {}
    for kind, line in _KINDS.items():
        for entry in line.split():
            name = "".join(char for char in entry if char.isascii())
            concepts[name] = entry[len(name) :]
            kinds[name] = kind
    return concepts, kinds


CONCEPTS, KIND = _parse()
