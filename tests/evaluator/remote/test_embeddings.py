from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.evaluator.errors import (
    AskingEndedError,
    ConfigError,
    ModelError,
    ScorerRefusesError,
    ScoringEndedError,
    TemplateRejectedError,
)
from promptclimb.evaluator.head import Head, Likeness
from promptclimb.evaluator.remote.asking import ApiAnswer, ApiRefusal, ApiRequest
from promptclimb.evaluator.remote.dialects import DIALECTS, dialect_of, read_cohere, read_data
from promptclimb.evaluator.remote.embeddings import TRIAL_TEXT, EmbeddingsEvaluator, as_vector
from promptclimb.evaluator.remote.evaluator import BadReplyError, RemoteEvaluator
from promptclimb.evaluator.scoring import (
    OTHER_MODEL,
    UNREADABLE,
    FeatureEvaluator,
    MaybeAwaitable,
    NamePredictor,
    Rejection,
    Score,
)
from promptclimb.evaluator.spec import EMBEDDING_DIALECTS
from promptclimb.evaluator.threads import in_thread
from tests.evaluator.remote.conftest import Opened
from tests.evaluator.remote.test_image_by_image import JSON_VALUES, SEARCHED, scored
from tests.fakes.visual_api import VisualApi, colour_of

TEMPLATE = "a photo of a {}"
T = TypeVar("T")


def images_in(request: ApiRequest) -> int:
    return str(request.body).count("base64,") or str(request.body).count("'image':")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_images_cost_once_and_a_template_its_texts(dialect: str, opened: Opened, tmp_path: Path) -> None:
    """In every form; the second template asks for its texts only, and another run for nothing."""
    api = VisualApi(concurrency=3)
    evaluator = opened("embeddings", api, tmp_path / "labels.sqlite", scorer_dialect=dialect)
    assert (scored(evaluator, TEMPLATE).train, evaluator.info.cheap) == (1.0, True)
    assert sum(map(images_in, api.requests)) == SEARCHED
    assert {request.path for request in api.requests} == {DIALECTS[dialect].path}
    before = len(api.requests)
    first = scored(evaluator, "a photo of a big {}")
    assert len(api.requests) == before + 1
    again = opened("embeddings", VisualApi(ends_after=0), tmp_path / "labels.sqlite", scorer_dialect=dialect)
    assert scored(again, "a photo of a big {}") == first
    assert isinstance(evaluator, NamePredictor)


@pytest.mark.parametrize("most", [1, 3])
def test_the_size_of_requests_is_learnt(most: int, opened: Opened) -> None:
    """From requests that are refused whole and answered in halves."""

    def holds(request: ApiRequest) -> int:
        return len(request.body["input"])

    def change(_number: int, request: ApiRequest, body: Any) -> Any:
        return ApiRefusal("too many inputs") if holds(request) > most else body

    api = VisualApi(change=change, concurrency=1)
    evaluator = opened("embeddings", api, scorer_dialect="openai")
    grown: list[int] = []
    evaluator.on_more_requests = lambda: grown.append(evaluator.estimate(10, 80).requests)
    before = evaluator.estimate(10, 80).requests
    scored(evaluator, TEMPLATE)
    refused = [holds(request) for request in api.requests if holds(request) > most]
    assert refused == {1: [8, 4, 4, 2, 2, 2, 2, 3, 2], 3: [8, 4, 4]}[most]
    assert before == 20 + 1
    assert grown[-1] == evaluator.estimate(10, 80).requests == {1: 110, 3: 50}[most] + 1
    asked = len(api.requests)
    scored(evaluator, "a photo of a big {}")
    assert max(map(holds, api.requests[asked:])) <= most


def test_a_larger_request_than_any_before_is_asked_alone(opened: Opened) -> None:
    """Few texts first say nothing of how many a request may hold: what is too many is refused once."""

    def holds(request: ApiRequest) -> int:
        return len(request.body["input"])

    api = VisualApi(change=lambda _number, request, body: ApiRefusal("many") if holds(request) > 48 else body)
    evaluator = opened("embeddings", api, scorer_dialect="openai")
    scored(evaluator, TEMPLATE)
    evaluator.score([f"{TEMPLATE} {number}" for number in range(100)])
    assert [holds(request) for request in api.requests if holds(request) > 48] == [96]


