"""Turn requests into answers: within limits, at a pace, with retries, from one endpoint or several."""
