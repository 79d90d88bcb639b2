"""The search methods: how a restart comes by its next proposals, from its ranked candidates alone."""
