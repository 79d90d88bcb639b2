"""What is asked of a search: one frozen value, and where it comes from."""
