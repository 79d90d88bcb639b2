"""Which images a search may look at: the few-shot rule, published samples, splits made by rule."""
