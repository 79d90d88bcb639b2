"""How a model is asked follows from its name where that says its size."""

from __future__ import annotations

import pytest

from promptclimb.agent.config.reading import Style, style_of


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
