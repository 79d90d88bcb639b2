from __future__ import annotations

import asyncio
import json
import math
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.agent.store.records import StoredScore, reader, row_text
from promptclimb.evaluator.errors import DataError, EvaluatorError, ScoringEndedError, StoreCorruptError
from promptclimb.evaluator.remote.asking import ApiRefusal, ApiReply, ApiRequest
from promptclimb.evaluator.remote.evaluator import BadReplyError, RemoteEvaluator, image_tokens
from promptclimb.evaluator.remote.image_by_image import ChatEvaluator, Prompt, read_completion, read_scores
from promptclimb.evaluator.remote.labels import LabelStore
from promptclimb.evaluator.remote.pictures import SentPicture
from promptclimb.evaluator.scoring import (
    OTHER_MODEL,
    UNREADABLE,
    Evaluator,
    Illustrator,
    NamePredictor,
    PartialPredictor,
    Predictor,
    Score,
    Unanswered,
)
from tests.evaluator.remote.conftest import Opened
from tests.fakes.visual_api import VisualApi

INSTRUCTION = "Which colour is it?\n{classes}"
ASKED = {"chat": INSTRUCTION, "zero-shot": "a photo of a {}"}
NOT_ALLOWED = ApiRefusal("not allowed")
SEARCHED = 21
"""Images of train and val: five and two of each class."""

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["label", "score", "choices", "message", "content", "finish_reason", "text", "a", "data"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def scored(evaluator: Any, candidate: str) -> Score:
    (score,) = evaluator.score([candidate])
    assert isinstance(score, Score)
    return score


@pytest.mark.parametrize("scorer", ["chat", "zero-shot"])
def test_a_candidate_costs_one_answer_an_image(scorer: str, opened: Opened, tmp_path: Path) -> None:
    """Asked once, in whatever order the answers come; then everything is on disk, for other runs too."""
    api = VisualApi(concurrency=7)
    evaluator = opened(scorer, api, tmp_path / "labels.sqlite")
    first = scored(evaluator, ASKED[scorer])
    assert (first.train, first.val, first.correct, first.class_mean) == (1.0, 1.0, (15, 6), 1.0)
    assert len(api.requests) == SEARCHED
    assert isinstance(evaluator, Evaluator)
    assert isinstance(evaluator, Predictor)
    assert isinstance(evaluator, PartialPredictor)
    assert isinstance(evaluator, Illustrator)
    assert isinstance(evaluator, NamePredictor) == (scorer == "zero-shot")

    nothing = VisualApi(ends_after=0)
    again = opened(scorer, nothing, tmp_path / "labels.sqlite")
    assert scored(again, ASKED[scorer]) == first
    assert again.info == evaluator.info
    assert not evaluator.info.cheap


@pytest.mark.parametrize("scorer", ["chat", "zero-shot"])
def test_what_was_answered_before_the_end_is_not_asked_again(
    scorer: str, opened: Opened, tmp_path: Path
) -> None:
    """A limit ends the asking in the middle; the next session asks for the rest only."""
    ending = VisualApi(ends_after=8)
    with pytest.raises(ScoringEndedError, match="the limit of calls"):
        opened(scorer, ending, tmp_path / "labels.sqlite").score([ASKED[scorer]])
    api = VisualApi()
    assert scored(opened(scorer, api, tmp_path / "labels.sqlite"), ASKED[scorer]).train == 1.0
    assert len(api.requests) == SEARCHED - 8


@pytest.mark.parametrize("scorer", ["chat", "zero-shot"])
def test_some_images_are_asked_for_alone(scorer: str, opened: Opened) -> None:
    """In the order of the places; a score then asks for the others only. The test split is for the end."""
    api = VisualApi()
    evaluator = opened(scorer, api)
    predictions = evaluator.predict_some([[ASKED[scorer]]], split="train", image_indices=[14, 0, 7])
    whole = evaluator.predict([[ASKED[scorer]]], split="train")
    assert predictions.labels == tuple(whole.labels[index] for index in (14, 0, 7))
    assert predictions.predicted == (predictions.labels,)
    assert len(api.requests) == 15
    scored(evaluator, ASKED[scorer])
    assert len(api.requests) == SEARCHED
    with pytest.raises(EvaluatorError, match="15 images"):
        evaluator.predict_some([[ASKED[scorer]]], split="train", image_indices=[15])


@pytest.mark.parametrize("scorer", ["chat", "zero-shot"])
def test_the_test_split_is_asked_for_at_the_end(scorer: str, opened: Opened) -> None:
    """Once; several candidates together cannot be measured."""
    api = VisualApi()
    evaluator = opened(scorer, api)
    candidate = ASKED[scorer]
    single, several = evaluator.examine([[candidate], [candidate, candidate]])
    assert several is None
    assert single is not None
    assert (single.train, single.val, single.test) == (1.0, 1.0, 1.0)
    assert len(api.requests) == SEARCHED + 9
    without = evaluator.examine([[candidate]], test=False)[0]
    assert without is not None
    assert without.test is None
    with pytest.raises(EvaluatorError, match="at least one"):
        evaluator.examine([[]])
    kept = evaluator.estimate(2, 9)
    assert kept.requests == 18
    bound = max(request.prompt_tokens + request.max_tokens for request in api.requests[1:])
    assert kept.prompt_tokens + kept.answer_tokens >= 18 * bound * (scorer == "chat")


def test_only_the_top_label_counts(opened: Opened) -> None:
    """Probabilities are used, and kept, for a grey-box objective only."""
    black, grey = VisualApi(blur=1.0), VisualApi(blur=1.0)
    score = scored(opened("zero-shot", black), "a {}")
    assert (score.logprob, score.margin) == (None, None)
    grey_score = scored(opened("zero-shot", grey, objective="logprob"), "a {}")
    assert (score.train, score.val) == (grey_score.train, grey_score.val)
    assert grey_score.logprob is not None
    assert grey_score.margin is not None
    assert math.isfinite(grey_score.logprob)
    assert grey_score.logprob < 0


def test_another_name_of_a_class_is_asked_for(opened: Opened) -> None:
    """All of its images again, as the label among others may change any of them."""
    api = VisualApi()
    evaluator = opened("zero-shot", api)
    names = evaluator.info.class_names
    swapped = {names.index("red"): "blue thing", names.index("blue"): "red thing"}
    predictions = evaluator.predict_named("a {}", [{}, swapped], split="train")
    assert predictions.predicted[0] == predictions.labels
    right = [
        label == true for label, true in zip(predictions.predicted[1] or (), predictions.labels, strict=True)
    ]
    assert sum(right) == 5


@pytest.mark.parametrize(
    ("name", "template"), [("red, or crimson", "a {}"), ("red", "a {} and a {}"), ("red {x}", "{{a}} {}")]
)
def test_templates_and_names_of_any_form_are_sent(name: str, template: str, opened: Opened) -> None:
    """Commas in names, several slots, other braces: what the task's form cannot hold is filled here."""
    api = VisualApi()
    evaluator = opened("zero-shot", api)
    label = evaluator.info.class_names.index("red")
    predictions = evaluator.predict_named(template, [{label: name}], split="train")
    assert predictions.predicted == (predictions.labels,)
    sent = api.requests[0].body["parameters"]
    assert sent["hypothesis_template"] in {template, "{}"}
    assert len(sent["candidate_labels"]) == 3


def test_a_classification_is_read() -> None:
    """The best score of each label; labels in other case, without scores, or none; a batch of one."""
    labels = ["Cat", "dog", "a, b"]
    rows = [{"label": "dog", "score": 0.6}, {"label": "cat", "score": 0.3}, {"label": "dog", "score": 0.1}]
    assert read_scores(rows, labels) == {0: 0.3, 1: 0.6}
    assert read_scores([rows], labels) == {0: 0.3, 1: 0.6}
    assert read_scores([{"label": "a, b"}, {"label": "dog"}], labels) == {2: 1.0}
    assert read_scores([], labels) == read_scores([[]], labels) == {}


def test_equal_scores_stay_in_the_answer_s_order() -> None:
    """Rounded scores are often equal: the class that the model names first gets the image."""
    rows = [("dog", 0.1), ("bird", 0.4), ("dog", 0.4), ("cat", 0.4)]
    body = [{"label": label, "score": score} for label, score in rows]
    assert list(read_scores(body, ["cat", "dog", "bird"])) == [2, 1, 0]


@pytest.mark.parametrize(
    "body",
    [
        None, {}, {"error": "loading"}, [1], [{"score": 0.1}], [{"label": "bird", "score": 1.0}],
        [{"label": "cat", "score": math.nan}], [{"label": "cat", "score": "1"}],
        [{"label": "cat", "score": True}], [{"label": "cat", "score": 10**400}],
        [{"label": "cat", "score": -0.1}], [{"label": 3, "score": 0.5}], [{"label": "CAT", "score": 0.5}],
        [{"label": "cat", "score": 0.6}, {"label": "dog"}],
    ],
)  # fmt: skip
def test_a_classification_of_another_form_is_refused(body: Any) -> None:
    """Wrong types, missing labels, invalid numbers, a label that could be two, scores of some alone."""
    with pytest.raises(BadReplyError):
        read_scores(body, ["cat", "Cat", "dog"])


@given(JSON_VALUES)
def test_any_json_is_read_or_refused(body: Any) -> None:
    """Neither reader fails in another way, and what is read is a label or a text."""
    for read in (lambda: read_scores(body, ["a", "b"]), lambda: read_completion(body)):
        answers: Any = {}
        with suppress(BadReplyError):
            answers = read()
        assert isinstance(answers, tuple) or answers.keys() <= {0, 1}


def completion(text: Any, reason: Any = "stop", **more: Any) -> Any:
    return {"choices": [{"message": {"content": text, **more}, "finish_reason": reason}]}


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (completion("red"), ("red", None)),
        (completion(None), ("", None)),
        (completion([{"type": "text", "text": "re"}, {"type": "text", "text": "d"}]), ("red", None)),
        (completion("The colour", "length"), ("The colour", "cut")),
        (completion("", "content_filter"), ("", "refused")),
        (completion(None, refusal="I can't help"), ("I can't help", "refused")),
    ],
)
def test_a_completion_is_read(body: Any, read: tuple[str, str | None]) -> None:
    """Its text, and why it is not whole."""
    assert read_completion(body) == read


