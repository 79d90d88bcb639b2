"""Conversations that are longer than an endpoint's context, and endpoints that cut them without a word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .refusals import Overlong

if TYPE_CHECKING:
    from ....prompts.requests import Message

BYTES_A_MESSAGE = 16
"""What a message takes beside its text: role and marks."""
HEADROOM = 0.95
"""Of the room that is told, what is used: tokens are estimated by bytes."""
LEAST_ANSWER = 16
"""Tokens below which no answer is worth asking for."""
WINDOWS = frozenset(2**power for power in range(11, 18))
"""Contexts that servers cut to where nobody has set another."""
_MOST_BYTES_A_TOKEN = 8
_ENOUGH = 2_000


def size(messages: Sequence[Message]) -> int:
    """Bytes of a conversation, the measure that the bound of an endpoint is kept in."""
    texts = (str(message["content"]) for message in messages)
    return sum(len(text.encode("utf-8", "surrogatepass")) + BYTES_A_MESSAGE for text in texts)


def room(told: Overlong, messages: Sequence[Message], max_tokens: int) -> int:
    """Return how many bytes of a conversation fit, after one that did not.

    Args:
        told: What the endpoint says of it.
        messages: What was sent.
        max_tokens: The longest answer asked for, which has to fit too.
    """
    sent, prompt = size(messages), _prompt(told, max_tokens)
    if not told.window or prompt <= 0:
        return sent // 2
    fits = int(sent * max(told.window - max_tokens, 0) / prompt * HEADROOM)
    return min(fits, sent - 1)


def window(told: Overlong, messages: Sequence[Message], max_tokens: int) -> Window | None:
    """Return what messages that fit alone show of a context, None where they leave an answer no room.

    Args:
        told: What the endpoint says of it.
        messages: What was sent.
        max_tokens: The longest answer asked for, which did not fit beside them.
    """
    prompt = _prompt(told, max_tokens)
    if not told.window or prompt <= 0:
        return None
    left = int((told.window - prompt) * HEADROOM)
    if not LEAST_ANSWER <= left < max_tokens:
        return None
    return Window(tokens=told.window, tokens_a_byte=prompt / size(messages))


@dataclass(frozen=True, slots=True)
class Window:
    """A context in which messages and answer have to fit together.

    Attributes:
        tokens: All that fits.
        tokens_a_byte: What messages were counted for, by their ``size``.
    """

    tokens: int
    tokens_a_byte: float

    def beside(self, messages: Sequence[Message], max_tokens: int) -> int:
        """Return how long an answer to these messages may be, ``max_tokens`` at most."""
        left = int((self.tokens - size(messages) * self.tokens_a_byte) * HEADROOM)
        return min(max_tokens, max(left, LEAST_ANSWER))

    def joined(self, other: Window | None) -> Window:
        """Return the narrower of both: fewer tokens, and more of them for a byte."""
        if other is None:
            return self
        return Window(min(self.tokens, other.tokens), max(self.tokens_a_byte, other.tokens_a_byte))


def _prompt(told: Overlong, max_tokens: int) -> int:
    """Return the tokens of the messages, as told or as what is left without the answer; 0 for not known."""
    return told.prompt or (told.both - max_tokens if told.both else 0)


def shortened(messages: Sequence[Message], most: int) -> tuple[Message, ...]:
    """Leave out the oldest turns until a conversation fits: the opening and the newest message stay.

    Args:
        messages: The opening (up to the first message of the user), then turns: an answer, and what was said
            to it.
        most: Bytes that fit, by ``size``.

    Returns:
        The messages that are left; more than fit where only the opening and the newest message are.
    """
    users = [place for place, message in enumerate(messages) if message["role"] == "user"]
    opening = messages[: users[0] + 1] if users else messages
    turns = list(messages[len(opening) :])
    while len(turns) > 1 and size((*opening, *turns)) > most:
        # An answer goes with what was said to it, unless that is the newest message.
        del turns[: 2 if len(turns) > 2 else 1]
    return (*opening, *turns)


def silently_cut(
    messages: Sequence[Message], max_tokens: int, *, prompt: int, completion: int, reason: str
) -> bool:
    """Whether an answer's usage shows that the endpoint saw only a part of the conversation, or had no room.

    Ollama leaves out the oldest part of what exceeds its context (``num_ctx``), and stops an answer where the
    context ends: messages and answer then make exactly the window, or far fewer tokens are counted than the
    text can have.

    Args:
        messages: What was sent.
        max_tokens: The longest answer asked for.
        prompt: Tokens counted for the messages, 0 where it is not told.
        completion: Tokens counted for the answer.
        reason: Why it ended.
    """
    if prompt <= 0:
        return False
    full = prompt + completion in WINDOWS and reason == "length" and completion < max_tokens
    letters = sum(len(str(message["content"])) for message in messages)
    return full or (letters > _ENOUGH and letters > _MOST_BYTES_A_TOKEN * prompt)
