from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from promptclimb.agent.api import evaluate
from promptclimb.agent.config.schema import SearchConfig
from promptclimb.evaluator.errors import ConfigError, DataError, EvaluatorError, UsageError
from promptclimb.evaluator.open import open_evaluator
from promptclimb.evaluator.prediction import FolderPredictor
from promptclimb.evaluator.remote.labels import LabelStore
from promptclimb.evaluator.spec import EvaluatorSpec
from promptclimb.evaluator.white_box.running import run_all
from tests.evaluator.remote.conftest import Opened
from tests.evaluator.remote.test_image_by_image import ASKED, INSTRUCTION
from tests.fakes.visual_api import VisualApi

API: dict[str, Any] = {"scorer": "zero-shot", "model": "m", "scorer_url": "http://127.0.0.1:1"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scorer_url": None}, '`scorer = "zero-shot"` is a model behind an API: give `scorer_url = URL`'),
        ({"scorer_url": "127.0.0.1:1"}, "write http:// or https:// and a host"),
        ({"pretrained": "openai"}, "`pretrained` applies to CLIP models"),
        ({"precision": "best"}, "`precision` applies to CLIP models"),
        ({"device": "cuda"}, "`device` applies to CLIP models"),
        ({"ray": "auto"}, "`ray` applies to CLIP models"),
        ({"augmentations": 2}, "`augmentations` applies to CLIP models"),
        ({"scorer_answer_tokens": 9}, '`scorer_answer_tokens` applies to `scorer = "chat"`'),
        ({"scorer_dialect": "jina"}, '`scorer_dialect` applies to `scorer = "embeddings"`'),
        ({"scorer_dialect": "jinna"}, "unknown form of embeddings; did you mean jina"),
        ({"custom_scorer": "mine:make"}, '`custom_scorer` and `scorer = "zero-shot"` name two scorers'),
        (
            {"scorer": "chat", "objective": "logprob"},
            "gives no probabilities, which the objective logprob needs",
        ),
        ({"scorer": "clip"}, "`scorer_url` applies to models behind an API"),
        (
            {"scorer": "clip", "scorer_url": None, "scorer_answer_tokens": 2},
            "`scorer_answer_tokens` applies to",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    """With what to do, before anything is opened."""
    with pytest.raises(ConfigError, match=message):
        EvaluatorSpec(**{**API, **changes})


def test_a_model_must_be_named() -> None:
    """The default is a bundled CLIP; a server may have that too, if it is asked for."""
    without = {name: value for name, value in API.items() if name != "model"}
    with pytest.raises(ConfigError, match="needs `model = NAME`"):
        EvaluatorSpec(**without)
    named = EvaluatorSpec(**without, model="RN-pico")
    assert named.bare().model == "RN-pico"
    assert named.augmentations_for(10) == 0
    assert named.without_choice().scorer == "zero-shot"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({**API, "scorer": "chat", "search_for": "template"}, 'give `search_for = "instruction"`'),
        ({**API, "scorer": "chat", "search_for": "class-names"}, 'give `search_for = "instruction"`'),
    ],
)
def test_a_scorer_takes_its_kind_of_prompts(settings: dict[str, Any], message: str) -> None:
    """A chat model is asked by an instruction, which needs not be said; the others by a template."""
    with pytest.raises(ConfigError, match=message):
        SearchConfig(method="combine", **settings)
    assert SearchConfig(method="combine", **API).search_for == "template"
    assert SearchConfig(method="combine", **{**API, "scorer": "chat"}).search_for == "instruction"
    SearchConfig(llm="m", **{**API, "search_for": "class-names"})


def test_an_ask_is_needed(colours: Path) -> None:
    """Whoever opens it provides the way to ask."""
    with pytest.raises(EvaluatorError, match="needs an `ask`"):
        open_evaluator(EvaluatorSpec(data=str(colours), **API))


def test_what_needs_a_clip_refuses_it(colours: Path) -> None:
    """References that look into the model, and predictions for a folder."""
    spec = EvaluatorSpec(data=str(colours), **API)
    with pytest.raises(ConfigError, match="a model behind an API is not one"):
        run_all(["coop"], spec, split="test")
    with pytest.raises(UsageError, match="m is a model behind an API"):
        FolderPredictor(spec, ["a", "b"], ["a {}"], lambda _line: None)
    with pytest.raises(UsageError, match="a model behind an API is not one"):
        evaluate(["a {}"], spec, white_box=["coop"])


