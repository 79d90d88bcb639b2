"""The settings of a search, and their sources."""