def test_the_form_is_known_by_the_address() -> None:
    """Of vendors with one address; every form has a name that the option takes."""
    assert tuple(DIALECTS) == EMBEDDING_DIALECTS
    known = {
        "https://api.jina.ai/v1": "jina",
        "https://api.voyageai.com/v1": "voyage",
        "https://api.cohere.com/v2": "cohere",
    }
    for url, name in known.items():
        dialect = dialect_of(url)
        assert dialect is not None
        assert dialect.name == name
    assert dialect_of("https://api.jina.ai.evil.example/v1") is None


@pytest.mark.parametrize("form", ["infinity", "openai", "vllm", "jina"])
def test_the_form_is_found_out(form: str, opened: Opened, tmp_path: Path) -> None:
    """By refused tries, of one image in two encodings; what was found is kept for the next run."""
    marks = {"infinity": "modality", "openai": "", "vllm": "messages", "jina": "embedding_type"}

    def change(_number: int, request: ApiRequest, body: Any) -> Any:
        members = request.body.keys()
        speaks = next(name for name, mark in reversed(marks.items()) if mark in members or not mark)
        return body if speaks == form else ApiRefusal(f"unknown form {speaks}")

    def speaks_only(number: int, request: ApiRequest, body: Any) -> Any:
        if "modality" in request.body:
            return body if form == "infinity" else ApiRefusal("no modality")
        # vLLM takes texts in OpenAI's form.
        is_text = form == "vllm" and "data:" not in str(request.body)
        return body if is_text else change(number, request, body)

    api = VisualApi(change=speaks_only)
    evaluator = opened("embeddings", api, tmp_path / "labels.sqlite")
    assert isinstance(evaluator, EmbeddingsEvaluator)
    assert evaluator.dialect.name == form
    again = opened("embeddings", VisualApi(ends_after=0), tmp_path / "labels.sqlite")
    assert isinstance(again, EmbeddingsEvaluator)
    assert again.dialect.name == form


def test_the_form_is_found_out_where_a_request_holds_one_image(opened: Opened) -> None:
    """The images of the trial are asked for one by one."""

    def change(_number: int, request: ApiRequest, body: Any) -> Any:
        is_taken = len(request.body.get("input", ())) == 1 and "modality" not in request.body
        return body if is_taken else ApiRefusal("one input only")

    evaluator = opened("embeddings", VisualApi(change=change))
    assert isinstance(evaluator, EmbeddingsEvaluator)
    assert evaluator.dialect.name == "openai"


def test_a_model_of_texts_alone_is_refused(opened: Opened) -> None:
    """It takes a data URL for a text, and gives a vector that says nothing of the image."""
    api = VisualApi(reads_images=False, blur=1.0)
    with pytest.raises(
        ConfigError, match=r"vllm, jina: it reads images as text.*`scorer_dialect = infinity"
    ) as error:
        opened("embeddings", api)
    assert f"in any form that was tried, in {len(api.requests)} requests (" in str(error.value)


def test_ensembles_are_averaged_as_with_clip(opened: Opened) -> None:
    """The vectors of the templates, each of length 1; a name of one class changes its own text only."""
    api = VisualApi(blur=1.5)
    evaluator = opened("embeddings", api, scorer_dialect="openai")
    templates = ["a {}", "the {}", "one {}"]
    predicted = evaluator.predict([templates], split="train").predicted[0]
    split = evaluator.split("train")
    reader = evaluator.problem.pictures
    images = np.stack([colour_of(reader.picture(path).base64) for path in split.paths])
    texts = np.stack(
        [[api.text(template.format(name)) for name in evaluator.info.class_names] for template in templates]
    )
    mean = texts.mean(axis=0)
    assert predicted == tuple(
        (images @ (mean / np.linalg.norm(mean, axis=1, keepdims=True)).T).argmax(axis=1)
    )

    before = len(api.requests)
    named = evaluator.predict_named("a {}", [{}, {0: "green"}, {0: "green"}], split="train")
    assert named.predicted[0] == evaluator.predict([["a {}"]], split="train").predicted[0]
    assert named.predicted[1] == named.predicted[2]
    assert [len(request.body["input"]) for request in api.requests[before:]] == []


