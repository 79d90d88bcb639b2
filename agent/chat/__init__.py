"""The chat model behind one seam, `ChatClient`.

`agent.chat.openai_chat` speaks to OpenAI-compatible endpoints.
"""

from __future__ import annotations

from agent.chat.types import ChatAnswer, ChatClient, ChatRequest

__all__ = ["ChatAnswer", "ChatClient", "ChatRequest"]
