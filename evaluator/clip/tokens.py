"""Turn templates into tokens: filled with every class name, counted, and cut at the end of text."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from torch import Tensor

from ..scoring import Rejection
from .tower import Text

SLOT = "{}"
RECENT = 64
# Cleaning only lower-cases such text and joins spaces, so its parts can be encoded apart.
_SIMPLE = re.compile(r"[A-Za-z0-9 ,.()/:;!?'-]*")
_ALONE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ,.()/:;!?'-]*[A-Za-z0-9])?")


Tokenizer = Callable[..., Tensor]
"""open_clip's: texts, and optionally a ``context_length``, to token ids [B, L]."""
Encode = Callable[[str], list[int]]


@dataclass(frozen=True, slots=True)
class Reader:
    """The token at which a causal tower reads its answer: the one of the largest id, or the first ``eos``."""

    eos: int | None = None

    def cut(self, tokens: Sequence[int]) -> tuple[int, ...]:
        """Return the tokens up to and including the one that is read."""
        if self.eos is None:
            end = tokens.index(max(tokens))
        else:
            # Without an end of text, open_clip reads the first token.
            end = tokens.index(self.eos) if self.eos in tokens else 0
        return tuple(tokens[: end + 1])


class Filler:
    """Fills templates with class names and tokenizes them."""

    def __init__(self, tokenizer: Tokenizer, class_names: Sequence[str], context_length: int) -> None:
        self._tokenizer = tokenizer
        self._names = tuple(class_names)
        self._limit = context_length
        self._encode = _plain_encoder(tokenizer)
        self._recent: OrderedDict[str, list[list[int]]] = OrderedDict()
        self._around: OrderedDict[str, list[list[int]] | None] = OrderedDict()
        self._named: OrderedDict[tuple[str, str], tuple[list[int], int]] = OrderedDict()
        self._ends: tuple[int, int] | None = None
        self._encoded_names: list[list[int] | None] = []
        if self._encode is not None:
            chosen: Any = tokenizer
            self._ends = (chosen.sot_token_id, chosen.eot_token_id)
            self._encoded_names = [
                self._encode(name) if _ALONE.fullmatch(name) else None for name in self._names
            ]

    def fill(self, template: str) -> list[str]:
        return [template.replace(SLOT, name) for name in self._names]

    def check(self, template: str) -> Rejection | None:
        if SLOT not in template:
            return Rejection("no_slot", f"there is no {SLOT} in {template!r} for the class name")
        counts = self._counts(template)
        longest = max(range(len(counts)), key=counts.__getitem__)
        if counts[longest] <= self._limit:
            return None
        return Rejection(
            "too_many_tokens",
            f"{counts[longest]} tokens with the class name {self._names[longest]!r}, "
            f"and this model reads {self._limit}",
        )

    def rows(self, template: str) -> list[list[int]]:
        """Return the unpadded tokens of each class text, end of text included."""
        if template not in self._recent:
            if self._encode is None or self._ends is None:
                rows: list[list[int]] = self._tokenizer(self.fill(template)).tolist()
            else:
                start, end = self._ends
                encode, around = self._encode, self._tokens_around(template, self._encode)
                rows = [
                    [start, *_joined(template, name, tokens, around, encode), end]
                    for name, tokens in zip(self._names, self._encoded_names, strict=True)
                ]
            self._recent[template] = rows
            if len(self._recent) > RECENT:
                self._recent.popitem(last=False)
        return self._recent[template]

    def named(self, template: str, name: str, reader: Reader) -> Text:
        """Return the template with another name, cut where it is read."""
        row, shared = self._named_tokens(template, name)
        cut = reader.cut(row)
        return Text(cut, min(shared, len(cut) - 1))

    def padded_names(self, template: str, names: Sequence[str]) -> Tensor:
        """Return token ids with other names, as open_clip gives them to its models: [N, L]."""
        return self._tokenizer([template.replace(SLOT, name) for name in names])

    def check_name(self, template: str, name: str) -> Rejection | None:
        if self._encode is not None:
            count = len(self._named_tokens(template, name)[0])
        else:
            (count,) = self._wide([template.replace(SLOT, name)])
        if count <= self._limit:
            return None
        return Rejection("too_many_tokens", f"{count} tokens, and this model reads {self._limit}")

    def _named_tokens(self, template: str, name: str) -> tuple[list[int], int]:
        """Return the tokens with another name, and how many of them stand before every name."""
        if self._encode is None or self._ends is None:
            row: list[int] = self._tokenizer([template.replace(SLOT, name)])[0].tolist()
            return row, 0
        if (template, name) not in self._named:
            start, end = self._ends
            around = self._tokens_around(template, self._encode)
            tokens = self._encode(name) if _ALONE.fullmatch(name) else None
            inner = _joined(template, name, tokens, around, self._encode)
            shared = 0 if around is None or tokens is None else 1 + len(around[0])
            self._named[template, name] = [start, *inner, end], shared
            if len(self._named) > RECENT:
                self._named.popitem(last=False)
        return self._named[template, name]

    def padded(self, template: str) -> Tensor:
        """Return token ids as open_clip gives them to its models, [C, L]."""
        return self._tokenizer(self.fill(template))

    def texts(self, template: str, reader: Reader) -> list[Text]:
        """Return the class texts, cut where they are read, with their number of shared tokens."""
        rows = [reader.cut(row) for row in self.rows(template)]
        # The common beginning of all is that of the sorted first and last.
        pairs = zip(min(rows), max(rows), strict=False)
        common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        shared = min(common, min(map(len, rows)) - 1)
        return [Text(row, shared) for row in rows]

    def _counts(self, template: str) -> list[int]:
        if self._encode is not None:
            return [len(row) for row in self.rows(template)]
        return self._wide(self.fill(template))

    def _wide(self, texts: list[str]) -> list[int]:
        """Return the numbers of tokens of texts, longer ones than the model reads included."""
        wide = 4 * self._limit
        padding = int(self._tokenizer([""], context_length=wide)[0, -1])
        tokens = self._tokenizer(texts, context_length=wide)
        counts: list[int] = (tokens != padding).sum(dim=1).tolist()
        return counts

    def _tokens_around(self, template: str, encode: Encode) -> list[list[int]] | None:
        """Return the tokens of each text around the slots; None if they depend on the name."""
        if template not in self._around:
            texts = template.split(SLOT)
            self._around[template] = [encode(text) for text in texts] if _are_apart(texts) else None
            if len(self._around) > RECENT:
                self._around.popitem(last=False)
        return self._around[template]


