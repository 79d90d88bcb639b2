"""GEPA, by its adapter interface: a caption template is the one component that evolves.

As its documents have it: a minibatch of three, the Pareto front over all images, its own proposer; the
reflection prompt is its own with what says "instruction" and "assistant" put as caption and model, since its
documents give that parameter for it. The few shots are training and validation set at once, so that its pick
rests on as many images as ours. It is resumed by its folder, as it offers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import gepa
from gepa.core.adapter import EvaluationBatch, GEPAAdapter
from openai import OpenAI

from benchmarks.peers.asking import ANSWER_TOKENS, ITSELF, PATIENCE_S, TEMPERATURE, Allowance
from benchmarks.peers.black_box import WHAT_IT_IS, BlackBox, read
from benchmarks.peers.job import Job, Pick, Place

COMPONENT = "template"
SPARE = 600
"""Looks at an image beyond what calls need: a round whose three images are all correct makes none."""
REFLECTION = """I classify images with the following caption template:
```
<curr_param>
```

The following are examples of different images, along with the class that the model took each for with this \
template, and some feedback on how that could be better:
```
<side_info>
```

Your task is to write a new template. It is {what}.{shows}

Read all the examples and the corresponding feedback. Identify what the images of this task have in common \
and what the model confuses, and let the template say what helps it.

Provide the new template within ``` blocks."""


class Seen(NamedTuple):
    """One image: its place, whether it is correctly classified, and why nothing is."""

    place: int
    right: bool
    trouble: str


class Captions(GEPAAdapter[int, Seen, str]):
    """Scores a template image by image, and says what each was taken for."""

    propose_new_texts = None

    def __init__(self, box: BlackBox, allowance: Allowance) -> None:
        self._box, self._allowance = box, allowance

    def evaluate(
        self, batch: list[int], candidate: dict[str, str], capture_traces: bool = False
    ) -> EvaluationBatch[Seen, str]:
        """Classify images."""
        look = self._box.look(candidate[COMPONENT], batch)
        return EvaluationBatch(
            outputs=[self._name(one) for one in look.predicted],
            scores=[float(one) for one in look.correct],
            trajectories=[
                Seen(place, right, look.trouble) for place, right in zip(batch, look.correct, strict=True)
            ],
        )

    def make_reflective_dataset(
        self,
        candidate: dict[str, str],
        eval_batch: EvaluationBatch[Seen, str],
        components_to_update: list[str],
    ) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """Say of each image what it shows and what it was taken for."""
        records = []
        for output, seen in zip(eval_batch.outputs, eval_batch.trajectories or (), strict=True):
            true = self._box.names[self._box.labels[seen.place]]
            feedback = "Right." if seen.right else f"Wrong: this image shows the class {true!r}."
            if seen.trouble:
                feedback = f"Nothing is classified, since this is no template: {seen.trouble}"
            records.append(
                {
                    "Inputs": {"image": f"an image of the class {true!r}"},
                    "Generated Outputs": f"taken for {output!r}",
                    "Feedback": feedback,
                }
            )
        return dict.fromkeys(components_to_update, records)

    def get_adapter_state(self) -> dict[str, Any]:
        """Return what a resumed run has to know of the calls that were made."""
        return {"calls": self._allowance.calls}

    def set_adapter_state(self, state: dict[str, Any]) -> None:
        """Go on counting."""
        self._allowance.calls = state.get("calls", 0)

    def _name(self, label: int | None) -> str:
        return "nothing" if label is None else self._box.names[label]


class Reflecting:
    """A reflection LM: GEPA takes any callable."""

    def __init__(self, job: Job, place: Place, allowance: Allowance) -> None:
        self._model, self._allowance = job.llm, allowance
        patience = {"timeout": PATIENCE_S} if job.patient else {}
        self._client = OpenAI(base_url=place.base_url, api_key="none", **patience)

    def __call__(self, prompt: str | list[dict[str, Any]]) -> str:
        """Return an answer."""
        messages: Any = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        found = self._client.chat.completions.create(
            model=self._model, messages=messages, temperature=TEMPERATURE, max_tokens=ANSWER_TOKENS
        )
        self._allowance.take()  # a failed request does not count: GEPA goes on to the next round
        return found.choices[0].message.content or ""


def play(job: Job, place: Place, box: BlackBox) -> Pick:
    """Search."""
    allowance = Allowance(job, box)
    images = list(range(len(box.labels)))
    (start,) = box.starts(1, pool=job.of.pool, seed=job.seed)
    shows = f" What the images show: {job.sentence}." if job.of.described else ""
    enough = len(images) + job.calls * (len(images) + 6) + SPARE
    found = gepa.optimize(
        seed_candidate={COMPONENT: start},
        trainset=images,
        adapter=Captions(box, allowance),
        reflection_lm=Reflecting(job, place, allowance),
        reflection_prompt_template=REFLECTION.format(what=WHAT_IT_IS, shows=shows),
        max_metric_calls=enough,
        stop_callbacks=lambda _state: allowance.is_spent(),
        cache_evaluation=True,
        run_dir=str(place.folder / "gepa"),
        seed=job.seed,
    )
    best = found.best_candidate
    text = best if isinstance(best, str) else best[COMPONENT]
    return Pick(read(text)[0] or text, box.scored, box.templates, allowance.ended or ITSELF)
