"""Read data where it lies: one reader a family of layouts, each gives ``Splits``."""
