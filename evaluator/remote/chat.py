"""Score instructions with a chat model that sees images, by OpenAI's form of requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ..scoring import UNREADABLE
from .answers import ListedClasses
from .asking import ApiAnswer, ApiRefusal
from .evaluator import RemoteProblem, SplitDecisions, misformed, path_below, text_tokens
from .image_by_image import ImageByImageEvaluator, Prompt
from .pictures import SentPicture

PATH = "chat/completions"
REFUSED = "refused"
"""Beginning of why an answer ended, if the endpoint or the model refused."""
LONGEST_KEPT = 20_000
"""Characters of an answer that are kept, the last ones."""
_CACHED_ANSWERS = 65_536
_FEW_TOKENS = 100
"""Tokens around an image and an instruction: roles, a system prompt of the endpoint's own."""


class ChatEvaluator(ImageByImageEvaluator):
    """Scores instructions with a chat model, one image a request.

    An answer that was cut or refused, or that names no class, counts as wrong. Of several samples, the most
    frequent class counts, of equally frequent ones the first. Answers are kept as text and read each time.

    Args:
        options: Lists the classes and reads answers.
        detail: How closely the model looks, in OpenAI's words; None to leave it to the endpoint.
        samples: Answers for each image. One is drawn at temperature 0, several at the endpoint's own.
        answer_tokens: Most tokens of an answer.
    """

    protocol = "chat"
    answers_in_words = True

    def __init__(
        self,
        problem: RemoteProblem,
        options: ListedClasses,
        *,
        detail: str | None = None,
        samples: int = 1,
        answer_tokens: int = 64,
    ) -> None:
        super().__init__(problem)
        self.path = path_below(problem.url, PATH)
        self.samples = samples
        self._fill = options.fill
        self._detail, self._answer_tokens = detail, answer_tokens
        self._label = lru_cache(maxsize=_CACHED_ANSWERS)(options.read)

    def prompt(self, candidate: str) -> Prompt:
        return Prompt(self._fill(candidate))

    def body(self, prompt: Prompt, picture: SentPicture) -> Mapping[str, Any]:
        image = {"url": picture.data_url, **({"detail": self._detail} if self._detail else {})}
        content = [{"type": "text", "text": prompt.text}, {"type": "image_url", "image_url": image}]
        return {
            "model": self.problem.model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": self._answer_tokens,
            **({"temperature": 0} if self.samples == 1 else {}),
        }

    def tokens(self, prompt: Prompt) -> tuple[int, int]:
        return text_tokens(prompt.text) + _FEW_TOKENS, self._answer_tokens

    def value(self, prompt: Prompt, answer: ApiAnswer) -> Any:
        """Return the answer's text, and why it is not whole, if so."""
        if isinstance(answer, ApiRefusal):
            return {"text": answer.message[:LONGEST_KEPT], "ended": f"{REFUSED}: {answer.reason}"[:80]}
        text, ended = read_completion(answer.body)
        return {"text": text[-LONGEST_KEPT:], **({} if ended is None else {"ended": ended})}

    def is_refusal(self, value: Any) -> bool:
        return isinstance(value, dict) and str(value.get("ended", "")).startswith(REFUSED)

    def is_valid(self, prompt: Prompt, value: Any) -> bool:
        """Return whether a value from disk is an answer's text, perhaps with why it ended."""
        texts = (value.get("text"), value.get("ended", "")) if isinstance(value, dict) else (None,)
        return all(isinstance(text, str) for text in texts)

    def decisions(self, prompt: Prompt, values: Sequence[Sequence[Any]]) -> SplitDecisions:
        """Return the most frequent class of each image's answers, and unreadable answers."""
        unreadable: list[str] = []
        predicted, refused = [], []
        for image_index, answers in enumerate(values):
            votes = Counter[int]()
            for answer in answers:
                label = None if "ended" in answer else self._label(answer["text"])
                if label is None:
                    unreadable.append(_shown(answer))
                else:
                    votes[label] += 1
            predicted.append(votes.most_common(1)[0][0] if votes else UNREADABLE)
            if all(map(self.is_refusal, answers)):
                refused.append(image_index)
        return SplitDecisions(
            np.array(predicted, dtype=np.int64), unreadable=tuple(unreadable), refused=tuple(refused)
        )


def _shown(answer: Mapping[str, str]) -> str:
    text = answer["text"].strip() or "(nothing)"
    return f"({answer['ended']}) {text}" if "ended" in answer else text


def read_completion(body: Any) -> tuple[str, str | None]:
    """Return a chat completion's text, and why it is not whole: cut, or refused; None if it is.

    Raises:
        BadReplyError: It is not a chat completion.
    """
    choices = body.get("choices") if isinstance(body, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise misformed("a chat completion", body)
    ended = choice.get("finish_reason")
    if isinstance(refusal := message.get("refusal"), str) and refusal:
        return refusal, REFUSED
    content = message.get("content")
    if isinstance(content, list):  # members, as some servers answer
        texts = [member.get("text", "") if isinstance(member, dict) else member for member in content]
    else:
        texts = ["" if content is None else content]
    if not all(isinstance(text, str) for text in texts):
        raise misformed("an answer in words", content)
    return "".join(texts), {"length": "cut", "content_filter": REFUSED}.get(str(ended))