def test_its_info_says_what_it_scores_on(opened: Opened, colours: Path) -> None:
    """Equal problems have equal fingerprints, wherever images and endpoint are; others have others."""
    info = opened("zero-shot", VisualApi()).info
    assert dict(info.sizes) == {"train": 15, "val": 6, "test": 9}
    assert (info.model, info.pretrained, info.class_names) == ("m", "", ("blue", "green", "red"))
    assert info.baselines == {"default template": ("a photo of a {}",)}
    assert info.notes["scorer"] == "zero-shot"
    assert info.notes["hand_made"].endswith("requests: bare class name and OpenAI's 80 templates")
    assert len(info.files) == 30
    same = opened("zero-shot", VisualApi(), scorer_url="https://elsewhere.example").info
    assert same == info
    others = [
        opened("zero-shot", VisualApi(), model="n").info,
        opened("zero-shot", VisualApi(), scorer_image_size=64).info,
        opened("embeddings", VisualApi(), scorer_dialect="openai").info,
        opened("chat", VisualApi()).info,
        opened("chat", VisualApi(), scorer_answer_tokens=9).info,
        opened("zero-shot", VisualApi(), shots=4).info,
    ]
    assert len({info.fingerprint, *(info_of_other.fingerprint for info_of_other in others)}) == 1 + len(
        others
    )
    assert others[2].baselines.keys() >= {"default template", "OpenAI's 80 templates"}
    assert "hand_made" not in others[2].notes
    assert others[3].baselines["default template"][0].count("{classes}") == 1
    assert "hand_made" not in others[3].notes
    assert info.content["shots"] != others[5].content["shots"]


def test_a_bad_image_is_refused_or_left_out(opened: Opened, colours: Path, tmp_path: Path) -> None:
    """At the opening, of few-shot and test images; which ones were left out is noted."""
    data = tmp_path / "data"
    shutil.copytree(colours, data)
    whole = opened("chat", VisualApi(), data=str(data))
    gone = whole.split("test").paths[0]
    gone.write_bytes(gone.read_bytes()[:60] + b"IEND\xaeB`\x82")
    spec = EvaluatorSpec(data=str(data), **API)
    with pytest.raises(DataError, match="PROMPTCLIMB_ON_BAD_IMAGE=skip"):
        open_evaluator(spec, ask=VisualApi(), look_ahead=True)
    evaluator = opened("zero-shot", VisualApi(), data=str(data), on_bad_image="skip")
    predictions = evaluator.predict([["a {}"]], split="test")
    assert len(predictions.labels) == evaluator.info.sizes["test"] == 8
    assert evaluator.info.notes["skipped_images"]["test"]["images"] == 1
    assert evaluator.image_set("test") != whole.image_set("test")
    assert [thumbnail is not None for thumbnail in evaluator.thumbnails("test", [0, 99])] == [True, False]


@pytest.mark.parametrize("scorer", ["chat", "zero-shot"])
def test_a_part_of_the_test_split_is_asked_for(scorer: str, opened: Opened) -> None:
    """The cost of the end is that of the part, and the result says so."""
    api = VisualApi()
    evaluator = opened(scorer, api, test_images=6)
    assert evaluator.info.sizes["test"] == 6
    assert any("6 of 9 test images" in note for note in evaluator.info.notes["data"])
    (scores,) = evaluator.examine([[ASKED[scorer]]])
    assert scores is not None
    assert scores.test == 1.0
    assert len(api.requests) == 21 + 6


def test_labels_are_json_in_one_file(opened: Opened, tmp_path: Path) -> None:
    """No address and no image is in it, and no key of a service could be."""
    path = tmp_path / "labels.sqlite"
    settings = {"scorer_url": "http://user:secret@127.0.0.1:1"}
    evaluator = opened("chat", VisualApi(), path, **settings)
    evaluator.score([INSTRUCTION])
    rows = LabelStore(path)._file.rows("SELECT key, value FROM answers")
    assert {len(key) for key, _value in rows} == {len(hashlib.blake2b(digest_size=16).hexdigest())}
    values = [json.loads(value) for _key, value in rows]
    values.remove(False)  # the endpoint does not enforce the schema
    values.remove(True)  # an address answered
    values.remove(evaluator._address_keys[1])  # it was the first
    assert len(values) == 21
    assert {value["text"] for value in values} == {"Red", "Green", "Blue"}
    assert b"secret" not in path.read_bytes()
