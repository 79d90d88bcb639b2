"""The families of endpoints, and the words in which each refuses: one entry each.

The words count wherever they come from: a gateway hands on what the server behind it says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What is particular to one kind of endpoint.

    Attributes:
        name: Whose it is.
        instead: Parameters that go by another name there.
        renames: What a refusal says where that name holds; empty for nothing.
        models: Names of the models that it holds for; empty for all.
        no_system: How it says that it takes no system messages, or no two turns of one role in a row.
        streams: How it says that it answers in pieces alone.
        overlong: How it says that a request is longer than it can take. Groups: ``window``, all that fits;
            ``prompt``, what the messages have; ``both``, messages and answer; in tokens.
    """

    name: str
    instead: Mapping[str, str] = field(default_factory=dict)
    renames: str = ""
    models: str = ""
    no_system: str = ""
    streams: str = ""
    overlong: tuple[str, ...] = ()


FAMILIES = (
    Family(
        name="OpenAI",
        instead={"max_tokens": "max_completion_tokens"},
        no_system=r"role'? does not support 'system'",
        overlong=(
            r"maximum context length is (?P<window>\d+) tokens.{0,60}?requested (?P<both>\d+) tokens"
            r"(?: \((?P<prompt>\d+) in)?",
            r"maximum context length is (?P<window>\d+) tokens.{0,60}?resulted in (?P<prompt>\d+)",
            r"context_length_exceeded",
            r"Request too large for .{0,200}Limit:? (?P<window>\d+), Requested:? (?P<both>\d+)",
        ),
    ),
    Family(
        name="Anthropic",
        overlong=(
            r"prompt is too long: (?P<prompt>\d+) tokens > (?P<window>\d+)",
            r"exceed context limit: (?P<prompt>\d+) \+ \d+ > (?P<window>\d+)",
            r"prompt is too long",
        ),
    ),
    Family(
        name="Google",
        no_system=r"(?:Developer|System) instruction is not enabled",
        overlong=(
            r"input token count(?: is)? \(?(?P<prompt>\d+)\)?.{0,20}exceeds the maximum number of tokens "
            r"allowed \(?(?P<window>\d+)",
        ),
    ),
    Family(
        name="Mistral",
        instead={"seed": "random_seed"},
        renames=r"extra_forbidden",
        models=r"(?:mini|mi|magi|code|dev|pix)stral|mixtral",
        overlong=(r"contains (?P<prompt>\d+) tokens.{0,60}too large for model with (?P<window>\d+)",),
    ),
    Family(name="Qwen", streams=r"only supports? stream|enable the stream parameter"),
    Family(
        name="xAI",
        overlong=(r"maximum prompt length is (?P<window>\d+) but the request contains (?P<prompt>\d+)",),
    ),
    Family(name="MiniMax", no_system=r"invalid message role: system"),
    Family(
        name="vLLM",
        no_system=r"System role (?:is )?not supported|roles must alternate",
        overlong=(
            r"maximum context length is (?P<window>\d+) tokens and your request has (?P<prompt>\d+) input",
            r"maximum context length is (?P<window>\d+) tokens.{0,80}?at least (?P<prompt>\d+) input",
            r"max_tokens must be at least 1, got -\d+",
            r"passed (?P<prompt>\d+) input tokens.{0,80}?context length is only (?P<window>\d+)",
        ),
    ),
    Family(
        name="SGLang",
        overlong=(r"\((?P<prompt>\d+) tokens\) is longer than the model's context length \((?P<window>\d+)",),
    ),
    Family(
        name="TGI",
        overlong=(
            r"`?inputs`? tokens \+ `?max_new_tokens`? must be <= (?P<window>\d+)\. Given: (?P<prompt>\d+)",
            r"`?inputs`? must have less than (?P<window>\d+) tokens\. Given: (?P<prompt>\d+)",
        ),
    ),
    Family(
        name="llama.cpp",
        overlong=(
            r"exceeds? the available context size|exceed_context_size_error",
            r"Requested tokens \((?P<prompt>\d+)\) exceed context window of (?P<window>\d+)",
        ),
    ),
    Family(
        name="LM Studio",
        overlong=(r"keep the first (?P<prompt>\d+) tokens when .{0,100}length of only (?P<window>\d+)",),
    ),
    Family(
        name="GitHub Models",
        overlong=(r"Request body too large.{0,80}Max size: (?P<window>\d+) tokens",),
    ),
    Family(
        name="any",
        overlong=(
            r"context (?:length|window|size)\b.{0,60}\bexceed",
            r"\bexceed\w*\b.{0,60}\bcontext (?:length|window|size)",
            r"(?:prompt|input|conversation) is too long",
        ),
    ),
)
"""Those that say more come first: the first whose words are found is believed."""

NO_SYSTEM = re.compile("|".join(family.no_system for family in FAMILIES if family.no_system), re.IGNORECASE)
STREAMS = re.compile("|".join(family.streams for family in FAMILIES if family.streams), re.IGNORECASE)
OVERLONG = tuple(
    re.compile(words, re.IGNORECASE | re.DOTALL) for family in FAMILIES for words in family.overlong
)


def other_name(parameter: str, said: str, model: str) -> str | None:
    """Return what a refused parameter is called by the family that refuses it; None where it has no name.

    Args:
        parameter: The one that is refused.
        said: What the refusal says.
        model: What was asked for.
    """
    for family in FAMILIES:
        if (
            (name := family.instead.get(parameter)) is not None
            and re.search(family.renames, said, re.IGNORECASE)
            and re.search(family.models, model, re.IGNORECASE)
        ):
            return name
    return None
