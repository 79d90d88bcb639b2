"""What a reasoning model thinks is no part of its answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.prompts.thinking import without_thinking


@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        *(
            (f"<{name}>", f"</{name}>")
            for name in ("think", "Thinking", "thought", "reasoning", "seed:think")
        ),
        ("[THINK]", "[/THINK]"),
        ("<|begin_of_thought|>", "<|end_of_thought|>"),
        ("◁think▷", "◁/think▷"),
        ("<|channel|>analysis<|message|>", "<|start|>assistant<|channel|>final<|message|>"),
    ],
)
def test_thinking_goes_by_many_names(opening: str, closing: str) -> None:
    """Closed, opened by the server and closed by the model, or cut before it was closed."""
    assert without_thinking(f"{opening}\n- a {{}}\n{closing}\n\n- one {{}}") == "- one {}"
    assert without_thinking(f"- a {{}}\n{closing}- one {{}}") == "- one {}"
    assert without_thinking(f"- one {{}}\n{opening}- a {{}}") == "- one {}"
    assert without_thinking(f"{opening}- a {{}}") == ""


@given(st.text(max_size=60))
def test_a_text_without_it_is_left_as_it_is(text: str) -> None:
    """To the character: requests repeat answers, and a resumed run repeats its requests."""
    if "think" not in text.casefold():
        assert without_thinking(text) == text or "<" in text
