"""The search: conversations with a chat LLM, paced, stored and resumed. Never imports torch."""
