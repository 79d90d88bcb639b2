"""What `--llm` says: a local model, a file, and how large the name says a model is."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptclimb.agent.config.fields import (
    LOCAL_MODELS,
    Style,
    absolute_llm,
    check_llm,
    is_local,
    local_model,
    placeless_llm,
    style_of,
)
from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.config.sources import absolute
from promptclimb.evaluator.errors import ConfigError


@pytest.mark.parametrize(
    ("llm", "local"),
    [
        (None, False), ("gpt-4o-mini", False), ("localhost-model", False), ("local", True),
        ("local:1.5b", True), ("local:x.gguf", True),
    ],
)  # fmt: skip
def test_what_runs_here_is_known_by_its_name(llm: str | None, local: bool) -> None:
    """In one place for all who ask."""
    assert is_local(llm) == local
    assert SearchConfig(data="words", method="random", llm=llm).is_local == local


def test_a_name_alone_stands_for_the_first_model() -> None:
    """The others are named."""
    assert local_model("local") == local_model(f"local:{LOCAL_MODELS[0]}") == LOCAL_MODELS[0]
    assert local_model(f"local:{LOCAL_MODELS[1]}") == LOCAL_MODELS[1]


@pytest.mark.parametrize("llm", ["local:", "local:7b", "local:model.bin", "local: 0.5b"])
def test_an_invalid_model_is_refused(llm: str) -> None:
    """The message names those that there are."""
    with pytest.raises(ValueError, match=r"not a local model: write local:0\.5b, local:1\.5b, or local:FILE"):
        check_llm(llm)
    with pytest.raises(ConfigError, match="is not a local model"):
        SearchConfig(data="words", llm=llm)


def test_a_file_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its path is made absolute, with a custom scorer own too; a link is not followed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "blob").write_bytes(b"GGUF")
    (tmp_path / "m.GGUF").symlink_to("blob")
    assert local_model("local:m.GGUF") == tmp_path / "m.GGUF"
    for names_only in (False, True):
        config = absolute(SearchConfig(data="words", llm="local:m.GGUF"), names_only=names_only)
        assert config.llm == f"local:{tmp_path / 'm.GGUF'}"
    assert absolute_llm("local:0.5b") == "local:0.5b"
    assert absolute_llm("a.gguf") == "a.gguf"


def test_where_a_model_lies_decides_nothing() -> None:
    """Neither the identity nor how it is asked; how large its file is called does, as for any model."""
    here, there = (SearchConfig(data="words", llm=f"local:{place}/m.gguf") for place in ("/a", "/b/70b"))
    assert here.identity() == there.identity()
    assert here.placeless_llm == there.placeless_llm != here.llm
    assert style_of(here.llm) == style_of(there.llm) == "short"
    assert style_of("local:/b/m-70b.gguf") is None
    for name in ("local", "local:1.5b", "a.gguf", None):
        assert placeless_llm(name) == name


@pytest.mark.parametrize(
    ("llm", "style"),
    [
        ("local", "short"),
        ("local:0.5b", "short"),
        ("local:/models/Qwen2.5-7B-Instruct-Q4_K_M.gguf", None),
        ("local:mine.gguf", "short"),
        ("Qwen/Qwen2.5-1.5B-Instruct", "short"),
        ("gemma-3-270m-it", "short"),
        ("llama3.2:3b", "short"),
        ("meta-llama/Llama-3.1-8B-Instruct", None),
        ("mixtral-8x7b", None),
        ("gpt-5.2", None),
        ("claude-sonnet-4-5", None),
        ("o3", None),
        ("bert-b", None),
        (None, None),
    ],
)
def test_style_by_name(llm: str | None, style: Style | None) -> None:
    """Small up to four billion parameters; else nobody knows, and answers decide."""
    assert style_of(llm) == style