def test_the_end_costs_what_was_kept_for_it(opened: Opened) -> None:
    """Vectors of the test images, once, and of each candidate's texts."""
    api = VisualApi()
    evaluator = opened("embeddings", api, scorer_dialect="openai")
    scored(evaluator, TEMPLATE)
    searched = len(api.requests)
    kept = evaluator.estimate(2, 9)
    single, together = evaluator.examine([[TEMPLATE], [TEMPLATE, "the {}"]])
    assert single is not None
    assert together is not None
    assert (single.test, together.test) == (1.0, 1.0)
    tested = api.requests[searched:]
    assert 0 < len(tested) <= kept.requests
    assert sum(request.prompt_tokens for request in tested) <= kept.prompt_tokens


@pytest.mark.parametrize("objective", ["accuracy", "margin"])
def test_a_refused_image_has_no_vector(objective: str, opened: Opened, tmp_path: Path) -> None:
    """It is found among those of its request, counts as wrong, and is not asked for again."""
    evil: list[str] = []

    def change(_number: int, request: ApiRequest, body: Any) -> Any:
        sent = request.body["input"]
        if not evil:
            evil.append(sent[2])
        return ApiRefusal("not allowed") if evil[0] in sent else body

    api = VisualApi(change=change)
    settings = {"scorer_dialect": "openai", "objective": objective}
    evaluator = opened("embeddings", api, tmp_path / "labels.sqlite", **settings)
    score = scored(evaluator, TEMPLATE)
    assert score.correct == (14, 6)
    # Eight images, then four and four, two and two, one and one; the others in one request each; the texts.
    assert sum(map(images_in, api.requests)) == SEARCHED + 8 + 4 + 2
    assert evaluator.estimate(0, 80).requests == 10 + 1
    again = opened("embeddings", VisualApi(ends_after=0), tmp_path / "labels.sqlite", **settings)
    assert scored(again, TEMPLATE) == score


async def test_an_image_without_a_vector_is_not_learned_from(opened: Opened) -> None:
    """It counts as wrong, although a vector of zeros would be of the first class; the rest costs nothing."""
    evil: list[str] = []

    def change(_number: int, request: ApiRequest, body: Any) -> Any:
        if images_in(request) and not evil:
            evil.append(request.body["input"][2])
        refused = any(image in request.body["input"] for image in evil)
        return ApiRefusal("not allowed") if refused else body

    api = VisualApi(change=change)
    evaluator = await in_thread(lambda: opened("embeddings", api, scorer_dialect="openai"))
    assert isinstance(evaluator, FeatureEvaluator)
    vectors = await at_hand(evaluator.classifier([TEMPLATE]))
    (evidence,) = await at_hand(evaluator.evidence([vectors]))
    without_image = [number != 2 for number in range(SEARCHED)]
    assert [share > 0 for share in evidence.right] == without_image
    assert len(evidence.logprob) == SEARCHED
    asked = len(api.requests)
    learned = await at_hand(evaluator.learn(vectors[::-1].copy()))  # texts that are all wrong but one
    assert (learned.images, learned.held_out) == (SEARCHED - 1, tuple(without_image))
    assert learned.strength is not None
    decided = await at_hand(evaluator.decide([Head(vectors), learned.head], split="train"))
    assert decided.predicted[0] == decided.predicted[1]
    assert (decided.predicted[0] or ())[2] == UNREADABLE
    assert decided.refused == (1, 1)
    # What likeness to the third image adds outweighs the texts.
    shown = np.eye(vectors.shape[1], dtype=np.float32)[:1]
    likeness = Likeness(shown, np.array([[0.0, 0.0, 9.0]], dtype=np.float32)[:, : len(vectors)], 0.0)
    added = await at_hand(evaluator.decide([Head(vectors, likeness)], split="train"))
    assert {*(added.predicted[0] or ())} == {len(vectors) - 1, UNREADABLE}
    assert len(api.requests) == asked
    with pytest.raises(ScoringEndedError, match="vectors of 2 numbers and the endpoint gave 3: it was made"):
        await at_hand(evaluator.decide([Head(vectors[:, :2])], split="train"))


async def at_hand(answer: MaybeAwaitable[T]) -> T:
    """The answer of a scorer that is asked."""
    assert isinstance(answer, Awaitable)
    return await answer


