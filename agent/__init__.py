"""The restart: many conversations with a chat LLM, paced, journalled and resumed. Never imports torch."""