@pytest.mark.parametrize("does", ["enforces", "ignores", "refuses"])
def test_an_endpoint_that_enforces_a_schema_answers_with_class_names(
    does: str, opened: Opened, tmp_path: Path
) -> None:
    """The first question shows it, and costs nothing more; a later run knows it."""

    def change(_number: int, request: ApiRequest, body: Any) -> Any:
        refused = does == "refuses" and "response_format" in request.body
        return ApiRefusal("unknown member response_format") if refused else body

    api = VisualApi(change=change, enforces=does == "enforces", says="This is not {}.")
    evaluator = opened("chat", api, tmp_path / "labels.sqlite")
    score = scored(evaluator, INSTRUCTION)
    assert (score.train, score.unreadable) == ((1.0, None) if does == "enforces" else (0.0, 1.0))
    assert len(api.requests) == SEARCHED + (does == "refuses")
    assert sum("response_format" in request.body for request in api.requests) in (1, SEARCHED)
    assert evaluator.estimate(1, 1).prompt_tokens >= max(
        request.prompt_tokens for request in api.requests[1:]
    )

    later = VisualApi(enforces=does == "enforces")
    again = opened("chat", later, tmp_path / "labels.sqlite")
    assert scored(again, INSTRUCTION) == score
    scored(again, "Which one?\n{classes}")
    assert len(later.requests) == SEARCHED
    assert {"response_format" in request.body for request in later.requests} == {does == "enforces"}


