"""Reference methods that see inside the model, to compare a search with."""