def test_a_template_with_a_refused_text_is_rejected(opened: Opened, tmp_path: Path) -> None:
    """The others of its batch are scored; a class name that is refused cannot be predicted with."""

    def change(_number: int, request: ApiRequest, body: Any) -> Any:
        return ApiRefusal("no") if "evil" in str(request.body["input"]) else body

    api = VisualApi(change=change)
    evaluator = opened("embeddings", api, tmp_path / "labels.sqlite", scorer_dialect="openai")
    bad, good, worse = evaluator.score(["an evil {}", TEMPLATE, "evil: {}"])
    assert isinstance(good, Score)
    assert good.correct == (15, 6)
    assert isinstance(bad, Rejection)
    assert isinstance(worse, Rejection)
    assert bad.reason == "refused"
    assert bad.message.startswith("the endpoint refuses the text 'an evil ")
    with pytest.raises(TemplateRejectedError, match="the endpoint refuses the text"):
        evaluator.predict([[TEMPLATE, "an evil {}"]], split="train")
    named = evaluator.predict_named(TEMPLATE, [{0: "evil"}, {}], split="train")
    assert named.predicted == (None, named.labels)
    again = opened("embeddings", VisualApi(ends_after=0), tmp_path / "labels.sqlite", scorer_dialect="openai")
    assert again.score(["an evil {}", TEMPLATE]) == [bad, good]


def test_an_endpoint_that_refuses_all_images_is_blamed(opened: Opened, tmp_path: Path) -> None:
    """After a few requests, also if the images fit into one; nothing of it is kept."""
    api = VisualApi(change=lambda *_given: ApiRefusal("no images here"))
    evaluator = opened("embeddings", api, tmp_path / "labels.sqlite", scorer_dialect="openai")
    with pytest.raises(ScoringEndedError, match="refuses every image: no images here"):
        evaluator.score([TEMPLATE])
    with pytest.raises(ScoringEndedError, match="refuses every image"):
        evaluator.predict_some([[TEMPLATE]], split="train", image_indices=[0, 7])
    assert len(api.requests) <= 16
    later = opened("embeddings", VisualApi(), tmp_path / "labels.sqlite", scorer_dialect="openai")
    assert scored(later, TEMPLATE).train == 1.0


@pytest.mark.parametrize("at_once", [1, 8])
def test_an_endpoint_that_begins_to_refuse_everything_is_not_asked_for_all_parts(
    at_once: int, opened: Opened
) -> None:
    """Of a request for many texts: one that was answered before shows it, and then nothing is sent."""
    api = VisualApi(concurrency=at_once)
    evaluator = opened("embeddings", api, scorer_dialect="openai")
    scored(evaluator, TEMPLATE)
    before, api.change = len(api.requests), lambda *_given: ApiRefusal("your quota is exceeded")
    many = [f"{TEMPLATE} {number}" for number in range(800)]
    with pytest.raises(ScorerRefusesError, match=r"refuses every request now, also one .*quota is exceeded$"):
        evaluator.score(many)
    assert len(api.requests) - before <= 8 + at_once
    before = len(api.requests)
    with pytest.raises(ScorerRefusesError, match=r"quota is exceeded$"):
        evaluator.score(many)
    assert len(api.requests) == before


def test_a_limit_in_the_middle_loses_no_vector(opened: Opened, tmp_path: Path) -> None:
    """What came before the end is on disk."""
    ending = VisualApi(ends_after=2)
    with pytest.raises(ScoringEndedError, match="the limit of calls"):
        opened("embeddings", ending, tmp_path / "l", scorer_dialect="openai").score([TEMPLATE])
    api = VisualApi()
    scored(opened("embeddings", api, tmp_path / "l", scorer_dialect="openai"), TEMPLATE)
    assert sum(map(images_in, [*ending.requests, *api.requests])) == SEARCHED