def test_a_member_that_the_schema_forbids_shows_that_it_is_not_enforced(opened: Opened) -> None:
    """The answer counts all the same."""

    def change(_number: int, _request: ApiRequest, body: Any) -> Any:
        name = body["choices"][0]["message"]["content"].lower()
        return completion(json.dumps({"class_description": "no green thing", "class": name}))

    api = VisualApi(change=change)
    assert scored(opened("chat", api), INSTRUCTION).train == 1.0
    assert ["response_format" in request.body for request in api.requests[:3]] == [True, False, False]


def test_a_model_that_becomes_another_one_is_noted(opened: Opened, tmp_path: Path) -> None:
    """In this session, or since the labels of an earlier one; not if the name stays, or there is none."""

    def named(model: Callable[[int], str | None]) -> VisualApi:
        def change(number: int, _request: ApiRequest, body: Any) -> Any:
            return body | ({} if (name := model(number)) is None else {"model": name})

        return VisualApi(change=change)

    def note(model: Callable[[int], str | None], labels: str, instruction: str = INSTRUCTION) -> object:
        evaluator = opened("chat", named(model), tmp_path / labels)
        scored(evaluator, instruction)
        return evaluator.info.notes.get(OTHER_MODEL)

    noted = "the scorer answered as 'm-1', and later as 'm-2': accuracies of the two do not compare"
    assert note(lambda number: "m-1" if number < 9 else "m-2", "swapped") == noted
    assert note(lambda _number: "m-1", "steady") is None
    assert note(lambda _number: None, "steady", "Which one?\n{classes}") is None
    assert note(lambda _number: "m-2", "steady", "Which?\n{classes}") == noted
    evaluator = opened("chat", VisualApi(ends_after=0), tmp_path / "steady")
    assert evaluator.info.notes[OTHER_MODEL] == noted


