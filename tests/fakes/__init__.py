"""Working stand-ins for what lies outside the program: time, and a chat endpoint with limits and faults."""