def _joined(
    template: str, name: str, tokens: list[int] | None, around: list[list[int]] | None, encode: Encode
) -> list[int]:
    """Return a filled template's tokens: joined if those of its parts are known, else encoded anew."""
    if around is None or tokens is None:
        return encode(template.replace(SLOT, name))
    row = list(around[0])
    for after in around[1:]:
        row += tokens
        row += after
    return row


def _plain_encoder(tokenizer: Tokenizer) -> Encode | None:
    """Return open_clip's plain encoding without start and end, if the tokenizer is that one; else None."""
    from open_clip.tokenizer import SimpleTokenizer, _clean_lower

    chosen: Any = tokenizer
    if type(chosen) is not SimpleTokenizer or chosen.reduction_fn or chosen.clean_fn is not _clean_lower:
        return None
    encode: Encode = chosen.encode
    return encode


def _are_apart(texts: Sequence[str]) -> bool:
    """Return whether the texts around the slots have the same tokens alone as next to a name.

    A name starts and ends with a letter or a digit, so a token crosses the edge of the slot only from a
    letter, digit or apostrophe beside it ("{}s", "'{}" before a name that begins with "s").
    """
    if not all(_SIMPLE.fullmatch(text) for text in texts):
        return False
    first, *between = texts[:-1]
    return (
        (not first or _ends_apart(first))
        and all(text and _ends_apart(text) for text in between)
        and all(not text or not text[0].isalnum() for text in texts[1:])
    )


def _ends_apart(text: str) -> bool:
    return not (text[-1].isalnum() or text[-1] == "'")