def test_answers_from_another_address_are_noted(opened: Opened, tmp_path: Path) -> None:
    """For good, once they came from several: another model may be at each under the same name."""

    def note(address: str, instruction: str) -> object:
        evaluator = opened("chat", VisualApi(), tmp_path / "kept", scorer_url=f"http://127.0.0.1:1/{address}")
        scored(evaluator, instruction)
        return evaluator.info.notes.get(OTHER_MODEL)

    assert note("a/v1", INSTRUCTION) is None
    assert note("a/v1/", INSTRUCTION) is None
    noted = str(note("b/v1", INSTRUCTION))
    assert noted.startswith("all answers were kept from another address")
    assert "at '127.0.0.1:1/b/v1', name another folder" in noted
    several = str(note("b/v1", "Which?\n{classes}"))
    assert several.startswith("the answers that are kept for this model came from more than one address")
    assert note("b/v1", INSTRUCTION) == several
    assert note("a/v1", INSTRUCTION) == several


def test_an_address_is_told_from_another_by_its_query_too(opened: Opened, tmp_path: Path) -> None:
    """A gateway may have a deployment there; it is not shown, as it may be secret."""

    def note(query: str) -> object:
        url = f"http://127.0.0.1:1/v1?{query}"
        evaluator = opened("zero-shot", VisualApi(), tmp_path / "kept", scorer_url=url)
        scored(evaluator, "a photo of a {}")
        return evaluator.info.notes.get(OTHER_MODEL)

    assert note("deployment=x") is None
    assert note("deployment=x") is None
    assert "at '127.0.0.1:1/v1', name another" in str(note("deployment=y"))


def test_labels_that_name_no_address_raise_no_alarm(opened: Opened, tmp_path: Path) -> None:
    """As earlier versions wrote them; or with an address, but not which was the first."""

    def session(address: str, instruction: str = INSTRUCTION) -> RemoteEvaluator:
        url = f"http://127.0.0.1:1/{address}"
        evaluator = opened("chat", VisualApi(), tmp_path / "kept", scorer_url=url)
        scored(evaluator, instruction)
        return evaluator

    evaluator = session("a")
    first, here, _several = evaluator._address_keys
    file = evaluator.problem.store._file
    file.rows("UPDATE answers SET value = 'true' WHERE key = ?", [first])
    assert OTHER_MODEL not in session("a", "Which?\n{classes}").info.notes
    file.rows("DELETE FROM answers WHERE key IN (?, ?)", [first, here])
    assert OTHER_MODEL not in session("b").info.notes
    assert OTHER_MODEL not in session("b", "Which one?\n{classes}").info.notes


def test_unreadable_answers_are_wrong_and_shown(opened: Opened) -> None:
    """Cut, or without a class: the share, and three different examples, each short; refused ones apart."""
    answers = {
        0: completion("a long answer " * 20, "length"),
        1: completion("I\ncannot say"),
        2: ApiRefusal("not allowed"),
        3: completion(None),
        4: completion("I\ncannot say"),
        5: completion(None, refusal="I can't help"),
    }
    order = count()

    def change(_number: int, _request: ApiRequest, body: Any) -> Any:
        # The first answer of all shows that the endpoint fits.
        return answers.get(next(order) - 1, body)

    score = scored(opened("chat", VisualApi(change=change)), INSTRUCTION)
    assert score.train == pytest.approx(9 / 15)
    assert (score.unreadable, score.refused) == (pytest.approx(4 / 15), pytest.approx(2 / 15))
    assert len(score.unreadable_examples) == 3
    assert score.unreadable_examples[0].startswith("(cut) a long answer")
    assert score.unreadable_examples[1:] == ("I cannot say", "(nothing)")
    assert all(len(example) <= 80 for example in score.unreadable_examples)
    assert score.unanswered == Unanswered(refused=score.refused or 0, unreadable=score.unreadable or 0)
    stored = StoredScore("a {}", score)
    assert reader(StoredScore)(row_text(stored)) == stored


@pytest.mark.parametrize("objective", ["accuracy", "logprob"])
def test_an_answer_without_a_label_is_wrong_and_kept(objective: str, opened: Opened, tmp_path: Path) -> None:
    """Such as that of a server with a threshold, to the first image too; it is not asked for again."""
    api = VisualApi(change=refusing({0, 9}, lambda request: request.body["inputs"], []))
    evaluator = opened("zero-shot", api, tmp_path / "labels.sqlite", objective=objective)
    score = scored(evaluator, "a {}")
    assert (score.correct, score.unreadable_examples, len(api.requests)) == ((13, 6), ("[]",), SEARCHED)
    assert score.unanswered == Unanswered(unreadable=2 / 15)
    again = opened("zero-shot", VisualApi(ends_after=0), tmp_path / "labels.sqlite", objective=objective)
    assert scored(again, "a {}") == score


