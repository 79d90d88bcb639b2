"""A conversation as a climb keeps it."""

from __future__ import annotations

from promptclimb.agent.climb.conversation import MAX_ANSWER_CHARACTERS, Conversation


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
