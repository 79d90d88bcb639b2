"""The longest requests that a search may make: its method speaks, to a restart in which all is long."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ...evaluator.scoring import MOST_CONFUSED, Confusion, Score
from ...prompts.requests import BEST_SHOWN, MOST_NAMES, Outcome
from ...prompts.template import MAX_CHARACTERS, SLOT, Template
from ...prompts.wording import Wordings
from ..config.llm_name import Style, style_of
from ..config.schema import SearchConfig
from ..llm.member import MORE_TOKENS
from ..llm.types import ChatRequest
from ..methods.base import MAX_ANSWER_CHARACTERS, Ask, Feedback, Propose, Steps, View
from ..methods.memory import Entry, Memory
from ..methods.registry import METHODS
from ..position import Position
from ..search.inputs import read_wordings

LONGEST_WORD = 12
LONGEST_LINE = 120
LONGEST_NAME = 50
"""Characters of a class name: no data set is opened to look. The longest of CoOp's eleven has 45."""
CHARACTERS_A_TOKEN = 4


def longest_requests(config: SearchConfig) -> list[int]:
    """Return the most tokens of each request's messages in a conversation, until they stop growing.

    Assumed are templates of as many words as are allowed, of ``LONGEST_WORD`` characters each, as many class
    names as are ever told, of ``LONGEST_NAME``, and answers of as many tokens as are ever asked for.

    Raises:
        ConfigError: The user's file of wordings cannot be used.
    """
    style = config.style or style_of(config.llm)
    # Where nothing says how a model is best asked, its answers decide.
    styles: tuple[Style, ...] = ("rich", "short") if style is None else (style,)
    wordings = read_wordings(config)
    wordings = replace(wordings, angles=(max(wordings.angles, key=len),))
    conversations = [tokens for each in styles for tokens in _conversations(config, each, wordings)]
    return [max(alike) for alike in itertools.zip_longest(*conversations, fillvalue=0)]


def _conversations(config: SearchConfig, style: Style, wordings: Wordings) -> list[list[int]]:
    """Return what the requests of a restart's first two conversations have, which may begin differently."""
    kept: dict[str, Any] = {}
    views = (_longest_view(config, style, wordings, kept) for _ in range(min(config.conversations, 2)))
    feedback = _longest_heard(config)
    conversations = (
        requests_of(config, METHODS[config.method].conversation(view), feedback) for view in views
    )
    return [[request.prompt_tokens_at_most for request in conversation] for conversation in conversations]


def requests_of(config: SearchConfig, steps: Steps, feedback: Feedback) -> Iterator[ChatRequest]:
    """Yield the requests of a conversation, each of which is answered alike."""
    turns = min(config.max_turns, config.rounds)
    step, asked = next(steps, None), 0
    # A method that makes templates itself now and then is feedback out until its conversation is full.
    for _ in range((1 + METHODS[config.method].requests) * turns):
        if step is None or asked == turns:
            return
        if not isinstance(step, Propose):
            yield ChatRequest(messages=tuple(step.messages), model="")
            asked += isinstance(step, Ask)
        try:
            step = steps.send(feedback)
        except StopIteration:
            return


def _longest_heard(config: SearchConfig) -> Feedback:
    """Return an answer all of whose proposals are scored, with as many other lines as are told of."""
    answer = CHARACTERS_A_TOKEN * MORE_TOKENS * config.answer_tokens
    scored = Outcome(_longest_template(config, 0), score=0.5)
    refused = Outcome("x" * LONGEST_LINE, reason="x" * LONGEST_LINE)
    return Feedback(
        text="x" * min(MAX_ANSWER_CHARACTERS, answer),
        outcomes=[*[scored] * config.proposals, *[refused] * (2 * config.proposals)],
        best_before=0.25,
    )


def _longest_view(config: SearchConfig, style: Style, wordings: Wordings, kept: dict[str, Any]) -> View:
    """Return a restart whose templates and class names are all as long as they may be."""
    memory = Memory()
    names = tuple(f"{number:0{LONGEST_NAME}d}" for number in range(MOST_NAMES))
    confused = tuple(Confusion(names[0], names[1], 1) for _ in range(MOST_CONFUSED))
    for number in range(2 * max(config.top_k, BEST_SHOWN)):
        template = Template.parse(_longest_template(config, number), max_words=None)
        # No two are equal: what is as good as the best is in no list of bad ones.
        score = Score(train=0.5 - number / 10_000, confused=confused)
        memory.add(Entry(candidate=template, score=score, value=score.train, position=Position(1)))
    return View(
        memory=memory,
        pool=(),
        proposals=config.proposals,
        top_k=config.top_k,
        max_words=config.max_words,
        max_turns=config.max_turns,
        rng=random.Random,
        description=config.description,
        class_names=() if config.blind else names,
        style=style,
        wordings=wordings,
        state=kept,
        objective=config.objective,
    )


def _longest_template(config: SearchConfig, number: int) -> str:
    words = max(min(config.max_words, MAX_CHARACTERS // (LONGEST_WORD + 1)), 2)
    return " ".join([f"{number:0{LONGEST_WORD}d}"] * (words - 1) + [SLOT])
