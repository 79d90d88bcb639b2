"""An LLM that repeats itself."""

from __future__ import annotations

from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest
from tests.fakes.clock import virtual_sleep


class Parrot:
    """Says the same in every answer.

    Attributes:
        asked: How often it was asked.
    """

    def __init__(self) -> None:
        self.asked = 0

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        self.asked += 1
        await virtual_sleep(1)
        return ChatAnswer(text="- a parrot of a {}\n- a parrot of the {}")