def refusing(
    places: Iterable[int], reader: Callable[[ApiRequest], object], refusal: Any = NOT_ALLOWED
) -> Any:
    """A change that refuses some of the images, by the order in which they are first asked for."""
    order: dict[object, int] = {}

    def change(_number: int, request: ApiRequest, body: Any) -> Any:
        image = reader(request)
        index = order.setdefault(image, len(order))
        return refusal if index in places else body

    return change


@pytest.mark.parametrize("scorer", ["chat", "zero-shot"])
def test_a_refused_image_is_wrong_and_counted(scorer: str, opened: Opened, tmp_path: Path) -> None:
    """It does not end the run, is not asked again, and names no class; even the first ones."""
    images = {
        "chat": lambda request: request.body["messages"][0]["content"][1]["image_url"]["url"],
        "zero-shot": lambda request: request.body["inputs"],
    }
    api = VisualApi(change=refusing({0, 1, 9, 15, 22}, images[scorer]))
    evaluator = opened(scorer, api, tmp_path / "labels.sqlite")
    first = scored(evaluator, ASKED[scorer])
    # The form of chat answers is tried with the first two images too, with and without a schema.
    assert (first.correct, len(api.requests)) == ((12, 5), SEARCHED + 4 * (scorer == "chat"))
    (labels,) = evaluator.predict([[ASKED[scorer]]], split="train").predicted
    assert (labels or ()).count(UNREADABLE) == 3
    again = opened(scorer, api, tmp_path / "labels.sqlite")
    assert scored(again, ASKED[scorer]) == first
    for _twice in range(2):
        (scores,) = again.examine([[ASKED[scorer]]])
        assert scores is not None
        assert scores.test == pytest.approx(8 / 9)
        shares = {split: round(unanswered.refused, 3) for split, unanswered in scores.unanswered.items()}
        assert shares == {"test": 0.111, "train": 0.2, "val": 0.167}


@pytest.mark.parametrize("at_once", [1, 8, 21])
def test_many_refused_images_in_a_row_are_asked_once(at_once: int, opened: Opened, tmp_path: Path) -> None:
    """One that was answered is asked again to see that the endpoint is well; however many are in flight."""
    change = refusing(set(range(3, SEARCHED)), lambda request: request.body["inputs"])
    api = VisualApi(change=change, concurrency=at_once)
    scored(opened("zero-shot", api, tmp_path / "labels.sqlite"), "a {}")
    times = Counter(str(request.body["inputs"]) for request in api.requests)
    assert len(times) == SEARCHED
    assert sum(count > 1 for count in times.values()) <= 2
    assert sum(times.values()) <= SEARCHED + 3
    again = opened("zero-shot", VisualApi(ends_after=0), tmp_path / "labels.sqlite")
    assert (scored(again, "a {}").refused or 0) >= 12 / 15


def test_a_refused_image_says_nothing_of_probabilities(opened: Opened) -> None:
    """For a grey-box objective all classes are equally probable, and the image is wrong all the same."""
    refused = VisualApi(change=refusing({0}, lambda request: request.body["inputs"]))
    score = scored(opened("zero-shot", refused, objective="logprob"), "a {}")
    whole = scored(opened("zero-shot", VisualApi(), objective="logprob"), "a {}")
    assert (score.correct, whole.correct) == ((14, 6), (15, 6))
    assert score.logprob is not None
    assert whole.logprob is not None
    assert score.logprob == pytest.approx(whole.logprob - math.log(3) / 15, abs=0.01)


def test_an_instruction_lists_the_classes_as_the_seed_orders_them(opened: Opened) -> None:
    """The same order for every image and run of a seed; another seed is another problem."""
    first, second, other = VisualApi(), VisualApi(), VisualApi()
    evaluators = [opened("chat", first), opened("chat", second), opened("chat", other, seed=2)]
    for evaluator in evaluators:
        scored(evaluator, INSTRUCTION)

    def instructions(api: VisualApi) -> set[str]:
        return {request.body["messages"][0]["content"][0]["text"] for request in api.requests}

    assert len(instructions(first)) == 1
    assert instructions(first) == instructions(second)
    fingerprint, same, different = (evaluator.info.fingerprint for evaluator in evaluators)
    assert fingerprint == same != different


