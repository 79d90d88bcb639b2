"""Turn templates into tokens: filled with every class name, counted, and cut at the end of text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, takewhile
from typing import Any

from torch import Tensor

from ..scoring import Rejection
from .tower import Text

SLOT = "{}"
RECENT = 64
WORDS_KEPT = 65536
# Cleaning only lower-cases such text and joins spaces, and no token crosses one: words are encoded apart.
_SIMPLE = re.compile(r"[A-Za-z0-9 ,.()/:;!?'-]*")


Tokenizer = Callable[..., Tensor]
"""open_clip's: texts, and optionally a ``context_length``, to token ids [B, L]."""
Encode = Callable[[str], list[int]]
"""A text to token ids, with start and end."""


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
        self.rows = lru_cache(RECENT)(self._rows)

    def fill(self, template: str, names: Sequence[str] | None = None) -> list[str]:
        return [template.replace(SLOT, name) for name in (self._names if names is None else names)]

    def check(self, template: str) -> Rejection | None:
        if SLOT not in template:
            return Rejection("no_slot", f"there is no {SLOT} in {template!r} for the class name")
        plain = self._encode is not None
        counts = list(map(len, self.rows(template))) if plain else self._wide(self.fill(template))
        longest = max(range(len(counts)), key=counts.__getitem__)
        if counts[longest] <= self._limit:
            return None
        return Rejection(
            "too_many_tokens",
            f"{counts[longest]} tokens with the class name {self._names[longest]!r}, "
            f"and this model reads {self._limit}",
        )

    def _rows(self, template: str) -> list[list[int]]:
        """Return the unpadded tokens of each class text, end of text included."""
        texts, encode = self.fill(template), self._encode
        rows: list[list[int]] = (
            self._tokenizer(texts).tolist() if encode is None else [encode(text) for text in texts]
        )
        return rows

    def named(self, template: str, name: str, reader: Reader) -> Text:
        """Return the template with another name, cut where it is read."""
        row, shared = self._named_tokens(template, name)
        cut = reader.cut(row)
        return Text(cut, min(shared, len(cut) - 1))

    def check_name(self, template: str, name: str) -> Rejection | None:
        if self._encode is not None:
            count = len(self._named_tokens(template, name)[0])
        else:
            (count,) = self._wide(self.fill(template, [name]))
        if count <= self._limit:
            return None
        return Rejection("too_many_tokens", f"{count} tokens, and this model reads {self._limit}")

    def _named_tokens(self, template: str, name: str) -> tuple[list[int], int]:
        """Return the tokens with another name, and how many of them certainly stand before every name."""
        text, before = template.replace(SLOT, name), template.partition(SLOT)[0]
        if self._encode is None:
            row: list[int] = self._tokenizer([text])[0].tolist()
            return row, 0
        # Of a word that goes on in the name, the tokens depend on it.
        words = before.rpartition(" ")[0]
        return self._encode(text), len(self._encode(words)) - 1 if _SIMPLE.fullmatch(text) else 0

    def padded(self, template: str, names: Sequence[str] | None = None) -> Tensor:
        """Return token ids as open_clip gives them to its models, of the classes or other names: [C, L]."""
        return self._tokenizer(self.fill(template, names))

    def texts(self, template: str, reader: Reader) -> list[Text]:
        """Return the class texts, cut where they are read, with their number of shared tokens."""
        rows = [reader.cut(row) for row in self.rows(template)]
        # The common beginning of all is that of the sorted first and last.
        pairs = zip(min(rows), max(rows), strict=False)
        common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        shared = min(common, min(map(len, rows)) - 1)
        return [Text(row, shared) for row in rows]

    def _wide(self, texts: list[str]) -> list[int]:
        """Return the numbers of tokens of texts, longer ones than the model reads included."""
        wide = 4 * self._limit
        padding = int(self._tokenizer([""], context_length=wide)[0, -1])
        tokens = self._tokenizer(texts, context_length=wide)
        counts: list[int] = (tokens != padding).sum(dim=1).tolist()
        return counts


def _plain_encoder(tokenizer: Tokenizer) -> Encode | None:
    """Return open_clip's encoding of any length, if the tokenizer is its plain one; else None."""
    from open_clip.tokenizer import SimpleTokenizer, _clean_lower

    chosen: Any = tokenizer
    if type(chosen) is not SimpleTokenizer or chosen.reduction_fn or chosen.clean_fn is not _clean_lower:
        return None
    word_tokens: Encode = lru_cache(maxsize=WORDS_KEPT)(chosen.encode)

    def encode(text: str) -> list[int]:
        parts = text.split() if _SIMPLE.fullmatch(text) else [text]
        return [chosen.sot_token_id, *chain.from_iterable(map(word_tokens, parts)), chosen.eot_token_id]

    return encode
