"""promptolution's optimisers: OPRO, EvoPromptGA and CAPO, with its own client, task and meta-prompts.

As its quickstart has it: the components are built, ``initial_prompts`` is a list (ten, as many as it would
ask an LLM for), the defaults stay. OPRO's meta-prompt is the one of its two that has room for the description
of a task. CAPO's few-shot examples are texts beside an instruction; a caption has no room for any, so it may
take none. It keeps nothing to go on from.
"""

from __future__ import annotations

import math
import random

import numpy as np
import pandas as pd
from promptolution.llms import APILLM
from promptolution.llms.base_llm import BaseLLM
from promptolution.optimizers import CAPO, OPRO, EvoPromptGA
from promptolution.optimizers.base_optimizer import BaseOptimizer
from promptolution.predictors.base_predictor import BasePredictor
from promptolution.tasks import ClassificationTask
from promptolution.utils import OPRO_TEMPLATE_TD

from benchmarks.peers.asking import ANSWER_TOKENS, ITSELF, PATIENCE_S, TEMPERATURE, Allowance
from benchmarks.peers.black_box import WHAT_IT_IS, BlackBox, read
from benchmarks.peers.job import Job, Pick, Place

POPULATION, BLOCK = 10, 30
"""How many prompts it writes itself where it is given none, and how many images a block has: its defaults."""
STEPS = 10_000
"""More than any allowance: what ends a search is what it may."""


class Bounded(BaseLLM):
    """Its own client, as far as the allowance goes; what is too much ends a search, as any failure does."""

    def __init__(self, inner: BaseLLM, allowance: Allowance) -> None:
        super().__init__()
        self._inner, self._allowance = inner, allowance

    def _get_response(self, prompts: list[str], system_prompts: list[str]) -> list[str]:
        self._allowance.take(len(prompts))
        return self._inner.get_response(prompts, system_prompts)


class Classifying(BasePredictor):
    """Classifies images by the black box, where others ask an LLM."""

    def __init__(self, llm: BaseLLM, box: BlackBox) -> None:
        super().__init__(llm)
        self._box = box

    def predict(
        self,
        prompts: str | list[str],
        xs: list[str],
        system_prompts: str | list[str] | None = None,
    ) -> tuple[list[str], list[str]]:
        """Return the class of each image under the prompt beside it."""
        texts = [prompts] * len(xs) if isinstance(prompts, str) else prompts
        wanted: dict[str, list[int]] = {}
        for text, x in zip(texts, xs, strict=True):
            wanted.setdefault(text, []).append(_place(x))
        found = {}
        for text, places in wanted.items():
            look = self._box.look(text, places)
            for place, label in zip(places, look.predicted, strict=True):
                found[text, place] = "" if label is None else self._box.names[label].lower()
        taken = [found[text, _place(x)] for text, x in zip(texts, xs, strict=True)]
        return taken, [f"{x}\n{one}" for x, one in zip(xs, taken, strict=True)]

    def _extract_preds(self, preds: list[str]) -> list[str]:
        return preds


def _place(x: str) -> int:
    return int(x.rpartition(" ")[2])


def play(job: Job, place: Place, box: BlackBox) -> Pick:
    """Search."""
    random.seed(job.seed)
    np.random.seed(job.seed)  # what it draws from
    allowance = Allowance(job, box)
    llm = Bounded(_client(job, place), allowance)
    optimizer = _optimizer(job, llm, Classifying(llm, box), _task(job, box), box)
    prompts = optimizer.optimize(n_steps=STEPS)
    scores = [one if math.isfinite(one) else -1.0 for one in getattr(optimizer, "scores", ())]
    best = int(np.argmax(scores)) if len(scores) == len(prompts) else 0
    text = prompts[best].construct_prompt()
    return Pick(read(text)[0] or text, box.scored, box.templates, allowance.ended or ITSELF)


def _client(job: Job, place: Place) -> APILLM:
    # Ten requests at once wait for each other where one LLM runs on this machine.
    patience = {"call_timeout_s": PATIENCE_S, "gather_timeout_s": PATIENCE_S} if job.patient else {}
    return APILLM(
        api_url=place.base_url,
        model_id=job.llm,
        api_key="none",
        max_tokens=ANSWER_TOKENS,
        call_kwargs={"temperature": TEMPERATURE},
        **patience,
    )


def _task(job: Job, box: BlackBox) -> ClassificationTask:
    names = [box.names[label] for label in box.labels]
    images = pd.DataFrame({"x": [f"image {place}" for place in range(len(names))], "y": names})
    shows = f" What the images show: {job.sentence}." if job.of.described else ""
    return ClassificationTask(
        images.sample(frac=1, random_state=job.seed).reset_index(drop=True),
        task_description=f"Write {WHAT_IT_IS}.{shows}",
        n_subsamples=min(BLOCK, len(names)),
        metric=lambda true, taken: float(true == taken),
    )


def _optimizer(
    job: Job, llm: BaseLLM, predictor: BasePredictor, task: ClassificationTask, box: BlackBox
) -> BaseOptimizer:
    common = {
        "predictor": predictor,
        "task": task,
        "meta_llm": llm,
        "initial_prompts": box.starts(POPULATION, pool=job.of.pool, seed=job.seed),
    }
    if job.of.method == "opro":
        return OPRO(**common, prompt_template=OPRO_TEMPLATE_TD)
    if job.of.method == "evopromptga":
        return EvoPromptGA(**common)
    nothing = pd.DataFrame({"x": [], "y": []})
    return CAPO(**common, upper_shots=0, create_fs_reasoning=False, df_few_shots=nothing)