def test_grey_box_values_come_from_the_cosines(opened: Opened) -> None:
    """At CLIP's own scale of logits."""
    api = VisualApi(blur=1.0)
    evaluator = opened("embeddings", api, objective="margin", scorer_dialect="openai")
    score, split = scored(evaluator, TEMPLATE), evaluator.split("train")
    pictures = [evaluator.problem.pictures.picture(path) for path in split.paths]
    texts = np.stack([api.text(TEMPLATE.format(name)) for name in evaluator.info.class_names])
    logits = 100 * np.stack([colour_of(picture.base64) for picture in pictures]) @ texts.T
    true = logits[np.arange(15), split.labels]
    others = np.where(np.eye(3, dtype=bool)[split.labels], -np.inf, logits).max(axis=1)
    assert score.margin == pytest.approx((true - others).mean(), rel=1e-5)
    assert score.logprob == pytest.approx((true - np.logaddexp(true, others)).mean(), abs=1e-5)


def changed(replace: Any, **more: Any) -> VisualApi:
    """An endpoint that changes each vector of its answers."""

    def change(_number: int, _request: ApiRequest, body: Any) -> Any:
        for index, row in enumerate(body["data"]):
            row["embedding"] = replace(index, row["embedding"])
        return body

    return VisualApi(change=change, **more)


@pytest.mark.parametrize(
    ("replace", "message"),
    [
        (lambda index, vector: vector[: 2 + index % 2], "different lengths: 2 and 3"),
        (lambda index, vector: [*vector[:2], math.nan], "a vector of finite numbers, got"),
        (lambda index, vector: [*vector[:2], 10**400], "a vector of finite numbers, got"),
        (lambda index, vector: "AAAA", "a vector of finite numbers, got 'AAAA'"),
        (lambda index, vector: ["a"], "a vector of finite numbers, got"),
        (lambda index, vector: [0, 0, 0], "only zeros"),
        (lambda index, vector: [], "no numbers"),
    ],
)
def test_invalid_vectors_blame_the_endpoint(replace: Any, message: str, opened: Opened) -> None:
    """Other lengths, no numbers, too large ones: not the template is at fault."""
    with pytest.raises(ScoringEndedError, match=message):
        opened("embeddings", changed(replace), scorer_dialect="openai").score([TEMPLATE])


@pytest.mark.parametrize(
    "other", [{}, {"replace": lambda _place, vector: [*vector, 0.5]}], ids=["values", "length"]
)
@pytest.mark.parametrize("dialect", ["openai", None])
def test_a_model_that_has_changed_is_not_mixed(
    other: dict[str, Any], dialect: str | None, opened: Opened, tmp_path: Path
) -> None:
    """One text shows it, before the first request of a later session; what is on disk still scores.

    In the first session it is asked for before all others, or is that of the trial.
    """

    def session(api: VisualApi) -> RemoteEvaluator:
        return opened("embeddings", api, tmp_path / "l", scorer_dialect=dialect)

    first = VisualApi(blur=1.0)
    score = scored(session(first), TEMPLATE)
    assert len(first.checks) == (dialect is not None)
    api = changed(other.get("replace", lambda _place, vector: vector), blur=-1.0)
    api.changes_checks = True
    changed_model = session(api)
    assert scored(changed_model, TEMPLATE) == score
    assert api.requests == api.checks == []
    for _ in range(2):
        with pytest.raises(AskingEndedError, match=r"'m' at .* gives another vector") as caught:
            changed_model.score(["the {}"])
        assert isinstance(caught.value.__cause__, ModelError)
        assert f"answers are in {tmp_path / 'l'}. Search again in a new run" in str(caught.value)
        assert "with `shared_cache`, or delete" in str(caught.value)
    assert (len(api.requests), len(api.checks)) == (0, 1)
    same = VisualApi(blur=1.0)
    scored(session(same), "the {}")
    assert [len(request.body["input"]) for request in same.requests] == [3]
    assert len(same.checks) == 1


def test_a_file_of_labels_without_the_check_goes_on(opened: Opened, tmp_path: Path) -> None:
    """As earlier versions wrote it; from now on it has the check."""
    evaluator = opened("embeddings", VisualApi(), tmp_path / "l", scorer_dialect="openai")
    scored(evaluator, TEMPLATE)
    key = evaluator.problem.keys(dialect="openai", of="text").key(TRIAL_TEXT)
    evaluator.problem.store._file.rows("DELETE FROM vectors WHERE key = ?", [key])
    known = opened("embeddings", VisualApi(ends_after=0), tmp_path / "l", scorer_dialect="openai")
    scored(known, TEMPLATE)
    assert (known.model_check if isinstance(known, EmbeddingsEvaluator) else key) is None
    scored(opened("embeddings", VisualApi(), tmp_path / "l", scorer_dialect="openai"), "the {}")
    other = opened("embeddings", VisualApi(blur=-1.0), tmp_path / "l", scorer_dialect="openai")
    with pytest.raises(AskingEndedError, match="another model now"):
        other.score(["a {}"])


