"""Search methods: how a restart makes its next proposals from its ranked candidates."""
