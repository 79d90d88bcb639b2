"""Class texts to embeddings: exact, and as fast as the machine allows."""