def test_an_address_that_answered_in_another_form_alone_is_not_taken_for_known(
    opened: Opened, tmp_path: Path
) -> None:
    """The answers that are kept in the form in use are of a model at another address."""

    def session(api: VisualApi, address: str, dialect: str) -> RemoteEvaluator:
        place = {"scorer_url": f"http://127.0.0.1:1/{address}", "scorer_dialect": dialect}
        return opened("embeddings", api, tmp_path / "l", **place)

    scored(session(VisualApi(), "a", "openai"), TEMPLATE)
    scored(session(VisualApi(blur=-1.0), "b", "infinity"), TEMPLATE)
    with pytest.raises(AskingEndedError, match="another model now"):
        session(VisualApi(blur=-1.0), "b", "openai")


def test_another_address_of_the_same_model_is_no_matter(opened: Opened, tmp_path: Path) -> None:
    """Its vector of a text shows it; where that is refused, answers of several addresses are noted."""

    def refused(_number: int, request: ApiRequest, body: Any) -> Any:
        return ApiRefusal("too short") if TRIAL_TEXT in str(request.body) else body

    def note(address: str, template: str, api: VisualApi) -> object:
        place = {"scorer_url": f"http://127.0.0.1:1/{address}", "scorer_dialect": "openai"}
        evaluator = opened("embeddings", api, tmp_path / "l", **place)
        scored(evaluator, template)
        return evaluator.info.notes.get(OTHER_MODEL)

    assert note("a", TEMPLATE, VisualApi()) is None
    assert note("b", TEMPLATE, VisualApi()) is None
    assert note("b", "the {}", VisualApi()) is None
    refusing = VisualApi(change=refused)
    refusing.changes_checks = True
    assert "came from more than one address" in str(note("c", "one {}", refusing))


def test_two_models_that_begin_together_are_not_mixed(opened: Opened, tmp_path: Path) -> None:
    """Both found an empty file; the one whose check is kept goes on."""
    spec = {"labels": tmp_path / "l", "scorer_dialect": "openai"}
    first, second = (opened("embeddings", VisualApi(blur=blur), **spec) for blur in (0.6, -1.0))
    scored(first, TEMPLATE)
    for _ in range(2):
        with pytest.raises(AskingEndedError, match="another model now"):
            second.score(["the {}"])


def test_images_of_one_model_are_not_mixed_with_texts_of_another(opened: Opened, tmp_path: Path) -> None:
    """Although the first session ended before it asked for a text."""
    spec = {"labels": tmp_path / "l", "scorer_dialect": "openai"}
    with pytest.raises(AskingEndedError, match="the limit"):
        opened("embeddings", VisualApi(ends_after=1), **spec).score([TEMPLATE])
    with pytest.raises(AskingEndedError, match="another model now"):
        opened("embeddings", VisualApi(blur=-1.0), **spec).score([TEMPLATE])


async def test_a_call_that_met_another_model_leaves_nothing_behind(opened: Opened, tmp_path: Path) -> None:
    """Once the model of a classifier's file is back, the file is used again, with the same labels."""
    first = await in_thread(lambda: opened("embeddings", VisualApi(), scorer_dialect="openai"))
    await in_thread(lambda: first.score([TEMPLATE]))

    async def session(api: VisualApi) -> EmbeddingsEvaluator:
        evaluator = await in_thread(
            lambda: opened("embeddings", api, tmp_path / "l", scorer_dialect="openai")
        )
        assert isinstance(first, EmbeddingsEvaluator)
        assert isinstance(evaluator, EmbeddingsEvaluator)
        assert first.model_check is not None
        await evaluator.recognise(first.model_check)
        return evaluator

    with pytest.raises(ModelError, match="the classifier was made with another model"):
        await session(VisualApi(blur=-1.0))
    right = await session(VisualApi())
    await in_thread(lambda: right.score([TEMPLATE]))
    assert right.model_check is not None


