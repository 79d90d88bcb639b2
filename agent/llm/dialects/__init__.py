"""What differs among the endpoints that speak OpenAI's chat completions.

``families`` is the table: one entry a family, which says in what words its servers refuse. ``refusals`` reads
the body of a refusal, whatever its form; ``dialect`` is what one endpoint was found to take, and learns from
a refusal; ``contexts`` shortens a conversation; ``waits`` finds how long to wait; ``keys`` says where a key
goes. All of it is pure: the requests are made by ``openai_chat``.

To add a family: an entry in ``FAMILIES``, and its recorded replies in ``tests/data/dialects``.
"""
