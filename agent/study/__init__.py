"""Studies: many searches by one file, under one budget, and what they say together."""