async def test_tasks_at_once_check_the_model_once(opened: Opened, tmp_path: Path) -> None:
    """Also if the one that began it is cancelled, while its answer is on the way."""
    spec = {"labels": tmp_path / "l", "scorer_dialect": "openai"}
    first = await in_thread(lambda: opened("embeddings", VisualApi(), **spec))
    await in_thread(lambda: first.score([TEMPLATE]))
    asked, may_answer = asyncio.Event(), asyncio.Event()

    class Slow(VisualApi):
        async def __call__(self, request: ApiRequest) -> ApiAnswer:
            asked.set()
            await may_answer.wait()
            return await super().__call__(request)

    api = Slow()
    evaluator = await in_thread(lambda: opened("embeddings", api, **spec))
    assert isinstance(evaluator, EmbeddingsEvaluator)
    tasks = [asyncio.create_task(evaluator.classify([[text]], [])) for text in ("a {}", "the {}", "one {}")]
    await asked.wait()
    tasks[0].cancel()
    may_answer.set()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in done] == [asyncio.CancelledError, list, list]
    assert [len(request.body["input"]) for request in api.requests] == [3, 3]
    assert len(api.checks) == 1


@pytest.mark.parametrize("answer", [ApiRefusal("not this text"), {"data": [{"index": 0, "embedding": []}]}])
def test_without_a_vector_of_the_check_no_model_is_recognised(
    answer: Any, opened: Opened, tmp_path: Path
) -> None:
    """A server may refuse that text alone: all others are asked for."""
    for text in (TEMPLATE, "the {}"):
        api = VisualApi(
            change=lambda _number, request, body: answer if len(request.body["input"]) == 1 else body
        )
        api.changes_checks = True
        scored(opened("embeddings", api, tmp_path / "l", scorer_dialect="openai"), text)
        assert len(api.checks) == 1


def test_a_long_reply_is_cut_and_the_advice_is_not(opened: Opened) -> None:
    """A message has room for a few hundred characters."""

    def fewer(_number: int, _request: ApiRequest, body: Any) -> Any:
        rows = [{"embedding": [0.123456789] * 50, "index": index, "object": "x" * 500} for index in range(7)]
        return {"data": rows}

    with pytest.raises(
        ScoringEndedError, match=r"got \{'data'.*\.\.\.; check `scorer`, `scorer_url`"
    ) as caught:
        opened("embeddings", VisualApi(change=fewer), scorer_dialect="openai").score([TEMPLATE])
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("scale", [1e-300, 1e-25, 1e25, 1e300])
def test_the_scale_of_vectors_does_not_matter(scale: float, opened: Opened) -> None:
    """Cosines are of directions; nothing is lost in single precision, and nothing is warned of."""
    plain = scored(opened("embeddings", VisualApi(blur=1.0), scorer_dialect="openai"), TEMPLATE)
    api = changed(lambda _place, vector: [number * scale for number in vector], blur=1.0)
    assert scored(opened("embeddings", api, scorer_dialect="openai"), TEMPLATE) == plain
    assert np.linalg.norm(as_vector([3 * scale, 4 * scale])) == pytest.approx(1)


@given(JSON_VALUES, st.integers(1, 3))
def test_any_json_is_vectors_or_refused(body: Any, number: int) -> None:
    """No answer makes a reader fail in another way."""
    for read in (read_data, read_cohere):
        vectors: list[Any] = []
        try:
            vectors = [as_vector(row) for row in read(body, number)]
        except BadReplyError:
            continue
        assert len(vectors) == number


@pytest.mark.parametrize("indices", [[0, 0], [1, 2], [0], [True, 0], [0, None], ["0", 1]])
def test_vectors_are_put_in_order_by_their_index(indices: list[Any]) -> None:
    """An index that is missing, double or no number is not guessed."""
    rows = [{"embedding": [float(index)], "index": index} for index in (1, 0)]
    assert read_data({"data": rows}, 2) == [[0.0], [1.0]]
    with pytest.raises(BadReplyError):
        read_data({"data": [{"embedding": [1.0], "index": index} for index in indices]}, 2)
