"""The grammar of captions: many, varied, valid, and the same every time."""

from __future__ import annotations

import re
from collections import Counter

from promptclimb.agent.methods.without_llm import framed
from promptclimb.evaluator.datasets.hand_made import imagenet_templates
from promptclimb.prompts.template import DEFAULT_MAX_WORDS, Template
from promptclimb.prompts.template_kind import (
    BUILT_IN,
    GENERAL,
    KIND,
    MOST_OF_A_PATTERN,
    NEUTRAL,
    PRODUCTIONS,
    SYMBOLS,
    grammar,
)

ALL = [template for templates in grammar().values() for template in templates]


def test_all_are_different_templates_of_a_searchs_length() -> None:
    """Thousands, one slot each, tidy, no symbol left over, no longer than what an LLM is asked for."""
    assert len({template.key for template in ALL}) == len(ALL) >= 5_000
    assert grammar() is grammar()
    for template in ALL:
        assert Template.parse(template.text, max_words=DEFAULT_MAX_WORDS) == template
        assert template.text.count("{}") == 1
        assert not re.search(r"[<>\n]|  ", template.text)


def test_every_symbol_is_there_and_used() -> None:
    """The patterns and the lists agree; no word stands twice in a list."""
    used = set(re.findall(r"<(\w+)>", " ".join(pattern for each in PRODUCTIONS.values() for pattern in each)))
    assert used == set(SYMBOLS)
    for name, words in SYMBOLS.items():
        assert len(set(words)) == len(words) > 2, name
        assert all(words), name


def test_no_production_outweighs_the_others() -> None:
    """Each has templates of its own, and at most as many as its patterns may give."""
    for name, templates in grammar().items():
        assert 10 <= len(templates) <= MOST_OF_A_PATTERN * len(PRODUCTIONS[name]), name


def test_the_words_are_spread() -> None:
    """Where not all combinations are taken, all words of a symbol still come up."""
    uses = Counter(word for template in ALL for word in template.text.split())
    for words in SYMBOLS.values():
        assert all(uses[word] for entry in words for word in entry.split()[1:])
    assert len(uses) > 1_000


def test_articles_fit_the_word_that_follows() -> None:
    """*An* before a vowel's sound, *a* before any other."""
    texts = {template.text for template in ALL}
    assert {"an old {}", "an image of a {} at night"} & texts
    assert not [
        text for text in texts if re.search(r"\ba (?:old|image|icon|empty)\b|\ban (?:photo|unit)\b", text)
    ]


def test_every_frame_is_a_template_once_its_gaps_are_filled() -> None:
    """One slot, no gap left."""
    for frame in (*KIND.frames, *KIND.double_frames):
        text = framed(frame, "tally marks", "chalk")
        assert Template.parse(text).text.count("{}") == 1
        assert "<" not in text
        assert ("chalk" in text) == (frame in KIND.double_frames)
    assert len(set(NEUTRAL)) == len(NEUTRAL) > 100


def test_general_templates_come_before_all_others() -> None:
    """The bare name, published lists, OpenAI's 80 among them, captions and the grammar's general kinds."""
    (bare,), (published, captions, *general), others = KIND.starting("general")
    assert [template.text for template in bare] == ["{}"]
    first = {template.key for group in (bare, published, captions, *general) for template in group}
    keys = {template.key for template in published}
    assert {Template.parse(text).key for text in imagenet_templates()} <= keys
    assert {Template.parse(text).key for text in BUILT_IN} <= first
    known = {template.key for group in (bare, published, captions) for template in group}
    for tier, named in ((general, True), (others, False)):
        groups = [grammar()[name] for name in grammar() if (name in GENERAL) is named]
        assert tier == [[template for template in group if template.key not in known] for group in groups]
    assert len(GENERAL) == len(general)
    for group in (published, captions):
        assert bare[0] not in group
        assert len({template.key for template in group}) == len(group)
        assert all(Template.parse(template.text) == template for template in group)
    assert not {template.key for template in published} & {template.key for template in captions}
