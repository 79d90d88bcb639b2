"""A chat answered by a base model: lines drawn until there are as many new templates as were asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from ....prompts.template import SLOT, Template, TemplateError
from .generator import Generator, Sample, Sampling
from .listing import SLOT_WORD, Listing

MAX_LINES_A_TEMPLATE = 3
MAX_LINES_A_ROUND = 16
LINE_TOKENS = 28
"""A template of 15 words has about 20 tokens."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says, and what it took.

    Attributes:
        text: one line ``- template`` for each template.
        finish_reason: ``length`` where the tokens allowed ended it.
        prompt_tokens: tokens read.
        completion_tokens: tokens generated, those of lines that were dropped included.
    """

    text: str
    finish_reason: Literal["stop", "length"]
    prompt_tokens: int
    completion_tokens: int


def answer(
    generator: Generator, listing: Listing, sampling: Sampling, *, seed: str, cancelled: Callable[[], bool]
) -> Answer:
    """Draw lines until ``listing.wanted`` of them are new templates, or three times as many were drawn.

    Lines are drawn side by side from the one prompt. A line that is no template, that the chat knows
    already or that was drawn before is dropped. If no line is a template the first ones are answered as
    they are.

    Args:
        generator: the model.
        listing: what is asked for.
        sampling: ``max_tokens`` bounds all lines together.
        seed: decides all draws.
        cancelled: asked between steps.

    Raises:
        GenerationCancelledError: as soon as ``cancelled`` says so.
    """
    prompt_tokens = generator.read(listing.prompt, cancelled)
    templates: dict[str, str] = {}
    drawn: list[Sample] = []
    left = sampling.max_tokens
    while missing := listing.wanted - len(templates):
        each = min(LINE_TOKENS, left)
        may_draw = MAX_LINES_A_TEMPLATE * listing.wanted - len(drawn)
        if each == 0 or may_draw == 0 or (drawn and sampling.temperature == 0):
            break
        # Some more than needed, since some are dropped; at temperature 0 all lines are the same.
        enough = 1 if sampling.temperature == 0 else missing + 1 + missing // 3
        count = min(enough, MAX_LINES_A_ROUND, left // each, may_draw)
        seeds = [_seed(seed, len(drawn) + index) for index in range(count)]
        one = Sampling(temperature=sampling.temperature, top_p=sampling.top_p, max_tokens=each)
        samples = generator.lines(seeds, one, cancelled)
        left -= sum(sample.tokens for sample in samples)
        drawn += samples
        for template in _new_templates(samples, listing):
            if len(templates) < listing.wanted:
                templates.setdefault(template.key, template.text)
    lines = list(templates.values()) or [_as_caption(sample.text) for sample in drawn[: listing.wanted]]
    return Answer(
        "\n".join(f"- {line}" for line in lines),
        "length" if left == 0 and len(templates) < listing.wanted else "stop",
        prompt_tokens,
        sampling.max_tokens - left,
    )


def _new_templates(samples: Iterable[Sample], listing: Listing) -> Iterable[Template]:
    for sample in samples:
        if not sample.complete:
            continue
        try:
            template = Template.parse(_as_caption(sample.text), max_words=listing.max_words)
        except TemplateError:
            continue
        # Its own placeholders ("<url>") and more slots than in any template shown are slips.
        slips = "<" in template.text or template.text.count(SLOT) > listing.most_slots
        if template.key not in listing.known and not slips:
            yield template


def _as_caption(line: str) -> str:
    return line.replace(SLOT_WORD, SLOT).strip()


def _seed(seed: str, index: int) -> int:
    digest = hashlib.sha256(f"{seed}/{index}".encode()).digest()
    return int.from_bytes(digest[:4], "big")
