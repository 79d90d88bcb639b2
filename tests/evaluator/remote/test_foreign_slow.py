"""LiteLLM's proxy, a server that nobody here wrote, between a search and the served model."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import aiohttp
import pytest

from promptclimb import SearchConfig, search
from tests.fakes.foreign import free_port, need, running
from tests.fakes.scorer_server import ScorerServer

pytestmark = pytest.mark.slow
KEY = "sk-0123456789abcdef0123456789abcdef"
CONFIG = """
model_list:
  - model_name: seen-through-litellm
    litellm_params: {model: openai/RN-pico, api_base: "URL", api_key: none}
router_settings: {num_retries: 0, disable_cooldowns: true}
litellm_settings: {num_retries: 0}
"""


async def ready(url: str) -> None:
    """Wait until a server lists its models."""
    headers = {"Authorization": f"Bearer {KEY}"}
    for _ in range(300):
        try:
            async with aiohttp.request("GET", f"{url}/models", headers=headers) as reply:
                if reply.status == 200:
                    return
        except aiohttp.ClientError:
            pass  # it does not listen yet
        await asyncio.sleep(1)
    pytest.fail("the proxy never listened")


@pytest.mark.parametrize(("scorer", "prompts"), [("chat", "instruction"), ("embeddings", "template")])
async def test_a_search_through_litellms_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, colours: Path, scorer: str, prompts: str
) -> None:
    """Its requests reach the model, its replies are read, and its key is asked for."""
    need("litellm")
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1"
    program = str(Path(sys.executable).with_name("litellm"))
    command = [program, "--config", "proxy.yaml", "--host", "127.0.0.1", "--port", str(port)]
    async with ScorerServer() as behind:
        (tmp_path / "proxy.yaml").write_text(CONFIG.replace("URL", behind.url))
        with running(tmp_path, command, {"LITELLM_MASTER_KEY": KEY}):
            await ready(url)
            monkeypatch.setenv("SCORER_API_KEY", KEY)
            config = SearchConfig(
                data=str(colours), shots=2, method="random", scorer=scorer, scorer_url=url,
                search_for=prompts, model="seen-through-litellm", restarts=1, conversations=1,
                rounds=1, initial=3, test_images=6, run_dir=tmp_path / "run",
            )  # fmt: skip
            result = await search(config)
    assert result.status == "finished"
    assert result.best is not None
    assert result.best.test is not None
    assert len(behind.asked) >= 10, "requests that differ; the scorer sends as many by itself"
