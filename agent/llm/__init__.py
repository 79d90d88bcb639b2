"""A request becomes an answer: within limits, at a pace, tried again, from one endpoint or several."""
