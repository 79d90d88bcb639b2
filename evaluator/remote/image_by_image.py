"""Score candidates by one answer per image: what chat and zero-shot classification share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .asking import ApiAnswer, ApiRequest
from .evaluator import ImageSet, Question, RemoteEvaluator, SplitDecisions, batched, image_tokens
from .labels import KeyMaker
from .pictures import SentPicture


@dataclass(frozen=True, slots=True)
class Prompt:
    """The words of a request, besides its image.

    Attributes:
        text: The instruction as it is sent, or the template.
        names: The classes as they are sent, in their order; empty if ``text`` lists them.
    """

    text: str
    names: tuple[str, ...] = ()


class ImageByImageEvaluator(RemoteEvaluator):
    """Asks for the class of each image by itself."""

    samples = 1
    """Answers for each image."""
    protocol: str
    path: str

    @abstractmethod
    def prompt(self, candidate: str) -> Prompt:
        """Return what requests for a candidate say."""

    @abstractmethod
    def body(self, prompt: Prompt, picture: SentPicture) -> Mapping[str, Any]:
        """Return the body of a request for one image."""

    @abstractmethod
    def tokens(self, prompt: Prompt) -> tuple[int, int]:
        """Return the most tokens of a prompt without its image, and of an answer."""

    @abstractmethod
    def value(self, prompt: Prompt, answer: ApiAnswer) -> Any:
        """Return the JSON value to keep for an answer; raise BadReplyError if it is not of the protocol."""

    @abstractmethod
    def decisions(self, prompt: Prompt, values: Sequence[Sequence[Any]]) -> SplitDecisions:
        """Return the decisions that the values of each image's samples make."""

    @abstractmethod
    def is_valid(self, prompt: Prompt, value: Any) -> bool:
        """Return whether a value from disk is one that ``value`` returns."""

    def decide(
        self, ensembles: Sequence[Sequence[str]], parts: Sequence[ImageSet]
    ) -> list[list[SplitDecisions]]:
        return self.decide_prompts([self.prompt(ensemble[0]) for ensemble in ensembles], parts)

    def decide_prompts(
        self, prompts: Sequence[Prompt], parts: Sequence[ImageSet]
    ) -> list[list[SplitDecisions]]:
        """Return each prompt's decisions for each part; all questions go to the ``ApiAsk`` together."""
        # For each prompt and image set the keys of each image's samples.
        asked = [(prompt, images, self._keys(prompt, images)) for prompt in prompts for images in parts]
        questions = {
            key: self._question(key, prompt, path, content)
            for prompt, images, keys_by_image in asked
            for path, content, keys in zip(images.paths, images.contents, keys_by_image, strict=True)
            for key in keys
        }
        value_by_key = self.gather(
            self.problem.store.answers, questions, lambda unknown: [questions[key] for key in unknown]
        )
        decided = []
        for prompt, _images, keys_by_image in asked:
            values = [[value_by_key[key] for key in keys] for keys in keys_by_image]
            if not all(self.is_valid(prompt, value) for samples in values for value in samples):
                raise self.problem.store.damaged("a label is not of the protocol's form")
            decided.append(self.decisions(prompt, values))
        return list(batched(decided, len(parts)))

    def test_requests(self, candidates: int) -> Iterator[ApiRequest]:
        """Yield requests that cost as much as the labels of all test images by so many candidates."""
        side, prompt = self.problem.pictures.side, self.prompt(self.problem.longest_baseline)
        text, answer = self.tokens(prompt)
        most = text + image_tokens(self.problem.model, side, side) if answer else 0
        for _ in range(candidates * self.problem.info.sizes["test"] * self.samples):
            yield ApiRequest(path=self.path, body={}, prompt_tokens=most, max_tokens=answer)

    def _keys(self, prompt: Prompt, images: ImageSet) -> list[list[str]]:
        """Return the keys of each image's samples."""
        keys = KeyMaker(
            {
                "protocol": self.protocol,
                "model": self.problem.model,
                "parameters": self.problem.parameters,
                "text": prompt.text,
                "names": prompt.names,
            }
        )
        return [[keys.key(content, sample) for sample in range(self.samples)] for content in images.contents]

    def _question(self, key: str, prompt: Prompt, path: Path, content: str) -> Question:
        def request() -> ApiRequest:
            picture = self.problem.pictures.picture(path)
            text, answer = self.tokens(prompt)
            most = text + image_tokens(self.problem.model, picture.width, picture.height) if answer else 0
            return ApiRequest(
                path=self.path,
                body=self.body(prompt, picture),
                prompt_tokens=most,
                max_tokens=answer,
            )

        return Question(request, lambda answer: {key: self.value(prompt, answer)}, image=content)
