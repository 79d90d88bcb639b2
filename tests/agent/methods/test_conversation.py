"""A conversation as a restart keeps it."""

from __future__ import annotations

from promptclimb.agent.methods.base import MAX_ANSWER_CHARACTERS, Conversation


def test_a_conversation_keeps_its_opening_and_its_latest_turns() -> None:
    """Older turns go, the opening stays, and endless answers are cut."""
    conversation = Conversation([{"role": "user", "content": "open"}], max_turns=3)
    for number in range(5):
        conversation.add(f"{number}" * 9000, {"role": "user", "content": f"told {number}"})
    messages = conversation.messages()
    assert [message["content"][:6] for message in messages] == [
        "open",
        "333333",
        "told 3",
        "444444",
        "told 4",
    ]
    assert len(messages[1]["content"]) == MAX_ANSWER_CHARACTERS


def test_thinking_is_taken_out_before_an_answer_is_cut() -> None:
    """Else what later turns repeat would be the thought, and none of the templates."""
    conversation = Conversation([{"role": "user", "content": "open"}], max_turns=3)
    conversation.add(f"<think>{'so ' * 3000}</think>\n\n- a {{}} in ink", {"role": "user", "content": "told"})
    conversation.add("<think>" + "so " * 3000, {"role": "user", "content": "told"})
    messages = conversation.messages()
    assert [messages[place]["content"] for place in (1, 3)] == ["- a {} in ink", "(nothing)"]