def test_a_request_says_what_was_asked_for(opened: Opened) -> None:
    """Model and length of the answer; an address that is complete is used as it is."""
    api = VisualApi()
    url = "http://127.0.0.1:1/v1/chat/completions"
    settings = {"scorer_answer_tokens": 9, "scorer_url": url}
    scored(opened("chat", api, **settings), INSTRUCTION)
    body = api.requests[0].body
    assert (body["model"], body["max_tokens"]) == ("m", 9)
    assert {request.path for request in api.requests} == {""}
    assert api.requests[0].max_tokens == 9
    assert api.requests[0].prompt_tokens > 0


@pytest.mark.parametrize(
    ("model", "side", "billed"),
    [
        ("gpt-4o", 512, 85 + 170), ("gpt-4o", 1024, 85 + 4 * 170), ("openai/gpt-4o-mini", 64, 2833 + 5667),
        ("openai/gpt-4o-mini", 1024, 2833 + 4 * 5667), ("claude-sonnet-4", 1024, 1024 * 1024 // 750),
        ("qwen2.5-vl", 1024, 1024 * 1024 // 28**2), ("pixtral-12b", 1024, 64 * 65), ("llava-1.5", 64, 576),
        ("embed-v4.0", 512, 1610),
    ],
)  # fmt: skip
def test_an_image_is_not_billed_as_more_than_was_reserved(model: str, side: int, billed: int) -> None:
    """By the rules that vendors and servers publish; nor is it reserved as many times the price."""
    assert billed <= image_tokens(model, side, side) <= max(10 * billed, 8 * 576)


@pytest.mark.parametrize(
    ("scorer", "bad", "message"),
    [
        ("zero-shot", {"error": "loading"}, "does not answer in the form of zero-shot"),
        ("chat", [{"label": "red", "score": 1.0}], "does not answer in the form of chat"),
        ("chat", ApiRefusal("no images here"), "refuses every request: no images here"),
        ("zero-shot", ApiRefusal("no images here"), "no images here"),
    ],
)
def test_an_endpoint_that_never_fits_is_blamed_early(
    scorer: str, bad: Any, message: str, opened: Opened
) -> None:
    """And not the candidate: after a few requests, and nothing is kept as an answer."""
    api = VisualApi(change=lambda *_given: bad)
    evaluator = opened(scorer, api)
    with pytest.raises(ScoringEndedError, match=message):
        evaluator.score([ASKED[scorer]])
    assert len(api.requests) == 8 + 6 * (scorer == "chat")
    api.change = None
    assert scored(evaluator, ASKED[scorer]).train == 1.0


QUOTA = ApiRefusal("your image quota is exceeded")


def refusal_in_an_answer(reason: str) -> Any:
    """A chat completion, paid, that holds nothing but a refusal: by the model, or by a filter."""
    return completion(None, reason, refusal="I cannot help" if reason == "stop" else None)


@pytest.mark.parametrize(
    ("scorer", "refusal"),
    [
        ("chat", QUOTA), ("zero-shot", QUOTA), ("chat", refusal_in_an_answer("stop")),
        ("chat", refusal_in_an_answer("content_filter")),
    ],
)  # fmt: skip
def test_an_endpoint_that_begins_to_refuse_everything_is_no_image_s_fault(
    scorer: str, refusal: Any, opened: Opened, tmp_path: Path
) -> None:
    """A question that it answered before shows it; nothing of that is kept, and a resumed run goes on."""
    api = VisualApi(change=lambda number, _request, body: body if number < 25 else refusal)
    evaluator = opened(scorer, api, tmp_path / "labels.sqlite")
    assert scored(evaluator, ASKED[scorer]).train == 1.0
    other = f"Look closely. {ASKED[scorer]}"
    why = ".*quota is exceeded$" if refusal is QUOTA else ""
    with pytest.raises(ScoringEndedError, match=f"refuses every request now{why}"):
        evaluator.score([other])
    assert len(api.requests) == 25 + 8 + 1
    again = VisualApi()
    assert scored(opened(scorer, again, tmp_path / "labels.sqlite"), other).train == 1.0
    assert len(again.requests) == 2 * SEARCHED - 25


def test_a_test_split_that_is_refused_as_a_whole_has_no_accuracy(opened: Opened) -> None:
    """Though the endpoint still answers what it answered before."""
    refused = refusal_in_an_answer("stop")
    change = refusing(range(SEARCHED, 30), lambda request: str(request.body["messages"][0]), refused)
    evaluator = opened("chat", VisualApi(change=change))
    whole = scored(evaluator, INSTRUCTION)
    with pytest.raises(EvaluatorError, match="refuses every image of the split test"):
        evaluator.examine([[INSTRUCTION]])
    (scores,) = evaluator.examine([[INSTRUCTION]], test=False)
    assert scores is not None
    assert (scores.train, scores.val) == (whole.train, whole.val)


def test_the_last_questions_of_a_run_are_not_believed_to_be_refused(opened: Opened) -> None:
    """Few as they are: nothing is answered beside them that would show that the endpoint is well."""
    api = VisualApi()
    evaluator = opened("zero-shot", api)
    scored(evaluator, "a {}")
    api.change = lambda *_given: NOT_ALLOWED
    with pytest.raises(ScoringEndedError, match="refuses every request now"):
        evaluator.predict_some([["another {}"]], split="train", image_indices=[0, 1])


def test_refusals_before_a_limit_are_kept_too(opened: Opened, tmp_path: Path) -> None:
    """They may have been paid for."""
    quota = ApiRefusal("no")
    api = VisualApi(change=lambda number, _request, body: quota if number > 0 else body, ends_after=6)
    with pytest.raises(ScoringEndedError):
        opened("zero-shot", api, tmp_path / "labels.sqlite").score(["a {}"])
    later = VisualApi()
    scored(opened("zero-shot", later, tmp_path / "labels.sqlite"), "a {}")
    assert len(later.requests) == SEARCHED - 6


def test_refusals_in_doubt_are_not_kept(opened: Opened, tmp_path: Path) -> None:
    """A limit is reached before the control that would show whose fault they are."""
    quota = ApiRefusal("your image quota is exceeded")
    api = VisualApi(change=lambda number, _request, body: body if number < 13 else quota, ends_after=21)
    with pytest.raises(ScoringEndedError, match="the limit of calls"):
        opened("zero-shot", api, tmp_path / "labels.sqlite").score(["a {}"])
    later = VisualApi()
    assert scored(opened("zero-shot", later, tmp_path / "labels.sqlite"), "a {}").train == 1.0
    assert len(later.requests) == SEARCHED - 13


def test_many_refused_images_in_a_row_are_believed_if_others_are_answered(
    opened: Opened, tmp_path: Path
) -> None:
    """After a few, a question that was answered before is asked again, in a resumed run too."""
    reds = refusing(range(1, 11), lambda request: request.body["inputs"])
    api = VisualApi(change=reds)
    first = scored(opened("zero-shot", api, tmp_path / "labels.sqlite"), "a {}")
    assert first.train < 1.0
    assert len(api.requests) == SEARCHED + 1
    resumed = VisualApi(change=lambda number, _, body: ApiRefusal("no") if number < 8 else body)
    opened("zero-shot", resumed, tmp_path / "labels.sqlite").score(["a {}", "another {}"])
    assert len(resumed.requests) == SEARCHED + 1


def refused_template(_number: int, request: ApiRequest, body: Any) -> Any:
    return NOT_ALLOWED if request.body["parameters"]["hypothesis_template"] == "bad {}" else body


@pytest.mark.parametrize("at_once", [1, 4, 8])
def test_a_refused_template_among_others_costs_no_question_twice(at_once: int, opened: Opened) -> None:
    """The others' answers show that the endpoint is well."""
    api = VisualApi(change=refused_template, concurrency=at_once)
    opened("zero-shot", api).score(["a {}", "bad {}", "the {}", "one {}"])
    assert len(api.requests) == 4 * SEARCHED


def test_an_answer_to_another_task_serves_as_a_control(opened: Opened) -> None:
    """Though all questions of the task itself were refused, if it came while the task waited its turn."""
    api, turn = VisualApi(change=refused_template), asyncio.Semaphore(1)
    api.place = lambda: turn  # type: ignore[method-assign]
    evaluator = opened("zero-shot", api)
    scored(evaluator, "a {}")
    before = len(api.requests)

    async def together() -> None:
        score = partial(type(evaluator).score, evaluator)
        await asyncio.gather(score(["bad {}"]), score(["the {}"]))

    asyncio.run(together())
    assert len(api.requests) == before + 2 * SEARCHED


def test_an_answer_that_never_came_is_asked_for_again_by_a_later_run(opened: Opened, tmp_path: Path) -> None:
    """It counts as wrong in this one, once another question was answered twice; it is no refusal."""
    never = ApiRefusal("503", failed=True)
    api = VisualApi(change=refusing({3}, lambda request: request.body["inputs"], never))
    evaluator = opened("zero-shot", api, tmp_path / "labels.sqlite")
    assert scored(evaluator, "a {}").train < 1.0
    assert scored(evaluator, "a {}").train < 1.0
    assert len(api.requests) == SEARCHED + 3
    later = VisualApi()
    assert scored(opened("zero-shot", later, tmp_path / "labels.sqlite"), "a {}").train == 1.0
    assert len(later.requests) == 1


@pytest.mark.parametrize("outage", [range(4), range(5, 15)])
def test_an_outage_costs_no_label(outage: range, opened: Opened) -> None:
    """At the start or later on: what failed is asked again, as nothing else was answered meanwhile."""
    down = ApiRefusal("503", failed=True)
    api = VisualApi(change=lambda number, _request, body: down if number in outage else body, concurrency=4)
    assert scored(opened("zero-shot", api), "a {}").train == 1.0


def test_an_image_that_never_gets_an_answer_is_left_out_after_two_candidates(opened: Opened) -> None:
    """Each takes minutes of attempts; it counts as wrong for the others."""
    never = ApiRefusal("503", failed=True)
    api = VisualApi(change=refusing({3}, lambda request: request.body["inputs"], never))
    evaluator = opened("zero-shot", api)
    scores = [scored(evaluator, f"{text} {{}}").correct for text in ("a", "the", "one", "my")]
    assert scores == [(14, 6)] * 4
    assert len(api.requests) == 2 * (SEARCHED + 3) + 2 * (SEARCHED - 1)


@pytest.mark.parametrize("objective", ["accuracy", "logprob"])
def test_classes_of_one_name_keep_their_places(objective: str, opened: Opened) -> None:
    """Some published lists have them; the label is sent once, and its images go to the first."""
    evaluator: Any = opened("zero-shot", VisualApi(), objective=objective)
    prompt = Prompt("a {}", ("missile", "crane", "missile", "dog", "zebra"))
    picture = SentPicture("image/png", b"", 1, 1)
    sent = evaluator.body(prompt, picture)["parameters"]["candidate_labels"]
    assert sent == ["missile", "crane", "dog", "zebra"]
    scores = {"zebra": 0.7, "missile": 0.2, "crane": 0.05, "dog": 0.05}
    value = evaluator.value(prompt, ApiReply([{"label": k, "score": v} for k, v in scores.items()]))
    if objective == "accuracy":
        assert value == 4
    else:
        assert [round(math.exp(logarithm), 3) for logarithm in value] == [0.2, 0.05, 0.2, 0.05, 0.7]


def test_a_single_bad_reply_is_asked_for_again(opened: Opened) -> None:
    """Twice at most, then the endpoint is blamed; what else was answered is kept."""
    api = VisualApi(change=lambda number, _request, body: None if number in (3, SEARCHED) else body)
    evaluator = opened("zero-shot", api)
    assert scored(evaluator, "a {}").train == 1.0
    assert len(api.requests) == SEARCHED + 2
    always = VisualApi(change=lambda number, _request, body: None if number >= 20 else body)
    evaluator = opened("zero-shot", always)
    with pytest.raises(ScoringEndedError, match="the scorer's endpoint cannot be used"):
        evaluator.score(["a {}"])
    assert len(always.requests) == SEARCHED + 2


def test_a_label_from_outside_is_checked(opened: Opened, tmp_path: Path) -> None:
    """A file that was made elsewhere may hold a class that does not exist."""
    path = tmp_path / "labels.sqlite"
    scored(opened("zero-shot", VisualApi(), path), "a {}")
    store = LabelStore(path)
    store._file.rows("UPDATE answers SET value = '99'")
    with pytest.raises(StoreCorruptError, match="damaged"):
        opened("zero-shot", VisualApi(), path).predict([["a {}"]], split="train")


def test_two_tasks_ask_once(opened: Opened) -> None:
    """What one is asking for, the other waits for."""
    api = VisualApi(concurrency=3)
    score = partial(ChatEvaluator.score, opened("chat", api), [INSTRUCTION])

    async def together() -> list[Any]:
        return await asyncio.gather(*(score() for _ in range(4)))

    first, *others = asyncio.run(together())
    assert others == [first] * 3
    assert len(api.requests) == SEARCHED


def test_an_image_that_is_gone_is_named(opened: Opened, colours: Path, tmp_path: Path) -> None:
    """It was there when the run began; the endpoint is not blamed."""
    data = tmp_path / "data"
    shutil.copytree(colours, data)
    evaluator = opened("chat", VisualApi(), data=str(data))
    shutil.rmtree(data)
    with pytest.raises(ScoringEndedError, match="does not exist"):
        evaluator.score([INSTRUCTION])
    with pytest.raises(DataError, match="does not exist"):
        evaluator.predict([[INSTRUCTION]], split="val")
