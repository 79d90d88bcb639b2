"""The look at an endpoint before a search, by itself."""

from __future__ import annotations

from pydantic import SecretStr

from promptclimb.agent.llm import endpoints
from promptclimb.agent.llm.client import OpenAIChat


async def preflight(url: str, key: SecretStr | None, *, model: str) -> str | None:
    """Look at an endpoint with a client of its own."""
    async with OpenAIChat(url, key) as client:
        return await endpoints.preflight(client, model)
